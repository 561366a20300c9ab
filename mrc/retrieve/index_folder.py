"""The parts of an index that are loaded from its folder, and whether they are those that are expected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrc.errors import DataError, StaleIndex
from mrc.retrieve import storage
from mrc.retrieve.config import IndexConfig
from mrc.retrieve.storage.meta import REMEDY, Meta

if TYPE_CHECKING:
    from mrc.retrieve.dense.hybrid import Dense
    from mrc.retrieve.rerank.reranking import Fetch, Reranking


def check_current(folder: Path, meta: Meta, *, corpus: str | None, config: IndexConfig | None) -> None:
    """Raise StaleIndex unless the index is of this corpus and configuration; None: not checked."""
    if corpus not in (None, meta.corpus):
        raise StaleIndex(f"{folder}: built from {meta.passages} passages, which have changed since; {REMEDY}")
    if config not in (None, meta.config):
        raise StaleIndex(f"{folder}: built with {meta.config}, expected {config}; {REMEDY}")


def load_dense(folder: Path, meta: Meta, device: str, *, lexical_files: Collection[str]) -> Dense:
    """The dense part of an index; all files but the lexical ones are verified. Raises DataError."""
    from mrc.retrieve.dense.hybrid import Dense

    assert meta.dense is not None
    data, checksums = folder / meta.data, meta.crc32 or {}
    storage.verify(data, checksums, set(checksums) - set(lexical_files), remedy=REMEDY, stamps=meta.stamps)
    try:
        return Dense.load(data, meta.dense, device=device)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {REMEDY}") from None


def load_reranking(folder: Path, stored: Mapping[str, Any], device: str, fetch: Fetch | None) -> Reranking:
    """The re-ranking of an index; `stored` is what `meta.json` holds of it. Raises DataError."""
    from mrc.retrieve.rerank.reranking import Reranking

    try:
        return Reranking.load(stored, device=device, fetch=fetch)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder / storage.META}: broken ({error}); {REMEDY}") from None
