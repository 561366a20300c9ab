"""init, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import desk, in_workspace, json_option, show, table

if TYPE_CHECKING:
    from db.rows import ImportRow, Undone
    from labeler.ingest import ImportReport
    from labeler.splits import SplitPlan

ROLES = ("corpus", "gold", "calibration", "pool", "dev", "test")
KINDS = ("gold", "human", "pseudo")
SHOWN = 10  # rejected rows told to people; --json has all


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["ko", "en", "auto"]), default="auto", show_default=True)
@click.option("--db", "url", metavar="URL", help="Database; default: an SQLite file in the workspace.")
@json_option
def init_command(folder: Path, language: str, url: str | None, as_json: bool) -> None:
    """Make a workspace.

    A folder with labeler.toml, where every setting is explained, and an empty database.

    \b
    Example:  labeler init ws --language ko
    """
    from labeler.workspace import create_workspace

    made = create_workspace(folder, language=language, database=url)
    database = made.database()
    database.close()
    show(
        {"workspace": made.folder, "database": str(database)},
        as_json=as_json,
        text=lambda: f"workspace  {made.folder}\ndatabase   {database}\nnext       labeler import FILE -w {folder}",
    )


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("--as", "role", type=click.Choice(ROLES), help="What the files are.")
@click.option("--split", metavar="ROLE=N,...", help="Split one file, e.g. gold=1000,dev=500,test=1000,pool=rest.")
@click.option(
    "--split-by", type=click.Choice(["paragraph", "document"]), help="What is never split; the first import decides."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of --split.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "squad", "jsonl", "csv", "text", "hf"]),
    default="auto",
    show_default=True,
    help="squad: also KorQuAD and KLUE-MRC; text: plain text and Markdown, folders too.",
)
@click.option("--list", "list_", is_flag=True, help="List all imports.")
@click.option("--undo", type=int, metavar="ID", help="Take an import back.")
@in_workspace
def import_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    files: tuple[str, ...],
    role: str | None,
    split: str | None,
    split_by: str | None,
    seed: int,
    format_: str,
    list_: bool,
    undo: int | None,
) -> None:
    """Add passages, questions and labels from files.

    A file is added whole or not at all; rows that cannot be used are listed. The same file again adds nothing. With
    --split or --as pool, the answers of pool questions are kept aside: no training sees them.

    \b
    Example:  labeler import train.json --split gold=1000,dev=500,test=1000,pool=rest --seed 0
              labeler import articles/ --as corpus
              labeler import --undo 2
    """
    if list_ or undo is not None:
        if files or role or split or (list_ and undo is not None):
            raise click.UsageError("--list and --undo stand alone: no FILE, --as or --split beside them.")
        _list_imports(workspace, sets, as_json) if undo is None else _undo(workspace, sets, as_json, undo)
        return
    if not files:
        raise click.UsageError("Name at least one FILE.")
    if (role is None) == (split is None):
        raise click.UsageError("Say what FILE is: either --as ROLE or --split ROLE=N,...")
    from labeler.ingest import import_files

    plan = _plan(split)
    with desk(workspace, sets, write=True) as at:
        report = import_files(at.database, files, role=role, split=plan, format=format_, seed=seed, split_by=split_by)
    show(report, as_json=as_json, text=lambda: _report_text(report))


def _plan(split: str | None) -> SplitPlan | None:
    from labeler.splits import parse_split

    if split is None:
        return None
    try:
        return parse_split(split)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--split") from error


def _report_text(report: ImportReport) -> str:
    lines = [
        *report.notes,
        f"added {report.passages} passages, {report.questions} questions, {report.labels} labels; "
        f"{report.duplicates} duplicates, {len(report.rejected)} rejected",
    ]
    if report.splits:
        lines.append(table(("split", "questions"), list(report.splits.items())))
    if report.hidden:
        lines.append(f"answers of {report.hidden} pool questions are kept aside")
    if report.shared_documents:
        lines.append(f"{report.shared_documents} documents have paragraphs on more than one side")
    lines += [f"rejected {row.where}: {row.why}" for row in report.rejected[:SHOWN]]
    if len(report.rejected) > SHOWN:
        lines.append(f"... and {len(report.rejected) - SHOWN} more; --json lists all")
    if report.imports:
        lines.append(f"take it back with: labeler import --undo {report.imports[-1]}")
    return "\n".join(lines)


def _undo(workspace: Path | None, sets: tuple[str, ...], as_json: bool, import_id: int) -> None:
    from labeler.ingest import undo_import

    with desk(workspace, sets, write=True) as at:
        undone = undo_import(at.database, import_id)
    show(undone, as_json=as_json, text=lambda: _undone_text(undone))


def _undone_text(undone: Undone) -> str:
    told = (
        f"import {undone.import_id} undone: {undone.passages} passages and {undone.questions} questions out of use, "
        f"{undone.labels} labels withdrawn"
    )
    if undone.restored:
        told += f", {undone.restored} of another import live instead"
    if not (undone.passages or undone.questions or undone.labels):
        told += "\nother imports brought the same and still stand: labeler import --list"
    return told


def _list_imports(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    from db import queries

    with desk(workspace, sets) as at, at.database.read() as session:
        found = queries.imports(session)
    show({"imports": found}, as_json=as_json, text=lambda: _imports_text(found) if found else "no import yet")


def _imports_text(found: list[ImportRow]) -> str:
    header = ("id", "as", "passages", "questions", "labels", "rejected", "when (UTC)", "undone", "file")
    rows = [
        (
            row.id,
            row.role,
            *(row.counts[name] for name in ("passages", "questions", "labels", "rejected")),
            f"{row.created_at:%Y-%m-%d %H:%M}",
            "" if row.undone_at is None else "undone",
            row.path,
        )
        for row in found
    ]
    return table(header, rows)


def _kinds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return kinds


@click.command("export")
@click.option("--format", "format_", type=click.Choice(["squad", "squad_v2", "jsonl", "csv", "hf"]), required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File; for hf a new folder.")
@click.option("--kinds", default=",".join(KINDS), show_default=True, callback=_kinds, help="Kinds of labels.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=("gold", "pool"),
    show_default=True,
    type=click.Choice(["gold", "pool", "calibration", "dev", "test"]),
    help="Whose labels; repeatable.",
)
@in_workspace
def export_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    format_: str,
    output: Path,
    kinds: tuple[str, ...],
    roles: tuple[str, ...],
) -> None:
    """Write labels to a file.

    Live labels that may leave: of pseudo-labels only those that were released. Every label says where it came from,
    in fields that the official scripts pass over; every answer is checked against its passage once more.

    \b
    Example:  labeler export --format squad -o labels.json --kinds gold,human
    """
    from labeler.export import export_labels

    with desk(workspace, sets) as at:
        report = export_labels(at.database, output, format=format_, kinds=kinds, roles=roles)
    counts = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
    left = "".join(f"\nleft out: {count} {why}" for why, count in report.left_out.items())
    show(report, as_json=as_json, text=lambda: f"{report.labels} labels ({counts}) written to {report.path}{left}")
