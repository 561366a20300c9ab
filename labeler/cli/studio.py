"""studio: a Label Studio of the workspace's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.core.console import log_to_stderr

if TYPE_CHECKING:
    from labeler.review.studio.server.local import Started
    from labeler.review.studio.server.status import ServerStatus


@click.group("studio")
def studio_command() -> None:
    """Start, stop and check a Label Studio of your own.

    For who has none. To use one that runs already, set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY instead.

    \b
    Example:  labeler studio start
              labeler studio status
    """


@studio_command.command("start")
@click.option("--port", type=click.IntRange(1024, 65535), help="Where it is from now on; default: where it was.")
@in_workspace
def studio_start(workspace: Path | None, sets: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """Start the workspace's own Label Studio, installing it first if need be.

    Data, key and password stay in the workspace's folder .studio.

    \b
    Example:  labeler studio start
    """
    from labeler.core.workspace import open_workspace
    from labeler.review.studio.server.local import start

    log_to_stderr()
    started = start(open_workspace(workspace, overrides=sets).folder, port=port)
    if started.moved_from:
        _move(workspace, sets, started)
    show(started, as_json=as_json, text=lambda: _started_text(started))


def _move(workspace: Path | None, sets: tuple[str, ...], started: Started) -> None:
    """Tells the database that the projects at the former addresses are at this one."""
    from db import store

    with runtime(workspace, sets, write=True) as at, at.database.write() as session:
        store.move_server(session, started.moved_from, started.url)


def _started_text(started: Started) -> str:
    begun = "runs already" if started.already else "runs"
    return (
        f"Label Studio {started.version} {begun} at {started.url} (process {started.pid})\n"
        f"log in as {started.email}; the password stands in {started.password_file}"
    )


@studio_command.command("stop")
@in_workspace
def studio_stop(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Stop the workspace's own Label Studio; its data stays.

    \b
    Example:  labeler studio stop
    """
    from labeler.core.workspace import open_workspace
    from labeler.review.studio.server.local import stop

    pid = stop(open_workspace(workspace, overrides=sets).folder)
    told = "Label Studio did not run" if pid is None else f"Label Studio stopped (process {pid})"
    show({"stopped": pid is not None, "pid": pid}, as_json=as_json, text=lambda: told)


@studio_command.command("status")
@in_workspace
def studio_status(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show which Label Studio this workspace works with, and whether it answers.

    \b
    Example:  labeler studio status --json
    """
    from labeler.core.workspace import open_workspace
    from labeler.review.studio.server.status import server_status

    found = server_status(open_workspace(workspace, overrides=sets))
    show(found, as_json=as_json, text=lambda: _status_text(found))


def _status_text(found: ServerStatus) -> str:
    facts = (
        ("server", found.url),
        ("process", found.pid),
        ("version", found.version),
        ("answers", "yes, and takes the key" if found.reachable else "no"),
        ("key from", found.key_from),
        ("log in as", found.email),
        ("password in", found.password_file),
        ("problem", found.problem),
    )
    return "\n".join(f"{name:<12} {value}" for name, value in facts if value is not None)
