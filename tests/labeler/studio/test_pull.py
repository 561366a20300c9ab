"""Pulling: after it the database says of every task what the server says, and the same again changes nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import queries, store
from db.rows import RoundRow, SpanRow
from labeler.core.errors import ServerDown
from labeler.core.runtime import Runtime
from labeler.retrieval.indexing import build_index
from labeler.review.studio import reconcile
from labeler.review.studio.api.client import Client, RemoteTask
from labeler.review.studio.pull import Pulled, pull, sync, withdraw
from labeler.review.studio.push import push
from tests.commands import ok, run
from tests.labeler.studio.people import Json, People, keys, on_server, order, projects, says, stored, truth
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.labeler.studio.scripted import scripted
from tests.studio import TestServer

Pulling = tuple[Runtime, People, Client]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOST_SECONDS", 0.3)


@pytest.fixture
def sent(label_studio: TestServer, tmp_path: Path) -> Iterator[Pulling]:
    """A runtime whose six tasks (one blind) stand on the server."""
    client = Client(label_studio.connection)
    with at(make_runtime(tmp_path / "ws", Shape(tasks=6, blind_every=6)), batch=10) as runtime:
        push(runtime, client, in_review(runtime))
        yield runtime, People(label_studio), client


def in_review(runtime: Runtime) -> RoundRow:
    with runtime.database.read() as session:
        row = queries.current_round(session)
    assert row is not None
    return row


def tasks(runtime: Runtime, people: People) -> list[Json]:
    """The blind task and the five with suggestions."""
    return [task for project in projects(runtime) for task in people.tasks(project)]


def table(runtime: Runtime, name: str) -> list[tuple[Any, ...]]:
    with runtime.database.read() as session:
        return [tuple(row) for row in session.execute(text(f"SELECT * FROM {name} ORDER BY id"))]


def everything(runtime: Runtime) -> dict[str, list[tuple[Any, ...]]]:
    names = ("tasks", "reviews", "studio_tasks", "studio_pushes", "studio_annotations")
    return {name: table(runtime, name) for name in names}


ANSWERS: Sequence[tuple[str, list[Json]]] = (
    ("an answer in the first passage", says("answerable", (1, 4, 9))),
    ("a long answer in the third passage", says("answerable", (3, 12, 61))),
    ("no answer", says("no_answer")),
    ("a bad question", says("bad_question")),
    ("a bad question with a mark left", says("bad_question", (1, 0, 2))),
)


def test_every_verdict_is_pulled_once_with_exact_offsets(sent: Pulling) -> None:
    runtime, people, client = sent
    for task, (_, result) in zip(tasks(runtime, people), ANSWERS, strict=False):
        people.answer(task["id"], result)
    people.skip(tasks(runtime, people)[5]["id"])
    done = pull(runtime, client)
    assert (done.reviews, done.labels, done.skipped, done.deleted, done.conflicts, done.open) == (6, 3, 1, 0, (), 0)
    assert stored(runtime) == truth(people, runtime)
    assert sorted(keys(runtime).values()) == ["done"] * 5 + ["skipped"]


def test_pulling_again_changes_no_row(sent: Pulling) -> None:
    runtime, people, client = sent
    for task, (_, result) in zip(tasks(runtime, people), ANSWERS, strict=False):
        people.answer(task["id"], result)
    people.answer(tasks(runtime, people)[5]["id"], says(None))
    pull(runtime, client)
    before = everything(runtime)
    again, all_again = pull(runtime, client), pull(runtime, client, everything=True)
    assert (again.reviews, again.deleted, all_again.reviews, all_again.deleted) == (0, 0, 0, 0)
    assert everything(runtime) == before


def test_time_comment_and_origin_are_pulled(sent: Pulling) -> None:
    runtime, people, client = sent
    comment = {"from_name": "comment", "to_name": "p1", "type": "textarea", "value": {"text": ["둘째 문단 🤔"]}}
    for task, origin in zip(tasks(runtime, people), ("prediction", "prediction-changed", "manual"), strict=False):
        people.answer(task["id"], [*says("answerable", (1, 6, 9), origin=origin), comment])
    pull(runtime, client)
    with runtime.database.read() as session:
        found = queries.reviews(session)
    assert [each.origin for each in found] == ["accepted", "changed", "written"]
    assert {(each.seconds, each.comment, each.source) for each in found} == {(4.5, "둘째 문단 🤔", "studio")}


def test_words_of_a_reviewer_who_finds_no_answer_bring_a_task_with_other_passages(sent: Pulling) -> None:
    runtime, people, client = sent
    build_index(runtime)
    first = tasks(runtime, people)[1]
    with runtime.database.read() as session:
        asked = next(each for each in queries.tasks(session) if each.question_id == first["data"]["question_id"])
        wanted = next(each for each in queries.iter_passages(session) if each.id not in asked.passages)
    words = {"from_name": "search_again", "to_name": "p1", "type": "textarea", "value": {"text": [wanted.text]}}
    people.answer(first["id"], [*says("no_answer"), words])
    before = {task["id"] for task in tasks(runtime, people)}
    pulled, pushed = sync(runtime, client, in_review(runtime))
    assert (pulled.reviews, pushed.pushed) == (1, 1)
    (new,) = [task for task in tasks(runtime, people) if task["id"] not in before]
    assert new["project"] == first["project"], "its page has room for as many passages"
    assert new["data"]["question_id"] == asked.question_id
    shown = {new["data"][f"p{number}"] for number in (1, 2, 3)} - {""}
    assert wanted.text in shown
    assert not shown & {first["data"][f"p{number}"] for number in (1, 2, 3)}, "none that was shown before"
    place = next(number for number in (1, 2, 3) if new["data"][f"p{number}"] == wanted.text)
    people.answer(new["id"], says("answerable", (place, 0, 3)))
    assert sync(runtime, client, in_review(runtime))[1].pushed == 0
    with runtime.database.read() as session:
        found = [each for each in queries.reviews(session) if each.question_id == asked.question_id]
    said = [("no_answer", wanted.text.strip()), ("answerable", None)]
    assert [(each.verdict, each.search_again) for each in found] == said
    assert found[1].answer == SpanRow(wanted.text[:3], wanted.id, 0, 3)


# --- what people change later --------------------------------------------------------------------


def test_an_edit_replaces_a_review_and_a_deletion_removes_it(sent: Pulling) -> None:
    runtime, people, client = sent
    first, second = tasks(runtime, people)[:2]
    edited = people.answer(first["id"], says("answerable", (1, 0, 3)))
    deleted = people.answer(second["id"], says("no_answer"))
    pull(runtime, client)
    people.edit(edited, says("answerable", (2, 5, 8)))
    people.take_back(deleted)
    done = pull(runtime, client)
    assert (done.reviews, done.deleted, done.open) == (1, 1, 5)
    assert stored(runtime) == truth(people, runtime)
    with runtime.database.read() as session:
        assert [each.deleted_at is None for each in queries.reviews(session, superseded=True)] == [True, False, True]


def test_of_two_annotations_by_one_person_the_newest_counts_until_it_is_deleted(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[0]["id"]
    people.answer(task, says("no_answer"))
    newest = people.answer(task, says("answerable", (2, 1, 4)))
    assert pull(runtime, client).reviews == 1
    assert stored(runtime) == truth(people, runtime)
    people.take_back(newest)
    pull(runtime, client)
    assert stored(runtime) == truth(people, runtime)
    [words] = stored(runtime).values()
    assert list(words.values()) == [("no_answer", None)]


def test_two_people_answer_one_task(label_studio: TestServer, tmp_path: Path) -> None:
    people, client = People(label_studio), Client(label_studio.connection)
    lee = people.second_user()
    with at(make_runtime(tmp_path / "two", Shape(tasks=1, double_every=1))) as runtime:
        push(runtime, client, in_review(runtime))
        task = tasks(runtime, people)[0]["id"]
        people.answer(task, says("no_answer"))
        assert pull(runtime, client).open == 1
        hers = people.answer(task, says("bad_question"), user=lee)
        assert pull(runtime, client).open == 0
        assert stored(runtime) == truth(people, runtime)
        people.take_back(hers)
        assert pull(runtime, client).open == 1
        assert stored(runtime) == truth(people, runtime)


def test_a_skipped_task_that_is_answered_later_counts_as_answered(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[0]["id"]
    skipped = people.skip(task)
    assert pull(runtime, client).skipped == 1
    people.edit(skipped, says("answerable", (1, 2, 5)))
    assert pull(runtime, client).labels == 1
    assert stored(runtime) == truth(people, runtime)


# --- what cannot be read -------------------------------------------------------------------------

UNREADABLE = (
    ("without an answer marked", says("answerable")),
    ("two answers marked", says("answerable", (1, 0, 2), (2, 0, 2))),
    ("an answer is marked", says("no_answer", (1, 0, 2))),
    ("outside the text", says("answerable", (1, 0, 9999))),
    ("outside the text", says("answerable", (1, 7, 7))),
    ("no verdict", says(None)),
)


def test_an_unreadable_annotation_is_a_conflict_until_it_is_corrected(sent: Pulling) -> None:
    runtime, people, client = sent
    placed = tasks(runtime, people)
    made = [people.answer(task["id"], result) for task, (_, result) in zip(placed, UNREADABLE, strict=True)]
    done = pull(runtime, client)
    assert (done.reviews, done.labels, done.open) == (0, 0, 0)
    assert [each.task for each in done.conflicts] == [task["data"]["task"] for task in placed]
    for conflict, (why, _), task in zip(done.conflicts, UNREADABLE, placed, strict=True):
        assert why in conflict.why
        assert conflict.url == f"{client.url}/projects/{task['project']}/data?task={task['id']}"
    assert set(keys(runtime).values()) == {"conflict"}
    for annotation in made:
        people.edit(annotation, says("answerable", (1, 0, 2)))
    corrected = pull(runtime, client)
    assert (corrected.reviews, corrected.conflicts) == (6, ())
    assert stored(runtime) == truth(people, runtime)


def test_a_review_that_becomes_unreadable_is_removed_and_its_task_repeated(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[0]
    annotation = people.answer(task["id"], says("answerable", (1, 0, 2)))
    pull(runtime, client)
    people.edit(annotation, says("answerable"))
    pulled, pushed = sync(runtime, client, in_review(runtime))
    assert (pulled.deleted, len(pulled.conflicts), pushed.pushed) == (1, 1, 1)
    assert stored(runtime) == {}
    again = people.tasks(projects(runtime)[0])[-1]
    assert again["data"]["question_id"] == task["data"]["question_id"]
    assert again["data"]["task"] != task["data"]["task"]
    people.answer(again["id"], says("no_answer"))
    assert sync(runtime, client, in_review(runtime))[0].conflicts == ()


def test_an_answer_in_a_passage_edited_on_the_server_is_a_conflict(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[1]
    people.call("PATCH", f"/api/tasks/{task['id']}/", {"data": {**task["data"], "p2": task["data"]["p2"] + "!"}})
    people.answer(task["id"], says("answerable", (1, 0, 2)))
    [conflict] = pull(runtime, client).conflicts
    assert "edited" in conflict.why


def test_text_that_no_database_accepts_does_not_block_other_annotations(sent: Pulling) -> None:
    runtime, people, client = sent
    comment = {"from_name": "comment", "to_name": "p1", "type": "textarea", "value": {"text": ["NUL \x00 here"]}}
    people.answer(tasks(runtime, people)[0]["id"], [*says("no_answer"), comment])
    people.answer(tasks(runtime, people)[1]["id"], says("no_answer"))
    assert pull(runtime, client).reviews == 2


# --- tasks that come and go ----------------------------------------------------------------------


def test_a_deleted_task_keeps_its_review_and_an_open_one_is_sent_again(sent: Pulling) -> None:
    runtime, people, client = sent
    answered, unanswered = tasks(runtime, people)[:2]
    people.answer(answered["id"], says("no_answer"))
    pull(runtime, client)
    reviews = stored(runtime)
    people.delete_task(answered["id"])
    people.delete_task(unanswered["id"])
    pulled, pushed = sync(runtime, client, in_review(runtime))
    assert (pulled.gone, pulled.deleted, pushed.pushed) == (2, 0, 1)
    assert stored(runtime) == reviews
    assert on_server(people, runtime) == sorted(key for key, state in keys(runtime).items() if state == "open")


def test_deleting_a_task_in_conflict_ends_the_conflict_and_its_question_is_asked_again(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[1]["id"]
    people.answer(task, says("answerable"))
    assert len(pull(runtime, client).conflicts) == 1
    people.delete_task(task)
    pulled, pushed = sync(runtime, client, in_review(runtime))
    assert (pulled.conflicts, pushed.pushed) == ((), 1)
    assert on_server(people, runtime) == sorted(keys(runtime))


def test_a_reused_server_id_is_not_taken_for_the_former_task(sent: Pulling) -> None:
    runtime, people, client = sent
    project = projects(runtime)[1]
    last = people.tasks(project)[-1]["id"]
    people.delete_task(last)
    data = {**people.tasks(project)[0]["data"], "task": "mine", "question_id": "mine", "push_id": "none"}
    people.call("POST", f"/api/projects/{project}/import", [{"data": data}])
    mine = people.tasks(project)[-1]["id"]
    assert mine == last, "SQLite gives the id again"
    people.answer(mine, says("no_answer"))
    pulled, pushed = sync(runtime, client, in_review(runtime))
    assert (pulled.reviews, pulled.gone, pushed.pushed) == (0, 1, 1)
    assert pull(runtime, client).foreign == 1
    assert stored(runtime) == {}
    assert len(people.tasks(project)) == 6


def test_a_task_whose_key_was_edited_is_still_recognised(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[0]
    people.call("PATCH", f"/api/tasks/{task['id']}/", {"data": {**task["data"], "task": "changed"}})
    people.answer(task["id"], says("no_answer"))
    assert (pull(runtime, client).reviews, pull(runtime, client).gone) == (1, 0)


def test_duplicates_of_a_task_are_read_together(sent: Pulling) -> None:
    runtime, people, client = sent
    task = tasks(runtime, people)[0]
    people.call("POST", f"/api/projects/{task['project']}/import", [{"data": task["data"]}])
    first, second = (each["id"] for each in people.tasks(task["project"]))
    older = people.answer(first, says("no_answer"))
    newer = people.answer(second, says("answerable", (1, 0, 3)))
    assert pull(runtime, client).reviews == 1
    assert stored(runtime) == truth(people, runtime)
    people.take_back(newer)
    pull(runtime, client)
    assert stored(runtime) == truth(people, runtime)
    people.edit(older, says("bad_question"))
    pull(runtime, client)
    assert stored(runtime) == truth(people, runtime)
    assert len(people.tasks(task["project"])) == 1, "the untouched duplicate is deleted"


def test_a_pull_without_changes_reads_no_task(sent: Pulling) -> None:
    runtime, people, client = sent
    made = people.answer(tasks(runtime, people)[0]["id"], says("no_answer"))
    pull(runtime, client)
    unread = {"changed_since": ["before"] * 2, "ids": ["before"] * 2, "get_tasks": ["before"] * 2}
    assert pull(runtime, scripted(client, **unread)).reviews == 0
    people.take_back(made)
    with pytest.raises(ServerDown):
        pull(runtime, scripted(client, **unread))
    assert pull(runtime, client).deleted == 1


def test_deleting_a_project_keeps_its_reviews(sent: Pulling) -> None:
    runtime, people, client = sent
    people.answer(tasks(runtime, people)[0]["id"], says("no_answer"))
    pull(runtime, client)
    reviews = stored(runtime)
    for project in projects(runtime):
        people.call("DELETE", f"/api/projects/{project}/")
    done = pull(runtime, client)
    assert (done.deleted, done.open) == (0, 5)
    assert stored(runtime) == reviews


# --- faults on the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["newest_change", "ids", "users", "project", "changed_since"])
@pytest.mark.parametrize("fault", ["before", "killed"])
def test_a_pull_that_fails_at_any_request_is_completed_by_the_next(method: str, fault: str, sent: Pulling) -> None:
    runtime, people, client = sent
    for task, (_, result) in zip(tasks(runtime, people), ANSWERS, strict=False):
        people.answer(task["id"], result)
    with pytest.raises((ServerDown, KeyboardInterrupt)):
        pull(runtime, scripted(client, **{method: [fault] if method == "users" else [None, fault]}))
    pull(runtime, client)
    assert stored(runtime) == truth(people, runtime)


class Paged:
    """The client with pages of two tasks, whose connection breaks at a page; or who cannot show one task."""

    def __init__(self, client: Client, *, breaks_at: int = 0, cannot_show: int = 0) -> None:
        self._client = client
        self._breaks_at = breaks_at
        self._cannot_show = cannot_show

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def changed_since(self, remote_id: int, cursor: str | None) -> Iterator[list[RemoteTask]]:
        for number, page in enumerate(self._client.changed_since(remote_id, cursor, page_size=2), start=1):
            if number == self._breaks_at:
                raise ServerDown("broke off", unsure=False)
            self._look(page)
            yield page

    def get_tasks(self, remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
        return self._look(self._client.get_tasks(remote_id, ids))

    def _look(self, page: list[RemoteTask]) -> list[RemoteTask]:
        if any(task.id == self._cannot_show for task in page):
            raise ServerDown("error 500", unsure=True)
        return page


def test_an_interrupted_pull_keeps_the_pages_it_read_and_the_next_reads_the_rest(sent: Pulling) -> None:
    runtime, people, client = sent
    for task in tasks(runtime, people):
        people.answer(task["id"], says("no_answer"))
    with pytest.raises(ServerDown):
        pull(runtime, Paged(client, breaks_at=3))  # type: ignore[arg-type]
    assert len(stored(runtime)) == 1 + 4
    assert pull(runtime, client).reviews == 1
    assert stored(runtime) == truth(people, runtime)


def test_a_task_that_the_server_cannot_send_does_not_hide_the_others(
    sent: Pulling, caplog: pytest.LogCaptureFixture
) -> None:
    runtime, people, client = sent
    for task in tasks(runtime, people):
        people.answer(task["id"], says("no_answer"))
    broken = tasks(runtime, people)[3]["id"]
    assert pull(runtime, Paged(client, cannot_show=broken)).reviews == 5  # type: ignore[arg-type]
    assert f"?task={broken} cannot be read" in caplog.text
    people.edit(truth_annotation(people, broken), says("bad_question"))
    assert pull(runtime, client).reviews == 1
    assert stored(runtime) == truth(people, runtime)


def truth_annotation(people: People, task: int) -> int:
    return int(people.call("GET", f"/api/tasks/{task}/")["annotations"][0]["id"])


@pytest.mark.parametrize("year", [1990, 2090])
def test_this_machines_clock_makes_no_difference(year: int, sent: Pulling, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, people, client = sent
    wrong = datetime(year, 1, 1, tzinfo=UTC)
    for module in ("db.store.review", "db.store.annotations", "db.store.studio"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: wrong)
    monkeypatch.setattr(time, "time", wrong.timestamp)
    first, second, third = tasks(runtime, people)[:3]
    made = people.answer(first["id"], says("no_answer"))
    people.answer(second["id"], says("no_answer"))
    assert pull(runtime, client).reviews == 2
    people.edit(made, says("bad_question"))
    people.skip(third["id"])
    assert pull(runtime, client).reviews == 2
    assert stored(runtime) == truth(people, runtime)


def test_reviews_made_after_the_server_set_its_clock_back_are_pulled(sent: Pulling) -> None:
    """Our cursor is put ahead of the server's clock: that is how things stand once that was set back."""
    runtime, people, client = sent
    people.answer(tasks(runtime, people)[0]["id"], says("no_answer"))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with runtime.database.write() as session:
        for project in queries.projects(session):
            store.set_project_cursor(session, project.id, tomorrow)
    assert pull(runtime, client).reviews == 1
    people.answer(tasks(runtime, people)[1]["id"], says("no_answer"))
    assert pull(runtime, client).reviews == 1, "the cursor is the server's newest change again"


# --- going on without the rest -------------------------------------------------------------------


def test_withdrawing_deletes_untouched_tasks_and_a_late_review_is_still_pulled(sent: Pulling) -> None:
    runtime, people, client = sent
    blind, answered, drafted = tasks(runtime, people)[:3]
    people.answer(answered["id"], says("no_answer"))
    people.draft(drafted["id"])
    assert withdraw(runtime, client, in_review(runtime)) == 5
    assert [task["id"] for task in tasks(runtime, people)] == [answered["id"], drafted["id"]]
    with runtime.database.write() as session:
        store.advance(session, 0, "in_review", "reviewed")
    people.answer(drafted["id"], says("answerable", (1, 3, 6)))
    assert pull(runtime, client).labels == 1
    assert stored(runtime) == truth(people, runtime)
    assert keys(runtime)[blind["data"]["task"]] == "withdrawn"


def test_an_interrupted_withdrawal_is_completed_by_the_next_pull(sent: Pulling) -> None:
    runtime, people, client = sent
    with pytest.raises(KeyboardInterrupt):
        withdraw(runtime, scripted(client, delete_untouched=["killed"]), in_review(runtime))
    pull(runtime, client)
    assert tasks(runtime, people) == []
    assert set(keys(runtime).values()) == {"withdrawn"}
    assert push(runtime, client, in_review(runtime)).pushed == 0


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def named(label_studio: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)


def test_the_pull_command_reports_what_came_in(named: None, sent: Pulling) -> None:
    runtime, people, _ = sent
    people.answer(tasks(runtime, people)[0]["id"], says("no_answer"))
    people.answer(tasks(runtime, people)[1]["id"], says("answerable"))
    shown = ok("pull", "-w", runtime.workspace.folder)
    assert {key: shown[key] for key in ("reviews", "labels", "skipped", "deleted", "gone", "foreign", "open")} == {
        "reviews": 1, "labels": 1, "skipped": 0, "deleted": 0, "gone": 0, "foreign": 0, "open": 5,
    }  # fmt: skip
    assert [each["why"] for each in shown["conflicts"]] == ["answerable without an answer marked"]
    text = run("pull", "-w", runtime.workspace.folder).out
    assert text.startswith("0 reviews; 5 tasks open\n1 conflict\n")


def test_pull_wait_ends_when_no_task_is_open(named: None, sent: Pulling) -> None:
    runtime, people, _ = sent
    placed = tasks(runtime, people)
    people.answer(placed[0]["id"], says("answerable"))  # to be asked again

    def answer_the_rest() -> None:
        while len(tasks(runtime, people)) < 7:
            time.sleep(0.1)
        for task in tasks(runtime, people):
            if task["id"] != placed[0]["id"]:
                people.answer(task["id"], says("no_answer"))

    reviewer = threading.Thread(target=answer_the_rest)
    reviewer.start()
    shown = ok("pull", "--wait", "-w", runtime.workspace.folder, "--set", "studio.poll_seconds=0.1")
    reviewer.join()
    assert (shown["reviews"], shown["open"], shown["conflicts"]) == (6, 0, [])
    assert json.dumps(stored(runtime), sort_keys=True) == json.dumps(truth(people, runtime), sort_keys=True)


def test_pull_watch_cannot_be_combined_with_json(sent: Pulling) -> None:
    assert run("pull", "--watch", "--json", "-w", sent[0].workspace.folder).code == 2


def test_two_pulls_are_reported_together() -> None:
    first = Pulled(reviews=2, labels=1, skipped=1, deleted=0, conflicts=(), gone=0, foreign=3, open=4)
    later = Pulled(reviews=3, labels=3, skipped=0, deleted=1, conflicts=(), gone=2, foreign=1, open=0)
    both = Pulled(reviews=5, labels=4, skipped=1, deleted=1, conflicts=(), gone=2, foreign=1, open=0)
    assert first.then(later) == both


def test_blind_tasks_show_their_passages_in_another_order() -> None:
    passages = [f"p{number}" for number in range(5)]
    assert order(True, "q", passages) != passages
    assert sorted(order(True, "q", passages)) == passages
