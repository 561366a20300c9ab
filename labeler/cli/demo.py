"""demo, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import in_workspace, json_option, on_device, runtime, show
from labeler.core.console import log_to_stderr, percent, table

if TYPE_CHECKING:
    from labeler.demo.play import Played


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("labeler-demo"))
@click.option("--language", type=click.Choice(["ko", "en", "mixed"]), default="mixed", show_default=True)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 10**9), help="Of the world and everything random."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    show_default="3, with studio 1",
    help="Rounds after the baseline.",
)
@click.option(
    "--reviewer",
    type=click.Choice(["simulated", "studio"]),
    default="simulated",
    show_default=True,
    help="Who reviews; studio: you, in a Label Studio that is started for it.",
)
@json_option
@on_device
def demo_command(
    sets: tuple[str, ...], folder: Path, language: Any, seed: int, rounds: int | None, reviewer: str, as_json: bool
) -> None:
    """Play the whole loop on a small made-up world.

    Invents an encyclopaedia with questions, labels a few, hides the rest, and lets a simulated reviewer answer what
    the loop asks. Prints what each round brought and writes a report. Needs no network, no model and no server; only
    to review by hand a Label Studio is installed.

    \b
    Example:  labeler demo my-demo --language ko --seed 7
              labeler demo by-hand --reviewer studio
    """
    from labeler.demo.play import play
    from labeler.demo.settings import BUDGET_BY_HAND

    log_to_stderr()
    if reviewer == "studio":
        sets = (*sets, f"review.review_budget={BUDGET_BY_HAND}")
    count = rounds or (1 if reviewer == "studio" else 3)
    played = play(folder, language=language, seed=seed, rounds=count, overrides=sets, reviewer=reviewer, say=_say)
    show(played, as_json=as_json, text=lambda: _text(played))


def _say(line: str) -> None:
    click.echo(line, err=True)


def _text(played: Played) -> str:
    header = ("round", "gold", "human", "pseudo", "EM %", "F1 %", "pseudo right %", "released", "released right %")
    rows: list[tuple[Any, ...]] = [
        (
            each.round,
            each.labels["gold"],
            each.labels["human"],
            each.labels["pseudo"],
            percent(each.exact_match),
            percent(each.f1),
            percent(each.pseudo_precision),
            each.released,
            percent(each.released_precision),
        )
        for each in played.rounds
    ]
    arms = [
        ("gold labels only", percent(played.baseline.exact_match), percent(played.baseline.f1)),
        ("gold + human labels", percent(played.gold_and_human.exact_match), percent(played.gold_and_human.f1)),
        ("the full loop", percent(played.full_loop.exact_match), percent(played.full_loop.f1)),
    ]
    return "\n".join(
        (
            "",
            table(header, rows),
            "",
            f"the same number of updates each, {played.test_questions} test questions that no training saw",
            table(("trained on", "EM %", "F1 %"), arms),
            "",
            f"report: {played.report}",
            f"go on:  labeler -h; labeler status -w {played.workspace}",
        )
    )


@click.command("report")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option("--title", help="Default: the workspace's folder name.")
@in_workspace
def report_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, output: Path, title: str | None
) -> None:
    """Write one HTML page with the whole story.

    \b
    Example:  labeler report -o report.html
    """
    from labeler.report import write_report

    with runtime(workspace, sets) as at:
        path = write_report(at.database, output, title=title or at.workspace.folder.name)
    show({"path": str(path)}, as_json=as_json, text=lambda: f"report: {path}")
