"""Conformal selection: by hand, and right on average while single draws are not."""

from __future__ import annotations

import numpy as np
import pytest

from mrc.calibration.conformal import conformal_selection
from mrc.calibration.selective import Floats


def test_a_selection_by_hand() -> None:
    """Five p-values: no wrong answer is as confident as the first three, 1/11; one as the fourth, 2/11; all 4/11."""
    judged = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    right = np.array([True] * 3 + [True, False, True, True, True, False, False])
    confidence = np.array([0.1, 0.65, 0.9, 0.8, 0.75])  # p: 4/11, 2/11, 1/11, 1/11, 1/11
    assert conformal_selection(confidence, judged, right, target=0.5) == 5  # 4/11 <= .5
    assert conformal_selection(confidence, judged, right, target=0.7) == 4  # 2/11 <= .3 * 4/5, and 4/11 > .3
    assert conformal_selection(confidence, judged, right, target=0.9) == 0  # 1/11 > .1 * 3/5


@pytest.mark.parametrize("empty", [np.array([]), np.array([0.3])])
def test_nothing_is_selected_from_nothing_or_by_nothing(empty: Floats) -> None:
    none = np.array([], dtype=np.bool_)
    assert conformal_selection(empty, np.array([]), none, target=0.9) == 0


def test_the_share_of_wrong_ones_holds_on_average_and_is_missed_by_many_draws() -> None:
    rng = np.random.default_rng(0)
    pool = np.sort(rng.random(1000))[::-1]
    correct = rng.random(1000) < pool
    wrong, missed = [], 0
    for _ in range(300):
        drawn = rng.choice(1000, 300, replace=False)
        size = conformal_selection(pool, pool[drawn], correct[drawn], target=0.8)
        share = float(np.mean(~correct[:size])) if size else 0.0
        wrong.append(share)
        missed += share > 0.2
    assert np.mean(wrong) <= 0.2
    assert missed > 0.2 * 300
