"""The state of the Label Studio that a workspace uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labeler.core.errors import LabelerError
from labeler.core.workspace import Workspace
from labeler.review.studio.api.client import Client
from labeler.review.studio.api.connection import find_connection
from labeler.review.studio.server.local import EMAIL, own_server

PATIENCE = 20.0  # seconds; a healthy server answers in far less


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`running`: of our own server, None for another one. `reachable`: it answers and accepts the key."""

    url: str | None
    pid: int | None
    version: str | None
    running: bool | None
    reachable: bool
    key_from: str | None
    email: str | None  # of our own server's user
    password_file: Path | None
    problem: str | None


def server_status(workspace: Workspace) -> ServerStatus:
    """The state of the server that the environment names, else of the workspace's own. Failures are part of it."""
    url = key_from = version = problem = None
    try:
        connection = find_connection(workspace, os.environ)
        url, key_from = connection.url, connection.where
        version = Client(connection, timeout=PATIENCE).check()
    except LabelerError as error:
        problem = str(error)
    own = own_server(workspace.folder)
    if own is None or own.url != url:
        return ServerStatus(url, None, version, None, version is not None, key_from, None, None, problem)
    process = own.process()
    return ServerStatus(
        url=url,
        pid=None if process is None else process.pid,
        version=version,
        running=process is not None,
        reachable=version is not None,
        key_from=key_from,
        email=EMAIL,
        password_file=own.password_file,
        problem=problem,
    )
