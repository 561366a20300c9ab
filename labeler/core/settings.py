"""The sections of the settings: one dataclass each, whose fields are the keys, with their defaults and ranges."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from mrc.read import ExperimentalTrainConfig, ReadConfig, TrainSettings
from mrc.read.config import DEVICES, PRECISIONS
from mrc.retrieve.training.train_config import BiEncoderTrainConfig

DATABASE = "sqlite:///labeler.db"
MAX_SEED = 2_000_000_000  # a round adds its number, and the sum is stored in 32 bits
MAX_PASSAGES = 5  # on one page: more are not read by people
REVIEWERS = ("simulated", "none", "people", "studio")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low:g}-{high:g}, not {value:g}")


@dataclass(frozen=True, slots=True)
class WorkspaceConfig:
    """What the workspace is about, and where its rows are stored."""

    language: Literal["auto", "ko", "en"] = "auto"  # auto: told from the passages
    metric: str = "auto"  # squad, korquad, or auto: korquad for Korean
    database: str = field(default=DATABASE, repr=False)  # URL; a relative SQLite path is meant from the workspace

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, ("auto", "squad", "korquad"))
        if ":" not in self.database:
            raise ValueError(f"database must be a URL such as {DATABASE}, not {self.database!r}")


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """Where models run: training, reading and indexing alike."""

    device: str = "auto"  # cpu, cuda; auto: a GPU if there is one
    precision: str = "auto"  # of a reader's products: fp32, bf16; auto: bf16 where the hardware is fast in it
    threads: int = 0  # processor threads of torch; 0: all cores

    def __post_init__(self) -> None:
        _one_of("device", self.device, DEVICES)
        _one_of("precision", self.precision, PRECISIONS)
        _in_range("threads", self.threads, 0, 1024)


@dataclass(frozen=True, slots=True)
class ReadSection(ReadConfig):
    """Which passages are read, and how. Lengths are in tokens."""

    passages: str = "retrieved"  # or given: each question is read in the context that it came with
    top_k: int = 5  # passages retrieved and read for a question

    def __post_init__(self) -> None:
        ReadConfig.__post_init__(self)  # super() does not know a class remade with slots
        _one_of("passages", self.passages, ("retrieved", "given"))
        _in_range("top_k", self.top_k, 1, 100)


@dataclass(frozen=True, slots=True)
class TrainSection(TrainSettings):
    """How a reader is trained."""

    start: str | None = None  # checkpoint: hub name, folder or builtin; none: that of the reader so far
    teachers: tuple[str, ...] = ()  # readers to learn from with train.distill_weight; none: the round's own teacher
    negatives: int = 1  # retrieved passages without the answer, trained on beside each one that holds it

    def __post_init__(self) -> None:
        TrainSettings.__post_init__(self)
        _in_range("negatives", self.negatives, 0, 20)


@dataclass(frozen=True, slots=True)
class ExperimentalSection(ExperimentalTrainConfig):
    """Methods of reading and training that gained nothing in our measurements."""

    adaptive: str = "off"  # calibrated: skip a question's further passages once they will hardly change its answer
    adaptive_risk: float = 0.01  # share of the answers that may differ from those of reading all passages

    def __post_init__(self) -> None:
        ExperimentalTrainConfig.__post_init__(self)
        _one_of("adaptive", self.adaptive, ("off", "calibrated"))
        if not 0 < self.adaptive_risk < 1:
            raise ValueError(f"adaptive_risk must be above 0 and below 1, not {self.adaptive_risk}")


@dataclass(frozen=True, slots=True)
class EnsembleSection:
    """Readers that vote with the workspace's own wherever it answers."""

    members: tuple[str, ...] = ()  # folders or hub names; none: it answers alone
    vote: str = "characters"  # whatever the tokenizers; logits: of readers that cut texts alike; hard: by answers

    def __post_init__(self) -> None:
        _one_of("vote", self.vote, ("characters", "logits", "hard"))


@dataclass(frozen=True, slots=True)
class CascadeSection:
    """A larger reader that is asked where the score of the answer lies in a band. Scores are 0-1."""

    large: str | None = None  # folder or hub name; none: nobody is asked
    low: float = 0.2
    high: float = 0.7

    def __post_init__(self) -> None:
        _in_range("low", self.low, 0, 1)
        _in_range("high", self.high, self.low, 1)


@dataclass(frozen=True, slots=True)
class RetrieverSection(BiEncoderTrainConfig):
    """How a round trains the encoder of a dense index. Lengths are in tokens."""

    train: bool = False  # whether rounds train it
    start: str | None = None  # checkpoint: hub name or folder; none: the one that the index was first built with

    def __post_init__(self) -> None:
        BiEncoderTrainConfig.__post_init__(self)
        if self.start is not None and not self.start.strip():
            raise ValueError("start must name a checkpoint, or be none")

    @property
    def training(self) -> BiEncoderTrainConfig:
        """What a training depends on beside its start."""
        return BiEncoderTrainConfig(
            **{each.name: getattr(self, each.name) for each in dataclasses.fields(BiEncoderTrainConfig)}
        )


@dataclass(frozen=True, slots=True)
class CalibrateConfig:
    """How scores become confidences."""

    calibration_share: float = 0.2  # of gold questions, whole units, held out to calibrate; they never train
    target_precision: float = 0.85  # of released pseudo-labels
    min_support: int = 30  # calibration items above a threshold before it may release anything

    def __post_init__(self) -> None:
        _in_range("calibration_share", self.calibration_share, 0, 0.5)
        _in_range("target_precision", self.target_precision, 0, 1)
        _in_range("min_support", self.min_support, 1, 1_000_000)


@dataclass(frozen=True, slots=True)
class RoundConfig:
    """How a round runs."""

    seed: int = 0  # of everything random; round N uses seed + N
    chunk_size: int = 500  # questions predicted and stored together
    dev_share: float = 0.1  # of gold questions, whole units, held out to judge students where there is no dev split
    reviewer: str = "none"  # studio: Label Studio; people: by file or terminal; simulated: by hidden answers; none
    simulated_error_rate: float = 0.0  # share of wrong answers that the simulated reviewer gives

    def __post_init__(self) -> None:
        _in_range("seed", self.seed, 0, MAX_SEED)
        _in_range("chunk_size", self.chunk_size, 1, 1_000_000)
        _in_range("dev_share", self.dev_share, 0, 0.5)
        _in_range("simulated_error_rate", self.simulated_error_rate, 0, 1)
        _one_of("reviewer", self.reviewer, REVIEWERS)


@dataclass(frozen=True, slots=True)
class StudioConfig:
    """How Label Studio is talked to. No part of a round: what is set now counts."""

    batch_size: int = 500  # tasks sent in one call
    poll_seconds: float = 10.0  # between two looks at the server while waiting for people
    overlap_seconds: float = 60.0  # of the server's clock, read again by each pull

    def __post_init__(self) -> None:
        _in_range("batch_size", self.batch_size, 1, 1000)
        _in_range("poll_seconds", self.poll_seconds, 0.1, 3600)
        _in_range("overlap_seconds", self.overlap_seconds, 0, 3600)


@dataclass(frozen=True, slots=True)
class SelectConfig:
    """How a round's questions are chosen. Shares are of the review budget and add up to 1."""

    review_budget: int = 300  # tasks a round
    passages: int = 5  # shown to a reviewer, 1-5: the first that were read
    double_annotation: float = 0.0  # of a round's questions, each answered by two people
    random_share: float = 0.5  # whole pool, blind
    uncertain_share: float = 0.4
    suspect_share: float = 0.1
    first_random_share: float = 0.7  # at least, in round 1: confidence was fitted on seeds alone
    uncertain_low: float = 0.2  # confidence, inclusive: below it answers are mostly lost passages
    uncertain_high: float = 0.7  # confidence, inclusive; above it an answer can only be a suspect
    suspect_rank: int = 3  # the answer's passage was retrieved as the fourth (ranks from 0) or later
    suspect_margin: float = 0.2  # mass, below which the next answer comes close
    min_train_confidence: float = 0.35  # below it an answer is more often wrong than not and teaches nothing

    def __post_init__(self) -> None:
        for name in ("double_annotation", "random_share", "uncertain_share", "suspect_share", "first_random_share",
                     "uncertain_low", "uncertain_high", "suspect_margin", "min_train_confidence"):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0-1, not {getattr(self, name)}")
        if not 1 <= self.passages <= MAX_PASSAGES:
            raise ValueError(f"passages must be in 1-{MAX_PASSAGES}, not {self.passages}")
        for name in ("review_budget", "suspect_rank"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        shares = self.random_share + self.uncertain_share + self.suspect_share
        if not math.isclose(shares, 1.0, abs_tol=1e-9):
            raise ValueError(f"random_share, uncertain_share and suspect_share must add up to 1, not {shares:g}")
        if self.uncertain_low > self.uncertain_high:
            raise ValueError(f"uncertain_low {self.uncertain_low} is above uncertain_high {self.uncertain_high}")


@dataclass(frozen=True, slots=True)
class GateConfig:
    """When a student is promoted, and when an alarm sounds."""

    tolerance: float = 0.01  # of EM: a fall up to one point is taken for more labels
    max_fall_probability: float = 0.3  # of a fall beyond the tolerance
    refuse_below_p: float = 0.1  # one-sided McNemar "the student is worse"
    power: float = 0.8  # with which `smallest_visible` would have been seen
    min_questions: int = 100  # dev questions below which only McNemar decides
    samples: int = 2000  # bootstrap resamples: a probability of .3 to within .02
    alarm_overconfidence: float = 0.05  # mean confidence minus accuracy in review
    alarm_type_divergence: float = 0.1  # nats
    alarm_length_drift: float = 0.2  # relative change of the mean answer length
    alarm_churn: float = 0.3  # share of answers changed; a round with more has not settled

    def __post_init__(self) -> None:
        for name in ("tolerance", "max_fall_probability", "alarm_overconfidence", "alarm_churn"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0-1, not {getattr(self, name)}")
        for name in ("refuse_below_p", "power"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        for name in ("alarm_type_divergence", "alarm_length_drift", "min_questions"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, not {self.samples}")
