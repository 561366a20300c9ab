"""Measures of a ranking with intervals: what they cover, what is drawn, and the change from another ranking."""

from __future__ import annotations

import numpy as np
import pytest

from mrc.calibration.quality import measures, quality
from mrc.calibration.selective import Bools, Floats


def drawn(seed: int, *, items: int = 300, strength: float = 2.0) -> tuple[Floats, Bools]:
    """Confidences, and answers that are right as often as these say."""
    rng = np.random.default_rng(seed)
    confidence = 1 / (1 + np.exp(-strength * rng.normal(size=items)))
    return confidence, rng.random(items) < confidence


def test_the_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = measures(*drawn(0, items=200_000))
    covered = dict.fromkeys(truth, 0)
    for seed in range(1, 61):
        confidence, correct = drawn(seed)
        found, _ = quality(confidence, confidence, correct, [str(each) for each in range(300)], seed=seed)
        for name, each in found.items():
            covered[name] += each.low <= truth[name] <= each.high
    assert min(covered[name] for name in ("aurc", "auroc", "brier")) >= 52
    assert max(covered.values()) <= 60


def test_the_measures_of_three_answers_by_hand() -> None:
    found = measures(np.array([0.9, 0.6, 0.2]), np.array([True, False, True]))
    assert list(found) == [
        *("aurc", "auroc", "ece", "brier"),
        *("coverage_0.70", "coverage_0.80", "coverage_0.85", "coverage_0.90"),
    ]
    assert found["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.8**2) / 3)
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert found["auroc"] == 0.5
    assert found["coverage_0.90"] == pytest.approx(1 / 3)


def test_a_change_is_paired_so_it_is_sharper_than_both_values() -> None:
    confidence, correct = drawn(3)
    worse = np.clip(confidence + np.random.default_rng(0).normal(0, 0.15, 300), 0, 1)
    groups = [str(each // 3) for each in range(300)]
    found, changes = quality(confidence, worse, correct, groups, seed=0)
    assert found["aurc"].mean == measures(confidence, correct)["aurc"]
    assert changes["aurc"].mean == pytest.approx(found["aurc"].mean - measures(worse, correct)["aurc"])
    assert changes["aurc"].high < 0
    assert changes["aurc"].high - changes["aurc"].low < found["aurc"].high - found["aurc"].low
    assert changes["auroc"].low > 0


def test_groups_are_drawn_whole() -> None:
    confidence, correct = drawn(5, items=100)
    tripled = [np.repeat(each, 3) for each in (confidence, confidence, correct)]
    single, _ = quality(confidence, confidence, correct, [str(each) for each in range(100)], seed=0)
    whole, _ = quality(*tripled, [str(each // 3) for each in range(300)], seed=0)
    for name in ("auroc", "brier"):
        assert whole[name].low == pytest.approx(single[name].low)
        assert whole[name].high == pytest.approx(single[name].high)


def test_all_right_and_all_wrong_have_values() -> None:
    groups = ["a", "b", "c"]
    for correct in (np.ones(3, dtype=bool), np.zeros(3, dtype=bool)):
        found, changes = quality(np.array([0.2, 0.5, 0.9]), np.full(3, 0.5), correct, groups, seed=0)
        assert found["auroc"].mean == 0.5
        assert all(np.isfinite([each.low, each.high]).all() for each in (*found.values(), *changes.values()))
