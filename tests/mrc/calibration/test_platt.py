"""Platt scaling: from scores to probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrc.calibration.platt import Platt, cross_scale, fit_platt, fit_shift
from mrc.calibration.selective import Bools, Floats
from tests.mrc.calibration.rows import right


def test_a_scaling_is_linear_in_the_logit() -> None:
    logit = math.log(0.7 / 0.3)
    assert Platt(2.0, -1.0)(np.array([0.7])) == pytest.approx([1 / (1 + math.exp(-(2 * logit - 1)))])


def test_certain_scores_stay_finite() -> None:
    assert Platt(1.0, 0.0)(np.array([0.0, 1.0])) == pytest.approx([1e-6, 1 - 1e-6], rel=1e-9)


def test_a_score_that_says_nothing_gets_the_mean_of_the_smoothed_targets() -> None:
    # 6 of 8 right: targets 7/8 for the right ones and 1/4 for the wrong ones
    confidence = fit_platt(np.full(8, 0.5), right("++++++--"))(np.full(1, 0.5))
    assert confidence == pytest.approx([(6 * 7 / 8 + 2 * 1 / 4) / 8], abs=1e-5)


def test_two_levels_of_a_score_get_the_mean_target_of_each() -> None:
    # low: 1 of 4 right, high: 3 of 4 right; 4 right and 4 wrong in all give the targets 5/6 and 1/6
    scores = np.repeat([0.2, 0.8], 4)
    confidence = fit_platt(scores, right("+---+++-"))(np.array([0.2, 0.8]))
    assert confidence == pytest.approx([(5 / 6 + 3 / 6) / 4, (3 * 5 / 6 + 1 / 6) / 4], abs=1e-4)


def test_a_shift_gives_the_smoothed_rate_and_keeps_the_slope() -> None:
    platt = fit_shift(np.array([0.2, 0.5, 0.9]), right("+--"))
    assert platt.slope == 1
    assert float(np.mean(platt(np.array([0.2, 0.5, 0.9])))) == pytest.approx(2 / 5)


def test_a_fold_is_scaled_by_the_other_folds_alone() -> None:
    folds, correct = np.array([0, 0, 1, 1, 2, 2]), right("++--+-")

    def rate_of(_: Floats, seen: Bools) -> Platt:
        rate = float(seen.mean())
        return Platt(0.0, math.log(rate / (1 - rate)))

    confidence = cross_scale(np.full(6, 0.5), correct, folds, rate_of)
    assert confidence == pytest.approx([1 / 4, 1 / 4, 3 / 4, 3 / 4, 2 / 4, 2 / 4])


def test_a_score_that_ranks_backwards_gives_all_the_same_confidence() -> None:
    score = np.linspace(0.1, 0.9, 50)
    platt = fit_platt(score, score < 0.5)
    assert platt.slope == 0
    assert platt(score) == pytest.approx(np.full(50, 26 / 52))


def test_perfectly_separated_scores_still_have_a_finite_scaling() -> None:
    score = np.linspace(0.1, 0.9, 50)
    confidence = fit_platt(score, score > 0.5)(score)
    assert 0 < confidence.min() < 0.1
    assert 0.9 < confidence.max() < 1


def test_a_single_fold_is_scaled_by_itself() -> None:
    scores, correct = np.array([0.2, 0.5, 0.9]), right("-++")
    confidence = cross_scale(scores, correct, np.zeros(3, dtype=np.int64), fit_shift)
    assert confidence == pytest.approx(fit_shift(scores, correct)(scores))
