"""Calibrators: which scorer is chosen, how good its confidences are, and the way through JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mrc.calibration.calibrate import Calibrator, fit
from mrc.calibration.features import ALL_FEATURES, FEATURES
from mrc.calibration.scorers import KINDS, PRIOR
from mrc.calibration.selective import Bools, Floats, aurc, coverage_at, ece
from mrc.errors import DataError
from tests.mrc.calibration.rows import groups_of, right_with, rows_of


@pytest.fixture(scope="module")
def plain() -> Calibrator:
    """Fitted where only the best span's probability is informative; everything else is noise."""
    probability = np.random.default_rng(2).random(300)
    return fit(rows_of(300, max_probability=probability), right_with(probability), groups_of(300), seed=3)


@pytest.fixture(scope="module")
def crossed() -> tuple[Calibrator, Floats, Bools]:
    """Fitted where answers are right if two features are both high or both low: no linear scorer can tell."""
    a, b = np.random.default_rng(4).random((2, 400))
    rows = rows_of(400, mass=a, support=b)
    correct = right_with(np.where((a > 0.5) == (b > 0.5), 0.9, 0.1))
    return fit(rows, correct, groups_of(400), seed=3), rows, correct


def test_the_simplest_scorer_wins_where_nothing_beats_it(plain: Calibrator) -> None:
    assert plain.kind == "max_probability"
    assert set(plain.metrics.candidates) == set(KINDS)


def test_trees_win_where_features_interact(crossed: tuple[Calibrator, Floats, Bools]) -> None:
    calibrator, _, _ = crossed
    assert calibrator.kind in ("forest", "boosting")
    assert calibrator.metrics.candidates[calibrator.kind] < calibrator.metrics.candidates["mass"] - 0.1


def test_confidences_are_calibrated_on_new_questions(plain: Calibrator) -> None:
    truth = np.random.default_rng(8).random(4000)
    confidence = plain.confidence(rows_of(4000, max_probability=truth))
    assert (confidence.min() >= 0, confidence.max() <= 1) == (True, True)
    assert ece(confidence, right_with(truth, seed=9)) < 0.06
    assert np.all(np.diff(confidence[np.argsort(truth)]) >= 0)  # Platt scaling keeps the ranking


def test_out_of_fold_confidences_are_worse_than_in_sample_ones(crossed: tuple[Calibrator, Floats, Bools]) -> None:
    calibrator, rows, correct = crossed
    inside, outside = aurc(calibrator.confidence(rows), correct), aurc(calibrator.out_of_fold, correct)
    assert inside < outside
    assert calibrator.metrics.aurc == outside


def test_a_calibrator_comes_back_from_json_bit_for_bit(
    plain: Calibrator, crossed: tuple[Calibrator, Floats, Bools]
) -> None:
    new = rows_of(50, seed=11)
    for calibrator in (plain, crossed[0]):
        back = Calibrator.from_state(json.loads(json.dumps(calibrator.state())))
        assert np.array_equal(back.confidence(new), calibrator.confidence(new))
        assert back.hash == calibrator.hash
        assert back.metrics == calibrator.metrics


def test_equal_data_and_seed_give_an_equal_hash_and_other_data_another() -> None:
    mass = np.random.default_rng(0).random(15)
    rows, correct = rows_of(15, mass=mass), right_with(mass)
    first = fit(rows, correct, groups_of(15), seed=1)
    assert fit(rows, correct, groups_of(15), seed=1).hash == first.hash
    assert fit(rows, ~correct, groups_of(15), seed=1).hash != first.hash


def test_a_state_that_no_longer_gives_its_confidences_is_refused(plain: Calibrator) -> None:
    state: dict[str, Any] = plain.state()
    state["confidence"][0] += 0.01
    with pytest.raises(DataError, match="other confidences"):
        Calibrator.from_state(state)
    with pytest.raises(DataError, match="other features"):
        Calibrator.from_state(plain.state() | {"features": ["mass"]})


@pytest.mark.parametrize(
    ("count", "right", "size", "note"),
    [
        (10, 6, 1, "10 calibration questions, 20 needed"),
        (1, 1, 1, "1 calibration questions"),
        (60, 60, 1, "60 right and 0 wrong"),
        (60, 0, 1, "0 right and 60 wrong"),
        (60, 4, 1, "4 right and 56 wrong"),
        (60, 30, 20, "fewer than 5 paragraphs"),
    ],
)
def test_with_too_few_questions_the_mass_is_shifted_and_the_note_says_so(
    count: int, right: int, size: int, note: str
) -> None:
    mass = np.linspace(0.05, 0.95, count)
    rows, correct = rows_of(count, mass=mass), np.arange(count) >= count - right
    calibrator = fit(rows, correct, groups_of(count, size=size), seed=0)
    confidence = calibrator.confidence(rows)
    assert calibrator.kind == PRIOR
    assert note in calibrator.metrics.note
    assert np.mean(confidence) == pytest.approx((right + 1) / (count + 2))
    assert np.all(np.diff(confidence) > 0)
    back = Calibrator.from_state(json.loads(json.dumps(calibrator.state())))
    assert np.array_equal(back.confidence(rows), confidence)


def test_twenty_questions_with_five_right_or_wrong_ones_are_enough_to_choose() -> None:
    for correct in (np.arange(20) % 4 == 0, np.arange(20) % 4 > 0):
        assert fit(rows_of(20), correct, groups_of(20, size=1), seed=0).kind in KINDS


def test_wrong_answers_of_a_single_paragraph_are_too_little() -> None:
    correct = np.arange(60) >= 6
    calibrator = fit(rows_of(60), correct, ["bad"] * 6 + groups_of(54), seed=0)
    assert "same paragraphs" in calibrator.metrics.note


def test_no_questions_at_all_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="add gold questions"):
        fit(np.zeros((0, len(FEATURES))), np.zeros(0, dtype=bool), [], seed=0)


def test_new_rows_may_be_none_but_not_of_another_width(plain: Calibrator) -> None:
    assert plain.confidence(np.zeros((0, len(FEATURES)))).shape == (0,)
    with pytest.raises(ValueError, match="14"):
        plain.confidence(np.zeros((1, 3)))


def test_the_metrics_are_those_of_the_out_of_fold_confidences(crossed: tuple[Calibrator, Floats, Bools]) -> None:
    calibrator, _, correct = crossed
    confidence, metrics = calibrator.out_of_fold, calibrator.metrics
    assert (metrics.items, metrics.correct) == (400, int(correct.sum()))
    assert metrics.ece == ece(confidence, correct)
    assert metrics.brier == pytest.approx(np.mean([(c - r) ** 2 for c, r in zip(confidence, correct, strict=True)]))
    assert metrics.coverage_at == {
        name: coverage_at(confidence, correct, precision=float(name)) for name in ("0.70", "0.80", "0.85", "0.90")
    }


def test_a_calibrator_is_shown_in_one_line(plain: Calibrator) -> None:
    assert repr(plain).startswith("Calibrator(max_probability, 14 features, 300 questions, ECE 0.")
    assert "\n" not in repr(plain)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        fit(rows_of(30), np.ones(29, dtype=bool), groups_of(30), seed=0)
    with pytest.raises(ValueError, match="do not fit together"):
        fit(rows_of(30), np.ones(30, dtype=bool), groups_of(29), seed=0)
    with pytest.raises(ValueError, match="do not fit together"):
        fit(rows_of(30)[:, :5], np.ones(30, dtype=bool), groups_of(30), seed=0)


def two_lists(count: int, *, seed: int) -> tuple[Floats, Bools]:
    """Rows of a reader that is equally sure of all answers: only the lead in the dense list is informative."""
    rng = np.random.default_rng(seed)
    lead = rng.normal(size=count)
    rows = rows_of(count, seed=seed, hybrid=True, dense_lead=lead, mass=0.8 + 0.1 * rng.random(count))
    return rows, right_with(1 / (1 + np.exp(-4 * lead)), seed=seed + 1)


def test_hybrid_features_are_used_where_they_are_given() -> None:
    rows, correct = two_lists(400, seed=5)
    new, truth = two_lists(2000, seed=77)
    width = len(FEATURES)
    hybrid, plain = fit(rows, correct, groups_of(400), seed=0), fit(rows[:, :width], correct, groups_of(400), seed=0)
    assert (hybrid.features, plain.features) == (ALL_FEATURES, tuple(FEATURES))
    assert (
        hybrid.metrics.aurc < plain.metrics.aurc - 0.2
    )  # half of all answers are right: without the lead nothing separates them
    assert aurc(hybrid.confidence(new), truth) < aurc(plain.confidence(new[:, :width]), truth) - 0.2
    with pytest.raises(ValueError, match=str(len(ALL_FEATURES))):
        hybrid.confidence(new[:, :width])


def test_the_features_of_a_calibrator_come_back_from_json() -> None:
    rows, correct = two_lists(200, seed=6)
    for columns in (len(ALL_FEATURES), len(FEATURES)):
        calibrator = fit(rows[:, :columns], correct, groups_of(200), seed=0)
        back = Calibrator.from_state(json.loads(json.dumps(calibrator.state())))
        assert back.features == calibrator.features == ALL_FEATURES[:columns]
        assert np.array_equal(back.confidence(rows[:, :columns]), calibrator.confidence(rows[:, :columns]))
    assert calibrator.state()["features"] == list(FEATURES)
