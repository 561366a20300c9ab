"""Term counts of documents: what a BM25 index is computed from, counted once and reused by later indexes.

A document of the counts is a window of a passage, or the whole passage (`mrc.retrieve.windows`).
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer
from mrc.retrieve.windows import windows
from mrc.types import Passage

Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Counts = Mapping[str, int]  # term -> frequency in one document


@dataclass(frozen=True, slots=True, eq=False)
class TermCounts:
    """Term frequencies of N documents as P postings, in document order, within a document by first occurrence."""

    vocabulary: Mapping[str, int]  # term -> term id, in order of first occurrence
    starts: Ints  # (N + 1,) document d has the postings starts[d]:starts[d + 1]
    term_ids: Int32s  # (P,)
    frequencies: Int32s  # (P,)

    @classmethod
    def of(cls, documents: Iterable[Counts]) -> TermCounts:
        """The counts of documents given as term -> frequency."""
        vocabulary: defaultdict[str, int] = defaultdict()
        vocabulary.default_factory = vocabulary.__len__  # a new term gets the next id
        starts, term_ids, frequencies = array("q", [0]), array("i"), array("i")
        for counts in documents:
            term_ids.extend(map(vocabulary.__getitem__, counts))
            frequencies.extend(counts.values())
            starts.append(len(term_ids))
        arrays = [
            np.frombuffer(part, dtype=np.int32) if part else np.empty(0, np.int32) for part in (term_ids, frequencies)
        ]
        return cls(dict(vocabulary), np.frombuffer(starts, dtype=np.int64), *arrays)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        return f"TermCounts({len(self):,} documents, {len(self.vocabulary):,} terms)"

    def lengths(self) -> Ints:
        """(N,) number of terms in each document, repetitions counted."""
        lengths = np.zeros(len(self), dtype=np.int64)
        filled = np.flatnonzero(np.diff(self.starts))
        lengths[filled] = np.add.reduceat(self.frequencies, self.starts[filled], dtype=np.int64)
        return lengths

    def documents(self) -> Iterator[Counts]:
        """Term -> frequency of each document, as they were given to `of`."""
        terms = list(self.vocabulary)
        for start, end in pairwise(self.starts.tolist()):
            found = (terms[term_id] for term_id in self.term_ids[start:end].tolist())
            yield dict(zip(found, self.frequencies[start:end].tolist(), strict=True))

    def with_vocabulary(self, vocabulary: Mapping[str, int]) -> TermCounts:
        """The same counts under the ids of a larger vocabulary."""
        if vocabulary is self.vocabulary:
            return self
        ids = np.array([vocabulary[term] for term in self.vocabulary], dtype=np.int32)
        return TermCounts(vocabulary, self.starts, ids[self.term_ids], self.frequencies)


def window_counts(passages: Iterable[Passage], analyzer: Analyzer, *, window_chars: int) -> Iterator[Counts]:
    """Term -> frequency of each window, in the order of `windows.window_starts`, without titles."""
    spans = ((passage.text, span) for passage in passages for span in windows(passage.text, window_chars=window_chars))
    return map(Counter, analyzer.terms(text[start:end] for text, (start, end) in spans))


def title_counts(passages: Sequence[Passage], analyzer: Analyzer) -> list[Counts]:
    """(N,) term -> frequency of each passage's title; equal titles are analysed once."""
    titles = list(dict.fromkeys(passage.title for passage in passages))
    found = {title: Counter(terms) for title, terms in zip(titles, analyzer.terms(titles), strict=True)}
    return [found[passage.title] for passage in passages]


def with_title(text: Counts, title: Counts, *, title_weight: int) -> Counts:
    """The counts of a text plus `title_weight` times those of its title; the text's terms come first."""
    if not title_weight or not title:
        return text
    both = dict(text)
    for term, count in title.items():
        both[term] = both.get(term, 0) + title_weight * count
    return both


def with_titles(counts: TermCounts, starts: Ints, titles: Sequence[Counts], *, title_weight: int) -> TermCounts:
    """The counts of windows plus `title_weight` times those of their passages' titles (N,)."""
    if not title_weight:
        return counts
    passages = np.repeat(np.arange(len(titles)), np.diff(starts)).tolist()
    return TermCounts.of(
        with_title(text, titles[passage], title_weight=title_weight)
        for text, passage in zip(counts.documents(), passages, strict=True)
    )


class CountsById(Mapping[str, Sequence[Counts]]):
    """Passage id -> the counts of its windows, read from an earlier index."""

    def __init__(self, counts: TermCounts, starts: Ints, ids: Sequence[str]) -> None:
        self._counts = counts
        self._terms = list(counts.vocabulary)
        self._starts = starts
        self._rows = {passage_id: row for row, passage_id in enumerate(ids)}

    def __getitem__(self, passage_id: str) -> Sequence[Counts]:
        row = self._rows[passage_id]
        return [self._window(window) for window in range(self._starts[row], self._starts[row + 1])]

    def _window(self, window: int) -> Counts:
        part = slice(self._counts.starts[window], self._counts.starts[window + 1])
        terms = [self._terms[term_id] for term_id in self._counts.term_ids[part].tolist()]
        return dict(zip(terms, self._counts.frequencies[part].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, passage_id: object) -> bool:
        return passage_id in self._rows


def count_passages(
    passages: Sequence[Passage], analyzer: Analyzer, known: Mapping[str, Sequence[Counts]], *, window_chars: int
) -> Iterator[Counts]:
    """The counts of all windows of the passages, in order; only passages not in `known` are analysed."""
    new = [passage for passage in passages if passage.id not in known]
    counts = window_counts(new, analyzer, window_chars=window_chars)
    for passage in passages:
        if passage.id in known:
            yield from known[passage.id]
        else:
            yield from itertools.islice(counts, len(windows(passage.text, window_chars=window_chars)))
