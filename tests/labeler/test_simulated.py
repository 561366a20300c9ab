"""The simulated reviewer says what the hidden answers say, blind or not, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from db.rows import AnswerRow, HiddenRow, PredictionRow, SpanRow, TaskRow
from labeler.rounds.simulated_reviewer import SECONDS, simulate
from mrc.types import Passage

TEXT = "The bridge of Velmora opened in 1893 and was built by Ansel Dray."
YEAR = SpanRow("1893", "p1", 32, 36)
BUILDER = SpanRow("Ansel Dray", "p1", 54, 64)


def fetch(ids: Sequence[str]) -> Mapping[str, Passage]:
    return {key: Passage(key, TEXT) for key in ids}


def task(*, blind: bool = False, passages: tuple[str, ...] = ("p1", "p2")) -> TaskRow:
    return TaskRow(
        id=7,
        round_number=1,
        question_id="q1",
        attempt=0,
        kind="random",
        blind=blind,
        position=0,
        passages=passages,
        reviewers=1,
        state="open",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        withdrawn_at=None,
    )


def predicted(answer: SpanRow) -> PredictionRow:
    best = AnswerRow(answer.text, answer.passage_id, answer.start, answer.end, 0.6, 0.5)
    return PredictionRow(
        id=1,
        round_number=1,
        question_id="q1",
        question_role="pool",
        model_id=1,
        index_fingerprint=None,
        answers=(best,),
        score=0.6,
        null_score=0.1,
        confidence=0.5,
        hits=(("p1", 1.0),),
        features={},
        decision="review",
        train_weight=None,
    )


def reviewed(
    known: HiddenRow | None,
    prediction: PredictionRow | None = None,
    *,
    simulated_error_rate: float = 0.0,
    **about: bool,
):
    return simulate(
        task(**about), known, prediction, metric="squad", simulated_error_rate=simulated_error_rate, seed=1, fetch=fetch
    )


def test_the_fixture_has_the_span_at_its_offset() -> None:
    assert TEXT[YEAR.start : YEAR.end] == YEAR.text
    assert TEXT[BUILDER.start : BUILDER.end] == BUILDER.text


def test_a_right_suggestion_is_accepted_in_the_least_time() -> None:
    found = reviewed(HiddenRow("q1", False, (YEAR,)), predicted(YEAR))
    assert (found.verdict, found.answer, found.origin, found.seconds) == ("answerable", YEAR, "accepted", 15.0)


def test_a_wrong_suggestion_is_changed() -> None:
    found = reviewed(HiddenRow("q1", False, (YEAR,)), predicted(BUILDER))
    assert (found.answer, found.origin, found.seconds) == (YEAR, "changed", SECONDS["changed"])


def test_a_blind_task_is_written_anew_even_where_the_prediction_is_right() -> None:
    found = reviewed(HiddenRow("q1", False, (YEAR,)), predicted(YEAR), blind=True)
    assert (found.origin, found.seconds) == ("written", 60.0)


def test_an_answer_in_no_passage_shown_is_no_answer_in_these_passages() -> None:
    elsewhere = SpanRow("1893", "p9", 0, 4)
    assert reviewed(HiddenRow("q1", False, (elsewhere,))).verdict == "no_answer"


def test_an_impossible_question_is_no_answer() -> None:
    assert reviewed(HiddenRow("q1", True, ())).verdict == "no_answer"


def test_a_question_that_nothing_is_known_of_is_skipped() -> None:
    assert reviewed(None).verdict == "skipped"


def test_a_simulated_error_is_another_word_of_the_same_passage() -> None:
    found = reviewed(HiddenRow("q1", False, (YEAR,)), simulated_error_rate=1.0)
    assert found.answer is not None
    assert TEXT[found.answer.start : found.answer.end] == found.answer.text
    assert found.answer.end <= YEAR.start or found.answer.start >= YEAR.end


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_and_question_give_the_same_review(seed: int) -> None:
    known = HiddenRow("q1", False, (YEAR, BUILDER))
    first, second = (
        simulate(task(), known, None, metric="squad", simulated_error_rate=0.5, seed=seed, fetch=fetch)
        for _ in range(2)
    )
    assert first == second
