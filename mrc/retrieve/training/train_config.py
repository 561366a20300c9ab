"""Settings and plain values of the training of a bi-encoder; imports no torch, so they can be checked without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class RetrieverConfig:
    """How a bi-encoder is trained.

    Raises: ValueError for a value out of range.
    """

    epochs: float = 3.0  # passes over the questions; ignored when max_steps is given
    max_steps: int | None = None  # updates, whatever the number of questions
    batch_size: int = 64  # questions of one update; the passages of each are negatives for the others
    together: int = 16  # questions of one document (by the title of its passages) that meet in a batch; 1: by chance
    negatives: int = 1  # hard ones that a question brings with it, beside those of the others; 0 or more
    chunk_tokens: int = 2048  # padded tokens encoded at a time: memory depends on this, not on batch_size
    max_tokens: int = 256  # of a text, at most as many as the encoder takes; fewer are faster
    dropout: bool = False  # true: as the checkpoint has it; on a CPU training then takes half as long again
    temperature: float = 0.05  # cosines are divided by it: lower ones look at the hardest negatives alone
    learning_rate: float = 5e-5  # peak
    weight_decay: float = 0.01  # not on biases and normalisation layers
    warmup_ratio: float = 0.1  # share of the updates before the peak; linear decay to 0 after it
    max_grad_norm: float = 1.0
    mine_every: int = 0  # epochs between two searches of the retriever itself for hard negatives; 0: never
    mine_depth: int = 20  # passages that it looks at for a question
    mine_skip: int = 0  # first ones of them that are left out, as they may hold an answer that nobody marked
    mined_passages: int = 20_000  # searched, drawn by the seed where there are more: each is encoded anew every time
    checkpoint_every: int = 25  # updates
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the products; weights are float32

    def __post_init__(self) -> None:
        for name in ("epochs", "temperature", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        least = {"batch_size": 2, "together": 1, "negatives": 0, "chunk_tokens": 1, "max_tokens": 8, "mine_every": 0,
                 "mine_depth": 1, "mine_skip": 0, "mined_passages": 1, "checkpoint_every": 1}  # fmt: skip
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
class RetrieverExample:
    """One question with the passages that answer it, by id.

    `negatives` are passages that do not, those to be used first first; one in which an answer stands is never used.
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
class RetrieverResult:
    """A finished training. `loss` is the mean over the last tenth of the updates; `seconds` count this run only.

    `unusable` are the ids of examples without a question, or none of whose positives is among the passages.
    """

    folder: Path
    hash: str  # mrc.retrieve.dense.checkpoint_info.checkpoint_hash
    examples: int
    steps: int
    seconds: float
    loss: float
    unusable: tuple[str, ...] = ()
