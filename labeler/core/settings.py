"""The settings of the workspace, of reading and of training: one dataclass for each section, one field for each key.

Those of rounds are in `labeler.core.round_settings`; the other sections are configurations of `mrc`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mrc.read import ExperimentalTrainConfig, ReadConfig, TrainSettings
from mrc.retrieve.training.train_config import BiEncoderTrainConfig
from mrc.settings import Precision, check_settings, setting, settings_of

DATABASE = "sqlite:///labeler.db"
SPREADING = ("engine", "address", "workers", "gpus_per_worker")  # of [compute]: they change no result


@dataclass(frozen=True, slots=True)
class WorkspaceConfig:
    """The language of the texts, the metric, and the database."""

    language: Literal["auto", "ko", "en"] = setting("auto", "language of the passages; auto: detected", shown=True)
    metric: str = setting(
        "auto", "rules by which two answers are equal; auto: korquad for Korean, else squad",
        choices=("auto", "squad", "korquad"), shown=True,
    )  # fmt: skip
    database: str = setting(
        DATABASE,
        "URL; a relative SQLite path starts at the workspace; postgresql://… serves a team",
        shown=True,
        repr=False,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if ":" not in self.database:
            raise ValueError(f"database must be a URL such as {DATABASE}, not {self.database!r}")


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """Where models run, in training, reading and indexing."""

    device: str = setting(
        "auto", "where models run; auto: a GPU if there is one", choices=("auto", "cpu", "cuda"), shown=True
    )
    precision: Precision = setting(
        "auto", "of matrix products; auto: bf16 where the hardware computes it fast",
        choices=("auto", "fp32", "bf16"), shown=True,
    )  # fmt: skip
    threads: int = setting(
        0, "of a model; fewer leave cores for other work; 0: all cores",
        unit="CPU threads", low=0, high=1024, shown=True,
    )  # fmt: skip
    engine: Literal["local", "ray"] = setting(
        "local", "ray: a Ray cluster reads and encodes, and plays the arms of ablate and simulate"
    )
    address: str = setting(
        "auto", "of the cluster: HOST:PORT of its head, or ray://HOST:PORT; auto: the one that this machine belongs to"
    )
    workers: int = setting(
        0, "that work at a time on the cluster, each with compute.threads processors, 0 of which mean 1; 0: as many as "
        "the cluster has room for",
        unit="processes", low=0, high=100_000,
    )  # fmt: skip
    gpus_per_worker: float = setting(
        0.0, "of each worker, which may be a part of one; 0: workers compute on processors", unit="GPUs", low=0, high=64
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.address.strip():
            raise ValueError("address must be HOST:PORT, ray://HOST:PORT or auto")

    @property
    def on_ray(self) -> bool:
        return self.engine == "ray"

    def with_engine_of(self, other: ComputeConfig) -> ComputeConfig:
        """The same settings, but work is spread as `other` says."""
        return replace(self, **{name: getattr(other, name) for name in SPREADING})


@dataclass(frozen=True, slots=True)
class ReadSection(ReadConfig):
    """Which passages are read for a question, and how."""

    passages: str = setting(
        "retrieved", "given: each question is read in the context it was imported with",
        choices=("retrieved", "given"), shown=True,
    )  # fmt: skip
    top_k: int = setting(
        5, "retrieved for each question; fewer are read where held-out questions show that they suffice",
        unit="passages", low=1, high=100, shown=True,
    )  # fmt: skip
    retrieval_weight: float | None = setting(
        None, "of a span's score for each standard deviation of its passage's retrieval score; none: fitted on dev "
        "and calibration questions",
        unit="nats", low=0, high=100,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EnsembleSection:
    """Readers that vote with the workspace's own reader."""

    members: tuple[str, ...] = setting(
        (), "folders, hub names or labeller:NAME; empty: the workspace's reader answers alone"
    )
    vote: str = setting(
        "characters", "characters: for any tokenizers; logits: mean scores of readers with one tokenizer",
        choices=("characters", "logits"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class CascadeSection:
    """A larger reader for the questions whose answer has a score in a band."""

    large: str | None = setting(None, "folder or hub name of the larger reader, or labeller:NAME; none: no cascade")
    low: float = setting(
        0.2, "from which the larger reader is asked; below it, it seldom helps", unit="score", low=0, high=1
    )
    high: float = setting(
        0.7, "up to which the larger reader is asked; above it, answers are mostly right", unit="score", low=0, high=1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")


@dataclass(frozen=True, slots=True)
class TrainSection(TrainSettings):
    """How a reader is trained."""

    start: str | None = setting(
        None, "starting checkpoint: hub name, folder or builtin; none: that of the current reader", shown=True
    )
    teachers: tuple[str, ...] = setting(
        (), "readers, or labeller:NAME, to distil from where distill_weight is above 0; empty: the round's own teacher"
    )
    negatives: int = setting(
        1, "without the answer, retrieved and read beside each one with it, to learn to compare them",
        unit="passages", low=0, high=20, shown=True,
    )  # fmt: skip
    retry_bad_seed: bool = setting(
        True, "train a student once more with another seed if it is worse than the current reader, or its loss rose"
    )


@dataclass(frozen=True, slots=True)
class RetrieverSection(BiEncoderTrainConfig):
    """How rounds train the bi-encoder of a dense index."""

    train: bool = setting(False, "whether rounds train the bi-encoder too; needs a dense index", shown=True)
    start: str | None = setting(
        None, "starting checkpoint: hub name or folder; none: the one that the index was first built with"
    )

    def __post_init__(self) -> None:
        BiEncoderTrainConfig.__post_init__(self)
        if self.start is not None and not self.start.strip():
            raise ValueError("start must name a checkpoint, or be none")

    def training(self, precision: Precision) -> BiEncoderTrainConfig:
        """All settings that the training of the bi-encoder depends on, apart from its start."""
        given = {each.name: getattr(self, each.name) for each in settings_of(BiEncoderTrainConfig)}
        return BiEncoderTrainConfig(**given, precision=precision)


@dataclass(frozen=True, slots=True)
class ExperimentalSection(ExperimentalTrainConfig):
    """Methods that gained nothing in our measurements; all are off."""

    hard_vote: bool = setting(False, "an ensemble counts equal answers instead of averaging scores")
    adaptive: str = setting(
        "off", "calibrated: skip a question's further passages once they will hardly change its answer",
        choices=("off", "calibrated"),
    )  # fmt: skip
    adaptive_risk: float = setting(
        0.01, "of the answers that adaptive reading may change", unit="share", above=0, below=1
    )
