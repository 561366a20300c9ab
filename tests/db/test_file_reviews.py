"""Reviews from export files: recognised by their annotation; the newest counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from db import queries, store
from db.engine import Database
from db.queries.studio import studio_tasks_of_push
from db.rows import FileReview, NewReview
from db.tables import STUDIO_ANNOTATIONS
from tests.db.conftest import open_round, span, task

MONDAY, TUESDAY = datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def annotation(database: Database) -> FileReview:
    """The answer of user 1 to the only task, from a file written on Monday."""
    with database.write() as session:
        store.add_tasks(session, open_round(session).number, [task("a")])
        (asked,) = queries.tasks(session)
    review = NewReview(asked.id, "user 1", "answerable", answer=span("p3"), origin="written", source="file")
    return FileReview(asked.id, "user 1", numbered=True, unique_id="u1", remote_id=1, updated_at=MONDAY, review=review)


def file(database: Database, each: FileReview) -> str:
    with database.write() as session:
        (became,) = store.record_file_reviews(session, [each])
        return became


def named(each: FileReview, name: str) -> FileReview:
    assert each.review is not None
    return replace(each, reviewer=name, numbered=False, review=replace(each.review, reviewer=name))


def reviewers(database: Database) -> list[str]:
    with database.read() as session:
        return [row.reviewer for row in queries.reviews(session)]


def test_an_annotation_is_stored_once_and_only_a_newer_one_edits_it(database: Database, annotation: FileReview) -> None:
    assert annotation.review is not None
    newer = replace(annotation, updated_at=TUESDAY, review=replace(annotation.review, answer=span("p4")))
    assert [file(database, each) for each in (annotation, annotation, newer, annotation, newer)] == [
        "new",
        "known",
        "edited",
        "older",
        "known",
    ]
    with database.read() as session:
        assert [row.answer for row in queries.reviews(session)] == [span("p4")]


def test_a_name_replaces_a_number_but_no_other_name(database: Database, annotation: FileReview) -> None:
    kim, lee = named(annotation, "kim"), named(annotation, "lee")
    assert [file(database, each) for each in (annotation, kim, annotation, lee)] == ["new", "edited", "known", "known"]
    assert reviewers(database) == ["kim"]


def test_the_same_number_for_another_annotation_is_an_edit_by_the_same_person(
    database: Database, annotation: FileReview
) -> None:
    other = replace(annotation, unique_id="u2", remote_id=2, updated_at=TUESDAY)
    assert [file(database, each) for each in (annotation, other)] == ["new", "known"]  # an equal review
    assert reviewers(database) == ["user 1"]


def test_an_annotation_that_became_unreadable_takes_its_review_back(database: Database, annotation: FileReview) -> None:
    file(database, annotation)
    assert file(database, replace(annotation, updated_at=TUESDAY, review=None)) == "edited"
    assert reviewers(database) == []
    assert file(database, annotation) == "older"


def test_an_unreadable_annotation_leaves_reviews_from_elsewhere(database: Database, annotation: FileReview) -> None:
    with database.write() as session:
        store.record_review(session, NewReview(annotation.task_id, "user 1", "no_answer", source="terminal"))
    assert file(database, replace(annotation, review=None)) == "known"
    assert reviewers(database) == ["user 1"]


def test_a_file_never_replaces_a_pulled_review(database: Database, annotation: FileReview) -> None:
    with database.write() as session:
        store.record_review(session, NewReview(annotation.task_id, "user 1", "no_answer", source="studio"))
    assert file(database, annotation) == "pulled"
    assert file(database, annotation) == "pulled"  # nothing was stored of it


def test_an_annotation_already_pulled_is_recognised_by_its_id(database: Database, annotation: FileReview) -> None:
    with database.write() as session:
        project = store.add_project(session, url="http://x", blind=True, passage_slots=2, reviewers=1, page_sha256="p")
        push = store.begin_push(session, project.id, 1, [annotation.task_id])
        (status,) = studio_tasks_of_push(session, push.id)
        values = {"studio_task_id": status.id, "remote_id": 1, "updated_at": "x", "reviewer": "kim", "result": []}
        session.execute(insert(STUDIO_ANNOTATIONS), [values])
    assert file(database, annotation) == "pulled"
    assert reviewers(database) == []


def test_one_file_may_hold_several_annotations_of_a_task(database: Database, annotation: FileReview) -> None:
    kim = replace(named(annotation, "kim"), unique_id="u2", remote_id=2)
    newer = replace(annotation, unique_id="u3", remote_id=3, updated_at=TUESDAY)
    with database.write() as session:
        assert store.record_file_reviews(session, [annotation, kim, newer, annotation]) == [
            "new",
            "new",
            "known",
            "older",
        ]
    assert reviewers(database) == ["user 1", "kim"]
