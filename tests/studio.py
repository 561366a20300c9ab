"""A throw-away Label Studio for tests: one per test process, copied from a template that is made once per machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import httpx
import pytest

from labeler.review.studio.api.connection import Connection
from labeler.review.studio.server import installer, local, processes

ROOT = Path(__file__).parent.parent
RUNNING = "TEST_LABEL_STUDIO"  # "URL KEY" of a server that runs already, to save its start while developing


@dataclass
class TestServer:
    """A running Label Studio. `workspace`: the folder whose own server it is; None: one that we did not start."""

    __test__ = False

    workspace: Path | None
    url: str
    token: str
    email: str
    password: str

    @property
    def connection(self) -> Connection:
        return Connection(self.url, self.token, where="the test's key")

    @property
    def folder(self) -> Path:
        """The server's `.studio`. Skips the test where the server is not ours."""
        if self.workspace is None:
            pytest.skip(f"{RUNNING} names a server that is not ours to stop")
        return self.workspace / local.FOLDER

    @property
    def pid(self) -> int | None:
        found = local.OwnServer(self.folder, 0).process()
        return None if found is None else found.pid

    def start(self) -> None:
        """Starts it at its port; nothing happens if it runs."""
        assert self.folder
        assert self.workspace is not None
        self.url = local.start(self.workspace).url

    def stop(self) -> None:
        assert self.folder
        assert self.workspace is not None
        local.stop(self.workspace)

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        found = local.OwnServer(self.folder, 0).process()
        assert found is not None, "it does not run"
        found.kill()
        found.wait(10)

    def request(self, method: str, path: str, **rest: Any) -> Any:
        """What the bare API answers (as a reviewer's browser would get it), as JSON; None for nothing."""
        headers = {"Authorization": f"Token {self.token}", **rest.pop("headers", {})}
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, timeout=120, trust_env=False, **rest)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def named() -> str:
    """What the variable says of a server that runs already; empty where there is none."""
    return os.environ.get(RUNNING, "")


@contextmanager
def running(folder: Path, cache: Path) -> Iterator[TestServer]:
    """A server of its own in `folder`, stopped when the block ends; its template stands in `cache`."""
    if named():
        url, _, token = named().partition(" ")
        yield TestServer(None, url, token.strip(), "owner@example.com", "labeler-pass")
        return
    shutil.copytree(template(cache) / local.FOLDER, folder / local.FOLDER)
    with stopped_in_the_end(folder):
        started = start(folder)
        own = local.OwnServer(folder / local.FOLDER, 0)
        password = own.password_file.read_text(encoding="ascii").strip()
        yield TestServer(folder, started.url, own.key(), started.email, password)


@contextmanager
def stopped_in_the_end(folder: Path) -> Iterator[None]:
    """Stops the server when the block ends, and also when this process is killed: its end closes the pipe."""
    server = "labeler.review.studio.server.local"
    stop = f"import sys, pathlib, {server} as s; sys.stdin.read(); s.stop(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", stop, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        yield
    assert watchdog.returncode == 0


def start(folder: Path) -> local.Started:
    """Starts it on a port that no user's workspace chooses, nor this machine for a connection."""
    begin = 18_000 + os.getpid() % 1000
    return local.start(folder, port=next(port for port in range(begin, begin + 1000) if _is_free(port)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((processes.HOST, port)) != 0


def template(cache: Path) -> Path:
    """A folder whose server has made its tables and its first user; not running. Made once (40 s)."""
    made = cache / f"template-{installer.VERSION}"
    with filelock.FileLock(cache / "template.lock"):
        if not (made / ".ready").is_file():
            local.stop(made)
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            began = time.monotonic()
            start(made)
            local.stop(made)
            (made / local.FOLDER / "server.json").unlink()
            (made / ".ready").write_text(f"{time.monotonic() - began:.0f} s\n", encoding="ascii")
    return made
