"""The retrieval index of a corpus: built or extended, saved, loaded, and refused when it is stale or broken.

A folder holds `meta.json` and one data folder that it names, with memory-mapped arrays. `save` writes a new data
folder and then replaces `meta.json`, so that whatever kills it leaves the old index or the new one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrc.analyzers import ANALYZERS, Analyzer, detect_language, get_analyzer
from mrc.errors import DataError, StaleIndex, writing
from mrc.retrieve.bm25 import BM25, TermCounts, check
from mrc.types import Hit, Passage

logger = logging.getLogger(__name__)

_FORMAT = 1
_META = "meta.json"
_DATA_FOLDER = re.compile(r"[0-9a-f]{32}\.\d+")
_REMEDY = "run `labeler index`"

# Files of a data folder. Those that searching reads are verified on loading, the counts when an index is extended.
_SEARCHED = ("ids.json", "vocabulary.json", "starts.npy", "documents.npy", "gains.npy", "base.npy")
_COUNTS = ("count_starts.npy", "count_columns.npy", "count_frequencies.npy")


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How passages are indexed."""

    method: str = "atire"  # one of mrc.retrieve.bm25.METHODS
    analyzer: str = "auto"  # one of mrc.analyzers.ANALYZERS; auto: the best installed for the language
    language: Literal["auto", "ko", "en"] = "auto"  # auto: as the passages look
    k1: float = 1.5  # how slowly repeated terms saturate, above 0
    b: float = 0.75  # how much long passages are held back, 0-1

    def __post_init__(self) -> None:
        check(method=self.method, k1=self.k1, b=self.b)
        if self.analyzer not in ANALYZERS:
            raise ValueError(f"analyzer must be one of {', '.join(ANALYZERS)}, got {self.analyzer!r}")
        if self.language not in ("auto", "ko", "en"):
            raise ValueError(f"language must be auto, ko or en, got {self.language!r}")


@dataclass(frozen=True, slots=True)
class _Meta:
    """What `meta.json` holds."""

    fingerprint: str
    corpus: str
    passages: int
    config: IndexConfig
    analyzer: str  # the one that `auto` chose
    analyzer_version: str
    data: str  # name of the data folder
    crc32: Mapping[str, int]  # of the files in it
    format: int = _FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Passages that can be retrieved from. Documents of `bm25` and `counts` are the passages in the order of `ids`."""

    config: IndexConfig  # as asked for: `auto` stays `auto`
    corpus: str  # corpus_fingerprint(ids)
    fingerprint: str  # of the corpus and of all that the scores depend on
    ids: Sequence[str]  # ascending
    bm25: BM25
    counts: TermCounts  # kept so that a later index need not cut the same passages into terms again

    @classmethod
    def build(cls, passages: Sequence[Passage], config: IndexConfig, *, reuse: Path | None = None) -> Index:
        """The index of `passages`, in the order of their ids.

        Args:
            reuse: folder of an earlier index; the terms of passages that it holds are taken from there if the analyzer
                is the same. The result does not depend on it.

        Raises:
            DataError: there is no passage, or none with a term.
            MissingExtra: the analyzer's package is not installed.
            ValueError: two passages have the same id.
        """
        ordered = sorted(passages, key=lambda passage: passage.id)
        ids = [passage.id for passage in ordered]
        if len(set(ids)) < len(ids):
            raise ValueError("passages must have different ids")
        texts = (passage.text for passage in ordered)
        analyzer = get_analyzer(
            config.analyzer, detect_language(texts) if config.language == "auto" else config.language
        )
        known = _known_counts(reuse, analyzer) if reuse else {}
        counts = TermCounts.of(_counted(ordered, analyzer, known))
        bm25 = BM25.from_counts(counts, analyzer, method=config.method, k1=config.k1, b=config.b)
        corpus = corpus_fingerprint(ids)
        return cls(config, corpus, _fingerprint(corpus, config, analyzer), ids, bm25, counts)

    def retrieve(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        """At most `k` passages a question that share a term with it, best first, equal scores by lowest id."""
        documents, scores = self.bm25.search(questions, k)
        return [
            tuple(
                Hit(self.ids[document], rank, score, bm25=score)
                for rank, (document, score) in enumerate(zip(row, row_scores, strict=True))
                if document >= 0
            )
            for row, row_scores in zip(documents.tolist(), scores.tolist(), strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Nothing; `folder` holds this index afterwards, or what it held before if this does not come to its end."""
        with writing(folder), ExitStack() as undo:
            folder.mkdir(parents=True, exist_ok=True)
            data = _new_folder(folder, self.fingerprint)
            undo.callback(shutil.rmtree, data, ignore_errors=True)
            (data / "ids.json").write_text(json.dumps(list(self.ids)), encoding="ascii")
            (data / "vocabulary.json").write_text(json.dumps(list(self.bm25.vocabulary)), encoding="ascii")
            for name, values in self._arrays().items():
                np.save(data / name, values)
            partial = folder / f"{_META}.partial"
            partial.write_text(json.dumps(asdict(self._meta(data)), indent=2), encoding="ascii")
            partial.replace(folder / _META)
            undo.pop_all()
        _remove_others(folder, data.name)

    @classmethod
    def load(cls, folder: Path, *, expect_corpus: str | None, expect_config: IndexConfig | None = None) -> Index:
        """The index saved in `folder`, memory-mapped.

        Args:
            expect_corpus: `corpus_fingerprint` of the passages at hand; None takes any.
            expect_config: the settings at hand; None takes any.

        Raises:
            StaleIndex: no index is there, or it was built from other passages, settings or versions.
            DataError: a file is missing, truncated or altered.
            MissingExtra: the analyzer's package is not installed any more.
        """
        meta = _read_meta(folder)
        analyzer = get_analyzer(meta.analyzer)
        if meta.analyzer_version != analyzer.version:
            versions = f"{meta.analyzer_version}, now it is {analyzer.version}"
            raise StaleIndex(f"{folder}: built by analyzer {analyzer.name} {versions}; {_REMEDY}")
        if expect_corpus not in (None, meta.corpus):
            raise StaleIndex(f"{folder}: built from {meta.passages} passages that are not those of now; {_REMEDY}")
        if expect_config not in (None, meta.config):
            raise StaleIndex(f"{folder}: built as {meta.config}, asked for is {expect_config}; {_REMEDY}")
        return _read_index(folder, meta, analyzer, verify=_SEARCHED)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        bm25, counts = self.bm25, self.counts
        searched = (bm25.starts, bm25.documents, bm25.gains, bm25.base)
        counted = (counts.starts, counts.columns, counts.frequencies)
        return dict(zip((*_SEARCHED[2:], *_COUNTS), (*searched, *counted), strict=True))

    def _meta(self, data: Path) -> _Meta:
        return _Meta(
            fingerprint=self.fingerprint,
            corpus=self.corpus,
            passages=len(self.ids),
            config=self.config,
            analyzer=self.bm25.analyzer.name,
            analyzer_version=self.bm25.analyzer.version,
            data=data.name,
            crc32={name: _crc32(data / name) for name in (*_SEARCHED, *_COUNTS)},
        )


def corpus_fingerprint(ids: Iterable[str]) -> str:
    """The fingerprint of a set of passages, given by their ids in any order; an id is a hash of its text."""
    return _hash("\n".join(sorted(ids)))


class _KnownCounts(Mapping[str, Mapping[str, int]]):
    """Passage id -> its terms and how often they stand in it, from an earlier index."""

    def __init__(self, index: Index) -> None:
        self._counts = index.counts
        self._terms = list(index.counts.vocabulary)
        self._rows = {passage_id: row for row, passage_id in enumerate(index.ids)}

    def __getitem__(self, passage_id: str) -> Mapping[str, int]:
        row = self._rows[passage_id]
        part = slice(self._counts.starts[row], self._counts.starts[row + 1])
        terms = [self._terms[column] for column in self._counts.columns[part].tolist()]
        return dict(zip(terms, self._counts.frequencies[part].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, passage_id: object) -> bool:
        return passage_id in self._rows


def _known_counts(folder: Path, analyzer: Analyzer) -> Mapping[str, Mapping[str, int]]:
    try:
        meta = _read_meta(folder)
        if (meta.analyzer, meta.analyzer_version) != (analyzer.name, analyzer.version):
            return {}
        return _KnownCounts(_read_index(folder, meta, analyzer, verify=(*_SEARCHED, *_COUNTS)))
    except (StaleIndex, DataError) as error:
        logger.info("all passages are indexed anew: %s", error)
        return {}


def _counted(
    passages: Sequence[Passage], analyzer: Analyzer, known: Mapping[str, Mapping[str, int]]
) -> Iterator[Mapping[str, int]]:
    new = analyzer.terms(passage.text for passage in passages if passage.id not in known)
    for passage in passages:
        yield known[passage.id] if passage.id in known else Counter(next(new))


def _fingerprint(corpus: str, config: IndexConfig, analyzer: Analyzer) -> str:
    formula = {"method": config.method, "k1": config.k1, "b": config.b, "rank_bm25": version("rank_bm25")}
    terms = {"analyzer": analyzer.name, "version": analyzer.version}
    return _hash(json.dumps({"format": _FORMAT, "corpus": corpus, **formula, **terms}, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read_meta(folder: Path) -> _Meta:
    path = folder / _META
    try:
        values = json.loads(path.read_text(encoding="ascii"))
        if values["format"] != _FORMAT:
            raise StaleIndex(f"{path}: format {values['format']}, this version reads {_FORMAT}; {_REMEDY}")
        return _Meta(**{**values, "config": IndexConfig(**values["config"])})
    except FileNotFoundError:
        raise StaleIndex(f"{folder}: no retrieval index is here yet; {_REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: broken ({error}); {_REMEDY}") from None


def _read_index(folder: Path, meta: _Meta, analyzer: Analyzer, *, verify: Iterable[str]) -> Index:
    data = folder / meta.data
    try:
        for name in verify:
            if _crc32(data / name) != meta.crc32.get(name):
                raise DataError(f"{data / name}: truncated or altered since it was written; {_REMEDY}")
        ids: list[str] = json.loads((data / "ids.json").read_text(encoding="ascii"))
        terms: list[str] = json.loads((data / "vocabulary.json").read_text(encoding="ascii"))
        # asarray: a plain view of the mapped file, which is quicker to slice than numpy's memmap.
        arrays = [np.asarray(np.load(data / name, mmap_mode="r")) for name in (*_SEARCHED[2:], *_COUNTS)]
    except (OSError, ValueError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {_REMEDY}") from None
    vocabulary = {term: column for column, term in enumerate(terms)}
    bm25 = BM25(analyzer, len(ids), vocabulary, *arrays[:4])
    counts = TermCounts(vocabulary, *arrays[4:])
    return Index(meta.config, meta.corpus, meta.fingerprint, ids, bm25, counts)


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _new_folder(parent: Path, fingerprint: str) -> Path:
    names = (f"{fingerprint}.{number}" for number in itertools.count())
    folder = next(parent / name for name in names if not (parent / name).exists())
    folder.mkdir()
    return folder


def _remove_others(folder: Path, kept: str) -> None:
    for entry in folder.iterdir():
        if entry.name != kept and _DATA_FOLDER.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
