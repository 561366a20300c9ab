"""Label Studio: tasks on a server, and reviews made of annotations."""

from __future__ import annotations

from collections import Counter

import pytest

from db import queries, store
from db.engine import Database, Session
from db.rows import AnnotationChanges, NewReview, PulledAnnotation, StudioProjectRow, StudioPushRow, StudioTaskRow
from tests.db.conftest import open_round, span, task

URL = "http://studio.example"


@pytest.fixture
def sent(database: Database) -> Database:
    """Tasks 1 (a) and 2 (b) of round 1 are in a project under the server ids 11 and 12."""
    with database.write() as session:
        number = open_round(session).number
        store.add_tasks(session, number, [task("a"), task("b", 1)])
        project = store.add_project(session, url=URL, blind=True, passage_slots=2, reviewers=1, page_sha256="page")
        store.set_project_remote_id(session, project.id, remote_id=7)
        push = store.begin_push(session, project.id, number, [1, 2])
        store.record_studio_tasks(session, push, [(1, 11), (2, 12)])
        store.finish_push(session, push)
    return database


def project(session: Session) -> StudioProjectRow:
    return queries.projects(session)[0]


def last_push(session: Session) -> StudioPushRow:
    return queries.push(session, max(queries.push_ids(session, project(session).id)))


def placed(session: Session) -> list[tuple[int, int | None]]:
    return [(row.task_id, row.remote_id) for row in queries.studio_tasks(session, project(session).id)]


def studio_task(session: Session, remote_id: int) -> StudioTaskRow:
    [row] = queries.studio_tasks(session, project(session).id, remote_ids=[remote_id])
    return row


def annotation(remote_id: int, at: str, verdict: str | None = "no_answer", *, by: str = "kim") -> PulledAnnotation:
    """An annotation of task 1; without a verdict an unreadable one."""
    answer = span("p3") if verdict == "answerable" else None
    review = None if verdict is None else NewReview(1, by, verdict, answer=answer, source="studio")
    problem = "no verdict" if verdict is None else None
    return PulledAnnotation(remote_id, f"2026-01-01T00:00:{at}Z", by, (), review, problem)


def pull(database: Database, *pulled: PulledAnnotation) -> AnnotationChanges:
    with database.write() as session:
        return store.record_annotations(session, {studio_task(session, 11).id: pulled})


def verdicts(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {each.reviewer: each.verdict for each in queries.reviews(session)}


def test_projects_move_with_their_server_unless_the_new_url_has_such_a_project(sent: Database) -> None:
    with sent.write() as session:
        store.add_project(session, url="http://other", blind=True, passage_slots=2, reviewers=1, page_sha256="page")
        store.add_project(session, url=URL, blind=False, passage_slots=2, reviewers=1, page_sha256="page")
        assert store.move_projects(session, [URL, "http://other"], "http://other") == 1
        assert [(row.url, row.blind) for row in queries.projects(session)] == [
            (URL, True),  # http://other has such a project already
            ("http://other", True),
            ("http://other", False),
        ]
        assert store.move_projects(session, [URL], "http://other") == 0, "again"


# --- tasks on a server ---------------------------------------------------------------------------


def test_tasks_of_an_unfinished_push_are_neither_unsent_nor_placed(sent: Database) -> None:
    with sent.write() as session:
        number = last_push(session).round_number
        store.add_tasks(session, number, [task("c", 2)])
        assert [row.question_id for row in queries.unsent_tasks(session, number)] == ["c"]
        push = store.begin_push(session, project(session).id, number, [3])
        assert queries.unsent_tasks(session, number) == []
        assert [row.id for row in queries.unfinished_pushes(session, url=URL)] == [push.id]
        assert store.finish_push(session, push) == 1  # it did not arrive
        assert [row.question_id for row in queries.unsent_tasks(session, number)] == ["c"]
        assert queries.unfinished_pushes(session, url=URL) == []


def test_a_task_on_a_server_is_stored_once_and_a_second_one_is_a_repetition(sent: Database) -> None:
    with sent.write() as session:
        push = last_push(session)
        assert store.record_studio_tasks(session, push, [(1, 11), (2, 12)]) == 0
        assert store.record_studio_tasks(session, push, [(1, 13)]) == 1
        assert placed(session) == [(1, 11), (2, 12), (1, 13)]
        assert [row.remote_id for row in queries.repeated_studio_tasks(session, project(session).id)] == [11, 13]


def test_a_reused_server_id_belongs_to_the_new_task(sent: Database) -> None:
    with sent.write() as session:
        number = last_push(session).round_number
        store.add_tasks(session, number, [task("c", 2)])
        push = store.begin_push(session, project(session).id, number, [3])
        store.record_studio_tasks(session, push, [(3, 12)])
        assert placed(session) == [(1, 11), (3, 12)]
        assert [row.question_id for row in queries.unsent_tasks(session, number)] == ["b"]


def test_tasks_of_a_deleted_project_may_be_sent_again(sent: Database) -> None:
    with sent.write() as session:
        assert store.mark_project_deleted(session, project(session).id) == 2
        assert queries.projects(session) == []
        assert Counter(row.state for row in queries.tasks(session)) == {"open": 2}
        assert len(queries.unsent_tasks(session, 1)) == 2


# --- annotations ---------------------------------------------------------------------------------


def test_annotations_are_ordered_by_time_and_not_by_text(sent: Database) -> None:
    assert pull(sent, annotation(5, "10.5"), annotation(6, "10", "bad_question")).new == 1
    assert verdicts(sent) == {"kim": "no_answer"}  # 10.5 is later than 10, though not as text


def test_the_same_annotations_again_change_nothing(sent: Database) -> None:
    pulled = (annotation(5, "10"), annotation(6, "11", "answerable"), annotation(7, "12", None, by="lee"))
    first = pull(sent, *pulled)
    assert first == AnnotationChanges(new=1, labels=1, problems=1)
    assert pull(sent, *pulled) == AnnotationChanges()


def test_edited_deleted_and_corrected_annotations_change_reviews(sent: Database) -> None:
    pull(sent, annotation(5, "10"), annotation(7, "12", None, by="lee"))
    assert pull(sent, annotation(5, "20", "skipped"), annotation(7, "21", by="lee")) == AnnotationChanges(
        new=1, edited=1, skipped=1, labels=1
    )
    assert verdicts(sent) == {"kim": "skipped", "lee": "no_answer"}
    assert pull(sent, annotation(7, "21", by="lee")) == AnnotationChanges(deleted=1)
    assert verdicts(sent) == {"lee": "no_answer"}


def test_a_renamed_reviewer_keeps_one_review(sent: Database) -> None:
    pull(sent, annotation(5, "10"))
    assert pull(sent, annotation(5, "10", by="kim@new")) == AnnotationChanges(new=1, labels=1, deleted=1)
    assert verdicts(sent) == {"kim@new": "no_answer"}


def test_of_two_tasks_for_one_question_the_newest_annotation_counts_until_it_is_deleted(sent: Database) -> None:
    with sent.write() as session:
        store.record_studio_tasks(session, last_push(session), [(1, 13)])
        first, second = (studio_task(session, remote_id).id for remote_id in (11, 13))
        store.record_annotations(session, {first: [annotation(5, "30")], second: [annotation(6, "20", "bad_question")]})
        assert [each.verdict for each in queries.reviews(session)] == ["no_answer"]
        store.record_annotations(session, {first: [], second: [annotation(6, "20", "bad_question")]})
        assert [each.verdict for each in queries.reviews(session)] == ["bad_question"]


def test_an_unreadable_annotation_is_no_conflict_after_its_task_was_deleted(sent: Database) -> None:
    pull(sent, annotation(5, "10", None))
    with sent.write() as session:
        assert [row.state for row in queries.tasks(session)] == ["conflict", "open"]
        store.mark_studio_tasks_deleted(session, [studio_task(session, 11).id])
        assert [row.state for row in queries.tasks(session)] == ["open", "open"]
        assert queries.conflicts(session) == []
