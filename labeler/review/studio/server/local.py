"""Start and stop a workspace's own Label Studio; its data and key are in the workspace's folder `.studio`.

The process table decides what runs: our server is the one whose working folder is that `.studio`. So a killed `start`,
a killed server, a copied or a renamed workspace need no repair. A server keeps its port for ever, because the database
knows projects by their address.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labeler.core.errors import StudioError
from labeler.core.files import folder_lock
from labeler.review.studio.server import installer, processes
from labeler.review.studio.server.networks import REFUSED_NETWORKS
from labeler.review.studio.server.state import (
    FOLDER,
    OwnServer,
    make_folder,
    make_secrets,
    read_state,
    save_state,
)

if TYPE_CHECKING:
    import psutil

EMAIL = "reviewer@labeler.local"
PORTS = range(8080, 8980)
START_SECONDS = 300.0  # the first start makes the tables: 40-50 s, several times that on a busy machine
_LOG_LINES = 5  # that an error quotes
#: Variables for another server or Python, which ours must not see.
_FOREIGN = (
    "LABEL_STUDIO_",
    "HEARTEX_",
    "LABELER_",
    "DJANGO_",
    "POSTGRE_",
    "SENTRY_",
    "ML_",
    "SSRF_",
    "WEBHOOK_",
    "DEBUG",
    "PYTHON",
    "VIRTUAL_ENV",
)

log = logging.getLogger("labeler.review.studio")


@dataclass(frozen=True, slots=True)
class Started:
    """A running server. `already`: it ran before. `moved_from`: its former addresses."""

    url: str
    pid: int
    version: str
    already: bool
    email: str
    password_file: Path
    moved_from: tuple[str, ...]


def own_server(workspace: Path) -> OwnServer | None:
    """The workspace's own server, or None where none was ever started."""
    folder = workspace.absolute() / FOLDER
    state = read_state(folder)
    return None if state is None else OwnServer(folder, state.port)


def start(workspace: Path, *, port: int | None = None, patience: float = START_SECONDS) -> Started:
    """Start the workspace's own server, installing it first if necessary, and return it once it is healthy.

    Killed at any moment, the same call again continues from there.

    Args:
        workspace: the workspace's folder.
        port: where the server is from now on; default: where it was, at first any free one.
        patience: seconds to wait until it is healthy.

    Raises:
        StudioError: it cannot be installed, the port is taken, or it is not healthy in time.
    """
    folder = workspace.absolute() / FOLDER
    make_folder(folder)
    with folder_lock(folder, lambda: _busy(folder)):
        running, before = processes.find(folder), read_state(folder)
        known = before.port if before else _port_of(running)
        if running is not None and known is not None and port in (None, known):
            server = OwnServer(folder, known)
            save_state(server, running.pid)
            _wait_until_healthy(server, running, patience)
            return _started(server, running, already=True)
        if running is not None:
            processes.end(running)
        make_secrets(folder)
        program = installer.installed()
        server, process = _launch(folder, program, port or known, patience)
        return _started(server, process, already=False)


def stop(workspace: Path) -> int | None:
    """Stop the workspace's own server, and return its process id; None where it did not run."""
    folder = workspace.absolute() / FOLDER
    if not folder.is_dir():
        return None
    with folder_lock(folder, lambda: _busy(folder)):
        running = processes.find(folder)
        if running is not None:
            processes.end(running)
        return None if running is None else running.pid


def _started(server: OwnServer, process: psutil.Process, *, already: bool) -> Started:
    state = read_state(server.folder)
    assert state is not None, "saved before the server is waited for"
    return Started(
        url=server.url,
        pid=process.pid,
        version=installer.VERSION,
        already=already,
        email=EMAIL,
        password_file=server.password_file,
        moved_from=state.moved_from,
    )


def _busy(folder: Path) -> StudioError:
    return StudioError(f"{folder}: another process starts or stops this server; wait for it")


# --- the process ----------------------------------------------------------------------------------


def _launch(folder: Path, program: Path, port: int | None, patience: float) -> tuple[OwnServer, psutil.Process]:
    """Start the server and wait until it is healthy. Without a port, try free ones until it gets one."""
    begin = PORTS.start
    while True:
        chosen = _free_port(begin) if port is None else _require_free(port, folder)
        server = OwnServer(folder, chosen)
        process = _run(server, program)
        save_state(server, process.pid)
        log.info("Label Studio starts at %s (the first time it takes about a minute)", server.url)
        try:
            _wait_until_healthy(server, process, patience)
        except _PortTaken:
            processes.end(process)
            if port is not None:
                _require_free(port, folder)
            begin = chosen + 1
            continue
        return server, process


def _run(server: OwnServer, program: Path) -> psutil.Process:
    import psutil

    server.data.mkdir(mode=0o700, exist_ok=True)
    if server.log_file.is_file():
        server.log_file.replace(server.log_file.with_suffix(".log.old"))
    command = [program, "start", "--no-browser", "--data-dir", server.data]
    command += ["--internal-host", processes.HOST, "--port", str(server.port)]
    with server.log_file.open("wb") as out:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=server.folder,
            env=_environment(server),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            umask=0o077,
        )
    process.returncode = 0  # it outlives this process: do not wait for it
    return psutil.Process(process.pid)


def _environment(server: OwnServer) -> dict[str, str]:
    """This process's environment without `_FOREIGN`, with the server's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {
        **kept,
        "LABEL_STUDIO_BASE_DATA_DIR": str(server.data),
        "LABEL_STUDIO_HOST": server.url,
        "LABEL_STUDIO_USERNAME": EMAIL,
        "LABEL_STUDIO_PASSWORD": server.password(),
        "LABEL_STUDIO_USER_TOKEN": server.key(),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": REFUSED_NETWORKS,
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }


class _PortTaken(Exception):
    """The server listens on another port, because another program took ours in the meantime."""


def _wait_until_healthy(server: OwnServer, process: psutil.Process, patience: float) -> None:
    """Return once the server is healthy at its own port. Raises StudioError, _PortTaken."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        ports = processes.ports_of(process)
        if ports is None:
            raise StudioError(f"Label Studio ended before it was up; {_last_lines(server.log_file)}")
        if ports and server.port not in ports:
            raise _PortTaken
        if ports and processes.healthy(server.url):
            return
        time.sleep(0.1)
    processes.end(process)
    raise StudioError(f"Label Studio was not up after {patience:g} s; {_last_lines(server.log_file)}")


def _port_of(process: psutil.Process | None) -> int | None:
    """The port of a server whose state was not saved, because its `start` was killed."""
    return None if process is None else min(processes.ports_of(process) or (), default=None)


def _free_port(begin: int) -> int:
    for port in range(begin, PORTS.stop):
        if processes.is_free(port):
            return port
    raise StudioError(f"none of the ports {begin}-{PORTS.stop - 1} is free; name one: labeler studio start --port N")


def _require_free(port: int, folder: Path) -> int:
    """The port. Raises StudioError if it is taken."""
    if processes.is_free(port):
        return port
    raise StudioError(
        f"port {port} is taken by {processes.holder_of(port)}; stop that, or give the server of {folder} "
        "another port for ever: labeler studio start --port N"
    )


def _last_lines(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "it wrote nothing"
    shown = [line.strip() for line in lines if line.strip(" ^~")][-_LOG_LINES:]
    return f"the last lines of {file}: " + " ".join(shown)[-600:]
