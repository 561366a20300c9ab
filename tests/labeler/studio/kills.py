"""A push and a pull of so many tasks, in which the server or our own process dies at a chosen moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from db import queries, store
from labeler.core.errors import ServerDown
from labeler.core.runtime import Runtime
from labeler.review.studio.api.client import Client
from labeler.review.studio.pull import pull
from labeler.review.studio.push import push
from labeler.rounds.steps import labelling
from tests.labeler.studio.people import People, projects, says
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.state import state
from tests.studio import TestServer

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Kill:
    """When something dies: around the `count`-th call of a method of the client, or at a moment of `tests.killing`."""

    whose: str  # server or ours
    command: str  # push or pull
    at: str
    count: int = 1
    after: float | None = None  # seconds after the call began; None: before it

    def __str__(self) -> str:
        when = "at" if self.after is None else f"{self.after:g} s into"
        return f"{self.whose}, {self.command}, {when} {self.at} {self.count}"


SERVER_KILLS = (
    Kill("server", "push", "make_project"),
    Kill("server", "push", "import_tasks", 2),
    Kill("server", "push", "import_tasks", 2, after=0.05),
    Kill("server", "push", "import_tasks", 3, after=0.3),
    Kill("server", "pull", "ids", 2),
    Kill("server", "pull", "changed_since", 1, after=0.02),
    Kill("server", "pull", "changed_since", 2),
)
OUR_KILLS = (
    Kill("ours", "push", "project made"),
    Kill("ours", "push", "push begun", 2),
    Kill("ours", "push", "tasks imported", 2),
    Kill("ours", "push", "tasks placed", 3),
    Kill("ours", "pull", "ids read"),
    Kill("ours", "pull", "annotations settled", 2),
    Kill("ours", "pull", "cursor moved"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One workspace on a server."""

    server: TestServer
    shape: Shape
    answered_every: int  # each n-th task is answered

    @property
    def people(self) -> People:
        return People(self.server)

    def play(self, folder: Path, *kills: Kill) -> dict[str, Any]:
        """The final state of a workspace that was pushed, answered, pulled and labelled; `kills` disturb it."""
        with at(make_runtime(folder, self.shape), batch=self.shape.batch) as runtime:
            self._run(runtime, "push", kills)
            self._answer(runtime)
            self._run(runtime, "pull", kills)
            return self._final(runtime)

    def _run(self, runtime: Runtime, command: str, kills: Sequence[Kill]) -> None:
        """The command, disturbed by each kill of it, and at last undisturbed."""
        for kill in kills:
            if kill.command == command:
                self._with_dying_server(runtime, kill) if kill.whose == "server" else self._dying(runtime, kill)
        self._do(runtime, command, Client(self.server.connection))

    def _do(self, runtime: Runtime, command: str, client: Client) -> None:
        with runtime.database.read() as session:
            row = queries.round_(session, 0)
        push(runtime, client, row) if command == "push" else pull(runtime, client)

    def _with_dying_server(self, runtime: Runtime, kill: Kill) -> None:
        dying = cast("Client", _Dying(Client(self.server.connection), kill, self.server.kill))
        with contextlib.suppress(ServerDown):  # the answer may just have come
            self._do(runtime, kill.command, dying)
        assert self.server.pid is None, f"the server did not die {kill}"
        self.server.start()

    def _dying(self, runtime: Runtime, kill: Kill) -> None:
        given = {"LABEL_STUDIO_URL": self.server.url, "LABEL_STUDIO_API_KEY": self.server.token}
        batch = ("--set", f"studio.batch_size={self.shape.batch}")
        arguments = (kill.at, str(kill.count), kill.command, *batch, "-w", str(runtime.workspace.folder))
        ended = subprocess.run(
            [sys.executable, "-m", "tests.killing", *arguments],
            cwd=ROOT,
            env={**os.environ, **given},
            check=False,
            capture_output=True,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    def _answer(self, runtime: Runtime) -> None:
        for project in projects(runtime):
            for task in self.people.tasks(project):
                number = int(task["data"]["question_id"][1:])
                if number % self.answered_every == 0:
                    self._say(task["id"], number // self.answered_every)

    def _say(self, task: int, turn: int) -> None:
        words: tuple[Callable[[], Any], ...] = (
            lambda: self.people.answer(task, says("answerable", (1 + turn % 3, turn % 11, turn % 11 + 6))),
            lambda: self.people.answer(task, says("no_answer")),
            lambda: self.people.skip(task),
            lambda: self.people.answer(task, says("bad_question")),
            lambda: self.people.answer(task, says("answerable")),  # unreadable
        )
        words[turn % len(words)]()

    def _final(self, runtime: Runtime) -> dict[str, Any]:
        """The tasks on the server and the state of the database after the round has labelled."""
        places = [task["data"]["question_id"] for project in projects(runtime) for task in self.people.tasks(project)]
        with runtime.database.write() as session:
            store.withdraw_tasks(session, 0)
            row = store.advance(session, 0, "in_review", "reviewed")
        labelling.label(runtime, row)
        with runtime.database.read() as session:
            return {"server": sorted(places), **state(session)}


class _Dying:
    """A client whose server is killed around a call."""

    def __init__(self, client: Client, kill: Kill, murder: Callable[[], None]) -> None:
        self._client = client
        self._kill = kill
        self._murder = murder
        self._left = kill.count

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name != self._kill.at:
            return method

        def call(*args: Any, **keywords: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return method(*args, **keywords)
            if self._kill.after is None:
                self._murder()
                return method(*args, **keywords)
            return self._during(lambda: method(*args, **keywords))

        return call

    def _during(self, call: Callable[[], Any]) -> Any:
        timer = threading.Timer(self._kill.after or 0, self._murder)
        timer.start()
        try:
            result = call()
            return list(result) if hasattr(result, "__next__") else result
        finally:
            timer.join()
