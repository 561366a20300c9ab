"""Reviews that files bring: known again by their annotation, the newest counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from db import queries, store
from db.engine import Database
from db.rows import FileReview, NewReview
from db.tables import STUDIO_ANNOTATIONS
from tests.db.conftest import open_round, span, task

MONDAY, TUESDAY = datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def filed(database: Database) -> FileReview:
    """Number 1's answer to the only task, as Monday's file has it."""
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


def test_an_annotation_is_filed_once_and_edited_by_a_newer_one_alone(database: Database, filed: FileReview) -> None:
    assert filed.review is not None
    newer = replace(filed, updated_at=TUESDAY, review=replace(filed.review, answer=span("p4")))
    assert [file(database, each) for each in (filed, filed, newer, filed, newer)] == [
        "new",
        "known",
        "edited",
        "older",
        "known",
    ]
    with database.read() as session:
        assert [row.answer for row in queries.reviews(session)] == [span("p4")]


def test_a_name_takes_the_place_of_a_number_and_not_the_other_way(database: Database, filed: FileReview) -> None:
    kim, lee = named(filed, "kim"), named(filed, "lee")
    assert [file(database, each) for each in (filed, kim, filed, lee)] == ["new", "edited", "known", "known"]
    assert reviewers(database) == ["kim"]


def test_the_same_number_for_another_annotation_is_an_edit_by_the_same_person(
    database: Database, filed: FileReview
) -> None:
    other = replace(filed, unique_id="u2", remote_id=2, updated_at=TUESDAY)
    assert [file(database, each) for each in (filed, other)] == ["new", "known"]  # it says the same
    assert reviewers(database) == ["user 1"]


def test_an_annotation_that_cannot_be_read_any_more_takes_its_review_away(
    database: Database, filed: FileReview
) -> None:
    file(database, filed)
    assert file(database, replace(filed, updated_at=TUESDAY, review=None)) == "edited"
    assert reviewers(database) == []
    assert file(database, filed) == "older"


def test_a_review_given_elsewhere_stays_when_a_file_cannot_be_read(database: Database, filed: FileReview) -> None:
    with database.write() as session:
        store.record_review(session, NewReview(filed.task_id, "user 1", "no_answer", source="terminal"))
    assert file(database, replace(filed, review=None)) == "known"
    assert reviewers(database) == ["user 1"]


def test_what_was_pulled_from_a_server_is_left_alone(database: Database, filed: FileReview) -> None:
    with database.write() as session:
        store.record_review(session, NewReview(filed.task_id, "user 1", "no_answer", source="studio"))
    assert file(database, filed) == "pulled"
    assert file(database, filed) == "pulled"  # nothing was remembered of it


def test_an_annotation_that_a_server_gave_is_known_by_its_number(database: Database, filed: FileReview) -> None:
    with database.write() as session:
        project = store.add_project(session, url="http://x", blind=True, passage_slots=2, reviewers=1, page_sha256="p")
        push = store.begin_push(session, project.id, 1, [filed.task_id])
        (status,) = queries.tasks_of_push(session, push.id)
        values = {"studio_task_id": status.id, "remote_id": 1, "updated_at": "x", "reviewer": "kim", "result": []}
        session.execute(insert(STUDIO_ANNOTATIONS), [values])
    assert file(database, filed) == "pulled"
    assert reviewers(database) == []


def test_several_people_and_tasks_are_filed_at_once(database: Database, filed: FileReview) -> None:
    kim = replace(named(filed, "kim"), unique_id="u2", remote_id=2)
    newer = replace(filed, unique_id="u3", remote_id=3, updated_at=TUESDAY)
    with database.write() as session:
        assert store.record_file_reviews(session, [filed, kim, newer, filed]) == ["new", "new", "known", "older"]
    assert reviewers(database) == ["user 1", "kim"]
