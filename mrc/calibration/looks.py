"""Interim looks at an audit, fixed before it begins: exact tests of a set after each part of the sample.

The error probability is spent as by O'Brien and Fleming, little at first: at the look after a share t of the audits,
`2 - 2 Phi(z / sqrt(t))` of it may have been spent, with z the normal quantile of `1 - delta / 2` (Lan & DeMets 1983,
Discrete sequential boundaries for clinical trials). The bounds themselves are exact: the audited answers of a set are
in random order, so every sequence of right and wrong ones with equal counts is equally probable, and the sequences
that have not passed at any look before are counted by dynamic programming over the number of right ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, perm, sqrt
from statistics import NormalDist
from typing import Final

LOOKS: Final = 4  # of an audit with looks: after each quarter


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an audit."""

    audits: int  # judged by then
    level: float  # of the error probability that may be spent by then: a set passes at this p-value or less


def planned_looks(audits: int, *, delta: float, count: int = 1) -> tuple[Look, ...]:
    """`count` looks at equal distances, the last of them at the end with all of delta."""
    ends = sorted({ceil(audits * number / count) for number in range(1, count + 1)})
    return tuple(Look(end, delta if end == audits else _spent(end / audits, delta=delta)) for end in ends)


def _spent(share: float, *, delta: float) -> float:
    normal = NormalDist()
    if delta / 2 == 0:  # the smallest float: nothing is left to spend before the end
        return 0.0
    return 2 * normal.cdf(normal.inv_cdf(delta / 2) / sqrt(share))


@lru_cache(maxsize=1 << 14)
def p_values(
    correct: tuple[int, ...], *, audited: tuple[int, ...], size: int, right: int, levels: tuple[float, ...]
) -> tuple[float, ...]:
    """The p-value of a set at each look, up to and with the first at which it passes. Exact, each rounded once.

    It is the probability that a set with `right` right items passes at an earlier look, or has at least so many
    right ones at this one. It falls with `right`, so for sets that miss a target the largest such number is the worst.

    Args:
        correct: right ones among the audited items of the set, by each look.
        audited: audited items of the set by each look; they do not fall.
        size: items of the set.
        right: right items of a set that just misses the target.
        levels: the p-value at which the set passes, of each look; they do not fall.
    """
    found: list[float] = []
    unpassed = [1]  # sequences of right and wrong items that passed at no look, by the number of right ones
    passed, seen = 0, 0  # ways to have passed before, of perm(size, seen)
    for count, items, level in zip(correct, audited, levels, strict=True):
        unpassed = _extended(unpassed, items - seen)
        passed *= perm(size - seen, items - seen)
        seen, ways = items, perm(size, items)
        tails = [passed + tail for tail in _tails(unpassed, items, right=right, wrong=size - right)]
        found.append(tails[count] / ways)
        if found[-1] <= level:
            break
        bound = bisect_left(tails, True, hi=len(unpassed), key=lambda tail: tail / ways <= level)
        unpassed, passed = unpassed[:bound], tails[bound]
    return tuple(found)


def _extended(sequences: Sequence[int], items: int) -> list[int]:
    """The number of sequences with `items` more items, by the number of right ones."""
    ways = [comb(items, more) for more in range(items + 1)]
    found = [0] * (len(sequences) + items)
    for count, known in enumerate(sequences):
        for more, each in enumerate(ways):
            found[count + more] += known * each
    return found


def _tails(sequences: Sequence[int], items: int, *, right: int, wrong: int) -> list[int]:
    """Ways to draw `items` in order that make one of these sequences with at least k right ones; k = 0, 1, …, none."""
    rights, wrongs = _falling(right, items), _falling(wrong, items)
    tails = [0]
    for count in range(len(sequences) - 1, -1, -1):
        tails.append(tails[-1] + sequences[count] * rights[count] * wrongs[items - count])
    return tails[::-1]


def _falling(items: int, most: int) -> list[int]:
    """perm(items, k) for k = 0, 1, …, most."""
    found = [1]
    for count in range(most):
        found.append(found[-1] * max(items - count, 0))
    return found
