"""`meta.json`, which describes the folder of an index; the module loads neither NumPy nor an analyzer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mrc.errors import DataError, StaleIndex
from mrc.files import read_object
from mrc.retrieve import storage
from mrc.retrieve.config import IndexConfig

if TYPE_CHECKING:
    from mrc.analyzers import Analyzer

FORMAT: Final = 2
REMEDY: Final = "run `labeler index`"


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
    stamps: Mapping[str, Sequence[int]] | None = None  # see `storage.verify`
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


def check_analyzer(folder: Path, meta: Meta) -> Analyzer:
    """The analyzer that an index was built with.

    Raises: DataError for one that this installation does not know; StaleIndex for another version of it.
    """
    from mrc.analyzers import get_analyzer

    try:
        analyzer = get_analyzer(meta.analyzer)
    except ValueError as error:
        raise DataError(f"{folder}: {error}; {REMEDY}") from None
    if meta.analyzer_version != analyzer.version:
        versions = f"{meta.analyzer_version}, now it is {analyzer.version}"
        raise StaleIndex(f"{folder}: built by analyzer {analyzer.name} {versions}; {REMEDY}")
    return analyzer


def check_files(folder: Path, meta: Meta) -> None:
    """Raise DataError, naming the first file of an index that is missing or altered; see `storage.verify`."""
    checksums = meta.crc32 or {}
    storage.verify(folder / meta.data, checksums, checksums, remedy=REMEDY, stamps=meta.stamps)


def corpus_fingerprint(ids: Iterable[str]) -> str:
    """The fingerprint of a set of passages, given by their different ids in any order; an id is a hash of its text.

    A sum, so that passages that come or go change it without all others being read. Source: Bellare & Micciancio,
    "A New Paradigm for Collision-Free Hashing", EUROCRYPT 1997 (AdHash).
    """
    total = sum(int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()) for key in ids)
    return f"{total % (1 << 256):064x}"


def fingerprint(text: str) -> str:
    """32 hexadecimal digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
