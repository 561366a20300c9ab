"""Settings, examples and result of bi-encoder training; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mrc.settings import Precision, check_settings, setting


@dataclass(frozen=True, slots=True)
class BiEncoderTrainConfig:
    """How the bi-encoder is trained. Lengths are in tokens.

    Raises: ValueError for a value out of range.
    """

    epochs: float = setting(3.0, "over the questions; ignored when max_steps is given", unit="epochs", above=0)
    max_steps: int | None = setting(None, "in all; none: by epochs", unit="updates", low=1)
    batch_size: int = setting(
        64, "of one update; the passages of each are in-batch negatives of the others", unit="questions", low=2
    )
    questions_per_document: int = setting(
        16, "of one document (by passage title) kept in one batch; 1: random batches", unit="questions", low=1
    )
    hard_negatives: int = setting(
        1, "retrieved as hard negatives of each question, besides the in-batch ones", unit="passages", low=0
    )
    chunk_tokens: int = setting(
        2048, "encoded at a time, padding included; bounds memory, whatever batch_size is", unit="tokens", low=1
    )
    max_seq_length: int = setting(
        256, "of a question or passage, at most what the encoder accepts; shorter is faster", unit="tokens", low=8
    )
    dropout: bool = setting(False, "use the checkpoint's dropout; on a CPU training then takes about 1.5 times as long")
    temperature: float = setting(
        0.05, "divides the cosines; a lower one concentrates the loss on the hardest negatives", above=0
    )
    learning_rate: float = setting(5e-5, "peak learning rate", above=0)
    weight_decay: float = setting(0.01, "of AdamW; not on biases and normalisation layers", low=0, high=1)
    warmup_ratio: float = setting(
        0.1, "of the updates before the peak learning rate; linear decay to 0 after it", unit="share", low=0, high=1
    )
    max_grad_norm: float = setting(1.0, "to which longer gradients are scaled down", unit="L2 norm", above=0)
    mine_every: int = setting(
        0, "between two searches for hard negatives with the bi-encoder itself; 0: never", unit="epochs", low=0
    )
    mine_depth: int = setting(20, "retrieved for each question in such a search", unit="passages", low=1)
    mine_skip: int = setting(
        0, "at the top of the ranking left out: they may hold an answer that is not labelled", unit="passages", low=0
    )
    mine_passages: int = setting(
        20_000,
        "searched; a seeded sample where there are more, as each search encodes them again",
        unit="passages",
        low=1,
    )
    checkpoint_every: int = setting(
        25, "between checkpoints: a killed training repeats at most so many", unit="updates", low=1
    )
    precision: Precision = "auto"  # of matrix products; weights stay float32

    def __post_init__(self) -> None:
        check_settings(self)
        if self.mine_skip >= self.mine_depth:
            raise ValueError(f"mine_skip {self.mine_skip} must be below mine_depth, {self.mine_depth}")


@dataclass(frozen=True, slots=True)
class BiEncoderExample:
    """One question with the ids of its positive passages.

    `negatives` are ids of hard negatives, the hardest first; one whose text holds an answer is never used.
    `weight` scales the question's loss (pseudo-labels weigh less than 1).
    """

    id: str
    question: str
    positives: tuple[str, ...]
    answers: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"{self.id}: weight must be above 0 and at most 1, not {self.weight}")


@dataclass(frozen=True, slots=True)
class BiEncoderTrainResult:
    """A finished training. `loss` is the mean over the last tenth of the updates; `seconds` count this run only.

    `unusable` are the ids of examples without a question text, or without a positive among the passages.
    """

    folder: Path
    hash: str  # mrc.retrieve.dense.checkpoint_info.checkpoint_hash
    examples: int
    steps: int
    seconds: float
    loss: float
    unusable: tuple[str, ...] = ()
