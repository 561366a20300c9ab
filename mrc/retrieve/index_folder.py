"""The settings of an index, and `meta.json`, which describes its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mrc.analyzers import check_name
from mrc.errors import DataError, StaleIndex
from mrc.retrieve import storage
from mrc.retrieve.formulas import check_parameters

FORMAT: Final = 2
REMEDY: Final = "run `labeler index`"


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How passages are indexed for BM25."""

    method: str = "atire"  # one of atire, okapi, bm25l, bm25plus
    analyzer: str = "auto"  # name of an analyzer, wordpiece:FOLDER or an entry point; auto: the best for the language
    language: Literal["auto", "ko", "en"] = "auto"  # auto: detected from the passages
    k1: float = 1.5  # term frequency saturation, above 0
    b: float = 0.75  # document length normalisation, 0-1
    title_weight: int = 0  # times that the terms of the title are added to a passage, 0-10
    window_chars: int = 0  # passages are indexed as overlapping windows of at most so many characters; 0: whole

    def __post_init__(self) -> None:
        check_parameters(method=self.method, k1=self.k1, b=self.b)
        check_name(self.analyzer)
        if self.language not in ("auto", "ko", "en"):
            raise ValueError(f"language must be auto, ko or en, got {self.language!r}")
        if not 0 <= self.title_weight <= 10:
            raise ValueError(f"title_weight must be in 0-10, got {self.title_weight}")
        if self.window_chars != 0 and self.window_chars < 100:
            raise ValueError(f"window_chars must be 0 or at least 100, got {self.window_chars}")


@dataclass(frozen=True, slots=True)
class Meta:
    """The content of `meta.json`."""

    fingerprint: str
    lexical_fingerprint: str  # of BM25 alone
    corpus: str
    passages: int
    config: IndexConfig
    analyzer: str  # the one that `auto` chose
    analyzer_version: str
    data: str = ""  # name of the data folder
    crc32: Mapping[str, int] | None = None  # of the files in it
    dense: Mapping[str, Any] | None = None  # `Dense.to_meta`
    rerank: Mapping[str, Any] | None = None  # `Reranking.to_meta`
    format: int = FORMAT


def read_meta(folder: Path) -> Meta:
    """The `meta.json` of an index. Raises StaleIndex where there is none or of another format, DataError if broken."""
    path = folder / storage.META
    try:
        values = json.loads(path.read_text(encoding="ascii"))
        if values["format"] != FORMAT:
            raise StaleIndex(f"{path}: format {values['format']}, this version reads {FORMAT}; {REMEDY}")
        return Meta(**{**values, "config": IndexConfig(**values["config"])})
    except FileNotFoundError:
        raise StaleIndex(f"{folder}: no retrieval index is here yet; {REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: broken ({error}); {REMEDY}") from None
