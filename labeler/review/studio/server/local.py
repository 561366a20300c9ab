"""A workspace's own Label Studio: installed once for the user, its data and key in the workspace's `.studio`.

The process table is the truth about what runs: our server is the one whose working folder is that `.studio`. So a
killed `start`, a killed server, a copied or a renamed workspace need no mending. The server has no other ties to us
than its port, which it keeps for ever: the address is how the database knows its projects.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labeler.core.errors import StudioError
from labeler.core.files import atomic_write, folder_lock
from labeler.review.studio.server import installer, processes

if TYPE_CHECKING:
    import psutil

FOLDER = ".studio"
EMAIL = "reviewer@labeler.local"
PORTS = range(8080, 8980)
START_SECONDS = 300.0  # the first start makes the tables: 40-50 s, several times that on a busy processes
_LINES = 5  # of the log that an error quotes

log = logging.getLogger("labeler.review.studio")


@dataclass(frozen=True, slots=True)
class OwnServer:
    """The server of one `.studio` folder, whether it runs or not."""

    folder: Path  # absolute
    port: int

    @property
    def url(self) -> str:
        return f"http://{processes.HOST}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def key(self) -> str:
        """The key for our requests. Raises StudioError where its file is gone."""
        return _secret(self.key_file)

    def process(self) -> psutil.Process | None:
        """The running server, or None."""
        return processes.find(self.folder)


@dataclass(frozen=True, slots=True)
class Started:
    """A running server. `already`: it ran before. `moved_from`: its addresses before this one."""

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
    state = _state(folder)
    return None if state is None else OwnServer(folder, state[0])


def start(workspace: Path, *, port: int | None = None, patience: float = START_SECONDS) -> Started:
    """The workspace's own server, running and healthy; installed and made before, if need be.

    `port`: where it is to be from now on; default: where it was, at first any free one. Killed at any moment, the
    same call again goes on from there.

    Raises StudioError where it cannot be installed, the port is taken, or it does not come up within `patience`
    seconds.
    """
    folder = workspace.absolute() / FOLDER
    _make_folder(folder)
    with folder_lock(folder, lambda: _busy(folder)):
        found, before = processes.find(folder), _state(folder)
        known = before[0] if before else _port_of(found)
        if found is not None and known is not None and port in (None, known):
            server = OwnServer(folder, known)
            _note(server, found.pid)
            _await(server, found, patience)
            return _started(server, found, already=True)
        if found is not None:
            processes.end(found)
        _make_secrets(folder)
        installed = installer.installed()
        server, process = _launch(folder, installed, port or known, patience)
        return _started(server, process, already=False)


def stop(workspace: Path) -> int | None:
    """The process id of the workspace's own server, which ran and is stopped; None where it did not run."""
    folder = workspace.absolute() / FOLDER
    if not folder.is_dir():
        return None
    with folder_lock(folder, lambda: _busy(folder)):
        found = processes.find(folder)
        if found is not None:
            processes.end(found)
        return None if found is None else found.pid


# --- the folder -----------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # keys and data are nobody else's


def _make_secrets(folder: Path) -> None:
    """Key and password for the first user, who is made with them at the first start. What is there stays."""
    made = {"key": secrets.token_hex(20), "password": secrets.token_urlsafe(12)}
    missing = [name for name in made if not (folder / name).is_file()]
    if missing and (folder / "data" / "label_studio.sqlite3").is_file():
        raise StudioError(
            f"{folder / missing[0]} is gone, but the users in {folder / 'data'} were made with it: put it back, or "
            f"remove {folder} to begin with an empty server"
        )
    for name in missing:
        handle, partial = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # made with mode 600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(made[name] + "\n")
        Path(partial).replace(folder / name)


def _secret(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise StudioError(
            f"{file} is gone; put it back, or remove {file.parent} to begin with an empty server"
        ) from None


def _state(folder: Path) -> tuple[int, tuple[str, ...]] | None:
    """The port, and the addresses that the server had before; None where there is none."""
    try:
        state = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        return int(state["port"]), tuple(map(str, state["moved_from"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise StudioError(
            f'{folder / "server.json"} is damaged; write the server\'s port into it: {{"port": 8080, "moved_from": []}}'
        ) from None


def _note(server: OwnServer, pid: int) -> None:
    """Writes down where the server is, and where it was."""
    before = _state(server.folder)
    urls = () if before is None else (*before[1], OwnServer(server.folder, before[0]).url)
    moved = sorted({url for url in urls if url != server.url})
    with atomic_write(server.folder / "server.json") as file:
        json.dump({"url": server.url, "port": server.port, "pid": pid, "moved_from": moved}, file)


def _started(server: OwnServer, process: psutil.Process, *, already: bool) -> Started:
    state = _state(server.folder)
    assert state is not None, "written before the server is waited for"
    return Started(
        url=server.url,
        pid=process.pid,
        version=installer.VERSION,
        already=already,
        email=EMAIL,
        password_file=server.password_file,
        moved_from=state[1],
    )


def _busy(folder: Path) -> StudioError:
    return StudioError(f"{folder}: another process starts or stops this server; wait for it")


# --- the process ----------------------------------------------------------------------------------


def _launch(folder: Path, installed: Path, port: int | None, patience: float) -> tuple[OwnServer, psutil.Process]:
    """The server started and healthy. Without a port, the first free one; if another program is quicker, the next."""
    begin = PORTS.start
    while True:
        chosen = _free_port(begin) if port is None else _must_be_free(port, folder)
        server = OwnServer(folder, chosen)
        process = _run(server, installed)
        _note(server, process.pid)
        log.info("Label Studio starts at %s (the first time it takes about a minute)", server.url)
        try:
            _await(server, process, patience)
        except _Elsewhere:
            processes.end(process)
            if port is not None:
                _must_be_free(port, folder)
            begin = chosen + 1
            continue
        return server, process


def _run(server: OwnServer, installed: Path) -> psutil.Process:
    import psutil

    server.data.mkdir(mode=0o700, exist_ok=True)
    if server.log_file.is_file():
        server.log_file.replace(server.log_file.with_suffix(".log.old"))
    command = [installed, "start", "--no-browser", "--data-dir", server.data]
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
    process.returncode = 0  # it outlives us: not to be waited for
    return psutil.Process(process.pid)


def _environment(server: OwnServer) -> dict[str, str]:
    """Our own environment without what is meant for another server or Python, and with what keeps this one quiet."""
    foreign = (
        "LABEL_STUDIO_",
        "HEARTEX_",
        "LABELER_",
        "DJANGO_",
        "POSTGRE_",
        "SENTRY_",
        "DEBUG",
        "PYTHON",
        "VIRTUAL_ENV",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "LABEL_STUDIO_BASE_DATA_DIR": str(server.data),
        "LABEL_STUDIO_HOST": server.url,
        "LABEL_STUDIO_USERNAME": EMAIL,
        "LABEL_STUDIO_PASSWORD": _secret(server.password_file),
        "LABEL_STUDIO_USER_TOKEN": server.key(),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }


class _Elsewhere(Exception):
    """The server listens on another port than ours: ours was taken in the meantime."""


def _await(server: OwnServer, process: psutil.Process, patience: float) -> None:
    """Waits until the server answers as healthy, at its own port. Raises StudioError, _Elsewhere."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        ports = processes.ports_of(process)
        if ports is None:
            raise StudioError(f"Label Studio ended before it was up; {_last_lines(server.log_file)}")
        if ports and server.port not in ports:
            raise _Elsewhere
        if ports and processes.healthy(server.url):
            return
        time.sleep(0.1)
    processes.end(process)
    raise StudioError(f"Label Studio was not up after {patience:g} s; {_last_lines(server.log_file)}")


def _port_of(process: psutil.Process | None) -> int | None:
    """Where a server is whose note was not written: its `start` was killed."""
    return None if process is None else min(processes.ports_of(process) or (), default=None)


def _free_port(begin: int) -> int:
    for port in range(begin, PORTS.stop):
        if processes.is_free(port):
            return port
    raise StudioError(f"none of the ports {begin}-{PORTS.stop - 1} is free; name one: labeler studio start --port N")


def _must_be_free(port: int, folder: Path) -> int:
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
    shown = [line.strip() for line in lines if line.strip(" ^~")][-_LINES:]
    return f"the last lines of {file}: " + " ".join(shown)[-600:]
