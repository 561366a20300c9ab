"""The ledger of Label Studio: where tasks stand there, and annotations settled into reviews."""

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
    """Tasks 1 (a) and 2 (b) of round 1 stand in a project as 11 and 12."""
    with database.write() as session:
        number = open_round(session).number
        store.add_tasks(session, number, [task("a"), task("b", 1)])
        project = store.add_project(session, url=URL, blind=True, passage_slots=2, reviewers=1, page_sha256="page")
        store.set_project_remote_id(session, project.id, remote_id=7)
        push = store.begin_push(session, project.id, number, [1, 2])
        store.record_placements(session, push, [(1, 11), (2, 12)])
        store.finish_push(session, push)
    return database


def project(session: Session) -> StudioProjectRow:
    return queries.projects(session)[0]


def last_push(session: Session) -> StudioPushRow:
    return queries.push(session, max(queries.push_ids(session, project(session).id)))


def places(session: Session) -> list[tuple[int, int | None]]:
    return [(row.task_id, row.remote_id) for row in queries.live_tasks(session, project(session).id)]


def place(session: Session, remote_id: int) -> StudioTaskRow:
    [row] = queries.live_tasks(session, project(session).id, remote_ids=[remote_id])
    return row


def says(remote_id: int, at: str, verdict: str | None = "no_answer", *, by: str = "kim") -> PulledAnnotation:
    """An annotation of task 1; without a verdict an unreadable one."""
    answer = span("p3") if verdict == "answerable" else None
    review = None if verdict is None else NewReview(1, by, verdict, answer=answer, source="studio")
    problem = "no verdict" if verdict is None else None
    return PulledAnnotation(remote_id, f"2026-01-01T00:00:{at}Z", by, (), review, problem)


def settle(database: Database, *pulled: PulledAnnotation) -> AnnotationChanges:
    with database.write() as session:
        return store.record_annotations(session, {place(session, 11).id: pulled})


def verdicts(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {each.reviewer: each.verdict for each in queries.reviews(session)}


def test_a_server_that_moves_to_where_another_one_was_takes_along_what_has_room_there(sent: Database) -> None:
    with sent.write() as session:
        store.add_project(session, url="http://other", blind=True, passage_slots=2, reviewers=1, page_sha256="page")
        store.add_project(session, url=URL, blind=False, passage_slots=2, reviewers=1, page_sha256="page")
        assert store.move_projects(session, [URL, "http://other"], "http://other") == 1
        assert [(row.url, row.blind) for row in queries.projects(session)] == [
            (URL, True),  # the other server's stands in its place
            ("http://other", True),
            ("http://other", False),
        ]
        assert store.move_projects(session, [URL], "http://other") == 0, "again"


# --- where tasks stand ---------------------------------------------------------------------------


def test_tasks_on_their_way_are_neither_unsent_nor_placed_until_the_push_is_finished(sent: Database) -> None:
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


def test_placing_again_changes_nothing_and_a_second_place_is_a_copy(sent: Database) -> None:
    with sent.write() as session:
        push = last_push(session)
        assert store.record_placements(session, push, [(1, 11), (2, 12)]) == 0
        assert store.record_placements(session, push, [(1, 13)]) == 1
        assert places(session) == [(1, 11), (2, 12), (1, 13)]
        assert [row.remote_id for row in queries.repeated_placements(session, project(session).id)] == [11, 13]


def test_an_id_that_the_server_gives_again_belongs_to_the_new_task(sent: Database) -> None:
    with sent.write() as session:
        number = last_push(session).round_number
        store.add_tasks(session, number, [task("c", 2)])
        push = store.begin_push(session, project(session).id, number, [3])
        store.record_placements(session, push, [(3, 12)])
        assert places(session) == [(1, 11), (3, 12)]
        assert [row.question_id for row in queries.unsent_tasks(session, number)] == ["b"]


def test_a_project_that_is_gone_frees_its_tasks(sent: Database) -> None:
    with sent.write() as session:
        assert store.mark_project_deleted(session, project(session).id) == 2
        assert queries.projects(session) == []
        assert Counter(row.state for row in queries.tasks(session)) == {"open": 2}
        assert len(queries.unsent_tasks(session, 1)) == 2


# --- annotations ---------------------------------------------------------------------------------


def test_the_newest_annotation_of_a_person_counts_also_where_a_whole_second_is_written_short(sent: Database) -> None:
    assert settle(sent, says(5, "10.5"), says(6, "10", "bad_question")).new == 1
    assert verdicts(sent) == {"kim": "no_answer"}  # 10.5 is later than 10, though not as text


def test_settling_the_same_again_is_nothing(sent: Database) -> None:
    pulled = (says(5, "10"), says(6, "11", "answerable"), says(7, "12", None, by="lee"))
    first = settle(sent, *pulled)
    assert first == AnnotationChanges(new=1, labels=1, problems=1)
    assert (
        settle(sent, says(5, "10"), says(6, "11", "answerable"), says(7, "12", None, by="lee")) == AnnotationChanges()
    )


def test_an_edit_a_deletion_and_a_mended_problem(sent: Database) -> None:
    settle(sent, says(5, "10"), says(7, "12", None, by="lee"))
    assert settle(sent, says(5, "20", "skipped"), says(7, "21", by="lee")) == AnnotationChanges(
        new=1, edited=1, skipped=1, labels=1
    )
    assert verdicts(sent) == {"kim": "skipped", "lee": "no_answer"}
    assert settle(sent, says(7, "21", by="lee")) == AnnotationChanges(deleted=1)
    assert verdicts(sent) == {"lee": "no_answer"}


def test_a_person_whose_name_changed_is_one_person(sent: Database) -> None:
    settle(sent, says(5, "10"))
    assert settle(sent, says(5, "10", by="kim@new")) == AnnotationChanges(new=1, labels=1, deleted=1)
    assert verdicts(sent) == {"kim@new": "no_answer"}


def test_of_two_places_of_a_task_the_newest_word_counts_and_the_older_again_once_it_is_gone(sent: Database) -> None:
    with sent.write() as session:
        store.record_placements(session, last_push(session), [(1, 13)])
        first, second = (place(session, remote_id).id for remote_id in (11, 13))
        store.record_annotations(session, {first: [says(5, "30")], second: [says(6, "20", "bad_question")]})
        assert [each.verdict for each in queries.reviews(session)] == ["no_answer"]
        store.record_annotations(session, {first: [], second: [says(6, "20", "bad_question")]})
        assert [each.verdict for each in queries.reviews(session)] == ["bad_question"]


def test_what_cannot_be_read_bothers_nobody_once_its_task_is_gone(sent: Database) -> None:
    settle(sent, says(5, "10", None))
    with sent.write() as session:
        assert [row.state for row in queries.tasks(session)] == ["conflict", "open"]
        store.mark_tasks_deleted(session, [place(session, 11).id])
        assert [row.state for row in queries.tasks(session)] == ["open", "open"]
        assert queries.conflicts(session) == []
