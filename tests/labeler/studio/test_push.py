"""Pushing: each open task stands on the server once, whatever happened on the way there."""

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
from labeler.desk import Desk, with_settings
from labeler.errors import NotReady, PageChanged, ServerDown
from labeler.studio import aligning
from labeler.studio.client import Client
from labeler.studio.connection import Connection
from labeler.studio.projects import give_up_others
from labeler.studio.pulling import pull
from labeler.studio.pushing import plan, push
from tests.commands import ok, run
from tests.labeler.studio.desks import Shape, at, make_desk
from tests.labeler.studio.people import People, keys, on_server, projects, says, stored
from tests.labeler.studio.scripted import scripted
from tests.studio import TestServer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligning, "LOST_SECONDS", 0.3)


@pytest.fixture(scope="module")
def client(label_studio: TestServer) -> Client:
    return Client(label_studio.connection)


@pytest.fixture
def people(label_studio: TestServer) -> People:
    return People(label_studio)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with at(make_desk(tmp_path / "ws", Shape())) as found:
        yield found


def in_review(desk: Desk) -> RoundRow:
    with desk.database.read() as session:
        row = queries.current_round(session)
    assert row is not None
    return row


def each_once(people: People, desk: Desk) -> bool:
    return on_server(people, desk) == sorted(keys(desk))


def test_every_open_task_is_sent_once_and_again_nothing(people: People, client: Client, desk: Desk) -> None:
    first, second = push(desk, client, in_review(desk)), push(desk, client, in_review(desk))
    assert (first.pushed, first.adopted, [each.tasks for each in first.projects]) == (12, 0, [3, 9])
    assert (second.pushed, second.adopted, second.projects) == (0, 0, ())
    assert each_once(people, desk)


def test_tasks_stand_in_order_of_presentation_and_say_nothing_of_why_they_are_asked(
    people: People, client: Client, desk: Desk
) -> None:
    push(desk, client, in_review(desk))
    blind, suggested = (people.tasks(project) for project in projects(desk))
    assert [task["data"]["question_id"] for task in blind] == ["q00000", "q00004", "q00008"]
    numbers = [number for number in range(12) if number % 4]
    assert [task["data"]["question_id"] for task in suggested] == [f"q{number:05}" for number in numbers]
    assert [len(task["predictions"]) for task in blind] == [0, 0, 0]
    assert {len(task["predictions"]) for task in suggested} == {1}
    names = {"question", "p1", "p2", "p3", "t1", "t2", "t3", "question_id", "task", "push_id"}
    assert {frozenset(task["data"]) for task in blind + suggested} == {frozenset(names)}
    assert not any(task["meta"] for task in blind)


def test_the_passages_arrive_to_the_character(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    with desk.database.read() as session:
        texts = {row.text for row in queries.iter_passages(session)}
    sent = {task["data"][name] for project in projects(desk) for task in people.tasks(project) for name in ("p1", "p3")}
    assert sent <= texts


def test_the_page_of_suggestions_shows_them_and_the_blind_project_says_nothing(
    people: People, client: Client, desk: Desk
) -> None:
    push(desk, client, in_review(desk))
    blind, suggested = (people.call("GET", f"/api/projects/{project}") for project in projects(desk))
    assert suggested["model_version"] == "labeler"
    assert (blind["model_version"], blind["title"], blind["show_collab_predictions"]) == ("", "ws questions", False)
    assert "suggest" not in json.dumps(blind["label_config"]).lower()


def test_questions_for_two_people_go_into_a_project_of_their_own(
    people: People, client: Client, tmp_path: Path
) -> None:
    with at(make_desk(tmp_path / "two", Shape(tasks=6, blind_every=2, double_every=3))) as desk:
        done = push(desk, client, in_review(desk))
        found = [people.call("GET", f"/api/projects/{project}")["maximum_annotations"] for project in projects(desk)]
        assert [(each.title, each.tasks) for each in done.projects] == [
            ("two questions, 2 people each", 1),
            ("two suggestions", 2),
            ("two questions", 2),
            ("two suggestions, 2 people each", 1),
        ]
        assert found == [2, 1, 1, 2]


def test_a_plan_asks_no_server_and_stores_nothing(desk: Desk) -> None:
    done = plan(desk, in_review(desk))
    assert (done.pushed, done.dry_run, [each.url for each in done.projects]) == (12, True, [None, None])
    with desk.database.read() as session:
        assert queries.projects(session) == []


# --- the answer of an import is lost -------------------------------------------------------------


def test_tasks_whose_answer_was_lost_are_found_and_not_sent_again(people: People, client: Client, desk: Desk) -> None:
    done = push(desk, scripted(client, import_tasks=[None, "after"]), in_review(desk))
    assert (done.pushed, done.adopted) == (7, 5)
    assert each_once(people, desk)


def test_tasks_that_did_not_arrive_are_sent_again_within_the_call(people: People, client: Client, desk: Desk) -> None:
    done = push(desk, scripted(client, import_tasks=["lost", "lost"]), in_review(desk))
    assert (done.pushed, done.adopted) == (12, 0)
    assert each_once(people, desk)


def test_after_three_lost_imports_the_fault_is_told_and_the_next_call_goes_on(
    people: People, client: Client, desk: Desk
) -> None:
    with pytest.raises(ServerDown):
        push(desk, scripted(client, import_tasks=[None, "lost", "lost", "lost"]), in_review(desk))
    assert push(desk, client, in_review(desk)).pushed == 9
    assert each_once(people, desk)


@pytest.mark.parametrize("method", ["import_tasks", "project", "make_project", "find_project", "find_by_push"])
@pytest.mark.parametrize("fault", ["before", "after", "killed"])
def test_a_fault_at_any_call_leaves_a_push_that_the_next_call_finishes(
    method: str, fault: str, people: People, client: Client, desk: Desk
) -> None:
    faults: dict[str, Any] = {method: [None, fault, "before"]}
    if method == "find_by_push":
        faults = {"import_tasks": [None, "after"], method: [fault, fault, "before"]}
    with contextlib.suppress(ServerDown, KeyboardInterrupt):  # some of it is never called
        push(desk, scripted(client, **faults), in_review(desk))
    push(desk, client, in_review(desk))
    assert each_once(people, desk)
    assert [people.call("GET", f"/api/projects/{each}")["model_version"] for each in projects(desk)] == ["", "labeler"]


def test_a_project_whose_making_was_interrupted_is_found_again(people: People, client: Client, desk: Desk) -> None:
    before = people.call("GET", "/api/projects/?page_size=1000")["count"]
    with pytest.raises(ServerDown):
        push(desk, scripted(client, make_project=["after"]), in_review(desk))
    push(desk, client, in_review(desk))
    assert people.call("GET", "/api/projects/?page_size=1000")["count"] == before + 2


def test_a_pull_before_the_interrupted_push_is_finished_takes_its_tasks_in(
    people: People, client: Client, desk: Desk
) -> None:
    with pytest.raises(KeyboardInterrupt):
        push(desk, scripted(client, import_tasks=[None, "killed"]), in_review(desk))
    suggested = projects(desk)[1]
    answered = people.tasks(suggested)[0]["id"]
    people.answer(answered, says("no_answer"))
    assert pull(desk, client).reviews == 1
    done = push(desk, client, in_review(desk))
    assert (done.pushed, done.adopted) == (4, 0)
    assert each_once(people, desk)
    assert Counter(keys(desk).values()) == {"open": 11, "done": 1}


def test_an_import_that_arrives_too_late_leaves_no_second_copies(people: People, client: Client, desk: Desk) -> None:
    late: list[Any] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def import_tasks(self, remote_id: int, tasks: Any) -> list[int]:
            if not late:
                late.append((remote_id, tasks))
                raise ServerDown("no answer", unsure=True)
            return client.import_tasks(remote_id, tasks)

    push(desk, Late(), in_review(desk))  # type: ignore[arg-type]
    client.import_tasks(*late[0])
    [twice] = {key for key, count in Counter(on_server(people, desk)).items() if count == 2} & {
        task["data"]["task"] for task in people.tasks(projects(desk)[0])[3:4]
    }
    late_copy = people.tasks(projects(desk)[0])[3]["id"]
    people.answer(late_copy, says("bad_question"))
    assert pull(desk, client).reviews == 1
    assert each_once(people, desk)
    assert keys(desk)[twice] == "done"


# --- what people do to a project -----------------------------------------------------------------


def test_a_deleted_project_is_made_anew_with_what_is_still_open(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    blind = projects(desk)[0]
    people.answer(people.tasks(blind)[0]["id"], says("no_answer"))
    pull(desk, client)
    people.call("DELETE", f"/api/projects/{blind}/")
    reviews = stored(desk)
    done = push(desk, client, in_review(desk))
    assert done.pushed == 0  # nothing was to be sent, so nobody looked
    assert pull(desk, client).open == 11
    assert push(desk, client, in_review(desk)).pushed == 2
    assert blind not in projects(desk)
    assert stored(desk) == reviews
    assert on_server(people, desk) == sorted(key for key, state in keys(desk).items() if state == "open")


def test_a_project_whose_description_was_edited_is_still_ours(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    people.call("PATCH", f"/api/projects/{projects(desk)[0]}/", {"description": "please be quick"})
    pull(desk, client)
    assert push(desk, client, in_review(desk)).pushed == 0
    assert each_once(people, desk)


def test_an_edited_description_and_a_removed_push_do_not_make_a_project_a_stranger(
    people: People, client: Client, desk: Desk
) -> None:
    desk = desk.with_config(with_settings(desk.config, studio={"batch_size": 2}))
    push(desk, client, in_review(desk))
    for project in projects(desk):
        people.call("PATCH", f"/api/projects/{project}/", {"description": "please be quick"})
        for task in people.tasks(project)[-2:]:  # all of the last push
            people.delete_task(task["id"])
    assert pull(desk, client).gone == 2 * len(projects(desk))


def test_the_page_is_put_back_also_where_nothing_is_left_to_send(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    blind = projects(desk)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": page.replace('maxRating="5"', 'maxRating="7"')})
    assert push(desk, client, in_review(desk), reset_page=True).pushed == 0
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page


def test_a_task_with_more_passages_than_a_page_has_is_told_in_one_line(desk: Desk) -> None:
    with desk.database.write() as session:
        session.execute(text("UPDATE tasks SET passages = :ids"), {"ids": json.dumps([f"p{n}" for n in range(6)])})
    with pytest.raises(NotReady, match=r"^a task shows 6 passages, a page has 5; answer them with: labeler review$"):
        plan(desk, in_review(desk))


def test_a_page_changed_by_hand_is_told_and_put_back_only_on_demand(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    blind = projects(desk)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": page.replace('maxRating="5"', 'maxRating="7"')})
    assert pull(desk, client).open == 12  # what can be read is read
    lost_task = people.tasks(blind)[0]["id"]
    people.delete_task(lost_task)
    pull(desk, client)
    with pytest.raises(PageChanged, match="--reset-page"):
        push(desk, client, in_review(desk))
    assert push(desk, client, in_review(desk), reset_page=True).pushed == 1
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page
    assert each_once(people, desk)


def test_a_former_page_of_ours_is_replaced_without_asking(people: People, client: Client, desk: Desk) -> None:
    from labeler.studio.page import page_sha256

    push(desk, client, in_review(desk))
    blind = projects(desk)[0]
    page = people.call("GET", f"/api/projects/{blind}")["label_config"]
    former = page.replace('maxRating="5"', 'maxRating="7"')
    people.call("PATCH", f"/api/projects/{blind}/", {"label_config": former})
    with desk.database.write() as session:
        row = next(each for each in queries.projects(session) if each.remote_id == blind)
        store.page_set(session, row.id, page_sha256=page_sha256(former))
    people.delete_task(people.tasks(blind)[0]["id"])
    pull(desk, client)
    assert push(desk, client, in_review(desk)).pushed == 1
    assert people.call("GET", f"/api/projects/{blind}")["label_config"] == page


def test_the_same_server_under_another_address_is_known_again(
    people: People, label_studio: TestServer, client: Client, desk: Desk
) -> None:
    push(desk, client, in_review(desk))
    people.answer(people.tasks(projects(desk)[0])[0]["id"], says("no_answer"))
    elsewhere = Client(Connection(label_studio.url.replace("127.0.0.1", "localhost"), label_studio.token, where="key"))
    assert pull(desk, elsewhere).reviews == 1
    assert push(desk, elsewhere, in_review(desk)).pushed == 0
    assert len(projects(desk)) == 2
    assert each_once(people, desk)


def test_another_server_is_told_from_that_on_which_the_tasks_stand(people: People, client: Client, desk: Desk) -> None:
    push(desk, client, in_review(desk))
    people.answer(people.tasks(projects(desk)[0])[0]["id"], says("no_answer"))
    pull(desk, client)
    with desk.database.write() as session:
        for project in queries.projects(session):
            store.project_moved(session, project.id, url="http://gone.example")
            session.execute(text("UPDATE studio_projects SET uid = 'of that server ' || id"))
    reviews = stored(desk)
    for command in (lambda: pull(desk, client), lambda: push(desk, client, in_review(desk))):
        with pytest.raises(NotReady, match=r"stand on http://gone\.example, and .* labeler push --move"):
            command()
    assert give_up_others(desk, client) == 12
    assert push(desk, client, in_review(desk)).pushed == 11
    assert stored(desk) == reviews


# --- what happens to the database ----------------------------------------------------------------


def test_a_database_restored_from_before_the_push_knows_its_tasks_again(
    people: People, client: Client, desk: Desk
) -> None:
    push(desk, scripted(client, import_tasks=[None]), in_review(desk))
    with desk.database.write() as session:
        for name in ("studio_tasks", "studio_pushes"):
            session.execute(text(f"DELETE FROM {name}"))
    done = push(desk, client, in_review(desk))
    assert (done.pushed, done.adopted) == (0, 12)
    assert each_once(people, desk)


def test_tasks_given_up_while_their_push_was_interrupted_are_not_sent(
    people: People, client: Client, desk: Desk
) -> None:
    with pytest.raises(ServerDown):
        push(desk, scripted(client, import_tasks=["lost"], find_by_push=["before"]), in_review(desk))
    with desk.database.write() as session:
        store.withdraw_tasks(session, in_review(desk).number)
    push(desk, client, in_review(desk))
    assert on_server(people, desk) == []


def test_withdrawn_tasks_that_nobody_touched_are_removed_by_the_next_pull(
    people: People, client: Client, desk: Desk
) -> None:
    push(desk, client, in_review(desk))
    blind = projects(desk)[0]
    drafted, answered, skipped = (task["id"] for task in people.tasks(blind))
    people.draft(drafted)
    people.skip(skipped)
    with desk.database.write() as session:
        store.withdraw_tasks(session, in_review(desk).number)
    people.answer(answered, says("no_answer"))  # after the withdrawal, before we hear of it
    pull(desk, client)
    assert [task["id"] for task in people.tasks(blind)] == [drafted, answered, skipped]
    assert people.tasks(projects(desk)[1]) == []
    assert Counter(keys(desk).values()) == {"withdrawn": 10, "done": 1, "skipped": 1}


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def named(label_studio: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)


def test_the_command_tells_what_it_sent(named: None, desk: Desk) -> None:
    folder = desk.workspace.folder
    planned, done = ok("push", "--dry-run", "-w", folder), ok("push", "-w", folder)
    assert (planned["pushed"], planned["dry_run"], done["pushed"], done["adopted"]) == (12, True, 12, 0)
    assert [each["tasks"] for each in done["projects"]] == [3, 9]
    assert run("push", "-w", folder).out == "nothing to send: every open task is there\n"


def test_a_wrong_key_is_told_in_one_line_that_does_not_hold_it(
    named: None, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "f" * 40
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", wrong)
    fault = run("push", "-w", desk.workspace.folder).fault
    assert "key" in fault
    assert wrong not in fault


def test_a_server_that_is_down_is_told_in_one_line(named: None, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert "does not answer" in run("push", "-w", desk.workspace.folder).fault


def test_without_a_round_in_review_there_is_nothing_to_send(named: None, desk: Desk) -> None:
    with desk.database.write() as session:
        store.advance(session, 0, "in_review", "reviewed")
    assert "no round waits for reviews" in run("push", "-w", desk.workspace.folder).fault
