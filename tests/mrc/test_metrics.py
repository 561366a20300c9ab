"""Metrics: equal to the published rules, on generated and on real answers."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.metrics import (
    METRICS,
    Metric,
    Score,
    bootstrap_interval,
    bootstrap_means,
    exact_match,
    f1,
    mcnemar,
    mrr,
    normalize_answer,
    paired_interval,
    recall_at,
    resolve_metric,
    score,
)
from tests.published import Published

texts = st.text(alphabet="aAn thé'\"《》()<‘,.-한국가 1", max_size=25)
data = pytest.mark.skipif(not os.environ.get("LABELER_DATA"), reason="LABELER_DATA is not set")


@pytest.mark.parametrize(
    ("text", "metric", "normal"),
    [
        ("The  Eiffel Tower!", "squad", "eiffel tower"),
        ("a.m. another the-an", "squad", "am another thean"),
        ("‘The’", "squad", "‘ ’"),  # typographic quotes are no ASCII punctuation
        ("《해리 포터》(1997)", "korquad", "해리 포터 1997"),
        ("The 'A-team'", "korquad", "the ateam"),  # articles stay, quotes part words, a hyphen joins them
    ],
)
def test_answers_are_compared_in_the_form_of_the_official_scripts(text: str, metric: Metric, normal: str) -> None:
    assert normalize_answer(text, metric) == normal


@pytest.mark.parametrize(
    ("prediction", "gold", "metric", "value"),
    [
        ("the red big house", "big house", "squad", 2 * (2 / 3) * 1 / (2 / 3 + 1)),  # the article does not count
        ("red red", "red", "squad", 2 * (1 / 2) * 1 / (1 / 2 + 1)),  # a word is matched once
        ("서울시", "서울", "korquad", 2 * (2 / 3) * 1 / (2 / 3 + 1)),  # two of three characters
        ("서 울", "서울", "korquad", 1.0),  # spaces are no characters
        ("the", "a", "squad", 0.0),
        ("the", "a", "squad_v2", 1.0),
        ("the", "red", "squad_v2", 0.0),
    ],
)
def test_f1_counts_shared_words_or_characters(prediction: str, gold: str, metric: Metric, value: float) -> None:
    assert f1(prediction, gold, metric) == pytest.approx(value, abs=1e-15)


def test_exact_match_and_f1_each_use_their_best_gold() -> None:
    assert score("big red house", ["Big red house!", "house"], "squad") == Score(1.0, 1.0)
    assert score("house", ["big house", "red car"], "squad") == Score(0.0, pytest.approx(2 / 3))


def test_an_empty_prediction_is_right_for_a_question_without_answer() -> None:
    assert score("", [], "squad") == Score(1.0, 1.0)
    assert score("Paris", [], "squad_v2") == Score(0.0, 0.0)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.sampled_from(METRICS))
def test_scores_equal_the_published_rules(prediction: str, golds: list[str], metric: Metric) -> None:
    ours = score(prediction, golds, metric)
    assert (ours.exact_match, ours.f1) == pytest.approx(Published.score(prediction, golds, metric), abs=1e-12)


@given(texts, texts, st.sampled_from(METRICS))
def test_f1_is_symmetric_and_bounds_exact_match_of_answers_with_content(a: str, b: str, metric: Metric) -> None:
    assert f1(a, b, metric) == pytest.approx(f1(b, a, metric))
    assert 0 <= f1(a, b, metric) <= 1
    if normalize_answer(a, metric):
        assert exact_match(a, b, metric) <= f1(a, b, metric)


def _perturbed(answer: str, context: str, start: int, kind: int) -> str:
    end = start + len(answer)
    return [answer, answer[1:], context[max(0, start - 4) : end + 3], f"The {answer.upper()}.", f"‘{answer}’", ""][kind]


@data
@pytest.mark.parametrize("name", ["KorQuAD_v1.0_dev.json", "new_wiki_v1.0.json"])
@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_real_files_equal_the_published_rules(name: str, metric: Metric) -> None:
    articles = json.loads(Path(os.environ["LABELER_DATA"], name).read_text(encoding="utf-8"))["data"]
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        for qa in paragraph["qas"]:
            golds = [answer["text"] for answer in qa["answers"]]
            first = qa["answers"][0]
            guess = _perturbed(first["text"], paragraph["context"], first["answer_start"], int(rng.integers(6)))
            result = score(guess, golds, metric)
            ours.append((result.exact_match, result.f1))
            theirs.append(Published.score(guess, golds, metric))
    assert len(ours) in (5774, 7938)
    assert 0.2 < np.mean(ours) < 0.9  # the guesses are neither all right nor all wrong
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "language", "impossible", "metric"),
    [
        ("auto", "ko", False, "korquad"),
        ("auto", "en", False, "squad"),
        ("auto", "en", True, "squad_v2"),
        ("squad", "ko", False, "squad"),
        ("korquad", "en", True, "korquad"),
    ],
)
def test_auto_means_korquad_for_korean(name: str, language: str, impossible: bool, metric: str) -> None:
    assert resolve_metric(name, language=language, impossible=impossible) == metric


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="rouge"):
        resolve_metric("rouge", language="en")


def test_recall_and_mrr_count_ranks_from_zero_and_a_miss_as_minus_one() -> None:
    ranks = [0, 2, -1, 3]
    assert recall_at(ranks, k=1) == 1 / 4
    assert recall_at(ranks, k=3) == 2 / 4
    assert mrr(ranks) == pytest.approx((1 + 1 / 3 + 0 + 1 / 4) / 4)
    assert (recall_at([], k=1), mrr([])) == (0.0, 0.0)


def test_resampling_single_values_has_the_spread_of_a_mean() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    means = bootstrap_means(values, rng=np.random.default_rng(0), samples=4000)
    assert means.std() == pytest.approx(math.sqrt(0.25 / 100), rel=0.05)


def test_values_of_one_cluster_are_drawn_together() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    clusters = ["a"] * 50 + ["b"] * 50
    means = bootstrap_means(values, clusters, rng=np.random.default_rng(0), samples=4000)
    assert set(np.unique(means)) == {0.0, 0.5, 1.0}
    assert np.mean(means == 0.5) == pytest.approx(0.5, abs=0.03)  # a-b or b-a of four draws


def test_a_resample_weights_clusters_by_their_size() -> None:
    means = bootstrap_means([1.0, 0.0, 0.0], ["a", "b", "b"], rng=np.random.default_rng(0), samples=500)
    assert set(np.unique(means)) == {0.0, 1 / 3, 1.0}


def test_chunked_resampling_equals_resampling_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_means(np.arange(10.0), rng=np.random.default_rng(3), samples=50)
    monkeypatch.setattr("mrc.metrics._BOOTSTRAP_CELLS", 70)
    assert np.array_equal(bootstrap_means(np.arange(10.0), rng=np.random.default_rng(3), samples=50), whole)


def test_intervals_contain_the_mean_and_pairing_narrows_them() -> None:
    rng = np.random.default_rng(1)
    before = (rng.random(200) < 0.5).astype(float)
    after = before.copy()
    after[:10] = 1.0
    paired = paired_interval(after, before, rng=np.random.default_rng(2))
    alone = bootstrap_interval(after, rng=np.random.default_rng(2))
    assert paired.mean == np.mean(after - before)
    assert paired.low <= paired.mean <= paired.high
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_bad_samples_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_means([], rng=rng)
    with pytest.raises(ValueError, match="2 values but 1"):
        bootstrap_means([1.0, 0.0], ["a"], rng=rng)
    with pytest.raises(ValueError, match="not paired"):
        paired_interval([1.0], [1.0, 0.0], rng=rng)


@pytest.mark.parametrize(
    ("losses", "wins", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1 / 2),
        (3, 1, (4 + 1) / 16),
        (0, 5, 1.0),
        (5, 5, (1024 + 252) / 2 / 1024),  # half of all ways, and half of the 252 in the middle
    ],
)
def test_mcnemar_is_the_upper_tail_of_a_fair_coin(losses: int, wins: int, p: float) -> None:
    before = [1.0] * losses + [0.0] * wins + [1.0, 0.0]
    after = [0.0] * losses + [1.0] * wins + [1.0, 0.0]
    assert mcnemar(after, before) == pytest.approx(p, abs=1e-15)


def test_mcnemar_equals_scipy_on_thousands_of_changes() -> None:
    from scipy.stats import binom

    before = np.array([1.0] * 2100 + [0.0] * 1950)
    assert mcnemar(1 - before, before) == pytest.approx(binom.sf(2099, 4050, 0.5), rel=1e-9)
