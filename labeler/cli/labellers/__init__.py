"""compare, and the parts of import and evaluate that work on labellers."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.cli.labellers.text import comparison_text, labeller_evaluation_text, predictions_text


@click.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--examples", type=click.IntRange(0, 10_000), default=20, show_default=True, help="Differing answers to list."
)
@in_workspace
def compare_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, a: str, b: str, examples: int
) -> None:
    """Compare the answers of two labellers.

    A and B are names of labellers; `current` is the current reader, by the newest predictions of it that are stored.
    Agreement is measured on the questions that both answered: the share of equal answers and the mean F1. Dev questions
    that both answered show which of the two is right more often.

    \b
    Example:  labeler compare gpt roberta-large
              labeler compare gpt current --json
    """
    from labeler.labellers.compare import compare

    with runtime(workspace, sets) as at:
        found = compare(at, a, b, examples=examples)
    show(found, as_json=as_json, text=lambda: comparison_text(found))


def import_predictions(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    files: tuple[str, ...],
    labeller: str | None,
    format_: str,
) -> None:
    """Run the command `import --as predictions`."""
    from labeler.labellers.importing import import_predictions as run

    if labeller is None:
        raise click.UsageError("--as predictions needs the name of their source: --labeller NAME.")
    with runtime(workspace, sets, write=True) as at:
        report = run(at, files, labeller=labeller, format=format_)
    show(report, as_json=as_json, text=lambda: predictions_text(report))


def evaluate_labeller(workspace: Path | None, sets: tuple[str, ...], as_json: bool, labeller: str, split: str) -> None:
    """Run the command `evaluate --labeller`."""
    from labeler.labellers.evaluate import evaluate_labeller as run

    with runtime(workspace, sets) as at:
        found = run(at, labeller, split)
    show(found, as_json=as_json, text=lambda: labeller_evaluation_text(found))
