"""init, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from labeler.cli.common import in_workspace, json_option, runtime, show
from labeler.cli.describe import rejected_lines
from labeler.core.console import table

if TYPE_CHECKING:
    from db.rows import ImportRow, Undone
    from labeler.importing.ingest import ImportReport
    from labeler.importing.splits import SplitPlan

ROLES = ("corpus", "gold", "calibration", "pool", "dev", "test")
REVIEWS = "reviews"
LABEL_STUDIO = "label-studio"
KINDS = ("gold", "human", "pseudo")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["ko", "en", "auto"]), default="auto", show_default=True)
@click.option("--db", "url", metavar="URL", help="Database; default: an SQLite file in the workspace.")
@json_option
def init_command(folder: Path, language: str, url: str | None, as_json: bool) -> None:
    """Make a workspace.

    A folder with labeler.toml, where every setting is explained, and an empty database: an SQLite file, or one on a
    PostgreSQL server that is there and empty. A password in LABELER_WORKSPACE__DATABASE is not written to the file.

    \b
    Example:  labeler init ws --language ko
              labeler init ws --db postgresql+psycopg://USER@HOST/NAME
    """
    from labeler.core.workspace import create_workspace

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
@click.option("--as", "role", type=click.Choice((*ROLES, REVIEWS)), help="What the files are.")
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
@click.option(
    "--reviewer",
    "reviewers",
    multiple=True,
    metavar="[NUMBER=]NAME",
    help="Of reviews: who it was that the file knows by a number; repeatable.",
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
    reviewers: tuple[str, ...],
    list_: bool,
    undo: int | None,
) -> None:
    """Add passages, questions, labels and reviews from files.

    A file is added whole or not at all; rows that cannot be used are listed. The same file again adds nothing. With
    --split or --as pool, the answers of pool questions are kept aside: no training sees them. Reviews are JSON
    exports of Label Studio, of tasks that `labeler export --format label-studio` wrote or `labeler push` sent.

    \b
    Example:  labeler import train.json --split gold=1000,dev=500,test=1000,pool=rest --seed 0
              labeler import articles/ --as corpus
              labeler import project-1.json --as reviews
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
    if role == REVIEWS:
        _only_defaults("format_", "seed", "split_by", why="does not go with --as reviews")
        from labeler.cli.review import import_reviews

        import_reviews(workspace, sets, as_json, files, reviewers)
        return
    if reviewers:
        raise click.UsageError("--reviewer goes with --as reviews.")
    from labeler.importing.ingest import import_files

    plan = _plan(split)
    with runtime(workspace, sets, write=True) as at:
        report = import_files(at.database, files, role=role, split=plan, format=format_, seed=seed, split_by=split_by)
    show(report, as_json=as_json, text=lambda: _report_text(report))


def _only_defaults(*names: str, why: str) -> None:
    """Raises UsageError where one of these options was given."""
    ctx = click.get_current_context()
    for option in ctx.command.params:
        if option.name in names and ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} {why}.")


def _plan(split: str | None) -> SplitPlan | None:
    from labeler.importing.splits import parse_split

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
    lines += rejected_lines(report.rejected)
    if report.imports:
        lines.append(f"take it back with: labeler import --undo {report.imports[-1]}")
    return "\n".join(lines)


def _undo(workspace: Path | None, sets: tuple[str, ...], as_json: bool, import_id: int) -> None:
    from labeler.importing.ingest import undo_import

    with runtime(workspace, sets, write=True) as at:
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

    with runtime(workspace, sets) as at, at.database.read() as session:
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
@click.option(
    "--format",
    "format_",
    type=click.Choice(["squad", "squad_v2", "jsonl", "csv", "hf", LABEL_STUDIO]),
    required=True,
    help="label-studio: not labels but the open tasks of the current round.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File; for hf and label-studio a new folder.",
)
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
    """Write labels, or tasks for a Label Studio elsewhere.

    Live labels that may leave: of pseudo-labels only those that were released. Every label says where it came from,
    in fields that the official scripts pass over; every answer is checked against its passage once more.

    \b
    Example:  labeler export --format squad -o labels.json --kinds gold,human
              labeler export --format label-studio -o tasks
    """
    if format_ == LABEL_STUDIO:
        _only_defaults("kinds", "roles", why="chooses labels; label-studio writes tasks")
        from labeler.cli.review import export_tasks

        export_tasks(workspace, sets, as_json, output)
        return
    from labeler.labels.export import export_labels

    with runtime(workspace, sets) as at:
        report = export_labels(at.database, output, format=format_, kinds=kinds, roles=roles)
    counts = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
    left = "".join(f"\nleft out: {count} {why}" for why, count in report.left_out.items())
    show(report, as_json=as_json, text=lambda: f"{report.labels} labels ({counts}) written to {report.path}{left}")
