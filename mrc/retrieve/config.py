"""The settings of lexical retrieval; the module loads neither NumPy nor an analyzer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from mrc.settings import check_settings, setting

METHODS: Final = ("atire", "okapi", "bm25l", "bm25plus")


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How passages are indexed for BM25."""

    method: str = setting("atire", "BM25 variant; they differ little", choices=METHODS, shown=True)
    analyzer: str = setting(
        "auto",
        "splits texts into terms; auto: the best installed for the language; wordpiece:FOLDER: a tokenizer",
        shown=True,
    )
    k1: float = setting(1.5, "term frequency saturation; labeler index --tune finds a value", above=0)
    b: float = setting(0.75, "document length normalisation; labeler index --tune finds a value", low=0, high=1)
    title_weight: int = setting(0, "that the terms of its title are added to a passage", unit="times", low=0, high=10)
    window_chars: int = setting(
        0,
        "of the parts in which a long passage is scored, 100 or more; 0: whole passages",
        unit="characters",
        low=0,
    )
    language: Literal["auto", "ko", "en"] = "auto"  # of the passages; auto: detected, as one of many

    def __post_init__(self) -> None:
        check_settings(self)
        if self.analyzer != "auto":
            from mrc.analyzers import check_name  # its tables take a while to load

            check_name(self.analyzer)
        if self.language not in ("auto", "ko", "en"):
            raise ValueError(f"language must be auto, ko or en, not {self.language!r}")
        if self.window_chars != 0 and self.window_chars < 100:
            raise ValueError(f"window_chars must be 0 or at least 100, not {self.window_chars}")


def check_parameters(*, method: str, k1: float, b: float) -> None:
    """Raise ValueError, naming the parameter, unless BM25 is defined for these."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not 0 < k1 < math.inf:
        raise ValueError(f"k1 must be a number above 0, got {k1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b must be in 0-1, got {b}")
