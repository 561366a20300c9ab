"""status, prune, db, doctor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import check_folder, in_workspace, json_option, runtime, say, show, workspace_option
from labeler.cli.describe.workspace import prune_plan_text, status_text
from labeler.core.console import table

if TYPE_CHECKING:
    from db.engine import Database


@click.command("status")
@in_workspace
def status_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show the state of the workspace and what to do next.

    \b
    Example:  labeler status
    """
    from labeler.maintenance.status import status

    with runtime(workspace, sets) as at:
        found = status(at)
    show(found, as_json=as_json, text=lambda: status_text(found))


@click.command("prune")
@click.option(
    "--keep",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Newest rounds to keep predictions of.",
)
@click.option("--dry-run", is_flag=True, help="List what would be deleted, and delete nothing.")
@in_workspace
def prune_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, keep: int, dry_run: bool) -> None:
    """Delete predictions and models that nothing uses.

    Labels, reviews, rounds and the journal stay, so histories still name deleted models. Nothing is deleted that a
    live label, an open round, the current index, or a promoted reader or retriever needs. Folders that a link leads
    to are never deleted.

    \b
    Example:  labeler prune --dry-run
              labeler prune --keep 2
    """
    from labeler.maintenance.prune import plan_prune, prune

    with runtime(workspace, sets, write=not dry_run) as at:
        if dry_run:
            plan = plan_prune(at, keep=keep)
            show(plan, as_json=as_json, text=lambda: prune_plan_text(plan))
            return
        done = prune(at, keep=keep)
    show(
        done,
        as_json=as_json,
        text=lambda: (
            f"deleted {done.predictions} predictions, {len(done.models)} models, {len(done.retrievers)} retrievers, "
            f"{len(done.indexes)} indexes, {len(done.vectors)} sets of vectors: "
            f"{done.freed / 2**20:.1f} MiB freed"
        ),
    )


@click.group("db")
def db_command() -> None:
    """Upgrade, back up and restore the database.

    \b
    Example:  labeler db status
              labeler db backup before-cleanup.db
    """


@contextmanager
def _database(workspace: Path | None, sets: tuple[str, ...], *, write: bool) -> Iterator[Database]:
    """Open the database without checking its schema: these commands repair it."""
    from db.engine import Database
    from labeler.core.workspace import open_workspace

    opened = open_workspace(workspace, overrides=sets)
    with opened.lock() if write else nullcontext():
        database = Database(opened.database_url)
        try:
            yield database
        finally:
            database.close()


@db_command.command("status")
@in_workspace
def db_status(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show the schema revision, and the one that this version needs.

    \b
    Example:  labeler db status --json
    """
    from db import schema

    with _database(workspace, sets, write=False) as database:
        found = schema.status(database)
    fits = "as this version needs" if found.revision == found.head else f"this version needs {found.head}"
    show(found, as_json=as_json, text=lambda: f"{database}: schema {found.revision or 'none'}, {fits}")


@db_command.command("upgrade")
@in_workspace
def db_upgrade(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Upgrade the schema to the revision that this version needs.

    \b
    Example:  labeler db backup before.db && labeler db upgrade
    """
    from db import schema

    with _database(workspace, sets, write=True) as database:
        found = schema.upgrade(database)
    show(found, as_json=as_json, text=lambda: f"{database}: schema {found.revision}")


@db_command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@in_workspace
def db_backup(workspace: Path | None, sets: tuple[str, ...], as_json: bool, file: Path) -> None:
    """Copy the database to a new file, also while it is in use.

    A PostgreSQL database is copied with pg_dump.

    \b
    Example:  labeler db backup monday.db
    """
    from db import backup, schema

    check_folder(file)
    with _database(workspace, sets, write=False) as database:
        path = backup.backup(database, file)
        found = schema.status(database)
    result = {"path": path, "revision": found.revision, "head": found.head}
    show(result, as_json=as_json, text=lambda: f"{database} copied to {path}")


@db_command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@in_workspace
def db_restore(workspace: Path | None, sets: tuple[str, ...], as_json: bool, file: Path) -> None:
    """Replace the database by a backup; the former database is kept.

    \b
    Example:  labeler db restore monday.db
    """
    from db import backup, schema

    with _database(workspace, sets, write=True) as database:
        aside = backup.restore(database, file)
        found = schema.status(database)
    result = {"path": file, "put_aside": aside, "revision": found.revision, "head": found.head}
    kept = f"; the former database is {aside}" if aside else ""
    older = "" if found.revision == found.head else "\nits schema is older; next: labeler db upgrade"
    show(result, as_json=as_json, text=lambda: f"{file} restored{kept}{older}")


@click.command("doctor")
@workspace_option
@json_option
def doctor_command(workspace: Path | None, as_json: bool) -> None:
    """Check this machine and the workspace.

    Runs each check, and exits with 1 if a check fails that the tool needs.

    \b
    Example:  labeler doctor
    """
    from labeler.maintenance.doctor import examine

    checks = examine(workspace)
    rows = [(each.name, "ok" if each.ok else "FAILS" if each.needed else "no", each.detail) for each in checks]
    show({"checks": checks}, as_json=as_json, text=lambda: table(("check", "", "detail"), rows))
    failed = [each.name for each in checks if each.needed and not each.ok]
    if failed:
        say(f"labeler: failed checks: {', '.join(failed)}; the detail of each says how to fix it", err=True)
        click.get_current_context().exit(1)
