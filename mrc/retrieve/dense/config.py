"""The settings of dense retrieval; the module loads neither NumPy nor a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mrc.settings import Precision, check_settings, setting

FLAT_UP_TO: Final = 1_000_000  # passages; above, `search = "auto"` uses IVF
Method = Literal["zscore", "minmax", "rrf"]


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """The bi-encoder of dense retrieval, and how its ranking is fused with BM25's. Lengths are in tokens."""

    model: str | None = setting(
        None, "bi-encoder: hub name or folder; finds passages that share no word; none: BM25 alone", shown=True
    )
    pooling: Literal["auto", "mean", "cls"] = setting(
        "auto", "of the token vectors; auto: as the checkpoint's files say"
    )
    query_prefix: str | None = setting(None, "put before each question; none: as the checkpoint's files say")
    passage_prefix: str | None = setting(None, "put before each passage; none: as the checkpoint's files say")
    max_seq_length: int | None = setting(
        None, "of an encoded text; none: as the checkpoint's files say", unit="tokens", low=8
    )
    search: Literal["auto", "flat", "ivf"] = setting(
        "auto", "flat is exact; auto: flat up to a million passages, then ivf"
    )
    fusion: Method = setting("zscore", "how BM25's and the dense scores are combined")
    rrf_constant: float = setting(
        1.0, "c of 1 / (c + rank) in rrf; a smaller one favours the first ranks", low=0, high=1e6
    )
    weight: float | None = setting(
        None, "of the dense score in the fusion, the rest is BM25's; none: tuned on labels, 0.5 without",
        unit="share", low=0, high=1, shown=True,
    )  # fmt: skip
    precision: Precision = "auto"  # of matrix products; auto: bf16 where the processor computes it fast

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise ValueError("model must name a checkpoint, or be none")
        check_settings(self)

    def uses_ivf(self, size: int) -> bool:
        """Whether an index of `size` passages is searched with IVF instead of exactly."""
        return self.search == "ivf" or (self.search == "auto" and size > FLAT_UP_TO)
