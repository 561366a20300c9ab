"""Ablation: readers trained under different settings and compared on one split of one file.

    screened  every arm, one seed, scored on the screening part of dev
    final     the base arm and the best arms: every seed, scored on all of dev
    chosen    the best of them on dev, recorded
    tested    only then is test read, once, by the base arm, the chosen arm and the controls

Each training runs in its own process and can be killed at any moment; the same command resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labeler.core.config import Config
from labeler.core.settings import ComputeConfig
from labeler.evaluation.scoring import QuestionScore
from mrc.metrics import Interval, Metric

PARTS = ("train", "screen", "dev", "test")  # disjoint; `dev` is what screening leaves of the dev questions
GIVEN, RETRIEVED = "given", "retrieved"  # read in the passage of the question, or in the passages found for it


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train a reader. `settings` are what it changes, each `section.key=value`.

    A control is trained on every seed and tested, but never chosen: for example one that only trains longer.
    """

    name: str
    settings: tuple[str, ...]
    control: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """Questions of each part, at most. `dev` includes those of the screening."""

    train: int
    screen: int
    dev: int
    test: int


@dataclass(frozen=True, slots=True)
class Design:
    """The design of a study: its data, its arms and how they are compared."""

    file: Path
    folder: Path
    start: str  # checkpoint: folder or hub name
    arms: tuple[Arm, ...]  # the base arm, which every other is compared with, first
    common: tuple[str, ...]  # settings of all arms, each `section.key=value`
    sizes: Sizes
    seeds: int
    finalists: int
    split_by: str = "paragraph"
    metric: str = "auto"
    top_k: int = 5
    test: bool = True  # False: stop before the choice, so that arms may still join
    jobs: int = 1  # runs at a time
    threads: int = 1  # of each run
    compute: ComputeConfig = field(default_factory=ComputeConfig)  # whether runs are played on a cluster

    @property
    def base(self) -> str:
        """The name of the arm that every other is compared with."""
        return self.arms[0].name


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one arm and the parts that it is scored on; all that its process needs."""

    arm: str
    seed: int
    folder: Path  # of this run
    data: Path  # the parts as SQuAD-format files
    starts: Path  # pretrained starting checkpoints, shared by runs
    start: str  # folder or hub name
    config: Config
    metric: Metric
    top_k: int  # passages read for a question end to end; 0: questions are read in their own passage only
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """The cost of a training. `start_seconds` is that of pretraining its starting checkpoint, which runs share."""

    cpu_seconds: float
    start_seconds: float
    peak_mib: float
    examples: int
    steps: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a finished run: its cost, and its scores by part and by how passages were chosen."""

    seed: int
    cost: TrainingCost
    scores: Mapping[tuple[str, str], tuple[QuestionScore, ...]]


@dataclass(frozen=True, slots=True)
class ArmScores:
    """An arm's mean scores over its seeds, and their differences from the base arm's on the same seeds.

    `interval` and `change` are 95%, of a bootstrap over documents; `p`: McNemar's test, two-sided, on seed 0.
    """

    questions: int
    seeds: int
    exact_match: float
    f1: float
    interval: tuple[float, float]
    change: Interval | None
    f1_change: Interval | None
    p: float | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One row of the table. A part that was not read is None; costs are means over seeds."""

    arm: str
    stage: str  # screened, final, chosen or control
    settings: tuple[str, ...]
    part: str  # what `dev` covers: dev, or screen, the part of it that arms are screened by
    dev: ArmScores
    dev_retrieved: ArmScores | None
    test: ArmScores | None
    test_retrieved: ArmScores | None
    cpu_seconds: float
    start_seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The arm chosen by dev alone, its dev scores, and when the choice was recorded."""

    arm: str
    exact_match: float
    f1: float
    seeds: int
    at: str


@dataclass(frozen=True, slots=True)
class Study:
    """The state of a study. `results` in the order of the arms; `choice` is None before it is made."""

    base: str
    results: tuple[ArmResult, ...]
    choice: Choice | None
    folder: Path
