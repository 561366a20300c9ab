"""Settings of re-ranking; loads neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RerankConfig:
    """The cross-encoder that reads the first passages found and puts them in a new order."""

    model: str | None = None  # checkpoint with one output, or two: hub name or folder; none: no re-ranking
    top_n: int = 20  # passages of a question that it reads; those behind them stay where they are
    max_tokens: int | None = None  # of question and passage together, 16 or more; none: 512, or what it has places for
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the processor is fast in it

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise ValueError("model must name a checkpoint, or be none")
        if not 2 <= self.top_n <= 1000:
            raise ValueError(f"top_n must be in 2-1000, got {self.top_n}")
        if self.max_tokens is not None and self.max_tokens < 16:
            raise ValueError(f"max_tokens must be at least 16, got {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class Scoring:
    """All that the score of a question and a passage depends on, nothing left to choose."""

    source: str  # folder or hub name that the checkpoint was loaded from
    checkpoint: str  # hash of its files
    max_tokens: int
    precision: Literal["fp32", "bf16"]
