"""BM25 over sparse postings: the formulas of `rank_bm25`, computed once for each posting instead of for each query.

A score is a sum over the query's terms of `idf(term) * unit(frequency, document length)`. Parameters, `idf` and the
score are rank_bm25's own code, run here when an index is built: once for each distinct (frequency, length) with idf 1.
A query then only adds stored weights, in float64 and in the order of its terms, as rank_bm25's `get_scores` does.

`BM25.search_plainly` does just that, for every document. `BM25.search` finds the same with `mrc.retrieve.bounds`, which
is much faster, where numba is installed.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rank_bm25
from scipy import sparse

from mrc.analyzers import Analyzer, detect_language, get_analyzer
from mrc.errors import DataError

if TYPE_CHECKING:
    from mrc.retrieve.bounds import Bounds

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_BLOCK = 64  # documents whose best score stands for all of them in the first look for the top k
_CHUNK = 1 << 22  # postings weighted at a time, bounds the memory of building


class BM25Atire(rank_bm25.BM25Okapi):  # type: ignore[misc]  # rank_bm25 has no types
    """`rank_bm25.BM25Okapi` with idf = log(N / df), which is never negative and needs no floor.

    Source: Trotman, Puurula, Burgess, "Improvements to BM25 and Language Models Examined", ADCS 2014, ATIRE.
    """

    def _calc_idf(self, nd: Mapping[str, int]) -> None:
        self.idf = {term: math.log(self.corpus_size / documents) for term, documents in nd.items()}


METHODS: Mapping[str, type[Any]] = {
    "atire": BM25Atire,
    "okapi": rank_bm25.BM25Okapi,
    "bm25l": rank_bm25.BM25L,
    "bm25plus": rank_bm25.BM25Plus,
}


def check(*, method: str, k1: float, b: float) -> None:
    """Nothing, where BM25 can be computed so. Raises ValueError, naming the bad one."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not 0 < k1 < math.inf:
        raise ValueError(f"k1 must be a number above 0, got {k1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b must be in 0-1, got {b}")


@dataclass(frozen=True, slots=True, eq=False)
class TermCounts:
    """How often each term stands in each of N documents; all that is left of the texts, in P postings.

    Postings are in document order, those of a document in the order in which its terms first occur in it.
    """

    vocabulary: Mapping[str, int]  # term -> column, in first-seen order
    starts: Ints  # (N + 1,) document d has the postings starts[d]:starts[d + 1]
    columns: Int32s  # (P,)
    frequencies: Int32s  # (P,)

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, int]]) -> TermCounts:
        """The counts of documents that are given as term -> frequency."""
        vocabulary: defaultdict[str, int] = defaultdict()
        vocabulary.default_factory = vocabulary.__len__  # a new term takes the next column
        starts, columns, frequencies = array("q", [0]), array("i"), array("i")
        for counts in documents:
            columns.extend(map(vocabulary.__getitem__, counts))
            frequencies.extend(counts.values())
            starts.append(len(columns))
        wrapped = [
            np.frombuffer(part, dtype=np.int32) if part else np.empty(0, np.int32) for part in (columns, frequencies)
        ]
        return cls(dict(vocabulary), np.frombuffer(starts, dtype=np.int64), *wrapped)

    @classmethod
    def picked(cls, parts: Sequence[TermCounts], documents: Sequence[tuple[int, int]]) -> TermCounts:
        """The counts of documents given as (part, document in it), in that order; the same as `of` gives for them."""
        vocabulary = dict.fromkeys(term for part in parts for term in part.vocabulary)
        numbers = {term: number for number, term in enumerate(vocabulary)}
        renumbered = [np.fromiter(map(numbers.__getitem__, part.vocabulary), dtype=np.int32) for part in parts]
        columns = [np.empty(0, np.int32), *(new[part.columns] for new, part in zip(renumbered, parts, strict=True))]
        frequencies = [np.empty(0, np.int32), *(part.frequencies for part in parts)]
        offsets = np.cumsum([0, *(len(part.columns) for part in parts)])
        firsts = np.cumsum([0, *(len(part) for part in parts)])
        begins = np.concatenate([part.starts[:-1] + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        rows = np.array([firsts[part] + document for part, document in documents], dtype=np.int64)
        starts = np.concatenate(([0], np.cumsum(sizes[rows])))
        places = np.arange(starts[-1]) + np.repeat(begins[rows] - starts[:-1], sizes[rows])
        return cls._in_order(
            list(vocabulary), starts, np.concatenate(columns)[places], np.concatenate(frequencies)[places]
        )

    @classmethod
    def _in_order(cls, terms: Sequence[str], starts: Ints, columns: Int32s, frequencies: Int32s) -> TermCounts:
        """With columns in first-seen order and without terms that no document has."""
        seen = np.full(len(terms), len(columns))
        np.minimum.at(seen, columns, np.arange(len(columns)))
        order = np.argsort(seen, kind="stable")[: np.count_nonzero(seen < len(columns))]
        column_of = np.zeros(len(terms), dtype=np.int32)
        column_of[order] = np.arange(len(order))
        vocabulary = {terms[number]: column for column, number in enumerate(order.tolist())}
        return cls(vocabulary, starts, column_of[columns], frequencies)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> Ints:
        """(N,) terms of each document, duplicates counted."""
        lengths = np.zeros(len(self), dtype=np.int64)
        filled = np.flatnonzero(np.diff(self.starts))
        lengths[filled] = np.add.reduceat(self.frequencies, self.starts[filled], dtype=np.int64)
        return lengths


class _FromCounts:
    """Goes before a class of rank_bm25: takes `TermCounts` as corpus, so that its dicts are never filled."""

    doc_freqs: list[dict[str, int]]
    doc_len: list[int]
    idf: dict[str, float]
    avgdl: float
    corpus_size: int

    def _initialize(self, corpus: TermCounts) -> dict[str, int]:
        self.corpus_size = len(corpus)
        self.avgdl = int(corpus.frequencies.sum(dtype=np.int64)) / len(corpus)
        documents = np.bincount(corpus.columns, minlength=len(corpus.vocabulary))
        return dict(zip(corpus.vocabulary, documents.tolist(), strict=True))

    def units(self, frequencies: Ints, lengths: Ints) -> Floats:
        """What rank_bm25 gives a term of idf 1 that stands so often in documents of those lengths."""
        self.doc_freqs = [{"": frequency} for frequency in frequencies.tolist()]
        self.doc_len = lengths.tolist()
        self.corpus_size = len(self.doc_len)
        self.idf = {"": 1.0}
        units: Floats = self.get_scores([""])  # type: ignore[attr-defined]  # of the class that follows
        return units


@dataclass(frozen=True, eq=False)  # without slots, which leave no place for a cached property
class BM25:
    """N documents, ready to be searched. Postings are in term order, those of a term in document order."""

    analyzer: Analyzer
    size: int  # N
    vocabulary: Mapping[str, int]  # term -> column
    starts: Ints  # (V + 1,) term t has the postings starts[t]:starts[t + 1]
    documents: Int32s  # (P,)
    gains: Floats  # (P,) what a document with the term scores above one without it
    base: Floats  # (V,) what a document without the term scores: 0 but for bm25plus

    @classmethod
    def build(
        cls, texts: Sequence[str], *, analyzer: str = "auto", method: str = "atire", k1: float = 1.5, b: float = 0.75
    ) -> BM25:
        """The index of `texts`; documents are known by their position.

        Args:
            analyzer: a name of `mrc.analyzers.ANALYZERS`; `auto` goes by the language of the texts.
            method: one of `METHODS`.
            k1: how slowly repeated terms saturate, above 0.
            b: how much long documents are held back, 0-1.

        Raises:
            DataError: there is no text, or none with a term.
            MissingExtra: the analyzer's package is not installed.
        """
        terms = get_analyzer(analyzer, detect_language(texts))
        return cls.from_counts(TermCounts.of(map(Counter, terms.terms(texts))), terms, method=method, k1=k1, b=b)

    @classmethod
    def from_counts(cls, counts: TermCounts, analyzer: Analyzer, *, method: str, k1: float, b: float) -> BM25:
        """The index of documents already counted; arguments and errors as in `build`."""
        check(method=method, k1=k1, b=b)
        if not counts.vocabulary:
            raise DataError(f"nothing to index: {len(counts)} passages hold no term; import passages with text first")
        if method == "bm25l":
            logger.warning("bm25l: rank_bm25's formula counts the term frequency twice and ranks far worse than atire")
        formula = type(METHODS[method].__name__, (_FromCounts, METHODS[method]), {})(counts, k1=k1, b=b)
        idf = np.array([formula.idf[term] for term in counts.vocabulary])
        base = idf * float(formula.units(np.array([0]), np.array([1]))[0])
        shape = (len(counts), len(counts.vocabulary))
        narrow = counts.starts[-1] <= np.iinfo(np.int32).max
        rows = counts.starts.astype(np.int32) if narrow else counts.starts  # wide ones make scipy copy the columns
        by_term = sparse.csr_array((_units(counts, formula), counts.columns, rows), shape=shape).tocsc()
        starts, documents = by_term.indptr.astype(np.int64), by_term.indices.astype(np.int32, copy=False)
        gains = by_term.data  # weighed where they lie
        for terms in _parts(starts):
            postings = slice(starts[terms.start], starts[terms.stop])
            counted = np.diff(starts[terms.start : terms.stop + 1])
            gains[postings] *= np.repeat(idf[terms], counted)
            gains[postings] -= np.repeat(base[terms], counted)
        return cls(analyzer, len(counts), counts.vocabulary, starts, documents, gains, base)

    def scores(self, query: str) -> Floats:
        """(N,) score of every document; rank_bm25's `get_scores` of the analyzer's terms."""
        scores = np.empty(self.size)
        self._add(self._known(self.analyzer(query)), scores)
        return scores

    def search(
        self, queries: Sequence[str], k: int, *, threads: int | None = None
    ) -> tuple[Ints, npt.NDArray[np.float32]]:
        """(Q, k) documents and (Q, k) scores, best first, equal scores by lowest document.

        Only documents that share a term with the query are found; rows are padded with document -1, score -inf.
        Ranked in float64. The result does not depend on `threads`, how many may work at a time (None: one for each
        processor), nor on whether numba is installed.
        """
        columns = self._columns(queries, k)
        if self._bounds is None:
            return self._search_plainly(columns, k)
        documents, scores, settled = self._bounds.search(columns, self.base, k, threads=threads)
        rest = np.flatnonzero(~settled)
        documents[rest], scores[rest] = self._search_plainly([columns[row] for row in rest], k)
        return documents, scores

    def search_plainly(self, queries: Sequence[str], k: int) -> tuple[Ints, npt.NDArray[np.float32]]:
        """What `search` gives, from the score of every document; holds those of one query at a time."""
        return self._search_plainly(self._columns(queries, k), k)

    @cached_property
    def _bounds(self) -> Bounds | None:
        """Made when the index is first searched; None without numba, or where a gain is below 0."""
        if find_spec("numba") is None:
            logger.info("numba is not installed: every query scores every passage, which is far slower")
            return None
        from mrc.retrieve.bounds import Bounds, Postings  # numba takes a second to load

        return Bounds.of(Postings(self.starts, self.documents, self.gains), self.size)

    def _columns(self, queries: Sequence[str], k: int) -> list[list[int]]:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return [self._known(terms) for terms in self.analyzer.terms(queries)]

    def _search_plainly(self, queries: Sequence[Sequence[int]], k: int) -> tuple[Ints, npt.NDArray[np.float32]]:
        documents = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        workspace = np.empty(-(-self.size // _BLOCK) * _BLOCK)
        for row, columns in enumerate(queries):
            best, values = self._top(columns, k, workspace)
            documents[row, : len(best)] = best
            scores[row, : len(best)] = values
        return documents, scores

    def _known(self, terms: Iterable[str]) -> list[int]:
        return [self.vocabulary[term] for term in terms if term in self.vocabulary]

    def _add(self, columns: Sequence[int], scores: Floats) -> float:
        """Overwrites `scores` with those of a query; returns the score of a document that shares no term with it."""
        floor = float(sum(self.base[columns].tolist()))
        scores.fill(floor)
        for column in columns:
            postings = slice(self.starts[column], self.starts[column + 1])
            np.add.at(scores, self.documents[postings], self.gains[postings])
        return floor

    def _top(self, columns: Sequence[int], k: int, scores: Floats) -> tuple[Ints, Floats]:
        if not columns:
            return np.empty(0, dtype=np.int64), np.empty(0)
        floor = self._add(columns, scores)
        bound = _lower_bound(scores, min(k, self.size))
        if bound > floor:  # then at least k documents share a term, and none that does not reaches the bound
            candidates = np.flatnonzero(scores >= bound)
        else:
            shared = [self.documents[self.starts[column] : self.starts[column + 1]] for column in columns]
            candidates = np.unique(np.concatenate(shared)).astype(np.int64)
        values = scores[candidates]
        order = np.lexsort((candidates, -values))[:k]
        return candidates[order], values[order]


def _units(counts: TermCounts, formula: Any) -> Floats:
    """(P,) what the formula gives each posting at idf 1."""
    lengths = counts.lengths()
    longest = int(lengths.max())
    units = np.empty(len(counts.columns))
    for documents in _parts(counts.starts):
        part = slice(counts.starts[documents.start], counts.starts[documents.stop])
        of_document = np.repeat(lengths[documents], np.diff(counts.starts[documents.start : documents.stop + 1]))
        # One number holds both, as a frequency is at most a length. Few are distinct: look-up beats a sort with places.
        pairs = counts.frequencies[part].astype(np.int64) * (longest + 1) + of_document
        distinct = np.unique(pairs)
        units[part] = formula.units(*np.divmod(distinct, longest + 1))[np.searchsorted(distinct, pairs)]
    return units


def _parts(starts: Ints) -> Iterator[slice]:
    """Neighbouring rows that have about `_CHUNK` postings together, or one row that has more."""
    edges = np.searchsorted(starts, np.arange(0, starts[-1], _CHUNK))
    for start, stop in pairwise(np.unique([0, *edges, len(starts) - 1]).tolist()):
        yield slice(start, stop)


def _lower_bound(scores: Floats, k: int) -> float:
    """A number that at least k of the scores reach: the k-th best of the blocks' best, or of all where they are few."""
    best = scores.reshape(-1, _BLOCK).max(axis=1) if len(scores) >= 2 * k * _BLOCK else scores
    return float(np.partition(best, len(best) - k)[len(best) - k])
