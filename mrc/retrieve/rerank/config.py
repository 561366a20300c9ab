"""Settings of re-ranking; imports neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mrc.settings import Precision, check_settings, setting


@dataclass(frozen=True, slots=True)
class RerankConfig:
    """The cross-encoder that re-ranks the first retrieved passages. Lengths are in tokens."""

    model: str | None = setting(
        None, "cross-encoder with one or two outputs: hub name or folder; none: no re-ranking", shown=True
    )
    top_n: int = setting(
        20, "of each question that are re-ranked; more take longer", unit="passages",
        low=2, high=1000, shown=True,
    )  # fmt: skip
    max_seq_length: int | None = setting(
        None, "of question and passage; none: 512 or the model's positions", unit="tokens", low=16
    )
    precision: Precision = "auto"  # of matrix products; auto: bf16 where the processor computes it fast

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise ValueError("model must name a checkpoint, or be none")
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Scoring:
    """All that the score of a question and a passage depends on, fully resolved."""

    source: str  # folder or hub name that the checkpoint was loaded from
    checkpoint: str  # hash of its files
    max_seq_length: int
    precision: Literal["fp32", "bf16"]
