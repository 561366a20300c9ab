"""Interim looks: exact p-values, and a promise that holds whatever the ranking and whenever the audit ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom, norm

from mrc.calibration.certification import SetTest, certified, p_value, required, run_tests
from mrc.calibration.looks import LOOKS, Look, p_values, planned_looks

Parts = tuple[tuple[int, ...], ...]


# --- the plan --------------------------------------------------------------------------------------------------------


def test_looks_are_after_each_quarter_and_the_last_has_all_of_delta() -> None:
    looks = planned_looks(300, delta=0.1, count=LOOKS)
    assert [look.audits for look in looks] == [75, 150, 225, 300]
    assert looks[-1].level == 0.1
    assert planned_looks(300, delta=0.1) == (Look(300, 0.1),)
    assert [look.audits for look in planned_looks(150, delta=0.1, count=4)] == [38, 75, 113, 150]
    assert [look.audits for look in planned_looks(3, delta=0.1, count=4)] == [1, 2, 3]


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.1, 0.5])
def test_delta_is_spent_as_by_o_brien_and_fleming(delta: float) -> None:
    levels = [look.level for look in planned_looks(400, delta=delta, count=4)]
    z = norm.isf(delta / 2)
    assert levels[:3] == pytest.approx([2 * norm.sf(z / share**0.5) for share in (0.25, 0.5, 0.75)])
    assert levels == sorted(levels)
    assert levels[0] < delta / 2


# --- p-values by counting ---------------------------------------------------------------------------------------------


def divisions(items: Sequence[int], parts: Sequence[int]) -> Iterator[Parts]:
    """All ways to draw parts of these sizes, one after the other."""
    if not parts:
        yield ()
        return
    for first in combinations(items, parts[0]):
        rest = [item for item in items if item not in first]
        for others in divisions(rest, parts[1:]):
            yield first, *others


def counted(correct: Sequence[int], parts: Sequence[int], *, size: int, right: int, levels: Sequence[float]) -> float:
    """The p-value at the last of these looks by its definition, from the p-values of those before."""
    ends = [sum(parts[: look + 1]) for look in range(len(parts))]
    bounds = []
    for look in range(len(parts) - 1):
        tried = (
            counted([*correct[:look], k], parts[: look + 1], size=size, right=right, levels=levels)
            for k in range(ends[look] + 1)
        )
        bounds.append(next((k for k, p in enumerate(tried) if p <= levels[look]), ends[look] + 1))
    passed = total = 0
    for division in divisions(range(size), parts):
        so_far = np.cumsum([sum(item < right for item in part) for part in division])
        total += 1
        early = any(count >= bound for count, bound in zip(so_far[:-1], bounds, strict=True))
        passed += early or so_far[-1] >= correct[-1]
    return float(Fraction(passed, total))


@pytest.mark.parametrize(
    ("correct", "parts", "size", "right", "levels"),
    [
        ((2, 3), (2, 2), 8, 5, (0.2, 0.5)),
        ((1, 4), (2, 2), 8, 5, (0.4, 0.4)),
        ((1, 2, 4), (2, 1, 2), 8, 5, (0.05, 0.4, 0.5)),
        ((0, 2, 3), (1, 2, 2), 7, 6, (0.1, 0.2, 0.3)),
        ((0, 0, 2), (0, 2, 2), 6, 3, (0.01, 0.25, 0.5)),
    ],
)
def test_p_values_are_those_of_counting_all_draws(
    correct: tuple[int, ...], parts: tuple[int, ...], size: int, right: int, levels: tuple[float, ...]
) -> None:
    audited = tuple(sum(parts[: look + 1]) for look in range(len(parts)))
    found = p_values(correct, audited=audited, size=size, right=right, levels=levels)
    for look, p in enumerate(found):
        upto = slice(look + 1)
        assert p == counted(correct[upto], parts[upto], size=size, right=right, levels=levels)
        assert (p <= levels[look]) == (look + 1 == len(found) < len(levels)) or look + 1 == len(levels)


def test_one_look_is_the_test_without_looks() -> None:
    right = required(5000, target=0.8) - 1
    for correct in (0, 239, 250, 295):
        found = p_values((correct,), audited=(295,), size=5000, right=right, levels=(0.1,))
        assert found == (p_value(correct, audited=295, size=5000, target=0.8),)


def test_a_set_passes_at_a_p_value_of_exactly_the_level() -> None:
    (p,) = p_values((9,), audited=(10,), size=20, right=14, levels=(1.0,))
    assert p_values((9, 9), audited=(10, 12), size=20, right=14, levels=(p, 0.5)) == (p,)
    assert len(p_values((9, 9), audited=(10, 12), size=20, right=14, levels=(np.nextafter(p, 0), 0.5))) == 2


def test_a_look_with_nothing_new_to_see_tests_the_same_answers_at_a_higher_level() -> None:
    """9 of 10 right ones, of 20 of which 14 are right: P(X >= 9) = .1517 by the hypergeometric distribution."""
    p = hypergeom(20, 14, 10).sf(8)
    found = p_values((9, 9), audited=(10, 10), size=20, right=14, levels=(p / 2, 2 * p))
    assert found == pytest.approx((p, p))


def test_numbers_of_a_large_audit_are_within_floats() -> None:
    levels = tuple(look.level for look in planned_looks(300, delta=0.1, count=4))
    ends = (75, 150, 225, 300)
    found = p_values((75, 149, 222, 295), audited=ends, size=10**6, right=969_999, levels=levels)
    # 75 of 75 right ones of which 97% are right: .97 ** 75 = .1018, far above the first level
    assert found[0] == pytest.approx(0.97**75, rel=0.01)
    assert all(p > level for p, level in zip(found[:-1], levels, strict=False))


# --- the promise -----------------------------------------------------------------------------------------------------

SIZES, ENDS = (3, 6, 9), (2, 4)


def rankings() -> list[list[bool]]:
    """Rankings made to mislead: errors first, errors last, errors at the edges of sets, alternating, at random."""
    rng = np.random.default_rng(0)
    size = SIZES[-1]
    made = [[place >= wrong for place in range(size)] for wrong in range(1, size, 2)]
    made += [[place < right for place in range(size)] for right in range(1, size, 2)]
    made += [[place not in (edge - 1, edge) for place in range(size)] for edge in SIZES]
    return [*made, [place % 2 == 0 for place in range(size)], list(map(bool, rng.random(size) < 0.6))]


def missed(tests: Sequence[SetTest], correct: Sequence[bool], target: float) -> bool:
    found = certified(tests)
    return found is not None and sum(correct[: found.size]) < required(found.size, target=target)


@pytest.mark.parametrize(("target", "delta"), [(0.7, 0.25), (0.6, 0.4)])
def test_over_all_draws_at_most_delta_ever_certify_a_set_below_the_target(target: float, delta: float) -> None:
    """An adversary who sees everything ends the audit at the look that suits: a miss at any look counts."""
    looks = planned_looks(ENDS[-1], delta=delta, count=2)
    assert [look.audits for look in looks] == list(ENDS)
    draws = list(divisions(range(SIZES[-1]), (2, 2)))
    assert len(draws) == comb(9, 2) * comb(7, 2)
    worst = 0
    for correct in rankings():
        for start in range(len(SIZES)):
            wrong = 0
            for first, second in draws:
                ranks = [*first, *second]
                judged = [correct[rank] for rank in ranks]
                how = {"start": start, "target": target}
                early = run_tests(SIZES, ranks[:2], judged[:2], looks=looks[:1], **how)  # type: ignore[arg-type]
                late = run_tests(SIZES, ranks, judged, looks=looks, **how)  # type: ignore[arg-type]
                wrong += missed(early, correct, target) or missed(late, correct, target)
            worst = max(worst, wrong)
    assert 0 < worst / len(draws) <= delta


def test_looking_four_times_at_the_level_of_one_look_would_break_the_promise() -> None:
    """What the levels are for: a set of 400 that just misses 70%, and looks after 25, 50, 75 and 100 audits."""
    rng, right = np.random.default_rng(3), 279
    looks = planned_looks(100, delta=0.1, count=4)
    naive = [Look(look.audits, 0.1) for look in looks]
    often = ours = 0
    for _ in range(300):
        judged = rng.permutation(400)[:100] < right
        counts = [int(judged[: look.audits].sum()) for look in looks]
        often += any(
            p_value(k, audited=look.audits, size=400, target=0.7) <= look.level
            for k, look in zip(counts, naive, strict=True)
        )
        tests = run_tests([400], [0] * 100, judged.tolist(), start=0, target=0.7, looks=looks)
        ours += tests[0].passed
    assert often > 45  # 15%
    assert ours <= 42  # 10% and three standard deviations


# --- one run of the tests --------------------------------------------------------------------------------------------


def test_a_set_that_passed_at_a_look_stays_passed_whatever_comes_later() -> None:
    looks = (Look(10, 0.05), Look(20, 0.1))
    judged = [True] * 10 + [False] * 10
    (first,) = run_tests([1000], [0] * 20, judged, start=0, target=0.7, looks=looks)
    # .7 ** 10 = .028
    assert (first.look, first.audited, first.correct, first.level, first.passed) == (1, 10, 10, 0.05, True)


def test_sets_may_pass_at_different_looks_and_a_failure_shows_the_last() -> None:
    looks = (Look(20, 0.12), Look(40, 0.2))
    ranks = [0] * 10 + [150] * 10 + [0] * 5 + [150] * 5 + [250] * 10
    judged = [True] * 17 + [False] * 3 + [True] * 10 + [False] * 10
    tests = run_tests([100, 200, 300], ranks, judged, start=0, target=0.8, looks=looks)
    assert [(test.set, test.look, test.audited, test.correct, test.passed) for test in tests] == [
        (1, 1, 10, 10, True),
        (2, 2, 30, 27, True),
        (3, 2, 40, 27, False),
    ]
