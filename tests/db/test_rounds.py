"""Rounds step by step: stages, predictions, tasks, reviews, evaluations, pruning, and a question's whole story."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db import queries, store
from db.engine import Database
from db.errors import Conflict, NotFound, SpanConflict
from db.rows import AnswerRow, Decision, NewPrediction, NewReview
from tests.db.conftest import add_model, close, human, open_round, play_round, pseudo, span, task


def predicted(question_id: str, score: float = 0.5) -> NewPrediction:
    best = AnswerRow("Dov", "p3", 0, 3, score, 0.4)
    return NewPrediction(
        question_id, (best, AnswerRow("Eve", "p4", 0, 3, 0.2, 0.1)), score, 0.1, (("p3", 2.5),), {"m": 0.3}
    )


def add(database: Database, number: int, *ids: str) -> int:
    with database.write() as session:
        rows = [predicted(key) for key in ids]
        return store.add_predictions(session, number, model_id=1, index_fingerprint="index-1", rows=rows)


def opened(database: Database) -> int:
    with database.write() as session:
        return open_round(session).number


def test_a_second_round_cannot_be_opened_and_is_told_what_to_do(database: Database) -> None:
    opened(database)
    with (
        pytest.raises(Conflict, match=r"round 1 is open \(open\): `labeler round` finishes it"),
        database.write() as session,
    ):
        open_round(session)


def test_a_step_is_taken_from_where_the_round_stands_and_only_once(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        found = store.advance(session, number, "open", "predicted", calibrator_id=1)
        assert (found.stage, found.calibrator_id) == ("predicted", 1)
    with pytest.raises(Conflict, match="round 1 is predicted, not open"), database.write() as session:
        store.advance(session, number, "open", "predicted")
    with pytest.raises(NotFound, match="no round 9"), database.write() as session:
        store.advance(session, 9, "open", "predicted")


def test_a_closed_round_takes_no_step(database: Database) -> None:
    with pytest.raises(Conflict, match="round 0 is closed"), database.write() as session:
        store.advance(session, 0, "closed", "trained")


def test_the_best_model_is_that_of_the_newest_promoted_round(database: Database) -> None:
    with database.write() as session:
        play_round(session, promoted=True)
        play_round(session, promoted=False)
        best = queries.best_model(session)
        assert best is not None
        assert best.hash == "model-1"
        assert best == queries.model_of_round(session, 1) == queries.model(session, best.id)


def test_a_model_recorded_twice_is_one_and_another_is_a_conflict(database: Database) -> None:
    with database.write() as session:
        assert add_model(session, 0, hash="model-0") == 1
    with pytest.raises(Conflict, match="another model"), database.write() as session:
        add_model(session, 0, hash="other")


def test_the_questions_to_predict_are_fixed_in_chunks_of_sorted_ids(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        assert store.plan_predictions(session, number, chunk_size=2) == 4
        assert queries.round_chunks(session, number) == [["a", "b"], ["c", "cal0"]]
    add(database, number, "a", "b")
    with database.read() as session:
        assert queries.round_chunks(session, number, predicted=False) == [["c", "cal0"]]


def test_predictions_come_back_as_they_went_in_sorted_by_question(database: Database) -> None:
    number = opened(database)
    assert add(database, number, "c", "a", "cal0") == 3
    with database.read() as session:
        rows = queries.predictions(session, number)
        assert list(queries.iter_predictions(session, number, batch=2)) == rows
        assert [row.question_id for row in queries.predictions(session, number, question_ids=["c", "b"])] == ["c"]
        assert queries.predicted_ids(session, number) == {"a", "c", "cal0"}
    first, sent = rows[0], predicted("a")
    assert (first.answers, first.hits, first.features, first.score) == (sent.answers, sent.hits, sent.features, 0.5)
    assert [(row.question_id, row.question_role) for row in rows] == [
        ("a", "pool"),
        ("c", "pool"),
        ("cal0", "calibration"),
    ]


def test_a_question_is_predicted_once_a_round(database: Database) -> None:
    number = opened(database)
    add(database, number, "a")
    with pytest.raises(Conflict, match="question 'a' already"):
        add(database, number, "b", "a")
    with pytest.raises(NotFound, match="'nobody'"):
        add(database, number, "nobody")


def test_confidences_and_decisions_are_set_by_question(database: Database) -> None:
    number = opened(database)
    add(database, number, "a", "b")
    with database.write() as session:
        assert store.set_confidences(session, number, {"a": 0.9, "b": 0.2}) == 2
        store.set_decisions(session, number, [Decision("a", "train", 0.5), Decision("b", "review")])
        rows = queries.predictions(session, number)
    assert [(row.confidence, row.decision, row.train_weight) for row in rows] == [
        (0.9, "train", 0.5),
        (0.2, "review", None),
    ]
    with pytest.raises(NotFound, match="no prediction for question 'c'"), database.write() as session:
        store.set_confidences(session, number, {"a": 0.1, "c": 0.5})
    with database.read() as session:
        assert queries.predictions(session, number)[0].confidence == 0.9


def test_adding_the_same_tasks_again_adds_none(database: Database) -> None:
    number = opened(database)
    for expected in (2, 0):
        with database.write() as session:
            assert store.add_tasks(session, number, [task("a", 0), task("b", 1)]) == expected
    with database.write() as session:
        assert store.add_tasks(session, number, [replace(task("a"), attempt=1)]) == 1
        assert store.withdraw_tasks(session, number) == 3
        assert queries.counts(session).tasks["withdrawn"] == 3


def test_a_review_sets_its_task_and_the_same_again_changes_nothing(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        store.add_tasks(session, number, [task("a", 0), task("b", 1)])
        first, second = (row.id for row in queries.tasks(session))
        review = NewReview(first, "kim", "answerable", span("p3"), origin="written", seconds=4.0)
        assert store.record_review(session, review)
        assert not store.record_review(session, replace(review, seconds=9.0))
        assert store.record_review(session, NewReview(second, "kim", "skipped"))
        assert [row.state for row in queries.tasks(session)] == ["done", "skipped"]
        assert [(row.answer, row.seconds, row.passages) for row in queries.reviews(session)] == [
            (span("p3"), 4.0, ("p3", "p4")),
            (None, None, ("p3", "p4")),
        ]


def test_an_edited_review_supersedes_the_first_and_is_considered_by_the_next_labelling(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        store.add_tasks(session, number, [task("a")])
        (key,) = (row.id for row in queries.tasks(session))
        store.record_review(session, NewReview(key, "kim", "answerable", span("p3")))
        first = queries.unrecorded_reviews(session)
        store.record_labels(session, number, human=[human("a", "p3")], pseudo=[], reason="x", reviews=[first[0].id])
        assert queries.unrecorded_reviews(session) == []
        assert store.record_review(session, NewReview(key, "kim", "answerable", span("p4")))
        (edited,) = queries.unrecorded_reviews(session)
        assert edited.answer == span("p4")
        assert [row.superseded_at is None for row in queries.reviews(session, superseded=True)] == [False, True]


def test_a_review_whose_answer_is_not_in_its_passage_is_refused(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        store.add_tasks(session, number, [task("a")])
        (key,) = (row.id for row in queries.tasks(session))
    wrong = replace(span("p3"), start=1, end=4)
    with pytest.raises(SpanConflict, match=f"task {key}"), database.write() as session:
        store.record_review(session, NewReview(key, "kim", "answerable", wrong))
    with pytest.raises(NotFound, match="task 99"), database.write() as session:
        store.record_review(session, NewReview(99, "kim", "no_answer"))
    with database.read() as session:
        assert queries.tasks(session)[0].state == "open"


def test_reverting_an_open_round_withdraws_its_tasks(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        store.add_tasks(session, number, [task("a")])
        store.revert(session, number)
        assert queries.current_round(session) is None
        assert [row.state for row in queries.tasks(session)] == ["withdrawn"]
        assert open_round(session).number == 2


def test_an_evaluation_is_stored_once_a_key_and_overwritten(database: Database) -> None:
    with database.write() as session:
        for em in (0.5, 0.75):
            store.add_evaluation(
                session, 1, split="dev", key="k", summary={"exact_match": em}, results=[["q", "d", 1, 1.0]]
            )
        (row,) = queries.evaluations(session, split="dev")
        assert (row.summary, row.results) == ({"exact_match": 0.75}, (["q", "d", 1, 1.0],))
        assert queries.evaluation(session, 1, split="dev", key="other") is None


def test_pruning_keeps_what_something_refers_to(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
    for number, promoted in ((2, False), (3, True), (4, False)):
        assert opened(database) == number
        add(database, number, "a", "b")
        with database.write() as session:
            if number == 3:
                store.record_labels(session, number, human=[], pseudo=[pseudo("a")], reason="x")
            close(session, number, promoted=promoted)
    with database.write() as session:
        done = store.prune(session, keep=1)
        assert done.predictions == 2  # round 2; 3 gave the live label and 4 is the newest
        assert [row.hash for row in done.models] == ["model-2", "model-4"]
        assert [len(queries.predictions(session, number)) for number in (2, 3, 4)] == [0, 2, 2]
        assert store.prune(session, keep=1) == replace(done, predictions=0, models=())
        assert queries.model(session, done.models[0].id).pruned_at is not None


def test_a_questions_history_tells_its_whole_story_in_order(database: Database) -> None:
    number = opened(database)
    add(database, number, "a")
    with database.write() as session:
        store.advance(session, number, "open", "predicted", calibrator_id=1)
        store.add_tasks(session, number, [task("a")])
        (key,) = (row.id for row in queries.tasks(session))
    with database.write() as session:
        store.record_labels(session, number, human=[], pseudo=[pseudo("a")], reason="x")
    with database.write() as session:
        store.record_review(session, NewReview(key, "kim", "answerable", span("p4")))
        (review,) = queries.reviews(session)
    with database.write() as session:
        store.record_labels(session, number, human=[human("a", review_id=review.id)], pseudo=[], reason="y")
    with database.write() as session:
        store.withdraw_label(session, "a", reviewer="lee", reason="wrong")
    with database.read() as session:
        events = queries.history(session, "a")
    assert [event.kind for event in events] == [
        "import",
        "prediction",
        "task",
        "label",
        "review",
        "label_withdrawn",
        "label",
        "label_withdrawn",
        "label_withdrawn_by_hand",
    ]
    prediction, guess, answer = events[1], events[3], events[6]
    assert (prediction.round_number, prediction.detail["model_hash"], prediction.detail["text"]) == (
        1,
        "model-0",
        "Dov",
    )
    assert prediction.detail["calibrator_hash"] == guess.detail["calibrator_hash"] == "cal-hash"
    assert (guess.detail["index_fingerprint"], guess.detail["threshold"]) == ("index-1", 0.8)
    assert (answer.detail["reviewer"], answer.detail["parent_id"]) == ("kim", guess.detail["label_id"])
    assert answer.detail["review_id"] == review.id


def test_the_journal_is_read_in_the_order_it_was_written(database: Database) -> None:
    with database.write() as session:
        store.add_event(session, "gate", detail={"verdict": "promoted"}, round_number=0)
        store.add_event(session, "import", detail={})
        assert [event.kind for event in queries.events(session)] == ["gate", "import"]
        assert [event.detail for event in queries.events(session, round_number=0)] == [{"verdict": "promoted"}]
