"""The weight of retrieval in the answer, fitted on questions with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from mrc.calibration.retrieval_weight import (
    HIGHEST,
    MIN_QUESTIONS,
    UNTUNED,
    ReadQuestion,
    RetrievalWeight,
    fewest_passages,
    fit_retrieval_weight,
    right_by_passages,
)
from mrc.ranking import Candidate, rank_candidates


def question(number: int, scores: list[float], standardized: list[float], right: int) -> ReadQuestion:
    """A question with one candidate a passage."""
    candidates = tuple(
        Candidate(f"answer {number} {rank}", f"p{rank}", rank, 0, 1, score) for rank, score in enumerate(scores)
    )
    return ReadQuestion(candidates, tuple(standardized), frozenset({f"answer {number} {right}"}), number // 2)


def drawn(count: int, *, weight: float, scale: float = 1.0, seed: int = 0) -> list[ReadQuestion]:
    """Questions whose right passage is drawn by the model itself, P ~ exp(scale (S + weight z))."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        scores, standardized = rng.normal(0, 3, 4), rng.normal(0, 1.5, 4)
        logs = scale * (scores + weight * standardized)
        shares = np.exp(logs - logs.max())
        right = int(rng.choice(4, p=shares / shares.sum()))
        found.append(question(number, scores.tolist(), standardized.tolist(), right))
    return found


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_the_weight_that_made_the_answers_is_found_however_sure_the_reader_is(weight: float, scale: float) -> None:
    found = fit_retrieval_weight(drawn(4000, weight=weight, scale=scale), normalize=str.lower)
    assert found.value == pytest.approx(weight, abs=0.25)
    assert found.low <= weight <= found.high
    assert found.questions == 4000


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    fits = [fit_retrieval_weight(drawn(200, weight=1.5, seed=seed), normalize=str.lower) for seed in range(100)]
    held = sum(fit.low <= 1.5 <= fit.high for fit in fits)
    assert held >= 88  # of 100 intervals of 95%; fewer have a probability below .003


def test_a_weight_is_never_negative_where_retrieval_misleads() -> None:
    found = fit_retrieval_weight(drawn(500, weight=-1.0), normalize=str.lower)
    assert found.value == found.low == 0


def test_a_reader_that_cannot_choose_the_passage_leaves_it_to_retrieval() -> None:
    rng = np.random.default_rng(0)
    noise = [question(n, rng.normal(0, 3, 3).tolist(), [2.0, 1.0, 0.0], 0) for n in range(300)]
    assert fit_retrieval_weight(noise, normalize=str.lower).value == 10.0 == HIGHEST


@pytest.mark.parametrize(("lead", "winner"), [(1.9, 0), (2.1, 1)])
def test_without_labels_a_standard_deviation_is_worth_two_nats_of_the_reader(lead: float, winner: int) -> None:
    one = question(0, [0.0, lead], [1.0, 0.0], winner)
    weight = fit_retrieval_weight((), normalize=str.lower).value
    assert right_by_passages([one], weight, normalize=str.lower)[-1] == 1.0


def test_with_few_questions_that_say_something_the_weight_is_not_fitted() -> None:
    few = drawn(MIN_QUESTIONS - 1, weight=3.0)
    silent = [ReadQuestion(each.candidates, each.standardized, frozenset({"elsewhere"}), 0) for each in few]
    assert fit_retrieval_weight(few + silent, normalize=str.lower) == RetrievalWeight(UNTUNED, 0.0, HIGHEST, 0)
    assert fit_retrieval_weight((), normalize=str.lower).questions == 0
    assert fit_retrieval_weight(drawn(MIN_QUESTIONS, weight=3.0), normalize=str.lower).questions == MIN_QUESTIONS


def test_spans_of_equal_text_are_right_together() -> None:
    """Two right spans share their mass: the fit must not push one of them down."""
    rows = drawn(1000, weight=1.0)
    doubled = [
        ReadQuestion((*each.candidates, *each.candidates), each.standardized, each.golds, each.cluster) for each in rows
    ]
    once, twice = (fit_retrieval_weight(each, normalize=str.lower) for each in (rows, doubled))
    assert twice.value == pytest.approx(once.value, abs=0.01)


def test_right_answers_by_the_number_of_passages_read() -> None:
    # The first is right in its first passage; the second in its second one, which retrieval holds back at weight 3.
    rows = [question(0, [2.0, 1.0], [1.0, 0.0], 0), question(1, [0.0, 2.0], [1.0, 0.0], 1)]
    assert right_by_passages(rows, 0.0, normalize=str.lower) == (0.5, 1.0)
    assert right_by_passages(rows, 3.0, normalize=str.lower) == (0.5, 0.5)
    assert right_by_passages((), 0.0, normalize=str.lower) == ()


def test_a_question_with_fewer_passages_keeps_its_answer() -> None:
    rows = [question(0, [2.0, 1.0], [1.0, 0.0], 0), question(1, [0.0], [1.0], 0)]
    assert right_by_passages(rows, 0.0, normalize=str.lower) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("shares", "count"),
    [((0.30, 0.34, 0.342), 2), ((0.34, 0.30, 0.31), 1), ((0.30, 0.32, 0.34), 3), ((0.3,), 1), ((0.335, 0.34), 1)],
)
def test_the_fewest_passages_that_lose_at_most_half_a_point_are_read(shares: tuple[float, ...], count: int) -> None:
    assert fewest_passages(shares) == count


def test_candidates_of_passages_without_a_prior_are_left_out() -> None:
    spans = (Candidate("a", "p0", 0, 0, 1, 0.0), Candidate("b", "p1", 1, 0, 1, 5.0))
    (only,) = rank_candidates(spans, priors=[0.0], normalize=str.lower, n_best_size=5)
    assert (only.text, only.score) == ("a", 1.0)
    best, second = rank_candidates(spans, priors=[6.0, 0.0], normalize=str.lower, n_best_size=5)
    assert (best.text, second.text) == ("a", "b")
    assert best.score == pytest.approx(1 / (1 + np.exp(-1)))  # 0 + 6 against 5 + 0
    assert rank_candidates((), priors=[], normalize=str.lower, n_best_size=5) == ()


def test_an_impossible_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="a weight must be at least 0 and in its interval"):
        RetrievalWeight(2.0, 3.0, 4.0, 100)
