"""Reviewers acting in Label Studio by plain requests: independent of the client under test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from db import queries
from labeler.core.runtime import Runtime
from labeler.review.studio.payloads import task_key
from tests.studio import TestServer

Json = dict[str, Any]
#: what a review comes down to: verdict and (place on the page, start, end)
Said = tuple[str, tuple[int, int, int] | None]


class People:
    """The reviewers of a server."""

    def __init__(self, server: TestServer) -> None:
        self.server = server

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return self.server.request(method, path, **({} if body is None else {"json": body}))

    # --- looking ----------------------------------------------------------------------------------

    def tasks(self, project: int) -> list[Json]:
        """All tasks with their annotations, by id."""
        found: list[Json] = []
        total = 1
        page = 1
        while len(found) < total:
            answer = self.call("GET", f"/api/tasks?project={project}&fields=all&page_size=500&page={page}")
            found += answer["tasks"]
            total, page = answer["total"], page + 1
        return sorted(found, key=lambda task: task["id"])

    def email(self, user: int) -> str:
        return next(each["email"] for each in self.call("GET", "/api/users/") if each["id"] == user)

    def second_user(self) -> int:
        """The id of another person on the server."""
        others = [each["id"] for each in self.call("GET", "/api/users/") if each["email"] == "lee@example.com"]
        if others:
            return int(others[0])
        new = {"email": "lee@example.com", "username": "lee", "password": "lee-lee-lee-1"}
        return int(self.call("POST", "/api/users/", new)["id"])

    # --- doing ------------------------------------------------------------------------------------

    def answer(self, task: int, result: Sequence[Json], *, cancelled: bool = False, user: int | None = None) -> int:
        """The id of a new annotation."""
        by = {} if user is None else {"completed_by": user}
        body = {"result": list(result), "was_cancelled": cancelled, "lead_time": 4.5, **by}
        return int(self.call("POST", f"/api/tasks/{task}/annotations/", body)["id"])

    def skip(self, task: int) -> int:
        return self.answer(task, says("answerable", (1, 0, 3)), cancelled=True)

    def edit(self, annotation: int, result: Sequence[Json]) -> None:
        self.call("PATCH", f"/api/annotations/{annotation}/", {"result": list(result), "was_cancelled": False})

    def take_back(self, annotation: int) -> None:
        self.call("DELETE", f"/api/annotations/{annotation}/")

    def draft(self, task: int) -> None:
        body = {"result": says("answerable", (1, 0, 2)), "lead_time": 1.0}
        self.call("POST", f"/api/tasks/{task}/drafts", body)

    def delete_task(self, task: int) -> None:
        self.call("DELETE", f"/api/tasks/{task}/")


def says(verdict: str | None, *answers: tuple[int, int, int], origin: str = "manual") -> list[Json]:
    """An annotation's result: a verdict, and answers marked as (place, start, end)."""
    chosen = {"from_name": "verdict", "to_name": "p1", "type": "choices", "value": {"choices": [verdict]}}
    marks = [
        {
            "id": f"r{number}",
            "from_name": f"answer{place}",
            "to_name": f"p{place}",
            "type": "labels",
            "origin": origin,
            "value": {"start": start, "end": end, "text": "not to be trusted", "labels": ["Answer"]},
        }
        for number, (place, start, end) in enumerate(answers)
    ]
    return [*marks, *([chosen] if verdict is not None else [])]


def projects(runtime: Runtime) -> list[int]:
    """The server's ids of a runtime's live projects."""
    with runtime.database.read() as session:
        return [row.remote_id for row in queries.projects(session) if row.remote_id is not None]


def truth(people: People, runtime: Runtime) -> dict[str, dict[str, Said]]:
    """What the server says: task key -> reviewer -> the newest thing this person said; unreadable ones left out."""
    users = {each["id"]: each["email"] for each in people.call("GET", "/api/users/")}
    newest: dict[tuple[str, str], tuple[datetime, int, Said | None]] = {}
    for project in projects(runtime):
        for task in people.tasks(project):
            for annotation in task["annotations"]:
                who = (str(task["data"].get("task")), users[annotation["completed_by"]])
                age = (datetime.fromisoformat(annotation["updated_at"]), annotation["id"])
                if who not in newest or age > newest[who][:2]:
                    newest[who] = (*age, said(annotation))
    found: dict[str, dict[str, Said]] = {}
    for (key, reviewer), (_, _, word) in newest.items():
        if word is not None:
            found.setdefault(key, {})[reviewer] = word
    return found


def said(annotation: Json) -> Said | None:
    """What an annotation says; None if it cannot be read."""
    if annotation["was_cancelled"]:
        return "skipped", None
    verdicts = [each["value"]["choices"][0] for each in annotation["result"] if each["type"] == "choices"]
    marks = [
        (int(each["to_name"][1:]), each["value"]["start"], each["value"]["end"])
        for each in annotation["result"]
        if each["type"] == "labels" and "Answer" in each["value"]["labels"]
    ]
    if verdicts == ["bad_question"]:
        return "bad_question", None
    if verdicts == ["no_answer"] and not marks:
        return "no_answer", None
    if verdicts == ["answerable"] and len(marks) == 1 and marks[0][2] < 1000:
        return "answerable", marks[0]
    return None


def stored(runtime: Runtime) -> dict[str, dict[str, Said]]:
    """What the database says, in the same form. Answers are checked against the passage."""
    with runtime.database.read() as session:
        uids = {row.number: row.uid for row in queries.rounds(session)}
        tasks = {task.id: task for task in queries.tasks(session)}
        found: dict[str, dict[str, Said]] = {}
        passages = queries.passages(session, {key for task in tasks.values() for key in task.passages})
        for review in queries.reviews(session):
            task = tasks[review.task_id]
            mark = None
            if review.answer is not None:
                answer = review.answer
                assert passages[answer.passage_id].text[answer.start : answer.end] == answer.text
                mark = (order(task.blind, task.question_id, task.passages).index(answer.passage_id) + 1,
                        answer.start, answer.end)  # fmt: skip
            key = task_key(uids[task.round_number], task.question_id, task.attempt)
            found.setdefault(key, {})[review.reviewer] = (review.verdict, mark)
        return found


def order(blind: bool, question_id: str, passages: Sequence[str]) -> list[str]:
    """The passages as a page shows them."""
    import hashlib

    if not blind:
        return list(passages)
    return sorted(passages, key=lambda key: hashlib.sha256((question_id + key).encode()).hexdigest())


def keys(runtime: Runtime) -> dict[str, str]:
    """Task key -> the task's state."""
    with runtime.database.read() as session:
        uids = {row.number: row.uid for row in queries.rounds(session)}
        return {
            task_key(uids[task.round_number], task.question_id, task.attempt): task.state
            for task in queries.tasks(session)
        }


def on_server(people: People, runtime: Runtime) -> list[str]:
    """The keys of the tasks that stand on the server, one for each place."""
    return sorted(str(task["data"].get("task")) for project in projects(runtime) for task in people.tasks(project))
