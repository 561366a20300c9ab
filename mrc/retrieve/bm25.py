"""BM25 over sparse postings, whose weights are computed when the index is built (`mrc.retrieve.formulas`).

A query adds the stored weights in float64 and in the order of its terms, as rank_bm25's `get_scores` does.

`BM25.search_exhaustive` does that for every document. `BM25.search` returns the same result with the pruned search of
`mrc.retrieve.bounds`, which is much faster, where numba is installed.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer, get_analyzer, text_language
from mrc.analyzers.base import list_of_texts, one_text
from mrc.errors import DataError, StaleIndex
from mrc.files import read_object
from mrc.retrieve import storage
from mrc.retrieve.config import check_parameters
from mrc.retrieve.storage.arrays import StoredVocabulary, load_arrays, save_arrays, save_strings, string_files
from mrc.retrieve.term_counts import TermCounts

if TYPE_CHECKING:
    from mrc.retrieve.bounds import Bounds

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

VOCABULARY: Final = "vocabulary.json"
ARRAYS: Final = ("starts.npy", "documents.npy", "weights.npy", "base.npy")
_FORMAT: Final = "bm25-1"
_REMEDY: Final = "build and save the index again"
_LOADING = 1 << 22  # postings that are scored in the time that loading numba takes
_BLOCK = 64  # documents whose best score represents all of them in the first pass of the top-k selection


def __getattr__(name: str) -> Any:
    """`METHODS`, the formulas by name, which are loaded when they are asked for: a search needs none of them."""
    if name == "METHODS":
        from mrc.retrieve.formulas import METHODS

        return METHODS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, eq=False, repr=False)  # without slots, which leave no place for a cached property
class BM25:
    """A searchable index of N documents. Postings are in term order, those of a term in document order."""

    analyzer: Analyzer
    size: int  # N
    vocabulary: Mapping[str, int]  # term -> term id
    starts: Ints  # (V + 1,) term t has the postings starts[t]:starts[t + 1]
    documents: Int32s  # (P,)
    weights: Floats  # (P,) score of a document with the term, minus that of one without it
    base: Floats  # (V,) score of a document without the term: 0 except with bm25plus

    @classmethod
    def build(
        cls, texts: Sequence[str], *, analyzer: str = "auto", method: str = "atire", k1: float = 1.5, b: float = 0.75
    ) -> BM25:
        """The index of `texts`; a document is identified by its position.

        Args:
            analyzer: a name of `mrc.analyzers.ANALYZERS`; `auto` chooses by the language of the texts.
            method: one of `METHODS`.
            k1: term frequency saturation, above 0.
            b: document length normalisation, 0-1.

        Raises:
            DataError: there is no text, or none with a term.
            MissingExtra: the analyzer's package is not installed.
            TypeError: `texts` is one string, or holds something else than strings.
            ValueError: unknown analyzer or method, or a parameter out of range.
        """
        check_parameters(method=method, k1=k1, b=b)
        texts = list_of_texts(texts, "texts")
        chosen = get_analyzer(analyzer, text_language(texts) if analyzer == "auto" else None)
        return cls.from_counts(TermCounts.of(map(Counter, chosen.terms(texts))), chosen, method=method, k1=k1, b=b)

    @classmethod
    def from_counts(cls, counts: TermCounts, analyzer: Analyzer, *, method: str, k1: float, b: float) -> BM25:
        """The index of documents already counted; arguments and errors as for `build`."""
        check_parameters(method=method, k1=k1, b=b)
        if not counts.vocabulary:
            raise DataError(f"nothing to index: {len(counts)} passages hold no term; import passages with text first")
        if method == "bm25l":
            logger.warning("bm25l: rank_bm25's formula counts the term frequency twice and ranks far worse than atire")
        from mrc.retrieve.formulas import weighted_postings  # loads SciPy, which a search does not need

        postings = weighted_postings(counts, method=method, k1=k1, b=b)
        return cls(analyzer, len(counts), counts.vocabulary, *postings)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"BM25({self.size:,} documents, {len(self.vocabulary):,} terms, analyzer={self.analyzer.name!r})"

    def scores(self, query: str) -> Floats:
        """(N,) score of every document; rank_bm25's `get_scores` of the analyzer's terms."""
        scores = np.empty(self.size)
        self._accumulate(self._term_ids(self.analyzer(one_text(query, "query"))), scores)
        return scores

    def search(
        self, queries: Sequence[str], k: int, *, threads: int | None = None
    ) -> tuple[Ints, npt.NDArray[np.float32]]:
        """(Q, k) documents and (Q, k) scores, best first, equal scores by lowest document.

        Returns only documents that share a term with the query; rows are padded with document -1, score -inf. Ranks in
        float64. The result depends neither on `threads`, the most that work at a time (None: one for each processor),
        nor on whether numba is installed.
        """
        terms = self._query_terms(queries, k)
        bounds = None if self._are_few(terms) else self._bounds
        if bounds is None:
            return self._search_exhaustive(terms, k)
        documents, scores, resolved = bounds.search(terms, self.base, k, threads=threads)
        rest = np.flatnonzero(~resolved)
        documents[rest], scores[rest] = self._search_exhaustive([terms[row] for row in rest], k)
        return documents, scores

    def search_exhaustive(self, queries: Sequence[str], k: int) -> tuple[Ints, npt.NDArray[np.float32]]:
        """The same as `search`, from the score of every document; the reference of tests and benchmarks."""
        return self._search_exhaustive(self._query_terms(queries, k), k)

    def save(self, folder: str | Path) -> None:
        """Replace the content of `folder` by this index; unchanged if saving fails."""

        def write(data: Path) -> dict[str, Any]:
            self.write(data)
            analyzer = {"analyzer": self.analyzer.name, "analyzer_version": self.analyzer.version}
            return {"format": _FORMAT, "size": self.size, **analyzer}

        digest = hashlib.sha256(np.ascontiguousarray(self.weights).data).hexdigest()
        storage.save_folder(Path(folder), digest[:32], write)

    @classmethod
    def load(cls, folder: str | Path) -> BM25:
        """The index saved in `folder`, memory-mapped.

        Raises:
            DataError: there is none, or a file is missing, truncated or altered.
            MissingExtra: the analyzer's package is not installed.
            StaleIndex: the analyzer's version has changed.
        """
        path = Path(folder) / storage.META
        try:
            meta = read_object(path)
            if meta["format"] != _FORMAT:
                raise DataError(f"{path}: format {meta['format']!r}, not that of a BM25 index; {_REMEDY}")
            size, name, version, data = (meta[key] for key in ("size", "analyzer", "analyzer_version", "data"))
            checksums, stamps = dict(meta["crc32"]), dict(meta["stamps"])
            storage.check_entries(data, checksums)
            analyzer = get_analyzer(name)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: no BM25 index can be read here ({error}); {_REMEDY}") from None
        if analyzer.version != version:
            raise StaleIndex(f"{folder}: built by analyzer {name} {version}, now it is {analyzer.version}; {_REMEDY}")
        names = (*string_files(VOCABULARY, vocabulary=True), *ARRAYS)
        storage.verify(Path(folder) / data, checksums, names, remedy=_REMEDY, stamps=stamps)
        return cls.read(Path(folder) / data, analyzer, size)

    def write(self, data: Path) -> None:
        """Write the files of this index into a data folder; those of `VOCABULARY` and `ARRAYS`."""
        save_strings(data / VOCABULARY, self.vocabulary, vocabulary=True)
        arrays = (self.starts, self.documents, self.weights, self.base)
        save_arrays(data, dict(zip(ARRAYS, arrays, strict=True)))

    @classmethod
    def read(cls, data: Path, analyzer: Analyzer, size: int) -> BM25:
        """The index that `write` wrote; `size` is its number of documents."""
        return cls(analyzer, size, StoredVocabulary(data / VOCABULARY), *load_arrays(data, ARRAYS))

    @cached_property
    def _bounds(self) -> Bounds | None:
        """Made when the index is first searched; None without numba, or where a weight is negative."""
        if find_spec("numba") is None:
            logger.info("numba is not installed: every query scores every passage, which is far slower")
            return None
        from mrc.retrieve.bounds import Bounds, Postings  # numba takes a second to load

        return Bounds.of(Postings(self.starts, self.documents, self.weights), self.size)

    def _are_few(self, queries: Sequence[Sequence[int]]) -> bool:
        """Whether scoring every document costs less than making the bounds: for few queries, in all calls together."""
        state = self.__dict__
        if "_bounds" in state or find_spec("numba") is None:
            return False
        terms = np.fromiter(itertools.chain.from_iterable(queries), dtype=np.int64)
        postings = int((self.starts[terms + 1] - self.starts[terms]).sum())
        state["_scored"] = state.get("_scored", 0) + postings + len(queries) * self.size // 8
        return bool(state["_scored"] < _LOADING + len(self.documents))

    def _query_terms(self, queries: Sequence[str], k: int) -> list[list[int]]:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return [self._term_ids(terms) for terms in self.analyzer.terms(list_of_texts(queries, "queries"))]

    def _search_exhaustive(self, queries: Sequence[Sequence[int]], k: int) -> tuple[Ints, npt.NDArray[np.float32]]:
        documents = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        buffer = np.empty(-(-self.size // _BLOCK) * _BLOCK)
        for row, terms in enumerate(queries):
            best, values = self._top(terms, k, buffer)
            documents[row, : len(best)] = best
            scores[row, : len(best)] = values
        return documents, scores

    def _term_ids(self, terms: Iterable[str]) -> list[int]:
        found = map(self.vocabulary.get, terms)
        return [number for number in found if number is not None]

    def _accumulate(self, terms: Sequence[int], scores: Floats) -> float:
        """Overwrite `scores` with those of a query; returns the score of a document that shares no term with it."""
        floor = float(sum(self.base[terms].tolist()))
        scores.fill(floor)
        for term in terms:
            postings = slice(self.starts[term], self.starts[term + 1])
            np.add.at(scores, self.documents[postings], self.weights[postings])
        return floor

    def _top(self, terms: Sequence[int], k: int, scores: Floats) -> tuple[Ints, Floats]:
        if not terms:
            return np.empty(0, dtype=np.int64), np.empty(0)
        floor = self._accumulate(terms, scores)
        bound = _lower_bound(scores, min(k, self.size))
        if bound > floor:  # then at least k documents share a term, and no other document reaches the bound
            candidates = np.flatnonzero(scores >= bound)
        else:
            shared = [self.documents[self.starts[term] : self.starts[term + 1]] for term in terms]
            candidates = np.unique(np.concatenate(shared)).astype(np.int64)
        values = scores[candidates]
        order = np.lexsort((candidates, -values))[:k]
        return candidates[order], values[order]


def _lower_bound(scores: Floats, k: int) -> float:
    """A number that at least k scores reach: the k-th best of the blocks' best, or of all where there are few."""
    best = scores.reshape(-1, _BLOCK).max(axis=1) if len(scores) >= 2 * k * _BLOCK else scores
    return float(np.partition(best, len(best) - k)[len(best) - k])
