"""Texts of which one holds the other, between the sides of a split.

A long text that holds a short one shares few of all its shingles with it, so the Jaccard index does not find it. The
fingerprints of a text are the lowest hashes of runs of `SPAN` characters in each window of `WINDOW` such runs: whatever
stands in two texts over `SPAN + WINDOW - 1` characters gives both the same one.
Source: Schleimer, Wilkerson & Aiken 2003, "Winnowing: local algorithms for document fingerprinting".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.text.near_across import Fetch, bucket_pairs, compared
from mrc.text.near_duplicates import Hashes, NearDuplicate, gram_hashes

SPAN: Final = 24  # characters of a run, white space left out
WINDOW: Final = 16  # runs of which one is kept
CONTAINED: Final = 0.9  # share of a text's shingles from which another one holds it
_SHARED: Final = 0.5  # of its fingerprints, from which the two are compared
_CHUNK: Final = 2000  # texts in memory at a time


def contained_across(sides: Mapping[str, str], fetch: Fetch, *, share: float = CONTAINED) -> list[NearDuplicate]:
    """The pairs of texts on two sides of which one holds at least `share` of the other's shingles, the most held first.

    `similarity` is that share. Texts of fewer than `SPAN + WINDOW - 1` characters are in no pair. As in `near_across`,
    every such text is in a pair, not every pair is found.
    """
    keys = sorted(sides)
    number = {side: place for place, side in enumerate(sorted(set(sides.values())))}
    rows, values, sizes = _fingerprints(keys, fetch)
    places = np.array([number[sides[key]] for key in keys], dtype=np.int64)
    shared = Counter((int(rows[one]), int(rows[other])) for one, other in set(bucket_pairs(values, places[rows])))
    alike = sorted(pair for pair, count in shared.items() if count >= _SHARED * min(sizes[pair[0]], sizes[pair[1]]))
    found = [
        NearDuplicate(keys[one], keys[other], held)
        for one, other, held in compared(keys, alike, fetch, _held)
        if held >= share
    ]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def _fingerprints(keys: Sequence[str], fetch: Fetch) -> tuple[NDArray[np.int64], Hashes, list[int]]:
    """All fingerprints (M,) with the row of their text (M,), and how many each text has."""
    found: list[Hashes] = []
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        texts = fetch(chunk)
        found += [fingerprints(texts[key]) for key in chunk]
    sizes = [each.size for each in found]
    values = np.concatenate(found) if found else np.empty(0, dtype=np.uint64)
    return np.repeat(np.arange(len(found)), sizes), values, sizes


def fingerprints(text: str) -> Hashes:
    """The distinct fingerprints of a text, ascending; none of a short one."""
    hashes = gram_hashes(text, SPAN)
    if hashes.size < WINDOW:
        return np.empty(0, dtype=np.uint64)
    lowest: Hashes = np.lib.stride_tricks.sliding_window_view(hashes, WINDOW).min(axis=1)
    return np.unique(lowest)


def _held(one: Hashes, other: Hashes) -> float:
    """The share of the shorter text's shingles that the other one has, 0-1."""
    return float(np.intersect1d(one, other, assume_unique=True).size / min(one.size, other.size))
