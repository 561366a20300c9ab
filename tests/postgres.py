"""A throw-away PostgreSQL server: found, started on a free port of this machine, stopped with whoever started it."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

SUPERUSER = "labeler"
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
_SETTINGS = {  # nothing here has to outlive a crash
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "autovacuum": "off",
}
_SECONDS = 60.0  # until it answers
_ROOM = 1 << 30  # bytes
_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. Its superuser is `labeler`."""

    binaries: Path
    port: int
    password: str = field(repr=False)

    def url(self, name: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """The URL of a database as users write it, password and all."""
        secret = self.password if password is None else password
        url = URL.create("postgresql+psycopg", user, secret, "127.0.0.1", self.port, name)
        return url.render_as_string(hide_password=False)

    def make(self, name: str, *, template: str | None = None, options: str = "") -> str:
        """The URL of a new database: a copy of `template`, or an empty one in UTF-8 that sorts text as Danes do.

        Danish puts `aa` behind `z`: what relies on the server's order of text does not get through that.
        """
        rules = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'da-DK' LOCALE 'C'"
        self.execute(f'CREATE DATABASE "{name}" {options or (f"TEMPLATE {template}" if template else rules)}')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Removes a database, whoever uses it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, name: str = "postgres") -> list[Any]:
        """The rows of a statement run by the superuser, outside of a transaction."""
        import psycopg

        url = self.url(name).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def find_binaries() -> Path | None:
    """The folder of the newest installed server's programs, or None."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for place in _PLACES:
        found += sorted(Path("/").glob(place.lstrip("/")), key=_version, reverse=True)
    return next((folder for folder in found if (folder / "initdb").is_file()), None)


def skip_without() -> Path:
    """The folder of the server's programs. Without them, or the driver, the test is skipped; in CI it fails."""
    found = find_binaries()
    missing = "PostgreSQL" if found is None else "psycopg" if find_spec("psycopg") is None else None
    if found is not None and missing is None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} is not installed, and CI must test it")
    pytest.skip(f"{missing} is not installed")


@contextmanager
def running(binaries: Path) -> Iterator[Server]:
    """A fresh server, gone with its data when the block ends, or at the latest when this process does."""
    folder = Path(tempfile.mkdtemp(prefix="labeler-postgres-", dir=_memory()))
    process: subprocess.Popen[bytes] | None = None
    try:
        server = Server(binaries, _free_port(), secrets.token_urlsafe(12))
        _make_cluster(folder, server)
        process = _start(folder, server)
        _await(server, process, folder / "log")
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # at once: its data is thrown away
            process.wait(timeout=_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(folder: Path, server: Server) -> None:
    secret = folder / "password"
    secret.write_text(server.password)
    account = _account()
    if account is not None:
        for path in (folder, secret):
            os.chown(path, account["user"], account["group"])
    command = [str(server.binaries / "initdb"), "--pgdata", str(folder / "data"), "--encoding=UTF8", "--locale=C"]
    command += ["--no-sync", "--username", SUPERUSER, "--pwfile", str(secret), "--auth", "scram-sha-256"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **account or {})
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr}")


def _start(folder: Path, server: Server) -> subprocess.Popen[bytes]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(server.binaries / "postgres"), "-D", str(folder / "data"), "-p", str(server.port), *settings]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, preexec_fn=_die_with_parent, **_account() or {}
        )


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    until = time.monotonic() + _SECONDS
    while True:
        try:
            server.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)


def _account() -> dict[str, Any] | None:
    """Whom the server runs as where we are root, which it refuses to be; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _die_with_parent() -> None:
    """Linux stops the server should this process be killed, so that none is ever left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGQUIT)


def _memory() -> Path | None:
    """A folder in memory with room for a server's data: copying a database is ten times as fast there as on a disk."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _ROOM
    return shared if roomy else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split("-")[-1].split(".") if part.isdecimal())
