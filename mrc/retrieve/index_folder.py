"""The settings of an index, `meta.json`, which describes its folder, and the parts that are loaded from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mrc.analyzers import Analyzer, check_name, get_analyzer
from mrc.errors import DataError, StaleIndex
from mrc.files import read_object
from mrc.retrieve import storage
from mrc.retrieve.dense.hybrid import Dense
from mrc.retrieve.formulas import METHODS
from mrc.retrieve.rerank.reranking import Fetch, Reranking
from mrc.settings import check_settings, setting

FORMAT: Final = 2
REMEDY: Final = "run `labeler index`"


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How passages are indexed for BM25."""

    method: str = setting("atire", "BM25 variant; they differ little", choices=tuple(METHODS), shown=True)
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
        check_name(self.analyzer)
        if self.language not in ("auto", "ko", "en"):
            raise ValueError(f"language must be auto, ko or en, not {self.language!r}")
        if self.window_chars != 0 and self.window_chars < 100:
            raise ValueError(f"window_chars must be 0 or at least 100, not {self.window_chars}")


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
        values = read_object(path)
        if values["format"] != FORMAT:
            raise StaleIndex(f"{path}: format {values['format']}, this version reads {FORMAT}; {REMEDY}")
        meta = Meta(**{**values, "config": IndexConfig(**values["config"])})
        storage.check_entries(meta.data, meta.crc32)
        if not all(isinstance(text, str) for text in (meta.fingerprint, meta.corpus, meta.analyzer)):
            raise TypeError("fingerprint, corpus and analyzer must be text")
        return meta
    except FileNotFoundError:
        raise StaleIndex(f"{folder}: no retrieval index is here yet; {REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: broken ({error}); {REMEDY}") from None


def analyzer_of(folder: Path, meta: Meta) -> Analyzer:
    """The analyzer that an index was built with. Raises DataError for one that this installation does not know."""
    try:
        return get_analyzer(meta.analyzer)
    except ValueError as error:
        raise DataError(f"{folder}: {error}; {REMEDY}") from None


def check_current(
    folder: Path, meta: Meta, analyzer: Analyzer, *, corpus: str | None, config: IndexConfig | None
) -> None:
    """Raise StaleIndex unless the index is of this analyzer version, corpus and configuration; None: not checked."""
    if meta.analyzer_version != analyzer.version:
        versions = f"{meta.analyzer_version}, now it is {analyzer.version}"
        raise StaleIndex(f"{folder}: built by analyzer {analyzer.name} {versions}; {REMEDY}")
    if corpus not in (None, meta.corpus):
        raise StaleIndex(f"{folder}: built from {meta.passages} passages, which have changed since; {REMEDY}")
    if config not in (None, meta.config):
        raise StaleIndex(f"{folder}: built with {meta.config}, expected {config}; {REMEDY}")


def load_dense(folder: Path, meta: Meta, device: str, *, lexical_files: Collection[str]) -> Dense:
    """The dense part of an index; all files but the lexical ones are verified. Raises DataError."""
    assert meta.dense is not None
    data, checksums = folder / meta.data, meta.crc32 or {}
    storage.verify(data, checksums, set(checksums) - set(lexical_files), remedy=REMEDY)
    try:
        return Dense.load(data, meta.dense, device=device)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {REMEDY}") from None


def load_reranking(folder: Path, stored: Mapping[str, Any], device: str, fetch: Fetch | None) -> Reranking:
    """The re-ranking of an index; `stored` is what `meta.json` holds of it. Raises DataError."""
    try:
        return Reranking.load(stored, device=device, fetch=fetch)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder / storage.META}: broken ({error}); {REMEDY}") from None
