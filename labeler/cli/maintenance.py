"""status, prune, db, doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, json_option, runtime, show, workspace_option
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from db.engine import Database
    from labeler.maintenance.status import Status


@click.command("status")
@in_workspace
def status_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show where everything stands.

    \b
    Example:  labeler status
    """
    from labeler.maintenance.status import status

    with runtime(workspace, sets) as at:
        found = status(at)
    show(found, as_json=as_json, text=lambda: _status_text(found))


def _status_text(found: Status) -> str:
    newest = "none yet" if found.round is None else f"{found.round} ({found.kind}), {found.stage}"
    reader = "none yet" if found.reader is None else f"of round {found.reader.round}, {found.reader.hash[:12]}"
    facts = (
        ("workspace", found.workspace),
        ("database", found.database),
        ("passages", f"{found.passages} in {found.documents} documents"),
        ("labels", _counted(found.labels)),
        ("round", newest),
        ("tasks", _counted(found.tasks)),
        *_review_facts(found),
        ("index", found.index),
        ("reader", reader),
        *([("retriever", f"of round {found.retriever.round}, {found.retriever.hash[:12]}")] if found.retriever else []),
        ("next", found.next),
    )
    rows = [(role, count, found.labelled[role]) for role, count in found.questions.items()]
    lines = "\n".join(f"{name:<10} {value}" for name, value in facts)
    return f"{lines}\n\n{table(('split', 'questions', 'labelled'), rows)}"


def _review_facts(found: Status) -> list[tuple[str, str]]:
    """Lines about reviewers; none where nobody has reviewed."""
    reviews, lines = found.reviews, []
    for each in reviews.reviewers[:5]:
        took = f", {each.seconds / 60:.1f} minutes" if each.timed else ""
        lines.append(("reviewer", f"{each.name}: {each.reviews} reviews, {each.skipped} skipped{took}"))
    if len(reviews.reviewers) > 5:
        lines.append(("reviewer", f"and {len(reviews.reviewers) - 5} others"))
    if reviews.reviewers:
        lines.append(("answers", _counted(reviews.origins)))
    if reviews.agreement.pairs:
        shares = (reviews.agreement.verdict, reviews.agreement.exact, reviews.agreement.span_f1)
        told = "verdict {} %, answer {} %, span F1 {} %".format(*map(percent, shares))
        lines.append(("agreement", f"of {reviews.agreement.pairs} pairs: {told}"))
    if reviews.conflicts:
        lines.append(("conflicts", f"{len(reviews.conflicts)} questions, such as {reviews.conflicts[0]}"))
    lines += [("studio", f"{project.url} ({project.tasks} tasks)") for project in found.studio]
    return lines


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


@click.command("prune")
@click.option(
    "--keep", default=1, show_default=True, type=click.IntRange(min=1), help="Newest rounds that keep predictions."
)
@in_workspace
def prune_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, keep: int) -> None:
    """Delete predictions and models that nothing refers to.

    Labels, reviews, rounds and the journal stay: history keeps telling which model said what. What a live label, an
    open round, the current index or a promoted reader or retriever rests on is never deleted.

    \b
    Example:  labeler prune
    """
    from labeler.maintenance.prune import prune

    with runtime(workspace, sets, write=True) as at:
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
    """The database as it is: these commands mend one whose schema does not fit."""
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
    """Show the schema's revision and this version's.

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
    """Bring the schema up to this version's.

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

    PostgreSQL's own pg_dump copies one of its databases.

    \b
    Example:  labeler db backup monday.db
    """
    from db import backup, schema

    with _database(workspace, sets, write=False) as database:
        path = backup.backup(database, file)
        found = schema.status(database)
    told = {"path": path, "revision": found.revision, "head": found.head}
    show(told, as_json=as_json, text=lambda: f"{database} copied to {path}")


@db_command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@in_workspace
def db_restore(workspace: Path | None, sets: tuple[str, ...], as_json: bool, file: Path) -> None:
    """Put a backup in place of the database; the former one is kept.

    \b
    Example:  labeler db restore monday.db
    """
    from db import backup, schema

    with _database(workspace, sets, write=True) as database:
        aside = backup.restore(database, file)
        found = schema.status(database)
    told = {"path": file, "put_aside": aside, "revision": found.revision, "head": found.head}
    kept = f"; the former database is {aside}" if aside else ""
    older = "" if found.revision == found.head else "\nits schema is older: run labeler db upgrade"
    show(told, as_json=as_json, text=lambda: f"{file} restored{kept}{older}")


@click.command("doctor")
@workspace_option
@json_option
def doctor_command(workspace: Path | None, as_json: bool) -> None:
    """Check what works on this machine.

    Each thing is tried. Fails if one that is needed does not work.

    \b
    Example:  labeler doctor
    """
    from labeler.core.errors import NotReady
    from labeler.maintenance.doctor import examine

    checks = examine(workspace)
    rows = [(each.name, "ok" if each.ok else "FAILS" if each.needed else "no", each.detail) for each in checks]
    show({"checks": checks}, as_json=as_json, text=lambda: table(("what", "", "detail"), rows))
    failed = [each.name for each in checks if each.needed and not each.ok]
    if failed:
        raise NotReady(f"needed here and not working: {', '.join(failed)}; the detail of each check says what to do")
