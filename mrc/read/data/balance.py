"""Balanced strata of question type and answer length: weights of examples, and repeats of rare human labels.

A reader that is confident only on some strata would train on these alone through its pseudo-labels; weights restore the
share of every stratum. Human labels of rare strata are repeated, pseudo-labels never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.text.question_types import question_type

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LENGTHS: Final = ((0, "none"), (1, "1"), (3, "2-3"), (7, "4-7"))  # largest number of words, name of the class
LONGER: Final = "8+"


def strata(questions: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """The stratum of each question: its type and the length class of its answer; `lengths` in words, 0 for none."""
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
    """Weights (N,) that give the strata `own` of N examples the shares `wanted`.

    An example counts `counts` (N,), default 1, and occurs `often` (N,) times, default once. Its weight times its number
    of occurrences is in `low`-`high`; where none is at a bound, the weighted shares are the wanted ones. A stratum that
    is not wanted gets `low`. Where no stratum without answer is wanted, as of a reader that always answers, examples
    without answer have weight 1 and do not count.
    """
    always_answers = not any(_is_none(kind) for kind in wanted)
    times = np.ones(len(own)) if often is None else often.astype(np.float64)
    masses = times if counts is None else times * counts
    held: Counter[str] = Counter()
    for kind, mass in zip(own, masses.tolist(), strict=True):
        if not (always_answers and _is_none(kind)):
            held[kind] += mass
    scale = sum(held.values()) / (sum(wanted.values()) or 1.0)
    ratios = [wanted.get(kind, 0.0) * scale / held[kind] if kind in held else 1.0 for kind in own]
    bounded: Floats = np.clip(np.array(ratios) * times, low, high) / times
    return np.where([kind in held for kind in own], bounded, 1.0)


def _is_none(kind: str) -> bool:
    return kind.endswith(f" {LENGTHS[0][1]}")


def repeats(own: Sequence[str], human: Bools, *, most: int = 3) -> Ints:
    """How often each example occurs in an epoch (N,): human labels of rare strata up to `most` times, others once.

    A stratum is rare with fewer human labels than the mean of all strata, and is repeated to come closest to that mean.
    """
    counts = Counter(kind for kind, by_human in zip(own, human, strict=True) if by_human)
    if not counts:
        return np.ones(len(own), dtype=np.int64)
    mean = sum(counts.values()) / len(counts)
    times = {kind: min(max(round(mean / count), 1), most) for kind, count in counts.items()}
    return np.array([times[kind] if by_human else 1 for kind, by_human in zip(own, human, strict=True)], dtype=np.int64)
