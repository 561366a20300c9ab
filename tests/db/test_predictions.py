"""Predictions: planned in chunks, stored once, given confidences and decisions."""

from __future__ import annotations

import pytest

from db import queries, store
from db.engine import Database
from db.errors import Conflict, NotFound
from db.rows import Decision
from tests.db.steps import opened, predict, predicted


def test_the_questions_to_predict_are_fixed_in_chunks_of_one_group(database: Database) -> None:
    number = opened(database)
    with database.write() as session:
        assert store.plan_predictions(session, number, [["a", "b", "c"], ["cal0"]], chunk_size=2) == 4
        assert queries.round_chunks(session, number) == [["a", "b"], ["c"], ["cal0"]]
    predict(database, number, "a", "b")
    with database.read() as session:
        assert queries.round_chunks(session, number, predicted=False) == [["c"], ["cal0"]]


def test_predictions_are_read_as_they_were_stored_sorted_by_question(database: Database) -> None:
    number = opened(database)
    assert predict(database, number, "c", "a", "cal0") == 3
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
    predict(database, number, "a")
    with pytest.raises(Conflict, match="question 'a' already"):
        predict(database, number, "b", "a")
    with pytest.raises(NotFound, match="'nobody'"):
        predict(database, number, "nobody")


def test_confidences_and_decisions_are_set_by_question(database: Database) -> None:
    number = opened(database)
    predict(database, number, "a", "b")
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
