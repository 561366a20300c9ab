"""Which idea helps a reader: arms trained and compared on one split of one file.

    screened  every arm, one seed, marked on the screening part of dev
    final     the plain reader and the best arms: every seed, marked on all of dev
    chosen    the best of them on dev, written down
    tested    only then is test read, once, by the plain reader, the chosen arm and the controls

Each training is a process of its own and can be killed at any moment; the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labeler.core.config import Config
from mrc.metrics import Interval, Metric

BASE = "linear"  # the arm that every other is compared with
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
    """Questions of each part, at most. `dev` counts those of the screening too."""

    train: int
    screen: int
    dev: int
    test: int


@dataclass(frozen=True, slots=True)
class Design:
    """What is asked of a study."""

    file: Path
    folder: Path
    start: str  # checkpoint: folder or hub name
    arms: tuple[Arm, ...]  # the plain reader first
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


@dataclass(frozen=True, slots=True)
class Mark:
    """How a reader did on one question; marks are 0-1."""

    question_id: str
    document: str
    exact_match: float
    f1: float
    answer: str


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one arm and the parts that it is marked on; all that its process needs to know."""

    arm: str
    seed: int
    folder: Path  # of this run
    data: Path  # the parts as SQuAD-format files
    starts: Path  # starting checkpoints prepared on the passages, shared by runs
    start: str  # folder or hub name
    config: Config
    metric: Metric
    top_k: int  # passages read for a question end to end; 0: questions are read in their own passage only
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training took. `start_seconds` is the preparing of its starting checkpoint, which other runs share."""

    cpu_seconds: float
    start_seconds: float
    peak_mib: float
    examples: int
    steps: int


@dataclass(frozen=True, slots=True)
class Trained:
    """What a finished run says: its cost, and its marks by part and by how passages were chosen."""

    seed: int
    cost: Cost
    marks: Mapping[tuple[str, str], tuple[Mark, ...]]


@dataclass(frozen=True, slots=True)
class Measured:
    """An arm's marks, means over its seeds, and how they differ from the plain reader's on the same seeds.

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
class Line:
    """One arm of the table. A part that was not read is None; costs are means over seeds."""

    arm: str
    stage: str  # screened, final, chosen or control
    settings: tuple[str, ...]
    part: str  # what `dev` is of: dev, or screen, the part of it that arms are screened by
    dev: Measured
    dev_retrieved: Measured | None
    test: Measured | None
    test_retrieved: Measured | None
    cpu_seconds: float
    start_seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen by dev alone, and when it was written down."""

    arm: str
    exact_match: float
    f1: float
    seeds: int
    at: str


@dataclass(frozen=True, slots=True)
class Study:
    """What `labeler ablate` says. `lines` in the order of the arms; `choice` is None before it is made."""

    lines: tuple[Line, ...]
    choice: Choice | None
    folder: Path
