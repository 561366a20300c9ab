"""Tasks and reviews: recorded once, edited, refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db import queries, store
from db.engine import Database
from db.errors import NotFound, SpanConflict
from db.rows import NewReview
from tests.db.conftest import human, span, task
from tests.db.steps import opened


def test_the_same_tasks_are_added_once(database: Database) -> None:
    number = opened(database)
    for expected in (2, 0):
        with database.write() as session:
            assert store.add_tasks(session, number, [task("a", 0), task("b", 1)]) == expected
    with database.write() as session:
        assert store.add_tasks(session, number, [replace(task("a"), attempt=1)]) == 1
        assert store.withdraw_tasks(session, number) == 3
        assert queries.counts(session).tasks["withdrawn"] == 3


def test_a_review_finishes_its_task_and_the_same_again_changes_nothing(database: Database) -> None:
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
