"""Replay: whole rounds on a labelled file whose answers are hidden, reviewed by a simulated reviewer.

    base      one a seed: the split, the index and the seed reader, which all arms of the seed share
    arm       one an arm and seed: a copy of the base workspace, played for some rounds under the arm's settings

Every round's reader is scored on the same test questions. Each base and each arm runs in its own process and can be
killed at any moment; the same command resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labeler.core.settings import ComputeConfig
from labeler.evaluation.pseudo_precision import JudgedAnswer
from labeler.evaluation.scoring import QuestionScore
from labeler.planning.ahead import Ahead
from mrc.metrics import Interval

SUPERVISED = "supervised"  # the arm that never plays a round: every other is compared with it
RANDOM = "random"  # the arm whose reviews are drawn at random, and whose readers no pseudo-label teaches
ORACLE = "oracle"  # the arm that trains on all labels of the pool: no reviewing can do better


OWN_BASE = "simulate.own_base"  # true: the arm trains its own seed reader, under its settings
GENERATIONS = "simulate.generations"  # product rounds of a round: the first with reviews, the others without


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to play the rounds: the settings that it changes, each `section.key=value`.

    Those of the section `simulate` (OWN_BASE, GENERATIONS) are for the replay itself.
    """

    name: str
    settings: tuple[str, ...]

    @property
    def product_settings(self) -> tuple[str, ...]:
        """The settings of the workspace."""
        return tuple(each for each in self.settings if not each.startswith("simulate."))

    @property
    def own_base(self) -> bool:
        return self._value(OWN_BASE) == "true"

    @property
    def generations(self) -> int:
        return int(self._value(GENERATIONS) or 1)

    def _value(self, name: str) -> str | None:
        given = dict(each.split("=", 1) for each in self.settings)
        return given.get(name)


@dataclass(frozen=True, slots=True)
class Design:
    """The design of a replay: its data, its arms, and how long each is played."""

    file: Path
    folder: Path
    arms: tuple[Arm, ...]
    common: tuple[str, ...]  # settings of all arms, each `section.key=value`
    split: str  # as for `labeler import --split`
    dense: str | None  # checkpoint of a bi-encoder for the index
    language: str
    rounds: int
    seeds: int
    jobs: int = 1  # processes at a time
    threads: int = 1  # of each
    compute: ComputeConfig = field(default_factory=ComputeConfig)  # whether runs are played on a cluster


@dataclass(frozen=True, slots=True)
class Run:
    """One process: the base of a seed (`arm` None), or an arm that starts from it."""

    design: Design
    seed: int
    arm: Arm | None = None

    @property
    def base(self) -> Path:
        """The folder of the seed's base."""
        return self.design.folder / f"seed-{self.seed}" / "base"

    @property
    def folder(self) -> Path:
        """The folder of this run."""
        return self.base if self.arm is None else self.base.with_name(f"arm-{self.arm.name}")

    @property
    def name(self) -> str:
        return f"{self.arm.name if self.arm else 'base'}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Validity:
    """Audits drawn again and again from the frozen predictions that a round began with; rates and shares are 0-1.

    `missed`, `naive_missed`, `bh_missed`: draws whose certified or selected answers were less precise than the target;
    `coverage`: the certified share of the pool, mean over the draws; `oracle`: the largest share with that precision;
    `minutes` of one audit, as assumed.
    """

    target: float
    audits: int
    delta: float
    draws: int
    missed: int
    naive_missed: int
    coverage: float
    oracle: float
    minutes: float
    population: int = 0  # the pool's unlabelled questions, as they were; 0 where it was not noted
    audited: float = 0.0  # audits outside the certified set, mean over the draws; 0 where it was not noted
    bh_missed: int | None = None  # by conformal selection; None where it was not noted


@dataclass(frozen=True, slots=True)
class Point:
    """Where an arm stands after a round of one seed; round 0 is the seed reader. Rates are 0-1.

    `human` labels and `minutes` of reviewing are totals so far. `taught` pseudo-labels taught the round's student, of
    which the share `precision` is right; `promoted`: whether the gate took the student; `seconds` of the round;
    `ranking`: see `pool_ranking`, of the predictions that the round began with. `trusted`: gold and human labels that
    the round's student was trained on; 0 where it was not noted. `validity`: of the predictions that the round began
    with; `judged`: these predictions, by the hidden answers. `dev`: exact match on dev of the reader that the round
    trained, promoted or not; None where none was scored. `forecasts`: what `labeler plan` said of later rounds.
    """

    round: int
    human: int
    minutes: float
    taught: int
    precision: float | None
    promoted: bool
    seconds: float
    scores: tuple[QuestionScore, ...]
    ranking: Mapping[str, float] = field(default_factory=dict)
    trusted: int = 0
    validity: tuple[Validity, ...] = ()
    judged: tuple[JudgedAnswer, ...] = ()
    dev: float | None = None
    forecasts: tuple[Ahead, ...] = ()


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """What `labeler plan` said after a round about the reader of a later one, against what it brought on dev.

    Means over seeds. `held`: of the seeds, those in the 80% range that plan prints, which is of readers on average;
    `held_single`: those in the range for one training.
    """

    after: int
    round: int
    seeds: int
    held: int
    held_single: int
    forecast: float  # median
    low: float
    high: float
    exact_match: float
    error: float  # mean absolute difference of the two


@dataclass(frozen=True, slots=True)
class ByHand:
    """An arm after a round, with a certificate, against random review for the same exact match; means over seeds.

    `basis`: "interpolated" on the curve of random review; "interpolated to all labels": between its last round and the
    oracle; "extrapolated": past its end. `interval`: 95%, of a bootstrap over documents. Minutes are None where random
    review never gets there.
    """

    round: int
    seeds: int
    exact_match: float
    minutes: float  # of reviewing, and of the audit
    audit_minutes: float  # of these
    random_minutes: float | None
    interval: tuple[float | None, float | None]
    basis: str
    saved: float | None  # share of the minutes of random review; None where it needs none
    everything_minutes: float | None  # to label the whole pool; None without an oracle
    everything_exact_match: float | None


@dataclass(frozen=True, slots=True)
class Release:
    """What leaves after a round with a certificate of that target, against writing as many labels; means over seeds."""

    after: int
    target: float
    seeds: int
    human: float  # labels of the rounds so far
    certified: float  # over all draws of the audit
    audited: float  # answers of the audit outside the certified set
    minutes: float  # of reviewing and of the audit
    written_minutes: float  # of writing as many labels, whichever questions they are for
    saved: float | None  # share of the minutes of writing; None where nothing leaves


@dataclass(frozen=True, slots=True)
class ConfidenceQuality:
    """AURC, AUROC, ECE and Brier score of the confidences, all seeds together, and their changes from MaxProb, which is
    the probability of the reader's best single span. 95% intervals of a bootstrap over passages."""

    values: Mapping[str, Interval]
    changes: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """An arm after a round: means over its seeds, and the change from the seed reader of the same seeds.

    `change` and `f1_change` are 95% intervals of a bootstrap over documents; questions are paired by seed.
    """

    round: int
    labels: float
    minutes: float
    exact_match: float
    f1: float
    change: Interval
    f1_change: Interval
    taught: float
    precision: float | None
    promoted: int  # of the seeds
    ranking: Mapping[str, float]  # see `Point`
    confidence: ConfidenceQuality | None = None  # of the predictions that the round began with


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One curve. `gap_closed`: the last change as a share of the oracle's; None without an oracle or a gap."""

    arm: str
    settings: tuple[str, ...]
    seeds: int
    points: tuple[CurvePoint, ...]
    gap_closed: float | None
    spread: float | None  # standard deviation over the seeds of the last exact match; None with one seed
    lowest_change: float  # of EM after the last round, of all seeds
    seconds: float  # of all rounds, mean over the seeds
    forecasts: tuple[ForecastCheck, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    releases: tuple[Release, ...] = ()
    validity: Sequence[Mapping[str, Any]] = ()  # see `labeler.replay.validity.pooled`


@dataclass(frozen=True, slots=True)
class Replay:
    """The state of a replay; `results` by arm, in the order given."""

    results: Mapping[str, ArmResult]
    questions: int  # scored, of all seeds
    folder: Path
