"""Selective prediction: AURC, coverage, calibration error, reliability bins and the release threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.calibration.selective import aurc, auroc, coverage_at, ece, release_threshold, reliability_bins
from tests.mrc.calibration.rows import conf, right


def test_aurc_averages_the_error_of_the_k_most_confident() -> None:
    assert aurc(conf(0.9, 0.7, 0.8), right("+-+")) == pytest.approx((0 / 1 + 0 / 2 + 1 / 3) / 3)
    assert aurc(conf(0.1, 0.7, 0.8), right("+--")) == pytest.approx((1 / 1 + 2 / 2 + 2 / 3) / 3)


def test_ties_count_as_in_a_random_order() -> None:
    assert aurc(conf(0.5, 0.5), right("+-")) == pytest.approx((0.5 / 1 + 1 / 2) / 2)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_auroc_is_the_share_of_pairs_in_the_right_order(items: list[tuple[float, bool]]) -> None:
    good, bad = [c for c, r in items if r], [c for c, r in items if not r]
    pairs = [(a > b) + (a == b) / 2 for a in good for b in bad]
    found = auroc(np.array([c for c, _ in items]), np.array([r for _, r in items]))
    assert found == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.5)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.4, 0.9]), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_no_measure_depends_on_the_order_of_rows(items: list[tuple[float, bool]], order: Any) -> None:
    shuffled = items.copy()
    order.shuffle(shuffled)
    measured = []
    for rows in (items, shuffled):
        confidence, correct = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
        rule = release_threshold(confidence, correct, target=0.6, min_items=3)
        measured.append((aurc(confidence, correct), ece(confidence, correct), rule))
        assert coverage_at(confidence, correct, precision=0.6) >= rule.items / len(rows)
    assert measured[0][0] == pytest.approx(measured[1][0])
    assert measured[0][1] == pytest.approx(measured[1][1])
    assert measured[0][2] == measured[1][2]


def test_the_risk_coverage_curve_of_no_items_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        aurc(conf(), right(""))


def test_coverage_is_the_largest_share_that_keeps_the_precision() -> None:
    confidence, correct = conf(0.9, 0.8, 0.7, 0.6, 0.5), right("+-++-")
    assert coverage_at(confidence, correct, precision=0.75) == 4 / 5  # 3 of 4; the dip to 1 of 2 does not matter
    assert coverage_at(confidence, correct, precision=0.9) == 1 / 5
    assert coverage_at(confidence, ~correct, precision=0.9) == 0
    assert coverage_at(conf(), right(""), precision=0.9) == 0


def test_the_calibration_error_weighs_bins_of_equal_numbers() -> None:
    confidence = np.repeat([0.2, 0.6], [15, 15])
    correct = np.array([True] * 3 + [False] * 12 + [True] * 12 + [False] * 3)
    assert ece(confidence, correct) == pytest.approx((15 * abs(0.2 - 3 / 15) + 15 * abs(0.6 - 12 / 15)) / 30)


def test_the_calibration_error_of_unequal_bins_is_weighted_by_their_items() -> None:
    # 16 items in 15 bins: the least confident bin holds 2, all others 1, each confidence 0.5 away from its accuracy
    confidence = np.array([0.25, 0.25, *np.linspace(0.5, 0.9, 14)])
    correct = np.array([True, False, *[True] * 14])
    expected = (2 * abs(0.5 - 0.25) + sum(1 - c for c in np.linspace(0.5, 0.9, 14))) / 16
    assert ece(confidence, correct) == pytest.approx(expected)
    assert ece(conf(0.7), right("+")) == pytest.approx(0.3)
    assert ece(conf(), right("")) == 0


def test_reliability_bins_rise_in_confidence_and_hold_every_item() -> None:
    bins = reliability_bins(np.linspace(0, 1, 32), np.arange(32) >= 16)
    assert (len(bins), sum(b.items for b in bins)) == (15, 32)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert (bins[0].accuracy, bins[-1].accuracy) == (0.0, 1.0)
    assert reliability_bins(conf(), right("")) == ()
    few = reliability_bins(conf(0.2, 0.4, 0.6, 0.8), right("-+-+"), bins=2)
    assert [b.confidence for b in few] == pytest.approx([0.3, 0.7])
    assert [(b.accuracy, b.items) for b in few] == [(0.5, 2), (0.5, 2)]


def test_the_lowest_threshold_that_meets_the_target_is_taken() -> None:
    rule = release_threshold(conf(0.9, 0.8, 0.7, 0.6, 0.5), right("++-+-"), target=0.75, min_items=2)
    assert (rule.threshold, rule.precision, rule.items) == (0.6, 3 / 4, 4)


def test_a_threshold_takes_or_leaves_equal_confidences_together() -> None:
    rule = release_threshold(conf(0.9, 0.5, 0.5), right("++-"), target=0.8, min_items=1)
    assert (rule.threshold, rule.items) == (0.9, 1)


@pytest.mark.parametrize(("items", "threshold"), [(29, None), (30, 0.9)])
def test_a_threshold_needs_thirty_items_above_it(items: int, threshold: float | None) -> None:
    rule = release_threshold(np.full(items, 0.9), np.ones(items, dtype=bool), target=0.85)
    assert rule.threshold == threshold
    assert rule.why.startswith("29 calibration questions, 30 needed" if threshold is None else "the lowest threshold")


def test_no_threshold_says_what_would_have_been_reached() -> None:
    rule = release_threshold(np.linspace(0, 1, 40), np.arange(40) % 2 == 0, target=0.85)
    assert (rule.threshold, rule.precision, rule.items) == (None, None, 0)
    assert "0.85" in rule.why
    assert "the best is 0.5" in rule.why


def test_a_threshold_that_meets_the_target_over_too_few_items_is_not_taken() -> None:
    rule = release_threshold(conf(0.9, 0.8, 0.7, 0.6), right("++--"), target=0.9, min_items=3)
    assert rule.threshold is None
    assert "the best is 0.67" in rule.why  # 2 of 3, not the 2 of 2 that are too few
