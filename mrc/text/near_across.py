"""Near-duplicates between the sides of a split, in memory that does not grow with the length of the texts.

Signatures (256 bytes a text) are all that is kept of every text; texts are fetched again where signatures are alike.
Source: see `near_duplicates`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.text import near_duplicates
from mrc.text.near_duplicates import BANDS, SIMILARITY, Hashes, NearDuplicate, shingles, signature

NEIGHBOURS: Final = 16  # texts of another side that a text is compared with in one bucket: work stays linear
ALIKE: Final = 3  # equal bands from which two texts are compared: at similarity .7, 2 in 10,000 pairs have fewer
_CHUNK: Final = 2000  # texts in memory at a time
_PAIRS: Final = 1000  # pairs compared at a time

Fetch = Callable[[Sequence[str]], Mapping[str, str]]


def near_across(
    sides: Mapping[str, str],
    fetch: Fetch,
    *,
    similarity: float = SIMILARITY,
    progress: Callable[[int], object] | None = None,
) -> list[NearDuplicate]:
    """The pairs of texts on two sides whose Jaccard index of shingles is at least `similarity`, most similar first.

    Of many texts in one bucket each is compared with the first `NEIGHBOURS` of every other side, so that the work grows
    with the number of texts: every text that has near-duplicates on another side is in a pair, not every pair is found.

    Args:
        sides: key of a text -> its side.
        fetch: the texts of some keys.
        similarity: above 0 and at most 1.
        progress: called with the number of texts read since the last call.
    """
    keys = sorted(sides)
    number = {side: place for place, side in enumerate(sorted(set(sides.values())))}
    signatures = _signatures(keys, fetch, progress)
    places = np.array([number[sides[key]] for key in keys], dtype=np.int64)
    found = [
        NearDuplicate(keys[one], keys[other], index)
        for one, other, index in compared(keys, _alike(signatures, places), fetch, near_duplicates.jaccard)
        if index >= similarity
    ]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def _signatures(keys: Sequence[str], fetch: Fetch, progress: Callable[[int], object] | None) -> NDArray[np.uint64]:
    """(N, BANDS) of all texts, read in chunks."""
    signatures = np.empty((len(keys), BANDS), dtype=np.uint64)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        texts = fetch(chunk)
        for row, key in enumerate(chunk, start=start):
            signatures[row] = signature(shingles(texts[key]))
        if progress:
            progress(len(chunk))
    return signatures


def _alike(signatures: NDArray[np.uint64], places: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of rows on two sides, the lower first, of which at least `ALIKE` bands are equal, in order."""
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        for pair in bucket_pairs(signatures[:, band], places):
            if pair not in found and int(np.sum(signatures[pair[0]] == signatures[pair[1]])) >= ALIKE:
                found.add(pair)
    return sorted(found)


def bucket_pairs(values: NDArray[np.uint64], places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of rows with one band value on two sides: of two sides, each row with the first rows of the other."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(values[order][1:] != values[order][:-1], [True])) + 1
    for start, end in zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True):
        if end - start < 2:
            continue
        members: defaultdict[int, list[int]] = defaultdict(list)
        for row in order[start:end].tolist():
            members[int(places[row])].append(row)
        for side, rows in members.items():
            for other in (each for each in members if each != side):
                for row in rows:
                    yield from ((min(row, first), max(row, first)) for first in members[other][:NEIGHBOURS])


def compared(
    keys: Sequence[str], pairs: Sequence[tuple[int, int]], fetch: Fetch, measure: Callable[[Hashes, Hashes], float]
) -> Iterator[tuple[int, int, float]]:
    """Each pair of rows with the measure of its texts' shingles; few texts are in memory at a time."""
    for start in range(0, len(pairs), _PAIRS):
        part = pairs[start : start + _PAIRS]
        texts = fetch(sorted({keys[row] for pair in part for row in pair}))
        shingled = {key: shingles(text) for key, text in texts.items()}
        for one, other in part:
            yield one, other, measure(shingled[keys[one]], shingled[keys[other]])
