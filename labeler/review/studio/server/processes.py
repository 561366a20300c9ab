"""Server processes on this machine: finding and ending them, their ports, their health."""

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
STOP_SECONDS = 10.0  # until a server that does not end is killed


def find(folder: Path) -> psutil.Process | None:
    """The process of the server whose working folder this is, or None."""
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
    """The ports that the process itself listens on; None if it has ended."""
    import psutil

    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        found = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return None
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def healthy(url: str, *, seconds: float = 5.0) -> bool:
    """Whether a Label Studio at this address reports that it is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to this machine
    try:
        with opener.open(f"{url}/health", timeout=seconds) as answer:
            return b'"UP"' in answer.read(1000)
    except (OSError, ValueError, http.client.HTTPException):  # no server, or none that speaks HTTP
        return False


def end(process: psutil.Process) -> None:
    """Terminate a server, and kill it if it does not end."""
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
    """Whether a server could listen at this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just given back is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """The program that listens at a port, in words."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):  # not every system lets every user see this
        for each in psutil.net_connections(kind="tcp"):
            if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    return "another program"
