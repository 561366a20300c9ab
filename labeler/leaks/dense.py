"""Passages on two sides whose vectors are close: the same content in other words.

The vectors are those of the index, read from its memory-mapped file in blocks. The work grows with the trained passages
times the held-out ones, a matrix product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from labeler.leaks.search import Leak, leak
from labeler.leaks.sides import ORDER, Item
from mrc.retrieve.dense.vectors import Vectors

CLOSE: Final = 0.9  # of the way from the mean cosine of random passages to 1, from which two passages are close
RARE: Final = 0.999  # quantile of the cosines of random pairs below which no pair is close
_RANDOM_PAIRS: Final = 20_000
_BLOCK: Final = 4096  # vectors of either side in memory at a time


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """Unit vectors `(N, D)`, memory-mapped, and the id of each row's passage, ascending."""

    ids: Sequence[str]
    vectors: Vectors

    def rows(self, items: Sequence[Item]) -> tuple[list[Item], NDArray[np.int64]]:
        """The items that have a vector, and their rows."""
        places = np.searchsorted(self.ids, [item.key for item in items]) if items else np.empty(0, dtype=np.int64)
        kept = [(item, row) for item, row in zip(items, places.tolist(), strict=True) if self._holds(row, item.key)]
        return [item for item, _ in kept], np.array([row for _, row in kept], dtype=np.int64)

    def _holds(self, row: int, key: str) -> bool:
        return row < len(self.ids) and self.ids[row] == key


def threshold(vectors: Vectors) -> float:
    """The cosine from which two passages are close: `CLOSE` of the way from the mean cosine of random pairs to 1.

    Encoders differ in how far apart unrelated texts are, so a fixed cosine would mean something else for each. It is
    never below the `RARE` quantile of random pairs.
    """
    if len(vectors) < 2:
        return 1.0
    rng = np.random.default_rng(0)
    one = rng.integers(0, len(vectors), size=_RANDOM_PAIRS)
    other = (one + rng.integers(1, len(vectors), size=_RANDOM_PAIRS)) % len(vectors)
    cosines = np.concatenate(
        [
            np.einsum("nd,nd->n", vectors[one[start : start + _BLOCK]], vectors[other[start : start + _BLOCK]])
            for start in range(0, _RANDOM_PAIRS, _BLOCK)
        ]
    )
    mean = float(np.mean(cosines))
    return min(1.0, max(mean + CLOSE * (1 - mean), float(np.quantile(cosines, RARE))))


def dense_leaks(items: Sequence[Item], passages: PassageVectors, limit: float) -> list[Leak]:
    """For each passage the closest one of every stricter side, where their cosine is at least `limit`; best first."""
    levels: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        levels[item.level].append(item)
    ordered = sorted(levels, key=lambda level: ORDER.index(levels[level][0].side))
    found = [
        leak("passage", a, b, cosine, "dense")
        for one, other in combinations(ordered, 2)
        for a, b, cosine in _closest(levels[one], levels[other], passages, limit)
        if a.identity != b.identity
    ]
    return sorted(found, key=lambda each: (-each.similarity, each.a, each.b, each.sides))


def _closest(
    some: Sequence[Item], others: Sequence[Item], passages: PassageVectors, limit: float
) -> Iterator[tuple[Item, Item, float]]:
    """(item, the closest of the others, cosine) of the items that have one at or above the limit."""
    left, left_rows = passages.rows(some)
    right, right_rows = passages.rows(others)
    if not right:
        return
    for start in range(0, len(left), _BLOCK):
        mine = passages.vectors[left_rows[start : start + _BLOCK]]
        best, whose = np.full(len(mine), -np.inf), np.zeros(len(mine), dtype=np.int64)
        for first in range(0, len(right), _BLOCK):
            cosines = mine @ passages.vectors[right_rows[first : first + _BLOCK]].T
            top = cosines.argmax(axis=1)
            value = cosines[np.arange(len(mine)), top]
            whose[value > best], best = (top + first)[value > best], np.maximum(best, value)
        for row in np.flatnonzero(best >= limit).tolist():
            yield left[start + row], right[int(whose[row])], min(1.0, float(best[row]))
