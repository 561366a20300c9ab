"""demo, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import (
    check_folder,
    force_option,
    in_workspace,
    json_option,
    on_device,
    refuse_json_to_stdout,
    runtime,
    say,
    show,
    show_written,
)
from labeler.core.console import log_to_stderr, percent, table

if TYPE_CHECKING:
    from labeler.demo.results import DemoResult


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("labeler-demo"))
@click.option("--language", type=click.Choice(["ko", "en", "mixed"]), default="mixed", show_default=True)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10**9),
    help="Seed of the corpus and of everything random.",
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
    help="Who reviews; studio: you, in a Label Studio that the demo starts.",
)
@json_option
@on_device
def demo_command(
    sets: tuple[str, ...], folder: Path, language: Any, seed: int, rounds: int | None, reviewer: str, as_json: bool
) -> None:
    """Run the whole loop on a small synthetic encyclopaedia.

    Generates an encyclopaedia with questions, labels a few, hides the other answers, and lets a simulated reviewer
    answer the questions selected for review. At the end it certifies pseudo-labels by a blind audit. Prints the scores
    of each round and the certificate, and writes a report. Needs no network, no model and no server; Label Studio is
    installed only to review by hand, and then nothing is certified.

    \b
    Example:  labeler demo my-demo --language ko --seed 7
              labeler demo by-hand --reviewer studio
    """
    from labeler.demo.run import run_demo
    from labeler.demo.settings import REVIEW_BUDGET_BY_HAND

    log_to_stderr()
    if reviewer == "studio":
        sets = (*sets, f"review.review_budget={REVIEW_BUDGET_BY_HAND}")
    count = rounds or (1 if reviewer == "studio" else 3)
    result = run_demo(folder, language=language, seed=seed, rounds=count, overrides=sets, reviewer=reviewer, say=_say)
    show(result, as_json=as_json, text=lambda: _text(result))


def _say(line: str) -> None:
    say(line, err=True)


def _text(result: DemoResult) -> str:
    header = (
        "round",
        "gold",
        "human",
        "pseudo",
        "EM %",
        "F1 %",
        "pseudo precision %",
    )
    rows: list[tuple[Any, ...]] = [
        (
            each.round,
            each.labels["gold"],
            each.labels["human"],
            each.labels["pseudo"],
            percent(each.exact_match),
            percent(each.f1),
            percent(each.pseudo_precision),
        )
        for each in result.rounds
    ]
    arms = [
        ("gold labels only", percent(result.baseline.exact_match), percent(result.baseline.f1)),
        ("gold + human labels", percent(result.gold_and_human.exact_match), percent(result.gold_and_human.f1)),
        ("the full loop", percent(result.full_loop.exact_match), percent(result.full_loop.f1)),
    ]
    return "\n".join(
        (
            "",
            table(header, rows),
            "",
            f"{result.test_questions} held-out test questions; the same number of updates for each reader",
            table(("trained on", "EM %", "F1 %"), arms),
            "",
            *_certificate(result),
            f"report: {result.report}",
            f"next:   labeler {_next(result)} -w {result.workspace}",
        )
    )


def _certificate(result: DemoResult) -> list[str]:
    """The certificate in words; nothing where people reviewed."""
    found = result.certificate
    if found is None:
        return []
    simulated = "The reviewer was simulated by hidden answers: no person vouches for it."
    return [
        f"certificate {found.certificate[:12]}, {found.released} pseudo-labels released",
        found.statement,
        simulated,
        "",
    ]


def _next(result: DemoResult) -> str:
    released = result.certificate is not None and result.certificate.released
    return "export --format jsonl -o labels.jsonl" if released else "certify --dry-run"


@click.command("report")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="HTML file to write.",
)
@force_option
@click.option("--title", help="Title; default: the name of the workspace folder.")
@in_workspace
def report_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, output: Path, force: bool, title: str | None
) -> None:
    """Write the HTML report.

    One page that needs no network: status, alarms, next step, rounds, learning curves, reviews, errors, data.

    \b
    Example:  labeler report -o report.html
    """
    from labeler.maintenance.status import status
    from labeler.report import write_report

    refuse_json_to_stdout(output, as_json=as_json)
    check_folder(output)
    with runtime(workspace, sets) as at:
        next_step = status(at).next
        path = write_report(
            at.database, output, title=title or at.workspace.folder.name, next_step=next_step, force=force
        )
    show_written({"path": str(path)}, output, as_json=as_json, text=lambda: f"report: {path}")
