"""Rounds: stages, models, evaluations, pruning, the journal and the history of a question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db import queries, store
from db.engine import Database
from db.errors import Conflict, NotFound
from db.rows import NewReview
from tests.db.conftest import add_model, close, human, open_round, play_round, pseudo, span, task
from tests.db.steps import opened, predict


def test_a_second_round_cannot_be_opened(database: Database) -> None:
    opened(database)
    with (
        pytest.raises(Conflict, match=r"round 1 is open \(open\): `labeler round` finishes it"),
        database.write() as session,
    ):
        open_round(session)


def test_a_round_advances_once_and_only_from_its_own_stage(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        found = store.advance(session, number, "open", "predicted", calibrator_id=1)
        assert (found.stage, found.calibrator_id) == ("predicted", 1)
    with pytest.raises(Conflict, match="round 1 is predicted, not open"), database.write() as session:
        store.advance(session, number, "open", "predicted")
    with pytest.raises(NotFound, match="no round 9"), database.write() as session:
        store.advance(session, 9, "open", "predicted")


def test_a_closed_round_does_not_advance(database: Database) -> None:
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


def test_a_round_has_one_model_of_a_name(database: Database) -> None:
    with database.write() as session:
        assert add_model(session, 0, hash="model-0") == 1
    with pytest.raises(Conflict, match="another model"), database.write() as session:
        add_model(session, 0, hash="other")


def test_reverting_an_open_round_withdraws_its_tasks(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        store.add_tasks(session, number, [task("a")])
        store.revert(session, number)
        assert queries.current_round(session) is None
        assert [row.state for row in queries.tasks(session)] == ["withdrawn"]
        assert open_round(session).number == 2


def test_an_evaluation_of_the_same_key_is_overwritten(database: Database) -> None:
    with database.write() as session:
        for em in (0.5, 0.75):
            store.add_evaluation(
                session, 1, split="dev", key="k", summary={"exact_match": em}, results=[["q", "d", 1, 1.0]]
            )
        (row,) = queries.evaluations(session, split="dev")
        assert (row.summary, row.results) == ({"exact_match": 0.75}, (["q", "d", 1, 1.0],))
        assert queries.evaluation(session, 1, split="dev", key="other") is None


def test_pruning_keeps_what_is_referred_to(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
    for number, promoted in ((2, False), (3, True), (4, False)):
        assert opened(database) == number
        predict(database, number, "a", "b")
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


def test_the_history_of_a_question_lists_every_event_in_order(database: Database) -> None:
    number = opened(database)
    predict(database, number, "a")
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
