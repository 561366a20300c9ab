"""The weights of postings by the BM25 formulas of `rank_bm25`, computed once when an index is built.

A score is a sum over the query's terms of `idf(term) * saturation(frequency, document length)`. Parameters, idf and
saturation are rank_bm25's own code, which runs once for each distinct (frequency, length), with idf 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rank_bm25
from scipy import sparse

from mrc.retrieve.term_counts import TermCounts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_CHUNK = 1 << 22  # postings weighted at a time; bounds the memory of building


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


class _FromCounts:
    """Mixin before a class of rank_bm25: takes `TermCounts` as the corpus, so that its dicts are never filled."""

    doc_freqs: list[dict[str, int]]
    doc_len: list[int]
    idf: dict[str, float]
    avgdl: float
    corpus_size: int

    def _initialize(self, corpus: TermCounts) -> dict[str, int]:
        self.corpus_size = len(corpus)
        self.avgdl = int(corpus.frequencies.sum(dtype=np.int64)) / len(corpus)
        documents = np.bincount(corpus.term_ids, minlength=len(corpus.vocabulary))
        return dict(zip(corpus.vocabulary, documents.tolist(), strict=True))

    def saturation(self, frequencies: Ints, lengths: Ints) -> Floats:
        """rank_bm25's score of a term with idf 1, for each (frequency, document length)."""
        self.doc_freqs = [{"": frequency} for frequency in frequencies.tolist()]
        self.doc_len = lengths.tolist()
        self.corpus_size = len(self.doc_len)
        self.idf = {"": 1.0}
        scores: Floats = self.get_scores([""])  # type: ignore[attr-defined]  # of the class that follows
        return scores


class WeightedPostings(NamedTuple):
    """P postings in term order, those of a term in document order."""

    starts: Ints  # (V + 1,) term t has the postings starts[t]:starts[t + 1]
    documents: Int32s  # (P,)
    weights: Floats  # (P,) score of a document with the term, minus that of one without it
    base: Floats  # (V,) score of a document without the term: 0 except with bm25plus


def weighted_postings(counts: TermCounts, *, method: str, k1: float, b: float) -> WeightedPostings:
    """The postings of documents with their weights; see `BM25.build` for the parameters."""
    formula = type(METHODS[method].__name__, (_FromCounts, METHODS[method]), {})(counts, k1=k1, b=b)
    idf = np.array([formula.idf[term] for term in counts.vocabulary])
    base = idf * float(formula.saturation(np.array([0]), np.array([1]))[0])
    starts, documents, weights = _by_term(counts, _saturations(counts, formula))
    for terms in _parts(starts):
        postings = slice(starts[terms.start], starts[terms.stop])
        frequencies = np.diff(starts[terms.start : terms.stop + 1])
        weights[postings] *= np.repeat(idf[terms], frequencies)
        weights[postings] -= np.repeat(base[terms], frequencies)
    return WeightedPostings(starts, documents, weights, base)


def _saturations(counts: TermCounts, formula: Any) -> Floats:
    """(P,) the formula's value of each posting at idf 1."""
    lengths = counts.lengths()
    longest = int(lengths.max())
    values = np.empty(len(counts.term_ids))
    for documents in _parts(counts.starts):
        part = slice(counts.starts[documents.start], counts.starts[documents.stop])
        of_document = np.repeat(lengths[documents], np.diff(counts.starts[documents.start : documents.stop + 1]))
        # One number holds both, as a frequency is at most a length. Few are distinct: look-up beats a sort with places.
        pairs = counts.frequencies[part].astype(np.int64) * (longest + 1) + of_document
        distinct = np.unique(pairs)
        values[part] = formula.saturation(*np.divmod(distinct, longest + 1))[np.searchsorted(distinct, pairs)]
    return values


def _by_term(counts: TermCounts, values: Floats) -> tuple[Ints, Int32s, Floats]:
    """Starts, documents and values of the postings in term order, from values in document order."""
    narrow = counts.starts[-1] <= np.iinfo(np.int32).max
    rows = counts.starts.astype(np.int32) if narrow else counts.starts  # wide ones make scipy copy the term ids
    shape = (len(counts), len(counts.vocabulary))
    by_term = sparse.csr_array((values, counts.term_ids, rows), shape=shape).tocsc()
    return by_term.indptr.astype(np.int64), by_term.indices.astype(np.int32, copy=False), by_term.data


def _parts(starts: Ints) -> Iterator[slice]:
    """Consecutive rows that hold about `_CHUNK` postings, or one row that has more."""
    edges = np.searchsorted(starts, np.arange(0, starts[-1], _CHUNK))
    for start, stop in pairwise(np.unique([0, *edges, len(starts) - 1]).tolist()):
        yield slice(start, stop)
