"""Keeping the mix of question types and answer lengths: weights of examples, and repeats of rare human labels.

A reader sure of some kinds of questions alone would be taught these alone by its own labels; weights keep the share of
every kind what it should be. Labels by people are repeated where a kind is rare, a reader's own never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.question_types import question_type

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LENGTHS: Final = ((0, "none"), (1, "1"), (3, "2-3"), (7, "4-7"))  # most words of an answer, and the name
LONGER: Final = "8+"


def strata(questions: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """For each question its kind: the type of question and the length of the answer in words, 0 where there is none."""
    return [f"{question_type(asked)} {_length(words)}" for asked, words in zip(questions, lengths, strict=True)]


def _length(words: int) -> str:
    return next((name for most, name in LENGTHS if words <= most), LONGER)


def weights(
    own: Sequence[str],
    wanted: Mapping[str, float],
    *,
    counts: Floats | None = None,
    often: Ints | None = None,
    low: float = 0.5,
    high: float = 3.0,
) -> Floats:
    """(N,) weights by which the kinds `own` of N examples get the shares `wanted`.

    An example counts as much as `counts` (N,) says, and as many times as `often` (N,) says: each once, without them.
    Its weight times its number of times is in `low`-`high`; where none is at a bound, the weighted shares are the
    wanted ones. A kind that is not wanted gets `low`; but where no question without an answer is wanted, as of a reader
    that always answers, those weigh 1 and take no part.
    """
    silent = not any(_is_none(kind) for kind in wanted)
    times = np.ones(len(own)) if often is None else often.astype(np.float64)
    masses = times if counts is None else times * counts
    held: Counter[str] = Counter()
    for kind, mass in zip(own, masses.tolist(), strict=True):
        if not (silent and _is_none(kind)):
            held[kind] += mass
    scale = sum(held.values()) / (sum(wanted.values()) or 1.0)
    ratios = [wanted.get(kind, 0.0) * scale / held[kind] if kind in held else 1.0 for kind in own]
    bounded: Floats = np.clip(np.array(ratios) * times, low, high) / times
    return np.where([kind in held for kind in own], bounded, 1.0)


def _is_none(kind: str) -> bool:
    return kind.endswith(f" {LENGTHS[0][1]}")


def repeats(own: Sequence[str], human: Bools, *, most: int = 3) -> Ints:
    """(N,) how often each example comes in an epoch: rare kinds of human labels up to `most` times, the others once.

    A kind is rare below the mean number of human labels of a kind, and comes as often as brings it nearest to that.
    """
    counts = Counter(kind for kind, by_human in zip(own, human, strict=True) if by_human)
    if not counts:
        return np.ones(len(own), dtype=np.int64)
    mean = sum(counts.values()) / len(counts)
    times = {kind: min(max(round(mean / count), 1), most) for kind, count in counts.items()}
    return np.array([times[kind] if by_human else 1 for kind, by_human in zip(own, human, strict=True)], dtype=np.int64)
