"""init, import."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import (
    in_workspace,
    json_option,
    refuse_options,
    runtime,
    show,
)
from labeler.cli.describe.imports import imports_text, report_text, undone_text

if TYPE_CHECKING:
    from labeler.importing.formats import ReadOptions
    from labeler.importing.splits import FileSplit, SplitPlan

ROLES = ("corpus", "gold", "calibration", "pool", "dev", "test")
REVIEWS = "reviews"
PREDICTIONS = "predictions"


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(["ko", "en", "auto"]), default="auto", show_default=True)
@click.option("--db", "url", metavar="URL", help="Database; default: an SQLite file in the workspace.")
@json_option
def init_command(folder: Path, language: str, url: str | None, as_json: bool) -> None:
    """Create a workspace.

    A folder with settings in labeler.toml and an empty database: an SQLite file, or with --db an empty database of a
    PostgreSQL server. A password in LABELER_WORKSPACE__DATABASE is not written to the file.

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
        text=lambda: f"workspace  {made.folder}\ndatabase   {database}\nnext: labeler import FILE -w {folder}",
    )


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option(
    "--as", "role", type=click.Choice((*ROLES, REVIEWS, PREDICTIONS)), help="Role of everything in the files."
)
@click.option(
    "--split",
    metavar="ROLE=N,...|file",
    help="Split one file: gold=1000,dev=500,test=1000,pool=rest; file: the split that each question has in its file, "
    "by its field role or split or the split of a saved dataset.",
)
@click.option(
    "--split-by",
    type=click.Choice(["paragraph", "document"]),
    help="What stays in one split; the first import sets it.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of --split.")
@click.option(
    "--dedupe",
    type=click.Choice(["near"]),
    help="near: put paragraphs and questions that differ in a few words into one group; --split, and a round that "
    "holds out questions, keep a group on one side.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "squad", "json", "jsonl", "csv", "text", "parquet", "hf"]),
    default="auto",
    show_default=True,
    help="squad: KorQuAD, KLUE-MRC, AI Hub too; text: plain text and Markdown, folders too. All may be packed (.gz).",
)
@click.option("--id-prefix", default="", metavar="TEXT", help="Put before the question ids, for files that share ids.")
@click.option(
    "--empty",
    type=click.Choice(["none", "reject"]),
    help="An empty answer without is_impossible: no answer, or rejected. [default: none; --as pool: not labelled]",
)
@click.option(
    "--label-studio-map",
    "studio_map",
    metavar="NAME=FIELD,...",
    help="Where annotations made in Label Studio are: question=FIELD,context=FIELD,label=ANSWER,id=FIELD,title=FIELD.",
)
@click.option(
    "--reviewer-name",
    "reviewers",
    multiple=True,
    metavar="[NUMBER=]NAME",
    help="With --as reviews: name of a reviewer whom the file has as a number; repeatable.",
)
@click.option("--labeller", metavar="NAME", help="With --as predictions: name of the model or person who answered.")
@click.option("--list", "list_", is_flag=True, help="List all imports.")
@click.option("--undo", type=int, metavar="ID", help="Undo an import.")
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
    dedupe: str | None,
    format_: str,
    id_prefix: str,
    empty: str | None,
    studio_map: str | None,
    reviewers: tuple[str, ...],
    labeller: str | None,
    list_: bool,
    undo: int | None,
) -> None:
    """Add passages, questions, labels, reviews and predictions.

    A file is imported in one transaction; rejected rows are listed with their reasons. Importing the same file again
    adds nothing. The answers of pool questions are hidden from training and serve simulation only. Reviews are JSON
    exports from Label Studio, of tasks written by `labeler export --format label-studio` or sent by `labeler push`.
    Predictions are answers of a model from outside: JSON lines, CSV, predictions.json or nbest_predictions.json.

    \b
    Example:  labeler import train.json --split gold=1000,dev=500,test=1000,pool=rest --seed 0
              labeler import exported.jsonl --split file
              labeler import articles/ --as corpus
              labeler import annotated.json --as gold --label-studio-map question=q,context=passage
              labeler import project-1.json --as reviews
              labeler import nbest_predictions.json --as predictions --labeller roberta
              labeler import --undo 2
    """
    if list_ or undo is not None:
        if files or role or split or (list_ and undo is not None):
            raise click.UsageError("Give --list or --undo alone, without FILE, --as or --split.")
        _list_imports(workspace, sets, as_json) if undo is None else _undo(workspace, sets, as_json, undo)
        return
    _check_role(files, role, split, reviewers, labeller)
    if role == REVIEWS:
        from labeler.cli.review import import_reviews

        import_reviews(workspace, sets, as_json, files, reviewers)
    elif role == PREDICTIONS:
        from labeler.cli.labellers import import_predictions

        import_predictions(workspace, sets, as_json, files, labeller, format_)
    else:
        given: dict[str, Any] = {
            "role": role,
            "split": _plan(split),
            "format": format_,
            "seed": seed,
            "split_by": split_by,
        }
        given |= {"dedupe": dedupe, "reading": _read_options(role, id_prefix, empty, studio_map)}
        _import_questions(workspace, sets, as_json, files, **given)


def _check_role(
    files: tuple[str, ...], role: str | None, split: str | None, reviewers: tuple[str, ...], labeller: str | None
) -> None:
    """Raise UsageError unless there are files, one way to divide them, and only options that apply to the role."""
    if not files:
        raise click.UsageError("Give at least one FILE.")
    if role is not None and split is not None:
        raise click.UsageError("Give --as or --split, not both.")
    if role is None and split is None:
        raise click.UsageError("Give the role of FILE with --as ROLE, or split it with --split ROLE=N,...")
    of_questions = ("seed", "split_by", "dedupe", "id_prefix", "empty", "studio_map")
    if role == REVIEWS:
        refuse_options("format_", *of_questions, "labeller", why="does not apply to --as reviews")
    elif role == PREDICTIONS:
        refuse_options(*of_questions, "reviewers", why="does not apply to --as predictions")
    elif labeller is not None:
        raise click.UsageError("--labeller applies to --as predictions only.")
    elif reviewers:
        raise click.UsageError("--reviewer-name applies to --as reviews only.")


def _import_questions(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, files: tuple[str, ...], **given: Any
) -> None:
    """Import passages, questions and labels; `given`: see `labeler.importing.ingest.import_files`."""
    from labeler.evaluation.reach import reach_of_imports
    from labeler.importing.ingest import import_files
    from labeler.retrieval.placing import passage_finder

    with runtime(workspace, sets, write=True) as at:
        report = import_files(at.database, files, retrieve=passage_finder(at), **given)
        report = replace(report, out_of_reach=reach_of_imports(at, report.imports))
    show(report, as_json=as_json, text=lambda: report_text(report))


def _read_options(role: str | None, id_prefix: str, empty: str | None, studio_map: str | None) -> ReadOptions:
    from labeler.importing.formats import UNLABELLED, ReadOptions, StudioMap, parse_studio_map

    try:
        studio = parse_studio_map(studio_map) if studio_map else StudioMap()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--label-studio-map") from error
    return ReadOptions(empty or (UNLABELLED if role == "pool" else "none"), id_prefix, studio)


def _plan(split: str | None) -> SplitPlan | FileSplit | None:
    from labeler.importing.splits import parse_split

    if split is None:
        return None
    try:
        return parse_split(split)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--split") from error


def _undo(workspace: Path | None, sets: tuple[str, ...], as_json: bool, import_id: int) -> None:
    from labeler.importing.ingest import undo_import

    with runtime(workspace, sets, write=True) as at:
        undone = undo_import(at.database, import_id)
    show(undone, as_json=as_json, text=lambda: undone_text(undone))


def _list_imports(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    from db import queries

    with runtime(workspace, sets) as at, at.database.read() as session:
        found = queries.imports(session)
    show({"imports": found}, as_json=as_json, text=lambda: imports_text(found))
