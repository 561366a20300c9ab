"""Certified precision of the most confident part of a finite population: exact tests in an order fixed beforehand.

The population is ranked, and nested sets of its most confident items are fixed before anything is drawn. A uniform
random sample of the largest set is judged. Set after set is tested; the first that fails ends the tests, and the last
that passed is certified. The guarantee is over the draw alone: it holds for every ranking and every pattern of errors.

In kind it is acceptance sampling of one lot by limiting quality (ISO 2859-2) and a risk-limiting audit. No correction
for the number of sets is needed: the first set in the order that misses the target would have to be accepted first.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import ceil, comb
from typing import Final

from mrc.calibration.looks import Look, p_values

STEPS: Final = 40  # nested sets grow by 1/40 of the population


@dataclass(frozen=True, slots=True)
class SetTest:
    """The test of one nested set."""

    set: int  # its number, from 1
    size: int
    look: int  # at which it passed, or the last one; from 1
    audited: int  # drawn items in it by then
    correct: int  # of these
    p_value: float
    level: float  # it passes at this p-value or less
    passed: bool


def exact(rate: float) -> Fraction:
    """The decimal number that people wrote for a rate: `0.85` is 17/20, not its nearest binary fraction."""
    return Fraction(repr(float(rate)))


def required(size: int, *, target: float) -> int:
    """The fewest right items with which a set of `size` items meets the target."""
    return ceil(exact(target) * size)


@lru_cache(maxsize=1 << 16)
def p_value(correct: int, *, audited: int, size: int, target: float) -> float:
    """P(at least `correct` right ones among `audited`), if the set just misses the target. Exact.

    X is hypergeometric: `audited` draws without replacement from `size` items, `required - 1` of which are right.
    Fewer right ones make X smaller, so this is the largest probability over all sets that miss the target.

    Raises ValueError unless 0 <= correct <= audited <= size and 0 < target <= 1.
    """
    if not 0 <= correct <= audited <= size or not 0 < target <= 1:
        raise ValueError(f"correct {correct}, audited {audited}, size {size}, target {target}: out of range")
    right = required(size, target=target) - 1
    return _tail(correct, draws=audited, right=right, size=size)


def _tail(least: int, *, draws: int, right: int, size: int) -> float:
    """P(X >= least), X ~ Hypergeometric(size, right, draws), from integers: rounded once."""
    low, high = max(least, draws - (size - right), 0), min(draws, right)
    if least <= max(0, draws - (size - right)):
        return 1.0
    if low > high:
        return 0.0
    ways = comb(right, low) * comb(size - right, draws - low)
    total = 0
    for k in range(low, high + 1):
        total += ways
        ways = ways * (right - k) * (draws - k) // ((k + 1) * (size - right - draws + k + 1))
    return total / comb(size, draws)


def draw(ids: Iterable[str], count: int, *, seed: str) -> list[str]:
    """A uniform sample without replacement, in the order of drawing: the ids with the lowest SHA-256 of `seed:id`.

    Anybody can repeat it in any language. Raises ValueError for fewer ids than `count`.
    """
    ordered = sorted(ids, key=lambda key: (hashlib.sha256(f"{seed}:{key}".encode()).digest(), key))
    if len(ordered) < count:
        raise ValueError(f"{count} of {len(ordered)} items cannot be drawn")
    return ordered[:count]


def nested_sizes(population: int, *, ranked: int, coverage: float) -> tuple[int, ...]:
    """Sizes of the nested sets: steps of 2.5% of the population up to a coverage and to `ranked` items."""
    steps = round(coverage * STEPS)
    sizes = [min(population * step // STEPS, ranked) for step in range(1, steps + 1)]
    return tuple(sorted({size for size in sizes if size > 0}))


def run_tests(
    sizes: Sequence[int],
    ranks: Sequence[int],
    correct: Sequence[bool],
    *,
    start: int,
    target: float,
    looks: Sequence[Look],
) -> tuple[SetTest, ...]:
    """The tests in order, up to and with the first set that passed at no look.

    A set that misses the target passes at any look with a probability of at most the last level, whenever the audit
    ends and whatever the other sets do; so which of the looks are done may depend on what they show.

    Args:
        sizes: of the nested sets, increasing.
        ranks: rank of each drawn item, from 0, in the order of the draw; one of rank r is in every set of more items.
        correct: whether it is right.
        start: place of the first set tested, from 0.
        target: precision that a set must have.
        looks: those that are done.
    """
    seen = [_Seen.of(ranks[: look.audits], correct[: look.audits]) for look in looks]
    tests: list[SetTest] = []
    for place in range(start, len(sizes)):
        tests.append(_test(place + 1, sizes[place], seen, target=target, looks=looks))
        if not tests[-1].passed:
            break
    return tuple(tests)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The items drawn by a look."""

    ranks: list[int]  # increasing
    right: list[int]  # right ones among the first k, for k = 0, 1, …

    @classmethod
    def of(cls, ranks: Sequence[int], correct: Sequence[bool]) -> _Seen:
        rows = sorted(zip(ranks, correct, strict=True))
        return cls([rank for rank, _ in rows], list(accumulate((right for _, right in rows), initial=0)))

    def inside(self, size: int) -> tuple[int, int]:
        """How many of them are in a set of this size, and how many of these are right."""
        count = bisect_left(self.ranks, size)
        return count, int(self.right[count])


def _test(number: int, size: int, seen: Sequence[_Seen], *, target: float, looks: Sequence[Look]) -> SetTest:
    """The test of one set by what was seen at each look."""
    counts = [each.inside(size) for each in seen]
    audited, correct = tuple(count for count, _ in counts), tuple(right for _, right in counts)
    found = _p_values(correct, audited, size, target, tuple(look.level for look in looks))
    last = len(found) - 1
    level = looks[last].level
    return SetTest(number, size, last + 1, audited[last], correct[last], found[last], level, found[last] <= level)


def _p_values(
    correct: tuple[int, ...], audited: tuple[int, ...], size: int, target: float, levels: tuple[float, ...]
) -> tuple[float, ...]:
    if len(levels) == 1:
        return (p_value(correct[0], audited=audited[0], size=size, target=target),)
    return p_values(correct, audited=audited, size=size, right=required(size, target=target) - 1, levels=levels)


def certified(tests: Sequence[SetTest]) -> SetTest | None:
    """The last test that passed; None if the first one failed."""
    passed = [test for test in tests if test.passed]
    return passed[-1] if passed else None


def unseen_bound(size: int, *, audited: int, correct: int, target: float) -> float | None:
    """Lower bound of the precision of the items of a certified set that nobody audited; None where there are none.

    The set has at least `required` right items, of which the audit saw `correct`.
    """
    unseen = size - audited
    return None if unseen == 0 else max(0.0, (required(size, target=target) - correct) / unseen)


def contradiction(correct: int, *, reviewed: int, size: int, right: int) -> float:
    """P(at most `correct` right ones among `reviewed` drawn at random from `size` items of which `right` are right)."""
    return 1.0 - _tail(correct + 1, draws=reviewed, right=right, size=size)
