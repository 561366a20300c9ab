"""Pushing: each open task is on the server once, whatever was interrupted."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import queries, store
from db.rows import RoundRow
from labeler.core.errors import NotReady, PageChanged, ServerDown
from labeler.core.runtime import Runtime, with_settings
from labeler.review.studio import reconcile
from labeler.review.studio.api.client import Client
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.projects import abandon_other_servers
from labeler.review.studio.pull import pull
from labeler.review.studio.push import plan, push
from tests.commands import ok, run
from tests.labeler.studio.people import People, keys, on_server, projects, says, stored
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.labeler.studio.scripted import scripted
from tests.studio import TestServer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOST_SECONDS", 0.3)


@pytest.fixture(scope="module")
def client(label_studio: TestServer) -> Client:
    return Client(label_studio.connection)


@pytest.fixture
def people(label_studio: TestServer) -> People:
    return People(label_studio)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with at(make_runtime(tmp_path / "ws", Shape())) as found:
        yield found


def in_review(runtime: Runtime) -> RoundRow:
    with runtime.database.read() as session:
        row = queries.current_round(session)
    assert row is not None
    return row


def each_once(people: People, runtime: Runtime) -> bool:
    return on_server(people, runtime) == sorted(keys(runtime))


def test_every_open_task_is_sent_once(people: People, client: Client, runtime: Runtime) -> None:
    first, second = push(runtime, client, in_review(runtime)), push(runtime, client, in_review(runtime))
    assert (first.pushed, first.adopted, [each.tasks for each in first.projects]) == (12, 0, [3, 9])
    assert (second.pushed, second.adopted, second.projects) == (0, 0, ())
    assert each_once(people, runtime)


def test_tasks_are_in_order_of_presentation_and_do_not_reveal_why_they_were_selected(
    people: People, client: Client, runtime: Runtime
) -> None:
    push(runtime, client, in_review(runtime))
    blind, suggested = (people.tasks(project) for project in projects(runtime))
    assert [task["data"]["question_id"] for task in blind] == ["q00000", "q00004", "q00008"]
    numbers = [number for number in range(12) if number % 4]
    assert [task["data"]["question_id"] for task in suggested] == [f"q{number:05}" for number in numbers]
    assert [len(task["predictions"]) for task in blind] == [0, 0, 0]
    assert {len(task["predictions"]) for task in suggested} == {1}
    names = {"question", "p1", "p2", "p3", "t1", "t2", "t3", "question_id", "task", "push_id"}
    assert {frozenset(task["data"]) for task in blind + suggested} == {frozenset(names)}
    assert not any(task["meta"] for task in blind)


def test_passages_arrive_unchanged(people: People, client: Client, runtime: Runtime) -> None:
    push(runtime, client, in_review(runtime))
    with runtime.database.read() as session:
        texts = {row.text for row in queries.iter_passages(session)}
    sent = {
        task["data"][name] for project in projects(runtime) for task in people.tasks(project) for name in ("p1", "p3")
    }
    assert sent <= texts


def test_only_the_project_with_suggestions_shows_predictions(people: People, client: Client, runtime: Runtime) -> None:
    push(runtime, client, in_review(runtime))
    blind, suggested = (people.call("GET", f"/api/projects/{project}") for project in projects(runtime))
    assert suggested["model_version"] == "labeler"
    assert (blind["model_version"], blind["show_collab_predictions"]) == ("", False)
    assert (blind["title"], suggested["title"]) == ("ws: answer without a suggestion", "ws: check the suggestion")
    assert blind["description"].startswith("질문을 읽고 지문에서 정답을 찾아 표시하세요.")
    assert "Check the suggested answer" in suggested["description"]
    assert "suggest" not in json.dumps(blind["label_config"]).lower()


def test_doubly_annotated_tasks_go_into_a_separate_project(people: People, client: Client, tmp_path: Path) -> None:
    with at(make_runtime(tmp_path / "two", Shape(tasks=6, blind_every=2, double_every=3))) as runtime:
        done = push(runtime, client, in_review(runtime))
        found = [people.call("GET", f"/api/projects/{project}")["maximum_annotations"] for project in projects(runtime)]
        assert [(each.title, each.tasks) for each in done.projects] == [
            ("two: answer without a suggestion (2 people)", 1),
            ("two: check the suggestion", 2),
            ("two: answer without a suggestion", 2),
            ("two: check the suggestion (2 people)", 1),
        ]
        assert found == [2, 1, 1, 2]


def test_a_dry_run_makes_no_request_and_stores_nothing(runtime: Runtime) -> None:
    done = plan(runtime, in_review(runtime))
    assert (done.pushed, done.dry_run, [each.url for each in done.projects]) == (12, True, [None, None])
    with runtime.database.read() as session:
        assert queries.projects(session) == []


# --- the answer of an import is lost -------------------------------------------------------------


def test_tasks_whose_answer_was_lost_are_found_and_not_sent_again(
    people: People, client: Client, runtime: Runtime
) -> None:
    done = push(runtime, scripted(client, import_tasks=[None, "after"]), in_review(runtime))
    assert (done.pushed, done.adopted) == (7, 5)
    assert each_once(people, runtime)


def test_tasks_that_did_not_arrive_are_sent_again_within_the_call(
    people: People, client: Client, runtime: Runtime
) -> None:
    done = push(runtime, scripted(client, import_tasks=["lost", "lost"]), in_review(runtime))
    assert (done.pushed, done.adopted) == (12, 0)
    assert each_once(people, runtime)


def test_after_three_lost_imports_the_push_fails_and_the_next_one_continues(
    people: People, client: Client, runtime: Runtime
) -> None:
    with pytest.raises(ServerDown):
        push(runtime, scripted(client, import_tasks=[None, "lost", "lost", "lost"]), in_review(runtime))
    assert push(runtime, client, in_review(runtime)).pushed == 9
    assert each_once(people, runtime)


@pytest.mark.parametrize("method", ["import_tasks", "project", "make_project", "find_project", "find_by_push"])
@pytest.mark.parametrize("fault", ["before", "after", "killed"])
def test_a_push_that_fails_at_any_request_is_completed_by_the_next(
    method: str, fault: str, people: People, client: Client, runtime: Runtime
) -> None:
    faults: dict[str, Any] = {method: [None, fault, "before"]}
    if method == "find_by_push":
        faults = {"import_tasks": [None, "after"], method: [fault, fault, "before"]}
    with contextlib.suppress(ServerDown, KeyboardInterrupt):  # some of it is never called
        push(runtime, scripted(client, **faults), in_review(runtime))
    push(runtime, client, in_review(runtime))
    assert each_once(people, runtime)
    assert [people.call("GET", f"/api/projects/{each}")["model_version"] for each in projects(runtime)] == [
        "",
        "labeler",
    ]


def test_a_project_whose_making_was_interrupted_is_found_again(
    people: People, client: Client, runtime: Runtime
) -> None:
    before = people.call("GET", "/api/projects/?page_size=1000")["count"]
    with pytest.raises(ServerDown):
        push(runtime, scripted(client, make_project=["after"]), in_review(runtime))
    push(runtime, client, in_review(runtime))
    assert people.call("GET", "/api/projects/?page_size=1000")["count"] == before + 2


def test_a_pull_adopts_the_tasks_of_an_interrupted_push(people: People, client: Client, runtime: Runtime) -> None:
    with pytest.raises(KeyboardInterrupt):
        push(runtime, scripted(client, import_tasks=[None, "killed"]), in_review(runtime))
    suggested = projects(runtime)[1]
    answered = people.tasks(suggested)[0]["id"]
    people.answer(answered, says("no_answer"))
    assert pull(runtime, client).reviews == 1
    done = push(runtime, client, in_review(runtime))
    assert (done.pushed, done.adopted) == (4, 0)
    assert each_once(people, runtime)
    assert Counter(keys(runtime).values()) == {"open": 11, "done": 1}


def test_an_import_that_arrives_late_leaves_no_duplicates(people: People, client: Client, runtime: Runtime) -> None:
    late: list[Any] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def import_tasks(self, remote_id: int, tasks: Any) -> list[int]:
            if not late:
                late.append((remote_id, tasks))
                raise ServerDown("no answer", unsure=True)
            return client.import_tasks(remote_id, tasks)

    push(runtime, Late(), in_review(runtime))  # type: ignore[arg-type]
    client.import_tasks(*late[0])
    [twice] = {key for key, count in Counter(on_server(people, runtime)).items() if count == 2} & {
        task["data"]["task"] for task in people.tasks(projects(runtime)[0])[3:4]
    }
    late_copy = people.tasks(projects(runtime)[0])[3]["id"]
    people.answer(late_copy, says("bad_question"))
    assert pull(runtime, client).reviews == 1
    assert each_once(people, runtime)
    assert keys(runtime)[twice] == "done"


# --- what people do to a project -----------------------------------------------------------------


def test_a_deleted_project_is_made_again_with_its_open_tasks(people: People, client: Client, runtime: Runtime) -> None:
    push(runtime, client, in_review(runtime))
    blind = projects(runtime)[0]
    people.answer(people.tasks(blind)[0]["id"], says("no_answer"))
    pull(runtime, client)
    people.call("DELETE", f"/api/projects/{blind}/")
    reviews = stored(runtime)
    done = push(runtime, client, in_review(runtime))
    assert done.pushed == 0  # nothing to send, so the server was not asked
    assert pull(runtime, client).open == 11
    assert push(runtime, client, in_review(runtime)).pushed == 2
    assert blind not in projects(runtime)
    assert stored(runtime) == reviews
    assert on_server(people, runtime) == sorted(key for key, state in keys(runtime).items() if state == "open")


def test_a_project_whose_description_was_edited_is_still_ours(people: People, client: Client, runtime: Runtime) -> None:
    push(runtime, client, in_review(runtime))
    people.call("PATCH", f"/api/projects/{projects(runtime)[0]}/", {"description": "please be quick"})
    pull(runtime, client)
    assert push(runtime, client, in_review(runtime)).pushed == 0
    assert each_once(people, runtime)


def test_a_project_with_edited_description_and_deleted_tasks_is_still_ours(
    people: People, client: Client, runtime: Runtime
) -> None:
    runtime = runtime.with_config(with_settings(runtime.config, studio={"batch_size": 2}))
    push(runtime, client, in_review(runtime))
    for project in projects(runtime):
        people.call("PATCH", f"/api/projects/{project}/", {"description": "please be quick"})
        for task in people.tasks(project)[-2:]:  # all of the last push
            people.delete_task(task["id"])
    assert pull(runtime, client).gone == 2 * len(projects(runtime))


def test_reset_page_works_without_tasks_to_send(people: People, client: Client, runtime: Runtime) -> None:
    push(runtime, client, in_review(runtime))
    blind = projects(runtime)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": page.replace('maxRating="5"', 'maxRating="7"')})
    assert push(runtime, client, in_review(runtime), reset_page=True).pushed == 0
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page


def test_a_task_with_more_passages_than_a_page_shows_is_refused_in_one_line(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        session.execute(text("UPDATE tasks SET passages = :ids"), {"ids": json.dumps([f"p{n}" for n in range(6)])})
    with pytest.raises(
        NotReady, match=r"^a task shows 6 passages, a page in Label Studio 5; review it with: labeler review$"
    ):
        plan(runtime, in_review(runtime))


def test_a_page_changed_by_hand_stops_the_push_unless_it_is_reset(
    people: People, client: Client, runtime: Runtime
) -> None:
    push(runtime, client, in_review(runtime))
    blind = projects(runtime)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": page.replace('maxRating="5"', 'maxRating="7"')})
    assert pull(runtime, client).open == 12  # what can be read is read
    lost_task = people.tasks(blind)[0]["id"]
    people.delete_task(lost_task)
    pull(runtime, client)
    with pytest.raises(PageChanged, match="--reset-page"):
        push(runtime, client, in_review(runtime))
    assert push(runtime, client, in_review(runtime), reset_page=True).pushed == 1
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page
    assert each_once(people, runtime)


def test_an_older_page_of_ours_is_replaced_silently(people: People, client: Client, runtime: Runtime) -> None:
    from labeler.review.studio.labeling_config import config_sha256

    push(runtime, client, in_review(runtime))
    blind = projects(runtime)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    former = page.replace('maxRating="5"', 'maxRating="7"')
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": former})
    with runtime.database.write() as session:
        row = next(each for each in queries.projects(session) if each.remote_id == blind)
        store.set_project_page(session, row.id, page_sha256=config_sha256(former))
    people.delete_task(people.tasks(blind)[0]["id"])
    pull(runtime, client)
    assert push(runtime, client, in_review(runtime)).pushed == 1
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page


def test_the_same_server_at_another_address_is_recognised(
    people: People, label_studio: TestServer, client: Client, runtime: Runtime
) -> None:
    push(runtime, client, in_review(runtime))
    people.answer(people.tasks(projects(runtime)[0])[0]["id"], says("no_answer"))
    elsewhere = Client(Connection(label_studio.url.replace("127.0.0.1", "localhost"), label_studio.token, where="key"))
    assert pull(runtime, elsewhere).reviews == 1
    assert push(runtime, elsewhere, in_review(runtime)).pushed == 0
    assert len(projects(runtime)) == 2
    assert each_once(people, runtime)


def test_another_server_than_that_of_the_open_tasks_is_refused(
    people: People, client: Client, runtime: Runtime
) -> None:
    push(runtime, client, in_review(runtime))
    people.answer(people.tasks(projects(runtime)[0])[0]["id"], says("no_answer"))
    pull(runtime, client)
    with runtime.database.write() as session:
        for project in queries.projects(session):
            store.set_project_url(session, project.id, url="http://gone.example")
            session.execute(text("UPDATE studio_projects SET uid = 'of that server ' || id"))
    reviews = stored(runtime)
    for command in (lambda: pull(runtime, client), lambda: push(runtime, client, in_review(runtime))):
        with pytest.raises(NotReady, match=r"open tasks are on http://gone\.example, and .* labeler push --move"):
            command()
    assert abandon_other_servers(runtime, client) == 12
    assert push(runtime, client, in_review(runtime)).pushed == 11
    assert stored(runtime) == reviews


# --- what happens to the database ----------------------------------------------------------------


def test_a_database_restored_from_before_a_push_adopts_its_tasks(
    people: People, client: Client, runtime: Runtime
) -> None:
    push(runtime, scripted(client, import_tasks=[None]), in_review(runtime))
    with runtime.database.write() as session:
        for name in ("studio_tasks", "studio_pushes"):
            session.execute(text(f"DELETE FROM {name}"))
    done = push(runtime, client, in_review(runtime))
    assert (done.pushed, done.adopted) == (0, 12)
    assert each_once(people, runtime)


def test_tasks_withdrawn_after_an_interrupted_push_are_not_sent(
    people: People, client: Client, runtime: Runtime
) -> None:
    with pytest.raises(ServerDown):
        push(runtime, scripted(client, import_tasks=["lost"], find_by_push=["before"]), in_review(runtime))
    with runtime.database.write() as session:
        store.withdraw_tasks(session, in_review(runtime).number)
    push(runtime, client, in_review(runtime))
    assert on_server(people, runtime) == []


def test_untouched_withdrawn_tasks_are_deleted_by_the_next_pull(
    people: People, client: Client, runtime: Runtime
) -> None:
    push(runtime, client, in_review(runtime))
    blind = projects(runtime)[0]
    drafted, answered, skipped = (task["id"] for task in people.tasks(blind))
    people.draft(drafted)
    people.skip(skipped)
    with runtime.database.write() as session:
        store.withdraw_tasks(session, in_review(runtime).number)
    people.answer(answered, says("no_answer"))  # after the withdrawal, before we hear of it
    pull(runtime, client)
    assert [task["id"] for task in people.tasks(blind)] == [drafted, answered, skipped]
    assert people.tasks(projects(runtime)[1]) == []
    assert Counter(keys(runtime).values()) == {"withdrawn": 10, "done": 1, "skipped": 1}


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def named(label_studio: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)


def test_the_push_command_reports_what_it_sent(named: None, runtime: Runtime) -> None:
    folder = runtime.workspace.folder
    planned, done = ok("push", "--dry-run", "-w", folder), ok("push", "-w", folder)
    assert (planned["pushed"], planned["dry_run"], done["pushed"], done["adopted"]) == (12, True, 12, 0)
    assert [each["tasks"] for each in done["projects"]] == [3, 9]
    assert run("push", "-w", folder).out == "nothing to send: Label Studio has every open task\n"


def test_a_wrong_key_is_reported_in_one_line_without_the_key(
    named: None, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "f" * 40
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", wrong)
    fault = run("push", "-w", runtime.workspace.folder).fault
    assert "key" in fault
    assert wrong not in fault


def test_a_server_that_is_down_is_reported_in_one_line(
    named: None, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert "does not answer" in run("push", "-w", runtime.workspace.folder).fault


def test_without_a_round_in_review_there_is_nothing_to_send(named: None, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        store.advance(session, 0, "in_review", "reviewed")
    assert "no round is in review" in run("push", "-w", runtime.workspace.folder).fault
