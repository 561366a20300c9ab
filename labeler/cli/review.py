"""review, reviewers, and the files of `import --as reviews` and `export --format label-studio`."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from labeler.cli.common import Number, in_workspace, reviewer_option, runtime, show
from labeler.cli.describe import rejected_lines

if TYPE_CHECKING:
    from labeler.review.studio.files import ImportedReviews, WrittenTasks
    from labeler.review.terminal.session import ReviewSummary

WIDEST = 100  # columns: longer lines are hard to read


class Keyboard:
    """Input from a terminal: single keys without Enter, typed lines with the terminal's own editing."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        with contextlib.suppress(ImportError):  # not on every system
            importlib.import_module("readline")  # input() edits with it, wide characters too

    def say(self, text: str) -> None:
        click.echo(text, file=self._out)

    def key(self) -> str:
        return click.getchar().rstrip("\r\n")

    def line(self, prompt: str) -> str:
        self.say(prompt)
        return input()


class Lines:
    """Input from a file or pipe: one key, or one typed text, on each line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        click.echo(text, file=self._out)

    def key(self) -> str:
        return self._read().strip()

    def line(self, prompt: str) -> str:
        self.say(prompt)
        return self._read()

    def _read(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


@click.command("review")
@reviewer_option(help="Reviewer recorded with the reviews.")
@in_workspace
def review_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, reviewer: str) -> None:
    """Review in the terminal, without a server.

    Shows the open tasks of the current round one after another. Enter accepts the first candidate, 1-9 picks one, a
    types the answer, f searches further passages by your own words, n: no answer in these passages, b: bad question,
    s skips, u undoes the last review, ? lists all keys. Each review is stored at once: stop at any time and resume with
    the same command. Without a terminal, keys and texts are read as lines.

    \b
    Example:  labeler review --reviewer-name anna
    """
    from labeler.review.terminal.screen import Screen
    from labeler.review.terminal.session import ReviewSession

    out = sys.stderr if as_json else sys.stdout  # stdout is for the JSON alone
    person = sys.stdin.isatty() and out.isatty()
    colours = out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    screen = Screen(min(shutil.get_terminal_size().columns, WIDEST), ansi=colours)
    with runtime(workspace, sets) as at:
        summary = ReviewSession(at, reviewer, Keyboard(out) if person else Lines(out), screen).run()
    show(summary, as_json=as_json, text=lambda: _text(summary))


def _text(summary: ReviewSummary) -> str:
    counts = f"{summary.reviews} reviews, {summary.skipped} skipped; {summary.left} left"
    return f"\n{counts}\nnext: {summary.next}"


@click.command("reviewers")
@click.option("--hourly-rate", type=Number(min=0), help="Price of an hour of people, in your currency.")
@in_workspace
def reviewers_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, hourly_rate: float | None) -> None:
    """Show agreement, speed, quality and cost of the people who review.

    Agreement of each two people over the tasks that both answered: verdict, exact match regardless of a Korean
    particle, span F1, Cohen's kappa, Krippendorff's alpha. Quality is agreement with other people who saw no
    suggestion, audits and adjudications first. Anchoring compares suggestions shown with those held back
    (review.blind_share).

    \b
    Example:  labeler reviewers --hourly-rate 25
              labeler reviewers --json
    """
    from labeler.cli.describe.reviewers import reviewers_text
    from labeler.review.agreement import matcher_of
    from labeler.review.reviewers.summary import reviewer_report

    with runtime(workspace, sets) as at:
        matcher = matcher_of(at)
        with at.database.read() as session:
            found = reviewer_report(session, matcher, hourly_rate=hourly_rate)
    show(found, as_json=as_json, text=lambda: reviewers_text(found))


def import_reviews(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, files: tuple[str, ...], reviewers: tuple[str, ...]
) -> None:
    """Run the command `import --as reviews`."""
    from labeler.review.studio import files as studio
    from labeler.review.studio.export_parser import parse_reviewer_names

    try:
        names = parse_reviewer_names(reviewers)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reviewer-name") from error
    with runtime(workspace, sets, write=True) as at:
        imported = studio.import_reviews(at, files, names)
    show(imported, as_json=as_json, text=lambda: _imported_text(imported))


def _imported_text(imported: ImportedReviews) -> str:
    counted = (
        f"{imported.reviews} reviews, {imported.skipped} skipped, {imported.edited} edited; "
        f"{imported.duplicates} duplicates, {imported.older} older than the stored ones, "
        f"{len(imported.rejected)} rejected"
    )
    return "\n".join([counted, *imported.notes, *rejected_lines(imported.rejected), "next: labeler round"])


def export_tasks(workspace: Path | None, sets: tuple[str, ...], as_json: bool, output: Path) -> None:
    """Run the command `export --format label-studio`."""
    from labeler.review.studio.files import write_tasks

    with runtime(workspace, sets) as at:
        written = write_tasks(at, output)
    show(written, as_json=as_json, text=lambda: _written_text(written))


def _written_text(written: WrittenTasks) -> str:
    listed = [f"{count:>7} tasks  {Path(written.path) / name}" for name, count in written.files.items()]
    return "\n".join([*listed, f"next: {written.next}"])
