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
from math import ceil, comb
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mrc.calibration.selective import Bools, Floats

STEPS: Final = 20  # nested sets grow by 1/20 of the population
SLACK: Final = 0.02  # below the target: the largest set may look this much worse in the evidence
DEFAULT_COVERAGE: Final = 0.30  # of the largest set where the evidence shows no such set
MIN_EVIDENCE: Final = 20  # judged items at or above a confidence; with fewer, the mean confidence is the estimate


@dataclass(frozen=True, slots=True)
class SetTest:
    """The test of one nested set."""

    set: int  # its number, from 1
    size: int
    audited: int  # drawn items in it
    correct: int  # of these
    p_value: float
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
    """Sizes of the nested sets: steps of 5% of the population up to a coverage, and no further than `ranked` items."""
    steps = round(coverage * STEPS)
    sizes = [min(population * step // STEPS, ranked) for step in range(1, steps + 1)]
    return tuple(sorted({size for size in sizes if size > 0}))


def run_tests(
    sizes: Sequence[int], ranks: Sequence[int], correct: Sequence[bool], *, start: int, target: float, delta: float
) -> tuple[SetTest, ...]:
    """The tests in order, up to and with the first that fails.

    Args:
        sizes: of the nested sets, increasing.
        ranks: rank of each drawn item, from 0; one of rank r is in every set of more than r items.
        correct: whether it is right.
        start: place of the first set tested, from 0.
        target: precision that a set must have.
        delta: largest p-value that passes.
    """
    tests: list[SetTest] = []
    for place in range(start, len(sizes)):
        inside = [right for rank, right in zip(ranks, correct, strict=True) if rank < sizes[place]]
        p = p_value(sum(inside), audited=len(inside), size=sizes[place], target=target)
        tests.append(SetTest(place + 1, sizes[place], len(inside), sum(inside), p, p <= delta))
        if p > delta:
            break
    return tuple(tests)


def certified(tests: Sequence[SetTest]) -> SetTest | None:
    """The last test that passed; None if the first one failed."""
    passed = [test for test in tests if test.passed]
    return passed[-1] if passed else None


def unseen_bound(test: SetTest, *, target: float) -> float | None:
    """Lower bound of the precision of the items of a certified set that nobody audited; None where there are none.

    The set has at least `required` right items, of which the audit saw `correct`.
    """
    unseen = test.size - test.audited
    return None if unseen == 0 else max(0.0, (required(test.size, target=target) - test.correct) / unseen)


# --- planning: what the evidence of earlier answers suggests; no guarantee rests on it --------------------------------


def precision_by_set(
    sizes: Sequence[int], confidences: Sequence[float | None], evidence: Floats, right: Bools
) -> tuple[float | None, ...]:
    """The expected precision of each nested set, None where nothing is known.

    It is the share of right ones among judged items at or above the lowest confidence of the set; with fewer than
    MIN_EVIDENCE of these, the mean confidence of the set.

    Args:
        sizes: of the nested sets.
        confidences: of the ranked items, most confident first.
        evidence: confidences of items that are judged, by calibrators that had not seen them.
        right: whether these are right.
    """
    return tuple(_expected(confidences[:size], evidence, right) for size in sizes)


def _expected(inside: Sequence[float | None], evidence: Floats, right: Bools) -> float | None:
    import numpy as np

    known = [value for value in inside if value is not None]
    if len(known) < len(inside):
        return None
    above = np.asarray(evidence) >= known[-1]
    if above.sum() >= MIN_EVIDENCE:
        return float(np.asarray(right)[above].mean())
    return float(np.mean(known))


def largest_coverage(precisions: Sequence[float | None], *, target: float) -> float:
    """The largest coverage (precisions are of steps of 5%) whose expected precision is near the target or above it."""
    good = [step for step, each in enumerate(precisions, start=1) if each is not None and each >= target - SLACK]
    return good[-1] / STEPS if good else DEFAULT_COVERAGE


def choose_start(
    sizes: Sequence[int], precisions: Sequence[float | None], *, audits: int, target: float, delta: float
) -> int:
    """The place of the set whose test passes most probably, ties to the larger; the middle where nothing is known."""
    if any(each is None for each in precisions):
        return (len(sizes) - 1) // 2
    powers = [
        power(size, audited=_share(audits, size, sizes[-1]), precision=each or 0.0, target=target, delta=delta)
        for size, each in zip(sizes, precisions, strict=True)
    ]
    best = max(powers)
    return max(place for place, each in enumerate(powers) if each == best)


def _share(audits: int, size: int, largest: int) -> int:
    """How many of the drawn items are expected in a set."""
    return min(round(audits * size / largest), size)


def power(size: int, *, audited: int, precision: float, target: float, delta: float) -> float:
    """The probability that a set of this true precision passes its test."""
    passes = range(audited + 1)  # a test passes from some number of right ones on
    enough = bisect_left(passes, True, key=lambda k: p_value(k, audited=audited, size=size, target=target) <= delta)
    return _tail(enough, draws=audited, right=round(precision * size), size=size) if enough <= audited else 0.0


def expected_certified(
    sizes: Sequence[int],
    precisions: Sequence[float | None],
    *,
    start: int,
    audits: int,
    target: float,
    delta: float,
) -> int | None:
    """The size of the largest set that passes in more than half of the draws, as do all before it; 0 for none.

    None where the precisions are not known.
    """
    found = 0
    for size, each in list(zip(sizes, precisions, strict=True))[start:]:
        if each is None:
            return None
        audited = _share(audits, size, sizes[-1])
        if power(size, audited=audited, precision=each, target=target, delta=delta) <= 0.5:
            break
        found = size
    return found


def contradiction(correct: int, *, reviewed: int, size: int, right: int) -> float:
    """P(at most `correct` right ones among `reviewed` drawn at random from `size` items of which `right` are right)."""
    return 1.0 - _tail(correct + 1, draws=reviewed, right=right, size=size)
