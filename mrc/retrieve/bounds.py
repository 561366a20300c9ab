"""Which documents can be among the k best of a query, and their exact scores, without scoring every document.

A score is a sum of gains, float64. Here each gain is also kept in 8 bits, rounded up. A query first adds those, in 16
bits: of its frequent terms, which have a column with a place for every document, as whole vectors, of the others
posting by posting. How far such a sum can be from the score is known for each query, so only documents whose sum comes
that near to the k-th best sum are then scored, exactly and in the order of the query's terms: the result is that of
scoring every document. A query that this cannot settle (ties without end, thousands of terms) is reported as such.

Documents are taken in blocks, and within a block the queries of a batch, so that sums and columns stay in the cache.
Source: Broder et al., "Efficient Query Evaluation using a Two-Level Retrieval Process", CIKM 2003, for the two levels:
a cheap bound says which documents are scored. Theirs skips through postings; here all of the cheap ones are added.
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

_FREQUENT = 16  # a term of at least one document in so many has a column
_BATCH = 1024  # queries that share what a block brings into the cache
_FEW = 64  # queries that are not worth another thread
_SPARE = 4096  # candidates a query may have beside three times k before they are said to be too many
_ROOM = 1 << 23  # candidates of all queries of a batch, at most


class Postings(NamedTuple):  # named tuples, as numba knows them
    """P postings in term order, those of a term in document order."""

    starts: Ints  # (V + 1,) term t has the postings starts[t]:starts[t + 1]
    documents: Int32s  # (P,)
    gains: Floats  # (P,) what a document with the term scores above one without it


class Levels(NamedTuple):
    """The gains of the V terms of N documents, rounded up to 8 bits."""

    size: int  # N
    tops: Floats  # (V,) the largest gain of the term
    levels: Bytes  # (P,) gain of a posting, rounded up to 1-255 times its term's largest / 255
    places: Int32s  # (V,) which column is the term's, -1: none
    columns: Bytes  # (blocks, columns, chunks, kernel.CHUNK) level of each document, 0: it lacks the term


class Batch(NamedTuple):
    """Q queries: the U different terms of each, sorted, and its T tokens in their order."""

    starts: Ints  # (Q + 1,) query q has the terms starts[q]:starts[q + 1]
    terms: Ints  # (U,)
    counts: Ints  # (U,) how often the query has the term
    token_starts: Ints  # (Q + 1,)
    tokens: Ints  # (T,)
    floors: Floats  # (Q,) score of a document without any of the terms


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Postings that can be searched."""

    postings: Postings
    levels: Levels

    @classmethod
    def of(cls, postings: Postings, size: int) -> Bounds | None:
        """The bounds of the postings of `size` documents; None where a gain is below 0, which they cannot hold."""
        postings = Postings(*(_read_only(values) for values in postings))
        frequencies = np.diff(postings.starts)
        tops = np.zeros(len(frequencies))
        filled = np.flatnonzero(frequencies)
        tops[filled] = np.maximum.reduceat(postings.gains, postings.starts[filled])
        frequent = np.flatnonzero(frequencies * _FREQUENT >= size)
        places = np.full(len(frequencies), -1, dtype=np.int32)
        places[frequent] = np.arange(len(frequent))
        chunks = -(-min(size, kernel.BLOCK) // kernel.CHUNK)
        columns = _aligned((-(-size // kernel.BLOCK), len(frequent), chunks, kernel.CHUNK))
        levels = np.empty(len(postings.gains), dtype=np.uint8)
        if not kernel.round_up(postings, tops, places, levels, columns):
            return None
        return cls(postings, Levels(size, tops, levels, places, columns))

    def search(
        self, queries: Sequence[Sequence[int]], base: Floats, k: int, *, threads: int | None
    ) -> tuple[Ints, Singles, npt.NDArray[np.bool_]]:
        """(Q, k) documents, -1 where there are no more, (Q, k) scores, and (Q,) whether a query is settled.

        Best first, equal scores by lowest document. Rows of queries that are not settled hold nothing of use.

        Args:
            queries: the terms of each, duplicates and order kept.
            base: (V,) what a document without the term scores.
            threads: that work at a time, None: one for each processor. The result does not depend on it.
        """
        kept = min(k, self.levels.size)
        room = 3 * kept + _SPARE
        workers = max(1, min(threads or _processors(), len(queries) // _FEW))
        batch = max(1, min(_BATCH, -(-len(queries) // workers), _ROOM // room))
        found = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        settled = np.zeros(len(queries), dtype=np.bool_)

        def run(first: int) -> None:
            part = slice(first, first + batch)
            asked = batch_of(queries[part], base)
            kernel.search(self.postings, self.levels, asked, kept, room, found[part], scores[part], settled[part])

        self._compile()
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(run, range(0, len(queries), batch)):
                pass
        return found, scores, settled

    def _compile(self) -> None:
        """Nothing; the kernel can run, and how long that took is logged where it was not at once."""
        before = time.perf_counter()
        nothing = (np.empty((0, 1), dtype=np.int64), np.empty((0, 1), dtype=np.float32), np.empty(0, dtype=np.bool_))
        kernel.search(self.postings, self.levels, batch_of([], np.empty(0)), 1, 1, *nothing)
        if (seconds := time.perf_counter() - before) > 1:
            logger.info("compiled the search in %.0f s; later processes find it compiled", seconds)


def batch_of(queries: Sequence[Sequence[int]], base: Floats) -> Batch:
    """The queries as arrays; arguments as for `Bounds.search`."""
    lengths = np.fromiter(map(len, queries), dtype=np.int64, count=len(queries))
    tokens = np.fromiter(itertools.chain.from_iterable(queries), dtype=np.int64, count=int(lengths.sum()))
    numbers = np.repeat(np.arange(len(queries)), lengths)
    width = max(1, len(base))
    pairs, counts = np.unique(numbers * width + tokens, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(queries) + 1) * width)
    floors = np.zeros(len(queries))
    np.add.at(floors, numbers, base[tokens])  # in the order of the tokens
    token_starts = np.concatenate(([0], np.cumsum(lengths)))
    return Batch(starts, pairs % width, counts, token_starts, tokens, floors)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that says so; numba compiles once more for arrays that can be written, and mapped files cannot be."""
    view = values.view()
    view.flags.writeable = False
    return view


def _aligned(shape: tuple[int, ...]) -> Bytes:
    """Zeros that start where a line of the cache does, so that no chunk lies in two."""
    length = int(np.prod(shape))
    flat = np.zeros(length + kernel.CHUNK, dtype=np.uint8)
    start = -flat.ctypes.data % kernel.CHUNK
    return flat[start : start + length].reshape(shape)
