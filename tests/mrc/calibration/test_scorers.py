"""Scorers: folds, the kinds, and the choice of the simplest that is good enough."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from mrc.calibration.features import FEATURES
from mrc.calibration.scorers import (
    FOLDS,
    KINDS,
    LOGISTIC_FEATURES,
    PRIOR,
    assign_folds,
    choose_scorer,
    fit_scorer,
    simplest_within_one_error,
)
from mrc.errors import DataError
from tests.mrc.calibration.rows import groups_of, right_with, rows_of


def test_folds_keep_groups_whole_and_of_even_size() -> None:
    folds = assign_folds(groups_of(103), seed=5)
    for group in set(groups_of(103)):
        assert len(set(folds[np.array(groups_of(103)) == group])) == 1
    sizes = np.bincount(folds)
    assert len(sizes) == FOLDS
    assert sizes.max() - sizes.min() <= 4  # one group
    assert not np.array_equal(folds, assign_folds(groups_of(103), seed=6))


def test_fewer_groups_than_folds_give_a_fold_each() -> None:
    assert sorted(set(assign_folds(["a", "b", "b", "c"], seed=0).tolist())) == [0, 1, 2]


def kinds_with(**risks: list[float]) -> dict[str, np.ndarray]:
    return {kind: np.array(risks.get(kind, [0.5] * FOLDS)) for kind in KINDS}


def test_a_kind_that_is_clearly_worse_than_the_best_is_not_taken() -> None:
    best = [0.1, 0.2, 0.3, 0.4, 0.5]
    worse = [
        risk + more for risk, more in zip(best, [0.01, 0.02, 0.03, 0.02, 0.02], strict=True)
    ]  # mean .02 > SE .0032
    assert simplest_within_one_error(kinds_with(boosting=best, mass=worse)) == ("boosting", "boosting")


def test_the_simpler_kind_within_one_standard_error_is_taken() -> None:
    best = [0.1, 0.2, 0.3, 0.4, 0.5]
    near = [
        risk + more for risk, more in zip(best, [0.04, -0.03, 0.02, -0.02, 0.0], strict=True)
    ]  # mean .002 <= SE .013
    assert simplest_within_one_error(kinds_with(boosting=best, logistic=near)) == ("logistic", "boosting")


def test_the_standard_error_is_of_the_paired_differences() -> None:
    # the risks themselves spread by .16, their differences only by .0045: a mean difference of .01 is clear
    best = [0.1, 0.2, 0.3, 0.4, 0.5]
    worse = [risk + more for risk, more in zip(best, [0.01, 0.015, 0.01, 0.005, 0.01], strict=True)]
    assert simplest_within_one_error(kinds_with(forest=best, max_probability=worse)) == ("forest", "forest")


def test_of_equal_kinds_the_simplest_is_taken() -> None:
    assert simplest_within_one_error(kinds_with())[0] == KINDS[0]


def test_the_choice_reports_the_risk_of_every_kind() -> None:
    mass = np.random.default_rng(0).random(60)
    choice = choose_scorer(rows_of(60, mass=mass), right_with(mass), assign_folds(groups_of(60), seed=0), seed=0)
    assert choice.candidates.keys() == set(KINDS)
    assert choice.kind in choice.note
    assert choice.scores.shape == (60,)


def test_the_prior_scores_by_the_mass() -> None:
    rows = rows_of(10)
    choice = choose_scorer(rows, np.arange(10) < 5, assign_folds(groups_of(10), seed=0), seed=0)
    assert choice.kind == PRIOR
    assert choice.candidates == {}
    assert np.array_equal(choice.scores, fit_scorer("mass", rows, np.arange(10) < 5, seed=0)(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refits_to_the_same_scores(kind: str) -> None:
    mass = np.random.default_rng(0).random(100)
    rows, correct = rows_of(100, mass=mass), right_with(mass)
    first, second = (fit_scorer(kind, rows, correct, seed=7)(rows) for _ in range(2))
    assert np.array_equal(first, second)
    assert (first.min() >= 0, first.max() <= 1) == (True, True)


def test_the_logistic_scorer_uses_only_its_own_features() -> None:
    mass = np.random.default_rng(0).random(200)
    rows, correct = rows_of(200, mass=mass), right_with(mass)
    scorer = fit_scorer("logistic", rows, correct, seed=0)
    for number, name in enumerate(FEATURES):
        other = rows.copy()
        other[:, number] += 1
        assert np.array_equal(scorer(other), scorer(rows)) == (name not in LOGISTIC_FEATURES), name


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match="unknown kind of calibrator 'oracle'"):
        fit_scorer("oracle", rows_of(3), np.array([True, False, True]), seed=0)


def test_the_trees_are_those_that_the_documentation_names() -> None:
    """300 trees of leaves of 10; 150 boosting rounds of depth 3, rate .05, leaves of 20, never stopped early."""
    rows = rows_of(240)
    right = right_with(np.clip(rows[:, 0], 0, 1), seed=3)
    forest = RandomForestClassifier(n_estimators=300, min_samples_leaf=10, random_state=7)
    boosting = HistGradientBoostingClassifier(
        max_depth=3, learning_rate=0.05, max_iter=150, min_samples_leaf=20, early_stopping=False, random_state=7
    )
    for kind, model in (("forest", forest), ("boosting", boosting)):
        expected = model.fit(rows, right).predict_proba(rows)[:, 1]
        assert np.array_equal(fit_scorer(kind, rows, right, seed=7)(rows), expected), kind
