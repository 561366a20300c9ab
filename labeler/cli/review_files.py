"""Reviews and tasks as files: what import and export do with Label Studio's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import runtime, show
from labeler.cli.describe import rejected_lines

if TYPE_CHECKING:
    from labeler.review.studio.files import Taken, Written


def import_reviews(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, files: tuple[str, ...], reviewers: tuple[str, ...]
) -> None:
    """The command `import --as reviews`."""
    from labeler.review.studio import files as studio
    from labeler.review.studio.export_parser import parse_people

    try:
        people = parse_people(reviewers)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reviewer") from error
    with runtime(workspace, sets, write=True) as at:
        taken = studio.import_reviews(at, files, people)
    show(taken, as_json=as_json, text=lambda: _taken_text(taken))


def _taken_text(taken: Taken) -> str:
    counted = (
        f"{taken.reviews} reviews, {taken.skipped} of them skips, {taken.edited} in place of another; "
        f"{taken.duplicates} known, {taken.older} older than what is stored, {len(taken.rejected)} rejected"
    )
    return "\n".join([counted, *taken.notes, *rejected_lines(taken.rejected), "next       labeler round"])


def export_tasks(workspace: Path | None, sets: tuple[str, ...], as_json: bool, output: Path) -> None:
    """The command `export --format label-studio`."""
    from labeler.review.studio.files import write_tasks

    with runtime(workspace, sets) as at:
        written = write_tasks(at, output)
    show(written, as_json=as_json, text=lambda: _written_text(written))


def _written_text(written: Written) -> str:
    listed = [f"{count:>7} tasks  {Path(written.path) / name}" for name, count in written.files.items()]
    return "\n".join([*listed, written.next])
