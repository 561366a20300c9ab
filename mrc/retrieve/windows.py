"""Passages cut into overlapping windows, and windows found by a search turned back into passages.

A long passage mixes topics, so its windows are scored and the passage takes the score of its best window. Source:
Dai & Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019 (MaxP); there with
a neural scorer.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mrc.types import Passage

Ints = npt.NDArray[np.int64]
Search = Callable[[Sequence[str], int], tuple[Ints, npt.NDArray[np.float32]]]
Span = tuple[int, int]

_SENTENCE_END = re.compile(r"[.?!…。！？][\"'”’」』)\]]*\s+|[。！？]|\n\s*")


def sentences(text: str) -> list[Span]:
    """The sentences of a text as `[start, end)`, each with the white space after it; joined they are the text."""
    places = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in pairwise(sorted(set(places)))]


def windows(text: str, *, window_chars: int) -> list[Span]:
    """Overlapping windows `[start, end)` of at most `window_chars` code points; 0 or a short text: one window.

    A window ends at the last sentence end in its second half, else at the last white space there, else after
    `window_chars`. The next window starts at a sentence or word about half a window later, so that text cut by one
    window is whole in the next.
    """
    if window_chars < 0 or window_chars == 1:
        raise ValueError(f"window_chars must be 0 or at least 2, got {window_chars}")
    if not window_chars or len(text) <= window_chars:
        return [(0, len(text))]
    places = ([end for _, end in sentences(text)], [match.end() for match in re.finditer(r"\s+", text)])
    half = window_chars // 2
    spans: list[Span] = []
    start = end = 0
    while end < len(text):
        low, high = max(start + half, end + 1), start + window_chars
        end = len(text) if high >= len(text) else _last(places, low, high, default=high)
        spans.append((start, end))
        middle = max(start + 1, end - half)
        start = _last(places, max(start + 1, middle - half // 2), middle, default=_next(places, middle, end))
    return spans


def _last(places: Iterable[Sequence[int]], low: int, high: int, *, default: int) -> int:
    """The last place in `[low, high]` of the first kind that has one there."""
    for kind in places:
        number = bisect_right(kind, high) - 1
        if number >= 0 and kind[number] >= low:
            return kind[number]
    return default


def _next(places: Iterable[Sequence[int]], low: int, end: int) -> int:
    """The first place in `[low, end)` of any kind, else `low`."""
    numbers = ((kind, bisect_left(kind, low)) for kind in places)
    return min((kind[number] for kind, number in numbers if number < len(kind) and kind[number] < end), default=low)


def window_starts(passages: Sequence[Passage], *, window_chars: int) -> Ints:
    """(N + 1,) passage n has the windows `starts[n]:starts[n + 1]`."""
    counts = [len(windows(passage.text, window_chars=window_chars)) for passage in passages]
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


def search_passages(
    search: Search, starts: Ints, queries: Sequence[str], k: int
) -> tuple[Ints, npt.NDArray[np.float32]]:
    """(Q, k) passages and (Q, k) scores from a search over their windows: each passage by its best window.

    Exact: a deeper search follows for queries whose windows found so far belong to fewer than `k` passages. Equal
    scores go to the lowest passage; padded as `BM25.search` pads.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    total = int(starts[-1])
    if total == len(starts) - 1:
        return search(queries, k)
    passages = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    open_rows, depth = list(range(len(queries))), 2 * k
    while open_rows:
        depth = min(depth, total)
        found, values = search([queries[row] for row in open_rows], depth)
        remaining = []
        for row, hits, row_scores in zip(open_rows, found, values, strict=True):
            best = _first_of_each_passage(starts, hits[hits >= 0], k)
            passages[row, : len(best)] = np.searchsorted(starts, hits[best], side="right") - 1
            scores[row, : len(best)] = row_scores[best]
            if len(best) < k and hits[-1] >= 0 and depth < total:
                remaining.append(row)
        open_rows, depth = remaining, 4 * depth
    return passages, scores


def _first_of_each_passage(starts: Ints, hits: Ints, k: int) -> Ints:
    """Places of the first window of each of the first k passages, in order."""
    passages = np.searchsorted(starts, hits, side="right") - 1
    _, first = np.unique(passages, return_index=True)
    places: Ints = np.sort(first)[:k].astype(np.int64)
    return places
