"""Fetching reviews from a Label Studio in memory: what is read, counted and remembered."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from db import queries
from db.rows import ReviewRow, StudioProjectRow
from labeler.core import progress
from labeler.core.errors import ServerDown
from labeler.core.runtime import Runtime
from labeler.review.studio import pull_project
from labeler.review.studio.api.client import RemoteTask
from labeler.review.studio.pull import Pulled, pull, sync, withdraw
from labeler.review.studio.push import push
from tests.labeler.fake_studio import FakeStudio
from tests.reviewing import round_in_review
from tests.worlds import at


class Recording(FakeStudio):
    """A server that remembers what it was asked for, and may fail at pages or at tasks that it cannot send."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []
        self.broken: set[int] = set()  # ids that no request may contain
        self.pages_fail = False
        self.unsure = True  # whether a failing server may have done something: it is alive

    def changed_since(self, remote_id: int, cursor: str | None) -> Iterator[list[RemoteTask]]:
        self.asked.append(("changed_since", cursor))
        if self.pages_fail:
            raise ServerDown("the page cannot be sent", unsure=self.unsure)
        yield from super().changed_since(remote_id, cursor)

    def get_tasks(self, remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
        self.asked.append(("get_tasks", tuple(ids)))
        if self.broken & set(ids):
            raise ServerDown("a task cannot be sent", unsure=self.unsure)
        return super().get_tasks(remote_id, ids)

    def check(self) -> str:
        self.asked.append(("check", None))
        return super().check()

    def requests(self, name: str) -> list[Any]:
        return [detail for asked, detail in self.asked if asked == name]


@pytest.fixture
def studio() -> Recording:
    return Recording()


@pytest.fixture
def runtime(tmp_path: Path, studio: Recording) -> Iterator[Runtime]:
    """Round 0 in review; its tasks are sent: q1, q3 and q4 to one reviewer, q2 to two."""
    row = round_in_review(tmp_path / "ws")
    with at(tmp_path / "ws") as opened:
        push(opened, studio, row)  # type: ignore[arg-type]
        yield opened


def fetch(runtime: Runtime, studio: Recording, *, everything: bool = False) -> Pulled:
    studio.asked.clear()
    options = {"everything": True} if everything else {}  # the default reads what changed
    return pull(runtime, studio, **options)  # type: ignore[arg-type]


def task(studio: Recording, question_id: str) -> tuple[int, RemoteTask]:
    return next((key, each) for key, tasks in studio.tasks.items() for each in tasks.values()
                if each.data["question_id"] == question_id)  # fmt: skip


def reviews(runtime: Runtime) -> list[ReviewRow]:
    with runtime.database.read() as session:
        return queries.reviews(session)


def projects(runtime: Runtime) -> list[StudioProjectRow]:
    with runtime.database.read() as session:
        return queries.projects(session)


def states(runtime: Runtime) -> dict[str, str]:
    with runtime.database.read() as session:
        return {row.question_id: row.state for row in queries.tasks(session)}


NOTHING = Pulled(reviews=0, labels=0, skipped=0, deleted=0, conflicts=(), gone=0, foreign=0, open=4)


# --- counting -------------------------------------------------------------------------------------


def test_new_edited_and_deleted_reviews_are_counted(runtime: Runtime, studio: Recording) -> None:
    answered = studio.answer(task(studio, "q1"), "answerable", "1921")
    studio.answer(task(studio, "q3"), "no_answer")
    studio.skip(task(studio, "q4"))
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, reviews=3, labels=2, skipped=1, open=1)
    assert states(runtime) == {"q1": "done", "q2": "open", "q3": "done", "q4": "skipped"}
    studio.edit(task(studio, "q1"), answered, "answerable", "1921년")
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, reviews=1, labels=1, open=1)
    studio.take_back(task(studio, "q1"), answered)
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, deleted=1, open=2)
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, open=2)


def test_reviews_carry_the_addresses_of_their_reviewers(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q2"), "answerable", "Ilvane", person=2)
    fetch(runtime, studio)
    (review,) = reviews(runtime)
    assert (review.reviewer, review.question_id, review.verdict) == ("p2@test", "q2", "answerable")
    assert review.answer is not None
    assert (review.answer.text, review.answer.passage_id) == ("Ilvane", "tower")
    assert states(runtime)["q2"] == "open", "a second reviewer is still wanted"


def test_a_task_deleted_on_the_server_is_counted_and_may_be_sent_again(runtime: Runtime, studio: Recording) -> None:
    project, remote = task(studio, "q1")
    del studio.tasks[project][remote.id]
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, gone=1)
    with runtime.database.read() as session:
        assert [row.question_id for row in queries.unsent_tasks(session, 0)] == ["q1"]


def test_tasks_of_others_are_counted_and_left_alone(runtime: Runtime, studio: Recording) -> None:
    project, _ = task(studio, "q1")
    studio.tasks[project][999] = RemoteTask(999, studio._now(), {"task": "theirs", "question_id": "x", "push_id": "y"})
    assert fetch(runtime, studio) == dataclasses.replace(NOTHING, foreign=1)
    assert 999 in studio.tasks[project]


def test_two_pulls_together_add_up_what_changed(runtime: Runtime) -> None:
    one = Pulled(reviews=1, labels=2, skipped=3, deleted=4, conflicts=(), gone=5, foreign=6, open=7)
    two = Pulled(reviews=10, labels=20, skipped=30, deleted=40, conflicts=(), gone=50, foreign=60, open=70)
    assert one.then(two) == Pulled(
        reviews=11, labels=22, skipped=33, deleted=44, conflicts=(), gone=55, foreign=60, open=70
    )


@pytest.mark.parametrize(
    ("fields", "changed"),
    [({}, False), ({"foreign": 1}, False), ({"reviews": 1}, True), ({"deleted": 1}, True), ({"gone": 1}, True)],
)
def test_a_pull_changed_something_if_reviews_or_tasks_did(fields: dict[str, int], changed: bool) -> None:
    assert dataclasses.replace(NOTHING, **fields).changed is changed


def test_an_unreadable_annotation_is_a_conflict(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "answerable")  # no answer is marked
    found = fetch(runtime, studio)
    assert [(each.question_id, each.why) for each in found.conflicts] == [("q1", "answerable without an answer marked")]
    assert (found.reviews, found.open) == (0, 3)


# --- what is read ---------------------------------------------------------------------------------


def test_a_second_pull_without_changes_reads_nothing(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "answerable", "1921")
    fetch(runtime, studio)
    fetch(runtime, studio)
    assert studio.requests("changed_since") == []
    fetch(runtime, studio, everything=True)
    assert set(studio.requests("changed_since")) == {None}


def test_changes_are_read_from_the_last_newest_one_less_the_overlap(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q3"), "answerable", "Dunmor")
    fetch(runtime, studio)
    project, _ = task(studio, "q3")
    newest = studio.newest_change(project)
    (row,) = (each for each in projects(runtime) if each.remote_id == project)
    assert row.cursor == newest
    studio.answer(task(studio, "q4"), "no_answer")
    assert runtime.config.studio.overlap_seconds == 60
    fetch(runtime, studio)
    moments = [moment for moment in studio.requests("changed_since") if moment is not None]
    assert newest is not None
    minute = int(newest[14:16])
    assert f"{newest[:14]}{minute - 1:02}{newest[16:]}" in moments


def test_an_annotation_that_the_clock_hides_is_found_by_counting(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "answerable", "1921")
    studio.answer(task(studio, "q2"), "no_answer")
    fetch(runtime, studio)
    project, _ = where = task(studio, "q2")
    studio.answer(where, "no_answer", person=2)
    for key, tasks in studio.tasks.items():  # the server's clock was set back by a day
        studio.tasks[key] = {each.id: dataclasses.replace(each, updated_at="2025-12-31T00:00:00.000000Z")
                             if each.data["question_id"] == "q2" else each for each in tasks.values()}  # fmt: skip
    assert fetch(runtime, studio).reviews == 1
    assert len(reviews(runtime)) == 3
    assert project in studio.tasks


def test_a_task_that_is_there_twice_is_read_together(runtime: Runtime, studio: Recording) -> None:
    project, remote = task(studio, "q2")
    copy = dataclasses.replace(remote, id=500)
    studio.tasks[project][500] = copy
    studio.answer((project, remote), "answerable", "Ilvane", person=1)
    studio.answer((project, copy), "answerable", "Ilvane", person=2)
    found = fetch(runtime, studio)
    assert (found.reviews, found.foreign) == (2, 0)
    assert {row.reviewer for row in reviews(runtime)} == {"p1@test", "p2@test"}
    assert tuple(sorted([remote.id, 500])) in studio.requests("get_tasks")
    assert states(runtime)["q2"] == "done"
    fetch(runtime, studio)
    assert len(studio.requests("changed_since")) == 1, "its project is read while the copy is there; the other is not"


def test_an_id_that_the_server_gives_to_another_task_is_not_ours(runtime: Runtime, studio: Recording) -> None:
    project, remote = task(studio, "q2")
    strange = {**remote.data, "task": "theirs", "push_id": "theirs"}
    studio.tasks[project][remote.id] = RemoteTask(remote.id, studio._now(), strange)
    studio.answer((project, studio.tasks[project][remote.id]), "no_answer")
    found = fetch(runtime, studio)
    assert (found.reviews, found.gone) == (0, 1)
    assert reviews(runtime) == []


@pytest.mark.parametrize("edited", [{"task": "edited"}, {"push_id": "edited"}, {"question_id": "edited"}])
def test_a_task_is_ours_though_people_edited_one_of_its_keys(
    runtime: Runtime, studio: Recording, edited: dict[str, str]
) -> None:
    project, remote = task(studio, "q2")
    studio.tasks[project][remote.id] = dataclasses.replace(remote, data={**remote.data, **edited})
    studio.answer((project, remote), "no_answer")
    found = fetch(runtime, studio)
    assert (found.reviews, found.gone) == (1, 0)


# --- failures -------------------------------------------------------------------------------------


def test_where_pages_fail_all_tasks_are_read_in_chunks(
    runtime: Runtime, studio: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_project, "CHUNK", 1)
    for question in ("q1", "q2"):
        studio.answer(task(studio, question), "no_answer")
    studio.pages_fail = True
    assert fetch(runtime, studio).reviews == 2
    assert studio.requests("check"), "a server that is down is not asked for chunks"
    sizes = {len(ids) for ids in studio.requests("get_tasks") if ids}
    assert sizes == {1}


@pytest.mark.parametrize("question_id", ["q1", "q3", "q4"])  # q3 and q4 are in one project
def test_one_task_that_cannot_be_sent_does_not_hide_the_others(
    runtime: Runtime, studio: Recording, caplog: pytest.LogCaptureFixture, question_id: str
) -> None:
    for question in ("q1", "q2", "q3", "q4"):
        studio.answer(task(studio, question), "no_answer")
    _, broken = task(studio, question_id)
    studio.pages_fail, studio.broken = True, {broken.id}
    with caplog.at_level(logging.WARNING):
        assert fetch(runtime, studio).reviews == 3
    assert {row.question_id for row in reviews(runtime)} == {"q1", "q2", "q3", "q4"} - {question_id}
    (warning,) = caplog.messages
    assert f"?task={broken.id} cannot be read" in warning


@pytest.mark.parametrize("failing", ["pages", "tasks"])
def test_a_server_that_is_down_is_an_error(runtime: Runtime, studio: Recording, failing: str) -> None:
    where = task(studio, "q1")
    studio.answer(where, "no_answer")
    studio.pages_fail = True
    if failing == "pages":
        studio.unsure = False
    else:
        studio.broken, studio.unsure = {where[1].id}, True
        monkey = studio.get_tasks

        def down(remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
            if ids:
                raise ServerDown("no connection", unsure=False)
            return monkey(remote_id, ids)

        studio.get_tasks = down  # type: ignore[method-assign]
    with pytest.raises(ServerDown):
        fetch(runtime, studio)
    assert reviews(runtime) == []


def test_the_cursor_moves_only_when_everything_was_read(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "no_answer")
    before = {row.remote_id: row.cursor for row in projects(runtime)}
    studio.pages_fail, studio.unsure = True, False
    with pytest.raises(ServerDown):
        fetch(runtime, studio)
    assert {row.remote_id: row.cursor for row in projects(runtime)} == before


# --- around a pull --------------------------------------------------------------------------------


def test_a_sync_asks_an_adjudicator_about_a_disagreement(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q2"), "answerable", "Ilvane", person=1)
    studio.answer(task(studio, "q2"), "answerable", "Korr", person=2)
    with runtime.database.read() as session:
        row = queries.round_(session, 0)
    pulled, pushed = sync(runtime, studio, row)  # type: ignore[arg-type]
    assert (pulled.reviews, pushed.pushed) == (2, 1)
    assert pulled.open == 4, "q1, q3, q4 and the adjudication, counted after it was made"
    assert [each.question_id for each in pulled.conflicts] == ["q2"]


def test_withdrawing_keeps_late_reviews_and_deletes_untouched_tasks(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "no_answer")
    studio.answer(task(studio, "q2"), "no_answer")  # one of two
    with runtime.database.read() as session:
        row = queries.round_(session, 0)
    assert withdraw(runtime, studio, row) == 3  # type: ignore[arg-type]
    assert states(runtime) == {"q1": "done", "q2": "done", "q3": "withdrawn", "q4": "withdrawn"}
    there = {each.data["question_id"] for tasks in studio.tasks.values() for each in tasks.values()}
    assert there == {"q1", "q2"}


def test_progress_of_a_pull_has_no_total(
    runtime: Runtime, studio: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    studio.answer(task(studio, "q1"), "no_answer")
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        fetch(runtime, studio)
    running = [text for text in caplog.messages if text.startswith("pull: ") and " in " not in text]
    assert running
    assert all(re.fullmatch(r"pull: \d+ tasks", text.strip()) for text in running), "how many have changed is unknown"


def test_progress_counts_the_tasks_read(runtime: Runtime, studio: Recording) -> None:
    studio.answer(task(studio, "q1"), "no_answer")
    (row,) = (each for each in projects(runtime) if each.remote_id == task(studio, "q1")[0])
    counted: list[int] = []

    class Counting:
        def update(self, count: int = 1) -> None:
            counted.append(count)

    found = pull_project.ProjectPull(runtime, studio, row, studio.users(), Counting())  # type: ignore[arg-type]
    assert found.run(everything=True)["new"] == 1
    assert counted == [len(studio.tasks[row.remote_id or 0])]
