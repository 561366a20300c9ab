"""What this machine says of a server: its process, the ports it listens on, whether it is healthy."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
STOP_SECONDS = 10.0  # before a server that does not end is killed


def find(folder: Path) -> psutil.Process | None:
    """The process of the server whose working folder this is."""
    import psutil

    home = folder.resolve()
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or ()
        if "start" not in command or not any(part.endswith("label-studio") for part in command):
            continue
        with contextlib.suppress(psutil.Error, OSError):  # ended this instant, or another user's
            if Path(process.cwd()) == home and process.status() != psutil.STATUS_ZOMBIE:
                return process
    return None


def ports_of(process: psutil.Process) -> set[int] | None:
    """The ports that the process itself listens on; None where it has ended."""
    import psutil

    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        found = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return None
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def healthy(url: str, *, seconds: float = 5.0) -> bool:
    """Whether a Label Studio answers there that it is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to this very machine
    try:
        with opener.open(f"{url}/health", timeout=seconds) as answer:
            return b'"UP"' in answer.read(1000)
    except (OSError, ValueError, http.client.HTTPException):  # nobody there, or somebody who does not speak HTTP
        return False


def end(process: psutil.Process) -> None:
    """Stops a server: kindly, then surely."""
    import psutil

    for act in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            act()
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until:
            if ports_of(process) is None:
                return
            time.sleep(0.02)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just given back is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Who listens there, for people."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):  # not every system tells this to everybody
        for each in psutil.net_connections(kind="tcp"):
            if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    return "another program"
