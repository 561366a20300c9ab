"""Predictions of a round: what they cost, what was tuned for the reader, and what is shown to reviewers."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from db import queries, store
from db.rows import AnswerRow, PredictionRow, QuestionRow
from db.tables import QUESTIONS
from labeler.core.runtime import Runtime, with_settings
from labeler.reading import answering, postprocessing, tuning
from labeler.rounds import machine
from labeler.rounds.forecast import forecast
from labeler.rounds.steps import reviewing
from mrc.types import Prediction
from tests.worlds import at, make_workspace


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the baseline that a test may change."""
    with at(shutil.copytree(baseline, tmp_path / "copy")) as opened:
        yield opened


def event_of(runtime: Runtime, number: int) -> dict[str, object]:
    with runtime.database.read() as session:
        (event,) = [each for each in queries.events(session, round_number=number) if each.kind == "predicted"]
    return dict(event.detail)


def test_a_round_records_what_it_read_in_which_time_and_as_what_was_tuned(runtime: Runtime) -> None:
    began = time.perf_counter()
    row = machine.run(runtime, reviewer="none", until="predicted").round
    took = time.perf_counter() - began
    with runtime.database.read() as session:
        predictions = queries.predictions(session, row.number)
    detail = event_of(runtime, row.number)
    read = runtime.config.read.top_k
    assert detail["sequences"] == sum(min(read, len(each.hits)) for each in predictions) > 0
    assert 0 < float(str(detail["seconds"])) < took
    assert detail["tuned"] == postprocessing.identity_of(runtime, runtime.best_model())


@pytest.mark.parametrize(("shares", "read"), [((0.5, 0.5), 1), ((0.4, 0.6), 2), ((), 2)])
def test_a_dry_run_counts_the_passages_that_the_tuned_reader_reads(
    runtime: Runtime, shares: tuple[float, ...], read: int
) -> None:
    """Two passages are retrieved; a reader that answers as well from the first reads one."""
    key = postprocessing.key_of(runtime, runtime.best_model())
    tuned = {"table": (), "right_by_passages": shares}
    with runtime.database.write() as session:
        store.set_meta(session, key, json.dumps(tuned))
    told = forecast(runtime)
    assert told.sequences == read * told.questions
    row = machine.run(runtime, reviewer="none", until="predicted").round
    assert event_of(runtime, row.number)["sequences"] == told.sequences


def test_a_question_whose_import_was_undone_since_the_round_opened_is_still_predicted(runtime: Runtime) -> None:
    row = machine.run(runtime, reviewer="none", until="open").round
    with runtime.database.read() as session:
        planned = [name for chunk in queries.round_chunks(session, row.number, predicted=False) for name in chunk]
    with runtime.database.write() as session:  # as undoing their import leaves them
        session.execute(update(QUESTIONS).where(QUESTIONS.c.id.in_(planned[:2])).values(active=False))
    machine.run(runtime, reviewer="none", until="predicted")
    with runtime.database.read() as session:
        assert {each.question_id for each in queries.predictions(session, row.number)} == set(planned)


def test_without_calibration_questions_nothing_is_released_and_the_round_says_why(tmp_path: Path) -> None:
    settings = {"calibrate__calibration_share": 0.0}
    with at(make_workspace(tmp_path / "plain", division="gold=60,dev=20,test=20,pool=60", **settings)) as runtime:
        machine.train(runtime)
        row = machine.run(runtime, reviewer="none", until="predicted").round
    assert row.release is not None
    assert (row.release["threshold"], row.release["items"]) == (None, 0)
    assert row.release["why"] == "no calibration questions: nothing can be released"


def test_the_tuned_weight_and_number_of_passages_are_used_by_the_next_round(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MIN_QUESTIONS", 10)
    monkeypatch.setattr("mrc.calibration.retrieval_weight.MIN_QUESTIONS", 1)
    model, index = runtime.best_model(), runtime.current_index()
    with runtime.database.write() as session:
        store.set_meta(session, postprocessing.key_of(runtime, model), "")  # forget what the baseline tuned
    tuned = tuning.tune(runtime, model, index=index)
    assert tuned.retrieval.questions >= 1
    assert len(tuned.right_by_passages) == runtime.config.read.top_k
    plan = postprocessing.plan_of(runtime, model)
    assert (plan.retrieval_weight, plan.passages) == (tuned.retrieval.value, tuned.passages)
    assert tuned.passages is not None
    assert "passages (EM with 1, 2, …" in postprocessing.described(tuned)
    row = machine.run(runtime, reviewer="none", until="predicted").round
    with runtime.database.read() as session:
        counts = {each.features["passages_read"] for each in queries.predictions(session, row.number) if each.answers}
    assert counts == {float(tuned.passages)}


def test_a_weight_in_the_settings_goes_before_the_tuned_one(runtime: Runtime) -> None:
    named = runtime.with_config(with_settings(runtime.config, read={"retrieval_weight": 2.5}))
    assert postprocessing.plan_of(named, runtime.best_model()).retrieval_weight == 2.5
    none = runtime.with_config(with_settings(runtime.config, read={"retrieval_weight": 0.0}))
    assert postprocessing.plan_of(none, runtime.best_model()).retrieval_weight == 0


def prediction(hits: str, passage: str | None) -> PredictionRow:
    """A prediction with these hits, one letter each, whose best answer is in this passage."""
    answers = (AnswerRow("x", passage, 0, 1, 0.5, 0.5),) if passage else ()
    found = tuple((name, 1.0) for name in hits)
    now = datetime.datetime.now(datetime.UTC)
    values = {"question_id": "q", "answers": answers, "hits": found, "features": {}, "created_at": now}
    names = PredictionRow.__dataclass_fields__
    return PredictionRow(**{name: values.get(name) for name in names})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hits", "passage", "places", "shown"),
    [
        ("abcde", "a", 3, "abc"),
        ("abcde", "c", 3, "abc"),
        ("abcde", "d", 3, "abd"),  # the last place goes to the passage of the answer
        ("abcde", "e", 1, "e"),
        ("abcde", None, 2, "ab"),
        ("ab", "b", 5, "ab"),
    ],
)
def test_the_passage_of_the_answer_is_always_shown(hits: str, passage: str | None, places: int, shown: str) -> None:
    assert reviewing.page(prediction(hits, passage), places=places) == tuple(shown)


def test_without_a_reviewer_the_budget_is_0_and_the_plan_has_no_tasks(runtime: Runtime) -> None:
    row = machine.run(runtime, reviewer="none", until="in_review").round
    with runtime.database.read() as session:
        assert queries.tasks(session, round_number=row.number) == []
        selected = [each for each in queries.events(session, round_number=row.number) if each.kind == "selected"]
    assert all(not each.detail.get("tasks") for each in selected)


def test_a_killed_prediction_reads_no_stored_chunk_again(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    honest = answering.answers

    def answers(at: Runtime, questions: Sequence[QuestionRow], *rest: Any, **more: Any) -> Iterator[Prediction]:
        if len(read) == 1:
            read.append(0)
            raise KeyboardInterrupt
        read.append(len(questions))
        return honest(at, questions, *rest, **more)

    monkeypatch.setattr(answering, "answers", answers)
    with pytest.raises(KeyboardInterrupt):
        machine.run(runtime, reviewer="none", until="predicted")
    row = machine.run(runtime, reviewer="none", until="predicted").round
    with runtime.database.read() as session:
        assert sum(read) == len(queries.predictions(session, row.number))
    assert len(read) > 2, "the round has several chunks"


def test_open_tasks_wait_for_people_and_are_withdrawn_where_nobody_reviews(runtime: Runtime) -> None:
    def open_tasks(number: int) -> int:
        with runtime.database.read() as session:
            return len(queries.tasks(session, round_number=number, states=["open"]))

    row = machine.run(runtime, reviewer="people", until="in_review").round
    asked = open_tasks(row.number)
    assert asked == runtime.config.review.review_budget
    assert machine.run(runtime, reviewer="people").waiting_for is not None
    assert open_tasks(row.number) == asked
    assert machine.run(runtime, reviewer="none", until="labelled").round.stage == "labelled"
    assert open_tasks(row.number) == 0


@pytest.mark.parametrize("given", [True, False])
def test_without_gold_labels_people_see_the_given_or_the_retrieved_passages(tmp_path: Path, given: bool) -> None:
    settings = {"read__passages": "given"} if given else {"read__top_k": 4, "review__passages": 3}
    with at(make_workspace(tmp_path / "cold", division="pool=60,test=20", **settings)) as runtime:
        row = machine.run(runtime, reviewer="people", until="in_review").round
        assert row.kind == "cold"
        with runtime.database.read() as session:
            tasks = queries.tasks(session, round_number=row.number)
            contexts = {each.id: each.context_id for each in queries.questions(session, roles=["pool"])}
            texts = {each.id: each.text for each in queries.questions(session, roles=["pool"])}
        assert len(tasks) == runtime.config.review.review_budget
        for task in tasks:
            if given:
                assert task.passages == (contexts[task.question_id],)
            else:
                (hits,) = runtime.index().retrieve([texts[task.question_id]], 3)
                assert task.passages == tuple(hit.passage_id for hit in hits)
