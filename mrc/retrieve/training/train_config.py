"""Settings, examples and result of bi-encoder training; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class BiEncoderTrainConfig:
    """How the bi-encoder is trained. Lengths are in tokens.

    Raises: ValueError for a value out of range.
    """

    epochs: float = 3.0  # passes over the questions; ignored when max_steps is given
    max_steps: int | None = None  # updates, whatever the number of questions
    batch_size: int = 64  # questions of one update; the passages of each are in-batch negatives of the others
    questions_per_document: int = 16  # of one document (by passage title) kept in one batch; 1: random batches
    hard_negatives: int = 1  # of each question, in addition to the in-batch negatives; 0 or more
    chunk_tokens: int = 2048  # padded tokens encoded at a time; bounds memory, whatever batch_size is
    max_seq_length: int = 256  # of a question or passage, at most what the encoder accepts; shorter is faster
    dropout: bool = False  # true: the checkpoint's dropout; on a CPU training then takes about 1.5 times as long
    temperature: float = 0.05  # cosines are divided by it; a lower one concentrates the loss on the hardest negatives
    learning_rate: float = 5e-5  # peak
    weight_decay: float = 0.01  # not on biases and normalisation layers
    warmup_ratio: float = 0.1  # share of the updates before the peak; linear decay to 0 after it
    max_grad_norm: float = 1.0
    mine_every: int = 0  # epochs between two searches for hard negatives with the bi-encoder itself; 0: never
    mine_depth: int = 20  # passages retrieved for each question in such a search
    mine_skip: int = 0  # top-ranked passages left out, because they may hold an answer that is not labelled
    mine_passages: int = 20_000  # searched; a seeded sample where there are more, as each search encodes them again
    checkpoint_every: int = 25  # updates
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of matrix products; weights stay float32

    def __post_init__(self) -> None:
        for name in ("epochs", "temperature", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        least = {
            "batch_size": 2,
            "questions_per_document": 1,
            "hard_negatives": 0,
            "chunk_tokens": 1,
            "max_seq_length": 8,
            "mine_every": 0,
            "mine_depth": 1,
            "mine_skip": 0,
            "mine_passages": 1,
            "checkpoint_every": 1,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, not {self.max_steps}")
        if self.mine_skip >= self.mine_depth:
            raise ValueError(f"mine_skip {self.mine_skip} must be below mine_depth, {self.mine_depth}")
        for name in ("weight_decay", "warmup_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0-1, not {getattr(self, name)}")


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
