"""Settings of re-ranking; imports neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RerankConfig:
    """The cross-encoder that re-ranks the first retrieved passages. Lengths are in tokens."""

    model: str | None = None  # checkpoint with one or two outputs: hub name or folder; none: no re-ranking
    top_n: int = 20  # passages of each question that are re-ranked; the others keep their places behind them
    max_seq_length: int | None = None  # of question and passage, 16 or more; none: 512 or the model's positions
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the processor computes it fast

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise ValueError("model must name a checkpoint, or be none")
        if not 2 <= self.top_n <= 1000:
            raise ValueError(f"top_n must be in 2-1000, got {self.top_n}")
        if self.max_seq_length is not None and self.max_seq_length < 16:
            raise ValueError(f"max_seq_length must be at least 16, got {self.max_seq_length}")


@dataclass(frozen=True, slots=True)
class Scoring:
    """All that the score of a question and a passage depends on, fully resolved."""

    source: str  # folder or hub name that the checkpoint was loaded from
    checkpoint: str  # hash of its files
    max_seq_length: int
    precision: Literal["fp32", "bf16"]
