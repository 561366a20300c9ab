"""Calibration: which scorer is taken, what its confidences are worth, where the release threshold falls."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.calibration import calibrate
from mrc.calibration.calibrate import (
    ALL_FEATURES,
    FEATURES,
    FOLDS,
    HYBRID_FEATURES,
    KINDS,
    LOGISTIC_FEATURES,
    PRIOR,
    Calibrator,
    feature_rows,
    fit,
    known_features,
    release_threshold,
    reliability_bins,
)
from mrc.calibration.selective import Bools, Floats, aurc, coverage_at, ece
from mrc.errors import DataError
from mrc.types import Prediction

COLUMN = {name: number for number, name in enumerate(ALL_FEATURES)}


def rows_of(count: int, *, seed: int = 0, hybrid: bool = False, **columns: Floats) -> Floats:
    """Rows of noise in every feature but those given; with those of two lists if `hybrid`."""
    rows = np.random.default_rng(seed).random((count, len(ALL_FEATURES if hybrid else FEATURES)))
    for name, values in columns.items():
        rows[:, COLUMN[name]] = values
    return rows


def groups_of(count: int, *, size: int = 4) -> list[str]:
    return [f"p{number // size}" for number in range(count)]


def right_with(probability: Floats, *, seed: int = 1) -> Bools:
    return np.asarray(np.random.default_rng(seed).random(len(probability)) < probability)


def prediction(features: dict[str, float]) -> Prediction:
    return Prediction("q9", (), 0.0, (), features)


def test_rows_hold_the_features_in_their_written_order() -> None:
    features = {name: float(number) for number, name in enumerate(FEATURES)}
    assert feature_rows([prediction(dict(reversed(features.items())))]).tolist() == [[float(n) for n in range(14)]]
    assert feature_rows([]).shape == (0, 14)


@pytest.mark.parametrize(("value", "why"), [(None, "is missing"), (math.nan, "is not finite"), (math.inf, "is not")])
def test_a_feature_that_is_not_there_is_named_with_its_question(value: float | None, why: str) -> None:
    features = dict.fromkeys(FEATURES, 0.5)
    if value is None:
        del features["margin"]
    else:
        features["margin"] = value
    with pytest.raises(DataError, match=f"q9: feature margin {why}"):
        feature_rows([prediction(features)])


def test_the_logistic_scorer_looks_at_six_known_features() -> None:
    assert len(LOGISTIC_FEATURES) == 6
    assert set(LOGISTIC_FEATURES) <= set(FEATURES)


def test_folds_keep_groups_whole_and_of_even_size() -> None:
    folds = calibrate._folds(groups_of(103), seed=5)
    for group in set(groups_of(103)):
        assert len(set(folds[np.array(groups_of(103)) == group])) == 1
    sizes = np.bincount(folds)
    assert len(sizes) == FOLDS
    assert sizes.max() - sizes.min() <= 4  # one group
    assert not np.array_equal(folds, calibrate._folds(groups_of(103), seed=6))


@pytest.fixture(scope="module")
def plain() -> Calibrator:
    """The reader's best-span probability is all there is to know; everything else is noise."""
    probability = np.random.default_rng(2).random(300)
    return fit(rows_of(300, max_probability=probability), right_with(probability), groups_of(300), seed=3)


@pytest.fixture(scope="module")
def crossed() -> tuple[Calibrator, Floats, Bools]:
    """Right where two features are both high or both low: no line and no single feature can say it."""
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


def test_one_standard_error_decides_for_the_simpler_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over folds the mass is worse than the best by .01, .02, .03, .02, .02: mean .02 > SE .0032; so is not taken."""
    risks = {kind: np.full(FOLDS, 0.5) for kind in KINDS}
    risks["boosting"] = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    risks["mass"] = risks["boosting"] + np.array([0.01, 0.02, 0.03, 0.02, 0.02])
    risks["logistic"] = risks["boosting"] + np.array([0.04, -0.03, 0.02, -0.02, 0.0])  # mean .002 <= SE .013
    order = iter(KINDS)
    monkeypatch.setattr(calibrate, "_aurc_of_folds", lambda *_: risks[next(order)])
    monkeypatch.setattr(calibrate, "_out_of_fold", lambda *_, **__: np.zeros(40))
    correct = np.arange(40) % 2 == 0
    kind, _, means, note = calibrate._choose(rows_of(40), correct, calibrate._folds(groups_of(40), seed=0), seed=0)
    assert kind == "logistic"
    assert means["boosting"] == pytest.approx(0.3)
    assert "boosting" in note


def test_confidence_is_a_probability_that_keeps_what_it_promises(plain: Calibrator) -> None:
    truth = np.random.default_rng(8).random(4000)
    confidence = plain.confidence(rows_of(4000, max_probability=truth))
    assert (confidence.min() >= 0, confidence.max() <= 1) == (True, True)
    assert ece(confidence, right_with(truth, seed=9)) < 0.06
    assert np.all(np.diff(confidence[np.argsort(truth)]) >= 0)  # Platt scaling keeps the ranking


def test_out_of_fold_confidences_do_not_know_their_own_answer(crossed: tuple[Calibrator, Floats, Bools]) -> None:
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refits_to_the_same_scores(kind: str) -> None:
    mass = np.random.default_rng(0).random(100)
    rows, correct = rows_of(100, mass=mass), right_with(mass)
    first, second = (calibrate._fit_scorer(kind, rows, correct, seed=7)(rows) for _ in range(2))
    assert np.array_equal(first, second)
    assert (first.min() >= 0, first.max() <= 1) == (True, True)


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
def test_too_little_to_learn_from_shifts_the_mass_and_says_so(count: int, right: int, size: int, note: str) -> None:
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


def test_twenty_questions_with_five_right_ones_are_enough_to_choose() -> None:
    assert fit(rows_of(20), np.arange(20) % 4 == 0, groups_of(20, size=1), seed=0).kind in KINDS


def test_a_fold_is_scaled_by_the_other_folds_alone() -> None:
    folds, correct = np.array([0, 0, 1, 1, 2, 2]), right("++--+-")

    def rate_of(_: Floats, seen: Bools) -> calibrate.Platt:
        rate = float(seen.mean())
        return calibrate.Platt(0.0, math.log(rate / (1 - rate)))

    confidence = calibrate._cross_scaled(np.full(6, 0.5), correct, folds, rate_of)
    assert confidence == pytest.approx([1 / 4, 1 / 4, 3 / 4, 3 / 4, 2 / 4, 2 / 4])


def test_wrong_answers_of_a_single_paragraph_are_too_little() -> None:
    correct = np.arange(60) >= 6
    calibrator = fit(rows_of(60), correct, ["bad"] * 6 + groups_of(54), seed=0)
    assert "same paragraphs" in calibrator.metrics.note


def test_a_score_that_ranks_backwards_gives_all_the_same_confidence() -> None:
    score = np.linspace(0.1, 0.9, 50)
    platt = calibrate._fit_platt(score, score < 0.5)
    assert platt.slope == 0
    assert platt(score) == pytest.approx(np.full(50, 26 / 52))


def test_perfectly_separated_scores_still_have_a_finite_scaling() -> None:
    score = np.linspace(0.1, 0.9, 50)
    confidence = calibrate._fit_platt(score, score > 0.5)(score)
    assert 0 < confidence.min() < 0.1
    assert 0.9 < confidence.max() < 1


def test_no_questions_at_all_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="add gold questions"):
        fit(np.zeros((0, len(FEATURES))), np.zeros(0, dtype=bool), [], seed=0)


def test_new_rows_may_be_none_but_not_of_another_width(plain: Calibrator) -> None:
    assert plain.confidence(np.zeros((0, len(FEATURES)))).shape == (0,)
    with pytest.raises(ValueError, match="14"):
        plain.confidence(np.zeros((1, 3)))


def conf(*values: float) -> Floats:
    return np.array(values)


def right(pattern: str) -> Bools:
    return np.array([mark == "+" for mark in pattern])


def test_aurc_averages_the_error_of_the_k_most_confident() -> None:
    assert aurc(conf(0.9, 0.7, 0.8), right("+-+")) == pytest.approx((0 / 1 + 0 / 2 + 1 / 3) / 3)
    assert aurc(conf(0.1, 0.7, 0.8), right("+--")) == pytest.approx((1 / 1 + 2 / 2 + 2 / 3) / 3)


def test_ties_count_as_in_a_random_order() -> None:
    assert aurc(conf(0.5, 0.5), right("+-")) == pytest.approx((0.5 / 1 + 1 / 2) / 2)


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


def test_coverage_is_the_largest_share_that_keeps_the_precision() -> None:
    confidence, correct = conf(0.9, 0.8, 0.7, 0.6, 0.5), right("+-++-")
    assert coverage_at(confidence, correct, precision=0.75) == 4 / 5  # 3 of 4; the dip to 1 of 2 does not matter
    assert coverage_at(confidence, correct, precision=0.9) == 1 / 5
    assert coverage_at(confidence, ~correct, precision=0.9) == 0


def test_the_calibration_error_weighs_bins_of_equal_numbers() -> None:
    confidence = np.repeat([0.2, 0.6], [15, 15])
    correct = np.array([True] * 3 + [False] * 12 + [True] * 12 + [False] * 3)
    assert ece(confidence, correct) == pytest.approx((15 * abs(0.2 - 3 / 15) + 15 * abs(0.6 - 12 / 15)) / 30)


def test_reliability_bins_rise_in_confidence_and_hold_every_item() -> None:
    bins = reliability_bins(np.linspace(0, 1, 32), np.arange(32) >= 16)
    assert (len(bins), sum(b.items for b in bins)) == (15, 32)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert (bins[0].accuracy, bins[-1].accuracy) == (0.0, 1.0)
    assert reliability_bins(conf(), right("")) == ()


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


# --- features of two lists ------------------------------------------------------------------------


def two_lists(count: int, *, seed: int) -> tuple[Floats, Bools]:
    """Rows whose reader is sure of everything: what tells right from wrong is how far meaning leads."""
    rng = np.random.default_rng(seed)
    lead = rng.normal(size=count)
    rows = rows_of(count, seed=seed, hybrid=True, dense_lead=lead, mass=0.8 + 0.1 * rng.random(count))
    return rows, right_with(1 / (1 + np.exp(-4 * lead)), seed=seed + 1)


def test_features_of_two_lists_are_known_where_every_prediction_holds_them() -> None:
    plain, hybrid = (prediction(dict.fromkeys(names, 0.5)) for names in (FEATURES, ALL_FEATURES))
    assert (*FEATURES, *HYBRID_FEATURES) == ALL_FEATURES
    assert known_features([hybrid, hybrid]) == ALL_FEATURES
    assert known_features([hybrid, plain]) == known_features([]) == tuple(FEATURES)
    assert feature_rows([hybrid], ALL_FEATURES).shape == (1, len(ALL_FEATURES))
    with pytest.raises(DataError, match="q9: feature bm25_score is missing"):
        feature_rows([plain], ALL_FEATURES)


def test_a_calibrator_looks_at_both_lists_where_it_is_given_them() -> None:
    rows, correct = two_lists(400, seed=5)
    new, truth = two_lists(2000, seed=77)
    width = len(FEATURES)
    hybrid, plain = fit(rows, correct, groups_of(400), seed=0), fit(rows[:, :width], correct, groups_of(400), seed=0)
    assert (hybrid.features, plain.features) == (ALL_FEATURES, tuple(FEATURES))
    assert hybrid.metrics.aurc < plain.metrics.aurc - 0.2  # a half of all is right: without the leads it is a guess
    assert aurc(hybrid.confidence(new), truth) < aurc(plain.confidence(new[:, :width]), truth) - 0.2
    with pytest.raises(ValueError, match=str(len(ALL_FEATURES))):
        hybrid.confidence(new[:, :width])


def test_a_calibrator_of_both_lists_comes_back_from_json_and_one_without_is_as_it_ever_was() -> None:
    rows, correct = two_lists(200, seed=6)
    for columns in (len(ALL_FEATURES), len(FEATURES)):
        calibrator = fit(rows[:, :columns], correct, groups_of(200), seed=0)
        back = Calibrator.from_state(json.loads(json.dumps(calibrator.state())))
        assert back.features == calibrator.features == ALL_FEATURES[:columns]
        assert np.array_equal(back.confidence(rows[:, :columns]), calibrator.confidence(rows[:, :columns]))
    assert calibrator.state()["features"] == list(FEATURES)
