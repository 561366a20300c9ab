"""Pruned BM25 search: upper bounds select the documents that can be among the k best, and only those are scored.

A score is a sum of float64 weights. Each weight is also kept quantised to 8 bits, rounded up. A query first adds the
quantised weights in 16 bits: whole vectors for frequent terms, which have a dense column with one byte for every
document, and posting by posting for the others. The largest difference between such a sum and the score is known for
each query (its slack), so only documents whose sum comes that close to the k-th best sum are then scored, exactly and
in the order of the query's terms: the result equals that of scoring every document. A query that this cannot resolve
(too many ties, thousands of terms) is reported as such.

Documents are processed in blocks, within a block the queries of a batch, so that sums and columns stay in the cache.
Source: Broder et al., "Efficient Query Evaluation using a Two-Level Retrieval Process", CIKM 2003, for the two levels:
a cheap bound selects the documents to score. Theirs skips through postings; here all quantised postings are added.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrc.retrieve import kernel

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Singles = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SMALL = 2048  # documents up to which scoring all of them costs less than bounds
_FREQUENT = 16  # a term of at least N / 16 documents has a dense column
_BATCH = 1024  # queries that share what a block brings into the cache
_FEW = 64  # queries below which another thread does not pay
_SPARE = 4096  # candidates of a query beyond 3 k, above which it is left unresolved
_TOTAL_CANDIDATES = 1 << 23  # of all queries of a batch, at most


class Postings(NamedTuple):  # named tuples, because numba compiles them
    """P postings in term order, those of a term in document order."""

    starts: Ints  # (V + 1,) term t has the postings starts[t]:starts[t + 1]
    documents: Int32s  # (P,)
    weights: Floats  # (P,) score of a document with the term, minus that of one without it


class Quantized(NamedTuple):
    """The weights of the V terms of N documents, rounded up to 8 bits."""

    size: int  # N
    max_weights: Floats  # (V,) the largest weight of the term
    levels: Bytes  # (P,) weight of a posting, rounded up to 1-255 times max_weight / 255
    column_of: Int32s  # (V,) the term's dense column, -1: none
    columns: Bytes  # (blocks, columns, chunks, kernel.CHUNK) level of each document, 0: it lacks the term


class QueryBatch(NamedTuple):
    """Q queries: the U distinct terms of each, sorted, and its T tokens in their order."""

    starts: Ints  # (Q + 1,) query q has the terms starts[q]:starts[q + 1]
    terms: Ints  # (U,)
    counts: Ints  # (U,) how often the query has the term
    token_starts: Ints  # (Q + 1,)
    tokens: Ints  # (T,)
    floors: Floats  # (Q,) score of a document without any of the terms


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Postings with their quantised weights, ready for a pruned search."""

    postings: Postings
    quantized: Quantized

    @classmethod
    def of(cls, postings: Postings, size: int) -> Bounds | None:
        """The bounds for the postings of `size` documents; None where a weight is negative, so that no bound exists."""
        postings = Postings(*(_read_only(values) for values in postings))
        frequencies = np.diff(postings.starts)
        max_weights = np.zeros(len(frequencies))
        filled = np.flatnonzero(frequencies)
        max_weights[filled] = np.maximum.reduceat(postings.weights, postings.starts[filled])
        frequent = np.flatnonzero(frequencies * _FREQUENT >= size)
        column_of = np.full(len(frequencies), -1, dtype=np.int32)
        column_of[frequent] = np.arange(len(frequent))
        chunks = -(-min(size, kernel.BLOCK) // kernel.CHUNK)
        columns = _aligned((-(-size // kernel.BLOCK), len(frequent), chunks, kernel.CHUNK))
        levels = np.empty(len(postings.weights), dtype=np.uint8)
        if not kernel.quantize(postings, max_weights, column_of, levels, columns):
            return None
        return cls(postings, Quantized(size, max_weights, levels, column_of, columns))

    def search(
        self, queries: Sequence[Sequence[int]], base: Floats, k: int, *, threads: int | None
    ) -> tuple[Ints, Singles, npt.NDArray[np.bool_]]:
        """(Q, k) documents, -1 where there are no more, (Q, k) scores, and (Q,) whether a query is resolved.

        Best first, equal scores by lowest document. Rows of unresolved queries have no meaning.

        Args:
            queries: term ids of each, duplicates and order kept.
            base: (V,) score of a document without the term.
            threads: the most that work at a time, None: one for each processor. The result does not depend on it.
        """
        kept = min(k, self.quantized.size)
        capacity = 3 * kept + _SPARE
        workers = max(1, min(threads or _processors(), len(queries) // _FEW))
        batch = max(1, min(_BATCH, -(-len(queries) // workers), _TOTAL_CANDIDATES // capacity))
        found = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        resolved = np.zeros(len(queries), dtype=np.bool_)

        def run(first: int) -> None:
            part = slice(first, first + batch)
            outputs = (found[part], scores[part], resolved[part])
            if self.quantized.size <= SMALL:
                asked = tokens_of(queries[part], base)
                kernel.search_all(self.postings, self.quantized.size, *asked, kept, *outputs)
            else:
                kernel.search(self.postings, self.quantized, query_batch(queries[part], base), kept, capacity, *outputs)

        self._compile()
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(run, range(0, len(queries), batch)):
                pass
        return found, scores, resolved

    def _compile(self) -> None:
        """Compile the kernel, or load it from numba's cache; log how long compilation took."""
        before = time.perf_counter()
        nothing = (np.empty((0, 1), dtype=np.int64), np.empty((0, 1), dtype=np.float32), np.empty(0, dtype=np.bool_))
        if self.quantized.size <= SMALL:
            kernel.search_all(self.postings, self.quantized.size, *tokens_of([], np.empty(0)), 1, *nothing)
        else:
            kernel.search(self.postings, self.quantized, query_batch([], np.empty(0)), 1, 1, *nothing)
        if (seconds := time.perf_counter() - before) > 1:
            logger.info("compiled the search in %.0f s; later processes load it from the cache", seconds)


def query_batch(queries: Sequence[Sequence[int]], base: Floats) -> QueryBatch:
    """The queries as arrays; arguments as for `Bounds.search`."""
    token_starts, tokens, floors = tokens_of(queries, base)
    numbers = np.repeat(np.arange(len(queries)), np.diff(token_starts))
    width = max(1, len(base))
    pairs, counts = np.unique(numbers * width + tokens, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(queries) + 1) * width)
    return QueryBatch(starts, pairs % width, counts, token_starts, tokens, floors)


def tokens_of(queries: Sequence[Sequence[int]], base: Floats) -> tuple[Ints, Ints, Floats]:
    """The token starts, tokens and floors of a `QueryBatch`."""
    starts = np.zeros(len(queries) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, queries), dtype=np.int64, count=len(queries)), out=starts[1:])
    tokens = np.fromiter(itertools.chain.from_iterable(queries), dtype=np.int64, count=int(starts[-1]))
    floors = np.zeros(len(queries))
    if base.any():
        np.add.at(floors, np.repeat(np.arange(len(queries)), np.diff(starts)), base[tokens])  # in the tokens' order
    return starts, tokens, floors


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view: numba compiles once more for writable arrays, and memory-mapped files are read-only."""
    view = values.view()
    view.flags.writeable = False
    return view


def _aligned(shape: tuple[int, ...]) -> Bytes:
    """Zeros that start at a cache line, so that no chunk is split between two lines."""
    length = int(np.prod(shape))
    flat = np.zeros(length + kernel.CHUNK, dtype=np.uint8)
    start = -flat.ctypes.data % kernel.CHUNK
    return flat[start : start + length].reshape(shape)
