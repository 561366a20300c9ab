"""Passages as the documents of an index: whole or as overlapping windows, with the terms of their titles.

A long passage dilutes what it says of one thing. Its windows are ranked instead, and it stands where the best of them
does. Source: Dai & Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019
(MaxP); there over a neural scorer.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer
from mrc.retrieve.bm25 import TermCounts
from mrc.types import Passage

Ints = npt.NDArray[np.int64]
Search = Callable[[Sequence[str], int], tuple[Ints, npt.NDArray[np.float32]]]
Span = tuple[int, int]
Counts = Mapping[str, int]

_SENTENCE_END = re.compile(r"[.?!…。！？][\"'”’」』)\]]*\s+|[。！？]|\n\s*")


def sentences(text: str) -> list[Span]:
    """The sentences of a text as `[start, end)`, white space behind each with it; joined they are the text."""
    places = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in pairwise(sorted(set(places)))]


def sentence_windows(text: str, size: int) -> list[Span]:
    """Every `size` neighbouring sentences; the whole text where it has no more than that."""
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    found = sentences(text)
    if len(found) <= size:
        return [(0, len(text))]
    return [(found[first][0], found[first + size - 1][1]) for first in range(len(found) - size + 1)]


def windows(text: str, *, window_chars: int) -> list[Span]:
    """Overlapping windows of at most `window_chars` code points; the whole text where it is no longer, or with 0.

    A window ends at a sentence end in its second half, else at white space there, else hard. The next begins at a
    sentence or word about half a window further on, so that what stands across the end of one is whole in the next.
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


def unit_starts(passages: Sequence[Passage], *, window_chars: int) -> Ints:
    """(N + 1,) passage n has the documents `starts[n]:starts[n + 1]`."""
    counts = [len(windows(passage.text, window_chars=window_chars)) for passage in passages]
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


def unit_counts(passages: Iterable[Passage], analyzer: Analyzer, *, window_chars: int) -> Iterator[Counts]:
    """Term -> frequency of each document, in the order of `unit_starts`, without titles."""
    spans = ((passage.text, span) for passage in passages for span in windows(passage.text, window_chars=window_chars))
    return map(Counter, analyzer.terms(text[start:end] for text, (start, end) in spans))


def title_counts(passages: Sequence[Passage], analyzer: Analyzer) -> list[Counts]:
    """(N,) term -> frequency of each passage's title; each title is cut into terms once."""
    titles = list(dict.fromkeys(passage.title for passage in passages))
    found = {title: Counter(terms) for title, terms in zip(titles, analyzer.terms(titles), strict=True)}
    return [found[passage.title] for passage in passages]


def with_title(text: Counts, title: Counts, *, title_weight: int) -> Counts:
    """The counts of a text with those of its title added `title_weight` times; the text's terms come first."""
    if not title_weight or not title:
        return text
    both = dict(text)
    for term, count in title.items():
        both[term] = both.get(term, 0) + title_weight * count
    return both


def with_titles(counts: TermCounts, starts: Ints, titles: Sequence[Counts], *, title_weight: int) -> TermCounts:
    """The counts of documents with those of their passages' titles (N,) added `title_weight` times."""
    if not title_weight:
        return counts
    of_document = np.repeat(np.arange(len(titles)), np.diff(starts)).tolist()
    return TermCounts.of(
        with_title(text, titles[passage], title_weight=title_weight)
        for text, passage in zip(document_counts(counts), of_document, strict=True)
    )


def renumbered(counts: TermCounts, vocabulary: Mapping[str, int]) -> TermCounts:
    """The same counts with the columns of a vocabulary that holds all their terms."""
    if vocabulary is counts.vocabulary:
        return counts
    columns = np.array([vocabulary[term] for term in counts.vocabulary], dtype=np.int32)
    return TermCounts(vocabulary, counts.starts, columns[counts.columns], counts.frequencies)


def document_counts(counts: TermCounts) -> Iterator[Counts]:
    """Term -> frequency of each document, as they were given to `TermCounts.of`."""
    terms = list(counts.vocabulary)
    for start, end in pairwise(counts.starts.tolist()):
        columns = counts.columns[start:end].tolist()
        yield dict(zip((terms[column] for column in columns), counts.frequencies[start:end].tolist(), strict=True))


def search_folded(search: Search, starts: Ints, queries: Sequence[str], k: int) -> tuple[Ints, npt.NDArray[np.float32]]:
    """(Q, k) passages and (Q, k) scores, from a search over their documents: each by its best one.

    Exact: deeper searches follow for the queries whose documents found so far are of fewer than `k` passages. Equal
    scores by lowest passage; padded as `BM25.search` pads.
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
        for row, documents, row_scores in zip(open_rows, found, values, strict=True):
            best = _first_of_each(starts, documents[documents >= 0], k)
            passages[row, : len(best)] = np.searchsorted(starts, documents[best], side="right") - 1
            scores[row, : len(best)] = row_scores[best]
            if len(best) < k and documents[-1] >= 0 and depth < total:
                remaining.append(row)
        open_rows, depth = remaining, 4 * depth
    return passages, scores


def _first_of_each(starts: Ints, documents: Ints, k: int) -> Ints:
    """Places of the first document of each of the first k passages, in order."""
    of_passage = np.searchsorted(starts, documents, side="right") - 1
    _, first = np.unique(of_passage, return_index=True)
    places: Ints = np.sort(first)[:k].astype(np.int64)
    return places
