"""Several reviewers of a real Label Studio: their accounts, their queues, and how well they agree."""

from __future__ import annotations

import itertools
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from db import queries
from labeler.core.runtime import Runtime
from labeler.review.agreement import matcher_of
from labeler.review.follow_up import resolve
from labeler.review.reviewers.invite import Invitation, invite
from labeler.review.reviewers.summary import reviewer_report
from labeler.review.studio.api.accounts import Accounts
from labeler.review.studio.api.client import Client
from labeler.review.studio.page.reasons import reason
from labeler.review.studio.projects import page_language
from labeler.review.studio.pull import pull
from labeler.review.studio.push import push
from tests.labeler.studio.people import People, projects, says
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.studio import TestServer

KIM, LEE = "kim@agree.example", "lee@agree.example"


@pytest.fixture(scope="module")
def client(label_studio: TestServer) -> Client:
    return Client(label_studio.connection)


def invited(runtime: Runtime, label_studio: TestServer, *emails: str) -> Invitation:
    return invite(runtime, Client(label_studio.connection), Accounts(label_studio.connection), emails)


def sent(runtime: Runtime, client: Client) -> None:
    with runtime.database.read() as session:
        row = queries.current_round(session)
    assert row is not None
    push(runtime, client, row)


@contextmanager
def logged_in(server: TestServer, email: str, password: str) -> Iterator[httpx.Client]:
    """A browser's requests, without the browser."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        http.get("/user/login/")
        form = {"email": email, "password": password, "csrfmiddlewaretoken": http.cookies["csrftoken"]}
        assert http.post("/user/login/", data=form).status_code == 302
        yield http


def test_people_are_invited_once_and_each_has_a_queue_of_what_is_left_to_them(
    label_studio: TestServer, client: Client, tmp_path: Path
) -> None:
    with at(make_runtime(tmp_path / "ws", Shape(tasks=3, blind_every=1, double_every=1))) as runtime:
        sent(runtime, client)
        (project,) = projects(runtime)
        names = [f"{name}-{secrets.token_hex(4)}@queue.example" for name in ("one", "two")]
        first = invited(runtime, label_studio, *names)
        assert first.refused == ()
        assert [each.email for each in first.queues] == names
        one, two = first.people
        assert one.password
        assert two.password
        with logged_in(label_studio, one.email, one.password) as http:
            tabs = {each["data"]["title"]: each["id"] for each in http.get(f"/api/dm/views/?project={project}").json()}
            assert {"Tasks", *(f"{name}: open" for name in names)} <= set(tabs)
            tasks = http.get(f"/api/tasks?project={project}").json()["tasks"]
            headers = {"X-CSRFToken": http.cookies["csrftoken"]}
            body = {"result": says("no_answer"), "lead_time": 3.0}
            answered = http.post(f"/api/tasks/{tasks[0]['id']}/annotations/", json=body, headers=headers)
            assert answered.status_code == 201
            queues = [f"/api/tasks?project={project}&view={tabs[f'{name}: open']}" for name in names]
            assert [http.get(queue).json()["total"] for queue in queues] == [2, 3]
        again = invited(runtime, label_studio, names[0])
        assert (again.people[0].password, again.queues, again.refused) == (None, (), ())
        pull(runtime, client)
        with runtime.database.read() as session:
            assert [each.reviewer for each in queries.reviews(session)] == names[:1]


def test_an_account_that_the_server_refuses_does_not_hide_the_others(
    label_studio: TestServer, client: Client, tmp_path: Path
) -> None:
    name = f"three-{secrets.token_hex(4)}@queue.example"
    with at(make_runtime(tmp_path / "ws", Shape(tasks=1))) as runtime:
        found = invited(runtime, label_studio, "not-a-host@x", name)
    assert [each.email for each in found.people] == [name]
    assert [each.what for each in found.refused] == ["not-a-host@x"]
    assert found.people[0].password
    assert found.people[0].password not in repr(found)


def test_a_question_asked_again_says_why_and_not_what_anybody_answered(
    label_studio: TestServer, client: Client, tmp_path: Path
) -> None:
    people = People(label_studio)
    other = people.second_user()
    with at(make_runtime(tmp_path / "ws", Shape(tasks=2, blind_every=1, double_every=1))) as runtime:
        sent(runtime, client)
        (project,) = projects(runtime)
        unread, disputed = people.tasks(project)
        people.answer(unread["id"], says("answerable"))
        people.answer(disputed["id"], says("no_answer"))
        people.answer(disputed["id"], says("answerable", (1, 0, 3)), user=other)
        pull(runtime, client)
        with runtime.database.read() as session:
            row = queries.current_round(session)
        assert row is not None
        resolve(runtime, row.number)
        sent(runtime, client)
        notes = {
            task["data"]["question_id"]: task["data"]["note"]
            for project in projects(runtime)
            for task in people.tasks(project)
            if "note" in task["data"]
        }
        language = page_language(runtime)
    assert notes == {
        unread["data"]["question_id"]: reason("answerable without an answer marked", language),
        disputed["data"]["question_id"]: reason("reviewers disagree", language),
    }
    assert len(set(notes.values())) == 2


# --- agreement -----------------------------------------------------------------------------------


def test_agreement_of_two_people_over_a_hundred_tasks_equals_an_independent_computation(
    label_studio: TestServer, client: Client, tmp_path: Path
) -> None:
    people = People(label_studio)
    with at(make_runtime(tmp_path / "ws", Shape(tasks=100, blind_every=1, double_every=1)), batch=100) as runtime:
        sent(runtime, client)
        invited(runtime, label_studio, KIM, LEE)
        users = {each["email"]: each["id"] for each in people.call("GET", "/api/users/")}
        (project,) = projects(runtime)
        for place, task in enumerate(people.tasks(project)):
            for email, shift in ((KIM, 0), (LEE, place % 4)):
                people.answer(task["id"], said(task["data"]["p1"], place, shift), user=users[email])
        pull(runtime, client)
        with runtime.database.read() as session:
            found = reviewer_report(session, matcher_of(runtime))
    votes = [by_person(task["annotations"], users) for task in people.tasks(project)]
    assert len(votes) == 100
    (pair,) = found.pairs
    assert (pair.reviewers, pair.items) == ((KIM, LEE), 100)
    verdicts = [(kim[0], lee[0]) for kim, lee in votes]
    assert pair.verdict == pytest.approx(sum(a == b for a, b in verdicts) / 100)
    assert pair.exact == pytest.approx(sum(kim == lee for kim, lee in votes) / 100)
    assert pair.span_f1 == pytest.approx(mean_overlap(votes))
    assert pair.verdict_kappa == pytest.approx(kappa(verdicts))
    assert pair.verdict_alpha == pytest.approx(alpha(verdicts))
    assert 0.2 < pair.verdict < 1
    overall = found.agreement
    assert (overall.items, overall.pairs) == (100, 100)
    assert overall.verdict_kappa == pytest.approx(pair.verdict_kappa)
    assert {each.name: each.audited for each in found.people} == {KIM: 100, LEE: 100}


def said(text: str, place: int, shift: int) -> list[Any]:
    """What a person answers: a word of the first passage, or with `shift` more; other verdicts at other places."""
    if (place + shift) % 5 == 0:
        return says("no_answer")
    if (place + shift) % 11 == 0:
        return says("bad_question")
    words = [word.span() for word in re.finditer(r"\S+", text)]
    return says("answerable", (1, words[1][0], words[1 + shift][1]))


Vote = tuple[str, tuple[int, int] | None]


def by_person(annotations: Sequence[Any], users: dict[str, int]) -> tuple[Vote, Vote]:
    found = {each["completed_by"]: vote_of(each["result"]) for each in annotations}
    return found[users[KIM]], found[users[LEE]]


def vote_of(result: Sequence[Any]) -> Vote:
    verdict = next(each["value"]["choices"][0] for each in result if each["type"] == "choices")
    spans = [(each["value"]["start"], each["value"]["end"]) for each in result if each["type"] == "labels"]
    return verdict, spans[0] if spans else None


def mean_overlap(votes: Sequence[tuple[Vote, Vote]]) -> float:
    scores = []
    for (_, a), (_, b) in votes:
        if a is not None and b is not None:
            mine, other = set(range(*a)), set(range(*b))
            scores.append(2 * len(mine & other) / (len(mine) + len(other)))
    return sum(scores) / len(scores)


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(first[name] / n * second[name] / n for name in first | second)
    return (observed - chance) / (1 - chance)


def alpha(pairs: Sequence[tuple[str, str]]) -> float:
    totals = Counter(itertools.chain.from_iterable(pairs))
    n = sum(totals.values())
    observed = sum(2 for a, b in pairs if a != b) / n
    expected = sum(totals[a] * totals[b] for a, b in itertools.permutations(totals, 2)) / (n * (n - 1))
    return 1 - observed / expected
