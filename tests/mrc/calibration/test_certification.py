"""Certificates: exact tests in a fixed sequence keep their promise for every ranking and every pattern of errors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from mrc.calibration.certification import (
    SetTest,
    certified,
    contradiction,
    draw,
    nested_sizes,
    p_value,
    required,
    run_tests,
    unseen_bound,
)
from mrc.calibration.looks import Look


def whole(
    sizes: Sequence[int], ranks: Sequence[int], correct: Sequence[bool], *, start: int, target: float, delta: float
) -> tuple[SetTest, ...]:
    """The tests after the whole audit, without looks before."""
    return run_tests(sizes, ranks, correct, start=start, target=target, looks=[Look(len(ranks), delta)])


def test_the_target_is_read_as_people_wrote_it() -> None:
    assert required(100, target=0.29) == 29  # 0.29 * 100 is 28.999999999999996 in floating point
    assert required(100, target=0.07) == 7  # and 0.07 * 100 is 7.000000000000001
    assert required(20, target=0.85) == 17
    assert required(21, target=0.85) == 18


@pytest.mark.parametrize(
    ("correct", "audited", "size", "target"), [(45, 50, 1000, 0.8), (270, 300, 3000, 0.85), (3, 4, 7, 0.6)]
)
def test_the_p_value_is_the_tail_of_the_hypergeometric_distribution(
    correct: int, audited: int, size: int, target: float
) -> None:
    expected = hypergeom(size, required(size, target=target) - 1, audited).sf(correct - 1)
    assert p_value(correct, audited=audited, size=size, target=target) == pytest.approx(expected, rel=1e-9)


def test_a_small_p_value_by_hand() -> None:
    # 10 items, target .8: at most 7 are right in a set that misses. P(4 of 4 right) = C(7,4) / C(10,4) = 35 / 210
    assert p_value(4, audited=4, size=10, target=0.8) == 35 / 210
    # P(at least 3) = (35 + C(7,3) * 3) / 210 = 140 / 210
    assert p_value(3, audited=4, size=10, target=0.8) == 140 / 210


def test_an_audit_of_every_item_decides_without_chance() -> None:
    assert p_value(8, audited=10, size=10, target=0.8) == 0.0
    assert p_value(7, audited=10, size=10, target=0.8) == 1.0


def test_an_audit_of_no_item_shows_nothing() -> None:
    assert p_value(0, audited=0, size=10, target=0.8) == 1.0


def test_a_target_of_one_passes_only_without_an_error() -> None:
    assert p_value(9, audited=9, size=10, target=1.0) == 1 / 10  # the one wrong item was missed
    assert p_value(8, audited=9, size=10, target=1.0) == 1.0


@pytest.mark.parametrize("bad", [(5, 4, 10, 0.8), (-1, 4, 10, 0.8), (4, 11, 10, 0.8), (1, 2, 3, 0.0), (1, 2, 3, 1.1)])
def test_impossible_counts_are_refused(bad: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        p_value(bad[0], audited=bad[1], size=bad[2], target=bad[3])


# --- the promise -----------------------------------------------------------------------------------------------------

SIZES = (3, 6, 9, 12)


def miss_rate(correct: Sequence[bool], *, start: int, target: float, delta: float, audits: int) -> Fraction:
    """The exact share of all draws from the largest set that certify a set whose precision is below the target."""
    missed = 0
    for sample in combinations(range(SIZES[-1]), audits):
        judged = [correct[rank] for rank in sample]
        found = certified(whole(SIZES, sample, judged, start=start, target=target, delta=delta))
        missed += found is not None and sum(correct[: found.size]) < required(found.size, target=target)
    return Fraction(missed, comb(SIZES[-1], audits))


def adversarial_rankings() -> list[list[bool]]:
    """Rankings made to mislead: errors first, errors last, one set just below the target, alternating, at random."""
    rng = np.random.default_rng(0)
    size = SIZES[-1]
    made = [[place >= wrong for place in range(size)] for wrong in range(0, size, 2)]
    made += [[place < right for place in range(size)] for right in range(0, size, 2)]
    made += [[place % step != 0 for place in range(size)] for step in (2, 3, 4)]
    made += [[place not in (edge - 1, edge) for place in range(size)] for edge in SIZES]
    return made + [list(map(bool, rng.random(size) < rate)) for rate in (0.4, 0.5, 0.6, 0.7, 0.8) for _ in range(2)]


@pytest.mark.parametrize(("target", "delta"), [(0.7, 0.1), (0.6, 0.25), (0.85, 0.2)])
def test_over_all_draws_at_most_delta_certify_a_set_below_the_target(target: float, delta: float) -> None:
    worst = max(
        miss_rate(correct, start=start, target=target, delta=delta, audits=6)
        for correct in adversarial_rankings()
        for start in range(len(SIZES))
    )
    assert worst <= delta
    assert worst > 0 or target == 0.85  # the cases are hard enough to make it miss


def test_testing_every_set_on_its_own_would_break_the_promise() -> None:
    """What the fixed sequence is for: of twenty sets of which each just misses, one passes in too many draws."""
    rng, sizes = np.random.default_rng(1), tuple(range(20, 401, 20))
    correct = np.array([rank * 37 % 100 < 69 for rank in range(400)])  # 69 of every 100, evenly
    missed, ours = 0, 0
    for _ in range(100):
        sample = rng.permutation(400)[:100]
        given = sample.tolist(), correct[sample].tolist()
        alone = [whole(sizes[: k + 1], *given, start=k, target=0.7, delta=0.1)[0] for k in range(len(sizes))]
        missed += certified(alone) is not None
        ours += certified(whole(sizes, *given, start=3, target=0.7, delta=0.1)) is not None
    assert missed > 20
    assert ours <= 10


# --- one run of the tests --------------------------------------------------------------------------------------------


def test_tests_stop_at_the_first_failure_and_the_last_that_passed_is_certified() -> None:
    ranks = range(40)
    correct = [rank < 22 for rank in ranks]
    tests = whole((10, 20, 30, 40), ranks, correct, start=0, target=0.8, delta=0.1)
    assert [(test.set, test.size, test.audited, test.correct, test.passed) for test in tests] == [
        (1, 10, 10, 10, True),
        (2, 20, 20, 20, True),
        (3, 30, 30, 22, False),  # 22 of 30 is .73
    ]
    assert certified(tests) == tests[1]


def test_sets_before_the_start_are_not_tested() -> None:
    tests = whole((10, 20), range(20), [rank >= 5 for rank in range(20)], start=1, target=0.7, delta=0.1)
    assert [test.set for test in tests] == [2]
    assert certified(tests) == tests[0]  # 15 of 20, though the first ten have 5 errors


def test_a_first_failure_certifies_nothing() -> None:
    tests = whole((10, 20), range(20), [False] * 20, start=0, target=0.5, delta=0.1)
    assert len(tests) == 1
    assert certified(tests) is None


def test_the_bound_for_the_unseen_part_is_what_the_set_needs_less_what_was_seen() -> None:
    # 85% of 1000 are 850; 270 right ones were seen among 300: 580 of the other 700
    assert unseen_bound(1000, audited=300, correct=270, target=0.85) == pytest.approx(580 / 700)
    assert unseen_bound(100, audited=99, correct=99, target=0.85) == 0.0
    assert unseen_bound(100, audited=100, correct=99, target=0.85) is None


# --- the draw --------------------------------------------------------------------------------------------------------


def test_a_draw_can_be_repeated_and_does_not_depend_on_the_order_of_the_ids() -> None:
    ids = [f"q{number}" for number in range(50)]
    assert draw(ids, 10, seed="a") == draw(reversed(ids), 10, seed="a")
    assert draw(ids, 10, seed="a") != draw(ids, 10, seed="b")
    assert draw(ids, 10, seed="a") == draw(ids, 20, seed="a")[:10]
    assert sorted(draw(ids, 50, seed="a")) == sorted(ids), "all can be drawn"
    with pytest.raises(ValueError, match="51 of 50"):
        draw(ids, 51, seed="a")


def test_every_item_is_drawn_equally_often() -> None:
    ids = [str(number) for number in range(20)]
    counts = np.zeros(20)
    for seed in range(2000):
        for key in draw(ids, 5, seed=str(seed)):
            counts[int(key)] += 1
    # binomial(2000, 1/4): mean 500, standard deviation 19
    assert np.abs(counts - 500).max() < 5 * 19.4


# --- sets ------------------------------------------------------------------------------------------------------------


def test_nested_sets_grow_by_a_fortieth_of_the_population() -> None:
    assert nested_sizes(1000, ranked=1000, coverage=0.1) == (25, 50, 75, 100)
    assert nested_sizes(1000, ranked=60, coverage=0.1) == (25, 50, 60)  # only 60 questions have an answer
    assert nested_sizes(20, ranked=20, coverage=0.2) == (1, 2, 3, 4)  # sets of one size are one set
    assert nested_sizes(3, ranked=3, coverage=0.3) == ()


def test_a_contradiction_is_improbable_under_the_certificate() -> None:
    # 10 items of which 8 are right; both of 2 are wrong with probability C(2,2) / C(10,2) = 1/45
    assert contradiction(0, reviewed=2, size=10, right=8) == pytest.approx(1 / 45)
    assert contradiction(2, reviewed=2, size=10, right=8) == 1.0
