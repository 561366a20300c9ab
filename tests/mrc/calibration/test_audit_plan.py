"""The plan of an audit: expected precisions of nested sets, the largest set, and the first one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from mrc.calibration.audit_plan import DEFAULT_COVERAGE, PrecisionCurves, choose_sets, power, precision_curves
from mrc.calibration.certification import STEPS, certified, nested_sizes, run_tests
from mrc.calibration.looks import Look
from mrc.calibration.selective import Bools, Floats

NOTHING = np.array([]), np.array([], dtype=np.bool_)
AUDIT = {"audits": 300, "target": 0.85, "delta": 0.1}


def certain(*precisions: float) -> PrecisionCurves:
    return PrecisionCurves(np.array([precisions]), np.ones(1))


# --- precision -------------------------------------------------------------------------------------------------------


def test_without_evidence_the_expected_precision_is_about_the_mean_confidence() -> None:
    curves = precision_curves((2, 3), [0.9, 0.7, 0.2], *NOTHING)
    assert curves is not None
    assert curves.weights.sum() == pytest.approx(1)
    assert curves.mean == pytest.approx((0.8, 0.6), abs=0.06)
    spread = curves.precisions[:, 0]
    assert spread.min() < 0.75 < 0.85 < spread.max()


def evidence(count: int, *, share: float, confidence: float = 0.8) -> tuple[Floats, Bools]:
    return np.full(count, confidence), np.arange(count) < round(share * count)


@pytest.mark.parametrize("share", [0.6, 0.95])
def test_evidence_moves_the_expected_precision_the_more_of_it_there_is(share: float) -> None:
    confidences = [0.8] * 50
    found = []
    for count in (0, 20, 200, 5000):
        curves = precision_curves((50,), confidences, *evidence(count, share=share))
        assert curves is not None
        found.append(curves.mean[0])
    distances = [abs(each - share) for each in found]
    assert distances == sorted(distances, reverse=True)
    assert found[0] == pytest.approx(0.8, abs=0.06)
    assert found[-1] == pytest.approx(share, abs=0.01)


def test_with_more_evidence_the_possible_precisions_lie_closer_together() -> None:
    few, many = (precision_curves((50,), [0.8] * 50, *evidence(count, share=0.8)) for count in (20, 2000))
    assert few is not None
    assert many is not None
    assert np.ptp(many.precisions) < np.ptp(few.precisions) / 3


def test_evidence_of_the_confident_says_little_about_the_unsure() -> None:
    """Confident answers of which half are wrong: the fall of the unsure ones is smaller."""
    curves = precision_curves((50, 100), [0.95] * 50 + [0.5] * 50, *evidence(400, share=0.5, confidence=0.95))
    assert curves is not None
    confident = curves.mean[0]
    unsure = 2 * curves.mean[1] - confident
    assert confident < 0.7
    assert 0 < 0.5 - unsure < 0.95 - confident


def test_sets_with_unknown_confidences_are_left_out() -> None:
    curves = precision_curves((1, 2, 3), [0.9, 0.9, None], *NOTHING)
    assert curves is not None
    assert len(curves.mean) == 2
    assert precision_curves((1, 2), [None, None], *NOTHING) is None
    assert precision_curves((), [], *NOTHING) is None


def test_confidences_of_0_and_1_and_evidence_all_right_or_all_wrong_are_finite() -> None:
    for right in (True, False):
        curves = precision_curves((2, 4), [1.0, 1.0, 0.0, 0.0], np.array([1.0, 0.0] * 50), np.full(100, right))
        assert curves is not None
        assert np.isfinite(curves.precisions).all()
        assert ((curves.precisions >= 0) & (curves.precisions <= 1)).all()


# --- power -----------------------------------------------------------------------------------------------------------


def test_the_power_of_a_test_by_hand() -> None:
    # 10 items, 4 audited, target .8, delta .2: 4 of 4 right pass (35/210). With 9 right: C(9,4) / C(10,4) = 126/210
    assert power(10, audited=4, precision=np.array([0.9]), target=0.8, delta=0.2) == pytest.approx([126 / 210])
    assert power(10, audited=4, precision=np.array([0.9]), target=0.8, delta=0.1) == pytest.approx([0])  # none passes
    assert power(10, audited=0, precision=np.array([0.9]), target=0.8, delta=0.1) == pytest.approx([0])
    assert power(10, audited=10, precision=np.array([0.7, 0.8]), target=0.8, delta=0.1) == pytest.approx([0, 1])


def test_the_power_is_the_tail_of_the_hypergeometric_distribution() -> None:
    null = hypergeom(3000, 2549, 300)  # one less than 85% is right
    enough = next(k for k in range(301) if null.sf(k - 1) <= 0.1)
    found = power(3000, audited=300, precision=np.array([0.85, 0.9]), target=0.85, delta=0.1)
    assert found == pytest.approx([hypergeom(3000, right, 300).sf(enough - 1) for right in (2550, 2700)])


def test_published_numbers_of_audits_give_about_nine_tenths_power() -> None:
    """Large sets, delta .1: 195 audits for .87 against .80, 80 for .97 against .90, 260 for .98 against .95."""
    for audits, precision, target in ((195, 0.87, 0.8), (80, 0.97, 0.9), (260, 0.98, 0.95)):
        (found,) = power(100_000, audited=audits, precision=np.array([precision]), target=target, delta=0.1)
        assert 0.84 < found < 0.97


# --- the choice ------------------------------------------------------------------------------------------------------

SIZES = (250, 500, 750, 1000)


def test_sets_that_cannot_pass_are_not_audited() -> None:
    found = choose_sets(SIZES, certain(0.99, 0.97, 0.6, 0.5), **AUDIT)  # type: ignore[arg-type]
    assert (found.last, found.expected) == (1, 500)


def test_a_set_that_fails_itself_is_not_tested_first() -> None:
    found = choose_sets(SIZES, certain(0.7, 0.8, 0.97, 0.95), **AUDIT)  # type: ignore[arg-type]
    assert (found.start, found.last, found.expected) == (2, 3, 1000)


def test_where_every_set_passes_the_largest_one_is_audited() -> None:
    found = choose_sets(SIZES, certain(0.99, 0.99, 0.99, 0.99), **AUDIT)  # type: ignore[arg-type]
    assert (found.last, found.expected) == (3, 1000)


def test_uncertain_precision_plans_for_what_is_probable() -> None:
    """In nine of ten cases three quarters can be certified: the one case in which nothing can changes nothing."""
    curves = PrecisionCurves(np.array([[0.99, 0.98, 0.95, 0.7], [0.5, 0.5, 0.5, 0.5]]), np.array([0.9, 0.1]))
    found = choose_sets(SIZES, curves, **AUDIT)  # type: ignore[arg-type]
    assert (found.last, found.expected, found.hoped) == (2, 750, 750)


def test_what_may_be_hoped_for_is_more_than_what_is_expected() -> None:
    """In three of ten cases every set passes."""
    curves = PrecisionCurves(np.array([[0.99, 0.99, 0.98, 0.97], [0.99, 0.97, 0.86, 0.7]]), np.array([0.3, 0.7]))
    found = choose_sets(SIZES, curves, **AUDIT)  # type: ignore[arg-type]
    assert found.expected == 500
    assert found.hoped == SIZES[found.last] > 500


def test_without_a_chance_and_without_knowledge_the_default_is_audited() -> None:
    every = nested_sizes(4000, ranked=4000, coverage=1.0)
    place = round(DEFAULT_COVERAGE * STEPS) - 1
    hopeless = choose_sets(every, certain(*[0.3] * STEPS), **AUDIT)  # type: ignore[arg-type]
    assert (hopeless.last, hopeless.expected) == (place, 0)
    unknown = choose_sets(every, None, **AUDIT)  # type: ignore[arg-type]
    assert (unknown.last, unknown.start, unknown.expected) == (place, place // 2, None)
    assert choose_sets((1, 2), None, **AUDIT).last == 1  # type: ignore[arg-type]


def test_the_largest_set_has_room_for_all_audits() -> None:
    """Only the first set can pass, and 300 questions do not go into it."""
    found = choose_sets(SIZES, certain(0.99, 0.6, 0.5, 0.5), **AUDIT)  # type: ignore[arg-type]
    assert (found.last, found.start, found.expected) == (1, 0, 250)
    everything = choose_sets(SIZES, certain(0.99, 0.6, 0.5, 0.5), audits=5000, target=0.85, delta=0.1)
    assert (everything.last, everything.expected) == (3, 250)


def test_only_known_sets_are_chosen() -> None:
    found = choose_sets(SIZES, certain(0.99, 0.98), **AUDIT)  # type: ignore[arg-type]
    assert found.last == 1


# --- what it brings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "share"), [(40, 0.35), (200, 0.5), (1000, 0.8)])
def test_a_poor_reader_is_certified_to_a_good_part_of_what_an_oracle_could(count: int, share: float) -> None:
    """1,500 questions of which 37% are right; a fifth of them could be certified at .7."""
    found = [_share_of_the_oracle(np.random.default_rng(seed), count) for seed in (5, 6, 7)]
    assert np.mean(found) >= share


def _confidences(rng: np.random.Generator, count: int) -> Floats:
    return 0.1 + 0.8 * rng.beta(0.7, 1.4, count)


def _share_of_the_oracle(rng: np.random.Generator, count: int) -> float:
    """The mean size of the certified set over that of the largest one with this precision."""
    confidence = np.sort(_confidences(rng, 1500))[::-1]
    correct = rng.random(1500) < confidence
    judged = _confidences(rng, count)
    rates = np.cumsum(correct) / np.arange(1, 1501)
    every = nested_sizes(1500, ranked=1500, coverage=1.0)
    curves = precision_curves(every, confidence.tolist(), judged, rng.random(count) < judged)
    found = choose_sets(every, curves, audits=300, target=0.7, delta=0.1)
    sizes = every[: found.last + 1]
    drawn = min(300, sizes[-1])
    covered = []
    for _ in range(20):
        ranks = rng.choice(sizes[-1], drawn, replace=False).tolist()
        judgements = [bool(correct[rank]) for rank in ranks]
        tests = run_tests(sizes, ranks, judgements, start=found.start, target=0.7, looks=[Look(drawn, 0.1)])
        passed = certified(tests)
        covered.append(passed.size if passed else 0)
    return float(np.mean(covered)) / (int(np.flatnonzero(rates >= 0.7)[-1]) + 1)
