"""studio, push, pull; beside it `serve` (serve, studio connect and disconnect) and `invite` (studio invite)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, runtime, say, show
from labeler.cli.studio.invite import invite_command
from labeler.cli.studio.serve import connect_command, disconnect_command
from labeler.core.console import log_to_stderr, table

if TYPE_CHECKING:
    from db.rows import RoundRow
    from labeler.core.runtime import Runtime
    from labeler.review.studio.pull import Pulled
    from labeler.review.studio.push import Pushed
    from labeler.review.studio.server.local import Started
    from labeler.review.studio.server.status import ServerStatus


@click.group("studio")
def studio_command() -> None:
    """Run Label Studio, invite reviewers, connect the reader.

    To use a Label Studio that runs already, set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY instead.

    \b
    Example:  labeler studio start
              labeler studio invite kim@example.com
              labeler studio status
    """


studio_command.add_command(connect_command)
studio_command.add_command(disconnect_command)
studio_command.add_command(invite_command)


@studio_command.command("start")
@click.option("--port", type=click.IntRange(1024, 65535), help="Port from now on; default: the one before.")
@in_workspace
def studio_start(workspace: Path | None, sets: tuple[str, ...], as_json: bool, port: int | None) -> None:
    """Start the workspace's local Label Studio, and install it first if it is missing.

    Its data, key and password are in the workspace's folder .studio.

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
    """Store the new address of the projects."""
    from db import store

    with runtime(workspace, sets, write=True) as at, at.database.write() as session:
        store.move_projects(session, started.moved_from, started.url)


def _started_text(started: Started) -> str:
    state = "already runs" if started.already else "runs"
    return (
        f"Label Studio {started.version} {state} at {started.url} (process {started.pid})\n"
        f"log in as {started.email}; password: {started.password_file}"
    )


@studio_command.command("stop")
@in_workspace
def studio_stop(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Stop the workspace's local Label Studio; its data stays.

    \b
    Example:  labeler studio stop
    """
    from labeler.core.workspace import open_workspace
    from labeler.review.studio.server.local import stop

    pid = stop(open_workspace(workspace, overrides=sets).folder)
    text = "Label Studio was not running" if pid is None else f"Label Studio stopped (process {pid})"
    show({"stopped": pid is not None, "pid": pid}, as_json=as_json, text=lambda: text)


@studio_command.command("status")
@in_workspace
def studio_status(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show which Label Studio this workspace uses, and whether it responds.

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
        ("responds", "yes, and accepts the key" if found.reachable else "no"),
        ("key from", found.key_from),
        ("log in as", found.email),
        ("password in", found.password_file),
        ("problem", "Label Studio is stopped" if found.running is False else found.problem),
    )
    text = "\n".join(f"{name:<12} {value}" for name, value in facts if value is not None)
    return f"{text}\nnext: labeler studio start" if found.running is False else text


@click.command("push")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--reset-page", is_flag=True, help="Restore the labeling interface of changed projects.")
@click.option("--move", is_flag=True, help="Send tasks of a lost server here too.")
@in_workspace
def push_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, dry_run: bool, reset_page: bool, move: bool
) -> None:
    """Send open tasks to Label Studio.

    Sends the open tasks of the current round that the server does not have yet; run it again after an interruption.
    `labeler round --reviewer studio` includes it. The server is set by LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or
    is local (`labeler studio start`).

    \b
    Example:  labeler push --dry-run
              labeler push
              labeler push --reset-page
    """
    from labeler.review.studio.projects import abandon_other_servers
    from labeler.review.studio.push import plan, push
    from labeler.rounds.steps.human_review import client

    if dry_run and (reset_page or move):
        raise click.UsageError("Give --dry-run without --reset-page and --move.")
    with runtime(workspace, sets, write=True) as at:
        row = _in_review(at)
        if move and not dry_run:
            abandon_other_servers(at, client(at))
        done = plan(at, row) if dry_run else push(at, client(at), row, reset_page=reset_page)
    show(done, as_json=as_json, text=lambda: _pushed_text(done))


def _in_review(at: Runtime) -> RoundRow:
    """Return the round that is in review. Raises NotReady."""
    from labeler.core.errors import NotReady

    row = _round_in_review(at)
    if row is None:
        raise NotReady("no round is in review, so there is nothing to send; run: labeler round --reviewer studio")
    return row


def _round_in_review(at: Runtime) -> RoundRow | None:
    from db import queries

    with at.database.read() as session:
        row = queries.current_round(session)
    return row if row is not None and row.stage == "in_review" else None


def _pushed_text(done: Pushed) -> str:
    verb = "would be sent" if done.dry_run else "sent"
    found = f", {done.adopted} already there" if done.adopted else ""
    if not done.projects:
        return f"nothing to send{found}: Label Studio has every open task"
    rows = [(each.title, each.tasks, each.url or "") for each in done.projects]
    return f"{done.pushed} tasks {verb}{found}\n{table(('project', 'tasks', 'where'), rows)}"


@click.command("pull")
@click.option("--wait", is_flag=True, help="Poll until no task is open.")
@click.option("--watch", is_flag=True, help="Poll until Ctrl-C.")
@click.option("--all", "everything", is_flag=True, help="Fetch every task again, not only changed ones.")
@in_workspace
def pull_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, wait: bool, watch: bool, everything: bool
) -> None:
    """Fetch reviews from Label Studio.

    Fetches new, edited, skipped and deleted annotations. Unreadable annotations and disagreements are listed as
    conflicts and reviewed again; --wait and --watch send these tasks at once. `labeler round` continues once no task
    is open. Other commands may use the workspace between two polls.

    \b
    Example:  labeler pull
              labeler pull --wait && labeler round
    """
    if watch and (wait or as_json):
        raise click.UsageError("Give --watch without --wait and --json.")
    done = _turn(workspace, sets, everything=everything, send=wait or watch)
    if watch or not as_json:
        say(_pulled_text(done))
    while watch or (wait and done.open):
        from labeler.core.errors import ServerDown, WorkspaceBusy

        time.sleep(_poll_seconds(workspace, sets))
        try:
            turn = _turn(workspace, sets, send=True)
        except (ServerDown, WorkspaceBusy) as error:
            say(f"labeler: {error}; trying again", err=True)
            continue
        if turn.changed and not as_json:
            say(_pulled_text(turn))
        done = done.then(turn)
    if as_json:
        show(done, as_json=True, text=str)


def _turn(workspace: Path | None, sets: tuple[str, ...], *, everything: bool = False, send: bool) -> Pulled:
    """Pull once; with `send`, send the tasks to review again."""
    from labeler.rounds.steps.human_review import client, exchange_reviews

    with runtime(workspace, sets, write=True) as at:
        server = client(at)
        done = exchange_reviews(at, server, everything=everything, send=send)
        _renew_suggestions(at, server.url)
        return done


def _renew_suggestions(at: Runtime, url: str) -> None:
    """Renew the suggestions of open tasks if another reader is current than the one that made them."""
    from labeler.review.studio.api.connection import find_connection
    from labeler.review.studio.api.live import LiveClient
    from labeler.serving.renewal import is_needed, renew_alone

    if is_needed(at, url):
        count = renew_alone(at, LiveClient(find_connection(at.workspace, os.environ)))
        say(f"{count} suggestions renewed by the current reader", err=True)


def _poll_seconds(workspace: Path | None, sets: tuple[str, ...]) -> float:
    from labeler.core.workspace import open_workspace

    return open_workspace(workspace, overrides=sets).config.studio.poll_seconds


def _pulled_text(done: Pulled) -> str:
    counts = [(done.skipped, "skipped"), (done.deleted, "deleted"), (done.gone, "tasks deleted on the server")]
    more = "".join(f", {count} {what}" for count, what in counts if count)
    lines = [f"{done.reviews} reviews{more}; {done.open} tasks open"]
    if done.foreign:
        lines.append(f"{done.foreign} tasks on the server are not from this workspace and are ignored")
    if done.conflicts:
        rows = [(each.question_id, each.reviewer, each.why, each.url or "-") for each in done.conflicts]
        plural = "s" if len(rows) > 1 else ""
        lines.append(f"{len(rows)} conflict{plural}\n{table(('question', 'reviewer', 'why', 'where'), rows)}")
    return "\n".join(lines)
