"""The terms of passages that an earlier index has counted: they need not be cut again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer
from mrc.retrieve.bm25 import TermCounts
from mrc.retrieve.windows import Counts, unit_counts, windows
from mrc.types import Passage


class KnownCounts(Mapping[str, Sequence[Counts]]):
    """Passage id -> the terms of its documents and how often they stand there, from an earlier index."""

    def __init__(self, counts: TermCounts, starts: npt.NDArray[np.int64], ids: Sequence[str]) -> None:
        self._counts = counts
        self._terms = list(counts.vocabulary)
        self._starts = starts
        self._rows = {passage_id: row for row, passage_id in enumerate(ids)}

    def __getitem__(self, passage_id: str) -> Sequence[Counts]:
        row = self._rows[passage_id]
        return [self._document(document) for document in range(self._starts[row], self._starts[row + 1])]

    def _document(self, row: int) -> Counts:
        part = slice(self._counts.starts[row], self._counts.starts[row + 1])
        terms = [self._terms[column] for column in self._counts.columns[part].tolist()]
        return dict(zip(terms, self._counts.frequencies[part].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, passage_id: object) -> bool:
        return passage_id in self._rows


def counted(
    passages: Sequence[Passage], analyzer: Analyzer, known: Mapping[str, Sequence[Counts]], *, window_chars: int
) -> Iterator[Counts]:
    """The counts of all documents of the passages, in order; only what is not known is cut into terms."""
    new = [passage for passage in passages if passage.id not in known]
    counts = unit_counts(new, analyzer, window_chars=window_chars)
    for passage in passages:
        if passage.id in known:
            yield from known[passage.id]
        else:
            yield from itertools.islice(counts, len(windows(passage.text, window_chars=window_chars)))
