"""export: labels with their provenance, or tasks for another Label Studio."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from labeler.cli.common import (
    F,
    check_folder,
    force_option,
    in_workspace,
    names_among,
    refuse_json_to_stdout,
    refuse_options,
    runtime,
    say,
    show_written,
)
from labeler.cli.describe.exports import export_text, uncertified_text

LABEL_STUDIO = "label-studio"
KINDS = ("gold", "human", "pseudo")
CHOOSING = ("kinds", "roles", "with_leaks", "despite_alarms", "uncertified")  # which labels


def _choosing_options(command: F) -> F:
    """The options that say which labels; the command gets them as `chosen`."""

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> Any:
        chosen = {name: given.pop(name) for name in CHOOSING}
        return command(*args, chosen=chosen, **given)

    options = (
        click.option(
            "--kinds",
            default=",".join(KINDS),
            show_default=True,
            callback=names_among(KINDS),
            help="Kinds of labels to export.",
        ),
        click.option(
            "--role",
            "roles",
            multiple=True,
            default=("gold", "pool"),
            show_default=True,
            type=click.Choice(["gold", "pool", "calibration", "dev", "test"]),
            help="Roles of the questions; repeatable.",
        ),
        click.option(
            "--with-leaks", is_flag=True, help="Export labels too that stand in, or nearly equal, dev or test."
        ),
        click.option(
            "--despite-alarms", is_flag=True, help="Export pseudo-labels although an alarm stops their release."
        ),
        click.option("--uncertified", is_flag=True, help="Export also pseudo-labels that no certificate vouches for."),
    )
    return functools.reduce(lambda found, option: option(found), reversed(options), run)  # type: ignore[return-value]


@click.command("export")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["squad", "squad_v2", "jsonl", "csv", "hf", LABEL_STUDIO]),
    required=True,
    help="label-studio: the open tasks of the current round instead of labels.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File, or - for standard output; for hf and label-studio a new folder.",
)
@force_option
@click.option("--safe-csv", is_flag=True, help="In CSV, put ' before cells that a spreadsheet would run as formulas.")
@_choosing_options
@in_workspace
def export_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    format_: str,
    output: Path,
    force: bool,
    safe_csv: bool,
    chosen: Mapping[str, Any],
) -> None:
    """Export labels, or tasks for another Label Studio.

    Exports gold and human labels and the pseudo-labels of the certificate in force (`labeler certify`), and counts the
    labels left out with the reason. --uncertified adds the other pseudo-labels and an estimate of their precision. Each
    label has its provenance in extra fields that the official scripts ignore, and its offsets are checked. Nearly
    equal passages and questions never leave in two of the splits train, calibration, dev and test; labels that nearly
    equal dev or test are left out (`labeler leaks` lists them) unless --with-leaks. What is exported can be imported
    again with --split file.

    With --safe-csv, cells that begin with = + - @, a tab or a carriage return get a leading apostrophe. Importing such
    a file keeps the apostrophes, so use it for spreadsheets alone.

    \b
    Example:  labeler export --format squad -o labels.json --kinds gold,human
              labeler export --format label-studio -o tasks
    """
    refuse_json_to_stdout(output, as_json=as_json)
    if str(output) == "-" and format_ in (LABEL_STUDIO, "hf"):
        raise click.UsageError(f"{format_} writes a folder, which standard output cannot take.")
    if safe_csv and format_ != "csv":
        raise click.UsageError("--safe-csv needs --format csv.")
    check_folder(output)
    if format_ == LABEL_STUDIO:
        refuse_options(*CHOOSING, why="selects labels, but label-studio exports tasks")
        from labeler.cli.review import export_tasks

        export_tasks(workspace, sets, as_json, output)
        return
    given = {"format": format_, "force": force, "safe_csv": safe_csv, **chosen}
    _export_labels(workspace, sets, output, given, as_json=as_json)


def _export_labels(
    workspace: Path | None, sets: tuple[str, ...], output: Path, given: Mapping[str, Any], *, as_json: bool
) -> None:
    """Write labels and print what was written and what was not; `given`: see `labeler.labels.export.export_labels`."""
    from labeler.labels.export import export_labels
    from labeler.leaks.find import vectors_of

    with runtime(workspace, sets) as at:
        vectors = None if given["with_leaks"] else vectors_of(at)
        report = export_labels(at.database, output, vectors=vectors, metric=at.metric, **given)
    if report.uncertified is not None:
        say(f"labeler: {uncertified_text(report.uncertified)}", err=True)
    show_written(report, output, as_json=as_json, text=lambda: export_text(report))
