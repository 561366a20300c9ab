"""Random sequences of what we, people and accidents do to the same tasks; in the end the database must be right."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from db import queries
from db.rows import RoundRow
from labeler.core.errors import ServerDown
from labeler.core.runtime import Runtime
from labeler.review.studio.api.client import Client
from labeler.review.studio.pull import pull, sync, withdraw
from labeler.review.studio.push import push
from tests.labeler.studio.people import Json, People, Said, keys, on_server, projects, says, stored, truth
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.studio import TestServer

TASKS = Shape(tasks=6, blind_every=3, batch=2)
DEATHS = ("before", "after", "killed", "lost")
CALLS = ("import_tasks", "find_by_push", "ids", "newest_change", "users", "project", "make_project",
         "delete_untouched", "get_tasks")  # fmt: skip
#: what happens, and how often in comparison
CHOICES = {
    "push": 3,
    "pull": 3,
    "sync": 2,
    "dying push": 3,
    "dying pull": 3,
    "answer": 8,
    "skip": 2,
    "edit": 4,
    "take back": 3,
    "draft": 1,
    "delete a task": 2,
    "delete a project": 0.3,
    "kill the server": 0.2,
    "withdraw": 0.3,
}


class Story:
    """One workspace, one server, a random sequence of events."""

    def __init__(self, server: TestServer, runtime: Runtime, seed: int) -> None:
        self.server = server
        self.people = People(server)
        self.runtime = runtime
        self.rng = random.Random(seed)
        self.client = Client(server.connection)
        self.steps: list[str] = []
        self.kept: dict[str, dict[str, Said]] = {}  # reviews of tasks that were deleted there after we read them
        self.lee = self.people.second_user()

    def happen(self, steps: int) -> None:
        for _ in range(steps):
            [choice] = self.rng.choices(list(CHOICES), weights=list(CHOICES.values()))
            self.steps.append(choice)
            getattr(self, "_" + choice.replace(" ", "_"))()

    def check(self) -> None:
        """After a last pull the database equals the server; after a last push every open task is there once,
        and repeating both changes nothing."""
        pull(self.runtime, self.client)
        expected = {**self.kept, **truth(self.people, self.runtime)}
        found = stored(self.runtime)
        differ = {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()}
        assert found == expected, ({key: pair for key, pair in differ.items() if pair[0] != pair[1]}, self.steps)
        again = pull(self.runtime, self.client, everything=True)
        assert (again.reviews, again.deleted, again.gone) == (0, 0, 0), self.steps
        push(self.runtime, self.client, self._row())
        there = on_server(self.people, self.runtime)
        assert len(there) == len(set(there)), self.steps
        assert {key for key, state in keys(self.runtime).items() if state == "open"} <= set(there), self.steps

    # --- we ---------------------------------------------------------------------------------------

    def _row(self) -> RoundRow:
        with self.runtime.database.read() as session:
            return queries.round_(session, 0)

    def _push(self) -> None:
        push(self.runtime, self.client, self._row())

    def _pull(self) -> None:
        pull(self.runtime, self.client, everything=self.rng.random() < 0.2)

    def _sync(self) -> None:
        sync(self.runtime, self.client, self._row())

    def _withdraw(self) -> None:
        self._dying(lambda client: withdraw(self.runtime, client, self._row()))

    def _dying_push(self) -> None:
        self._dying(lambda client: push(self.runtime, client, self._row()))

    def _dying_pull(self) -> None:
        self._dying(lambda client: pull(self.runtime, client))

    def _dying(self, command: Callable[[Client], Any]) -> None:
        try:
            command(self._unlucky())
        except (ServerDown, KeyboardInterrupt) as error:
            self.steps[-1] += f" ({type(error).__name__})"

    def _unlucky(self) -> Client:
        """A client that meets a fault at one of its next calls."""
        return cast("Client", _Unlucky(self.client, self.rng.randint(1, 12), self.rng.choice(DEATHS)))

    def _kill_the_server(self) -> None:
        if self.server.workspace is not None:
            self.server.kill()
            self._dying(lambda client: push(self.runtime, client, self._row()))
            self.server.start()

    # --- people -----------------------------------------------------------------------------------

    def _tasks(self, *, answered: bool | None = None) -> list[Json]:
        status = [task for project in self._projects() for task in self.people.tasks(project)]
        return [task for task in status if answered is None or bool(task["annotations"]) == answered]

    def _projects(self) -> list[int]:
        """Those of our projects that are really there."""
        there = {each["id"] for each in self.people.call("GET", "/api/projects/?page_size=10000")["results"]}
        return [each for each in projects(self.runtime) if each in there]

    def _said(self) -> list[Json]:
        words = (
            says("answerable", (self.rng.randint(1, 3), 4, self.rng.randint(7, 60))),  # more than white space
            says("no_answer"),
            says("bad_question"),
            says("answerable"),
            says("answerable", (1, 5, 9999)),
            says("no_answer", (1, 0, 2)),
        )
        [chosen] = self.rng.choices(words, weights=(8, 3, 2, 1, 1, 1))
        return chosen

    def _answer(self) -> None:
        if status := self._tasks():
            user = self.lee if self.rng.random() < 0.2 else None
            self.people.answer(self.rng.choice(status)["id"], self._said(), user=user)

    def _skip(self) -> None:
        if status := self._tasks(answered=False):
            self.people.skip(self.rng.choice(status)["id"])

    def _draft(self) -> None:
        if status := self._tasks(answered=False):
            self.people.draft(self.rng.choice(status)["id"])

    def _edit(self) -> None:
        if status := self._tasks(answered=True):
            annotation = self.rng.choice(self.rng.choice(status)["annotations"])
            self.people.edit(annotation["id"], self._said())

    def _take_back(self) -> None:
        if status := self._tasks(answered=True):
            self.people.take_back(self.rng.choice(self.rng.choice(status)["annotations"])["id"])

    def _delete_a_task(self) -> None:
        if status := self._tasks():
            task = self.rng.choice(status)
            self._keep([task])
            self.people.delete_task(task["id"])

    def _delete_a_project(self) -> None:
        if there := self._projects():
            project = self.rng.choice(there)
            self._keep(self.people.tasks(project))
            self.people.call("DELETE", f"/api/projects/{project}/")

    def _keep(self, tasks: list[Json]) -> None:
        """What we have read of tasks that are about to be deleted stays."""
        read = stored(self.runtime)
        self.kept |= {key: read[key] for task in tasks if (key := task["data"]["task"]) in read}


class _Unlucky:
    """A client whose n-th call meets a fault, whatever call it is."""

    def __init__(self, client: Client, left: int, fault: str) -> None:
        self._client = client
        self._left = left
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in CALLS:
            return method

        def call(*args: Any, **keywords: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._fault in ("before", "lost"):
                raise ServerDown("the test's fault", unsure=self._fault == "lost")
            result = method(*args, **keywords)
            if self._left == 0 and self._fault == "killed":
                raise KeyboardInterrupt
            if self._left == 0 and self._fault == "after":
                raise ServerDown("the test's fault", unsure=True)
            return result

        return call


def tell(server: TestServer, folder: Path, seed: int, *, steps: int) -> list[str]:
    """What happened; raises AssertionError where the database is not right in the end."""
    with at(make_runtime(folder, TASKS), batch=TASKS.batch) as runtime:
        story = Story(server, runtime, seed)
        story._push()
        story.happen(steps)
        story.check()
        return story.steps
