"""predict, round, rounds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from labeler.cli.common import desk, in_workspace, on_device, percent, show, table


@click.command("predict")
@in_workspace
@on_device
def predict_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Predict the pool with the current reader.

    The first step of a round: opens one if none is open; a round whose pool is predicted already stays as it is.
    `labeler round` goes on from there.

    \b
    Example:  labeler predict && labeler round
    """
    from labeler.rounds import machine, story

    with desk(workspace, sets, write=True) as at:
        standing = machine.current(at)
        before = story.predicted(at, standing) if standing else 0
        began = time.perf_counter()
        row = machine.predict(at)
        seconds = time.perf_counter() - began
        predicted = story.predicted(at, row)
    found = {
        "round": row.number,
        "stage": row.stage,
        "questions": predicted,
        "seconds": seconds,
        "per_second": (predicted - before) / seconds,
    }
    show(
        found,
        as_json=as_json,
        text=lambda: _predicted_text(row.number, predicted, before, seconds),
    )


def _predicted_text(number: int, predicted: int, before: int, seconds: float) -> str:
    if before == predicted:
        told = f"round {number}: all {predicted} questions were predicted before"
    else:
        already = f", {before} were before" if before else ""
        told = f"round {number}: {predicted - before} questions predicted in {seconds:.0f} s{already}"
    return f"{told} (pool and calibration)\nnext: labeler round"


@click.command("round")
@click.option("--rounds", "count", default=1, show_default=True, type=click.IntRange(min=1), help="Rounds to run.")
@click.option(
    "--reviewer",
    type=click.Choice(["simulated", "none"]),
    help="Who reviews; simulated: hidden answers of a labelled pool.",
)
@click.option("--review-budget", type=click.IntRange(min=0), help="Questions to review in each round.")
@in_workspace
@on_device
def round_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    count: int,
    reviewer: str | None,
    review_budget: int | None,
) -> None:
    """Run the current round on from where it stands.

    Opens the next round if none is open; the very first is the baseline, trained on gold labels alone. Interrupt it
    at any moment: the same command goes on from there.

    \b
    Example:  labeler round --rounds 2 --reviewer simulated --review-budget 150
    """
    from labeler.errors import NotReady
    from labeler.rounds import machine, story

    if review_budget is not None:
        sets = (*sets, f"review.review_budget={review_budget}")
    told: list[dict[str, Any]] = []
    with desk(workspace, sets, write=True) as at:
        for _ in range(count):
            try:
                standing = machine.run(at, reviewer=reviewer)
            except NotReady as error:
                if not told or machine.current(at) is not None:
                    raise
                click.echo(f"labeler: {len(told)} of {count} rounds run: {error}", err=True)  # the pool is used up
                break
            told.append(story.summary(at, standing))
            if not as_json:
                click.echo(_summary_text(told[-1]))
            if standing.waiting_for:
                break
    if as_json:
        click.echo(json.dumps(told[-1] | {"rounds": told}, ensure_ascii=False))


def _summary_text(told: dict[str, Any]) -> str:
    labels = ", ".join(f"{count} {kind}" for kind, count in told["labels"].items())
    lines = [f"round {told['round']} ({told['kind']}): {told['stage']}; labels: {labels}"]
    release = told["release"] or {}
    if told["stage"] == "closed" and release and release.get("threshold") is None:
        lines.append(f"  no pseudo-label released: {release['why']}")
    if told["gate"]:
        lines.append(f"  {told['gate']['why']}")
    if told["waiting_for"]:
        lines.append(f"  waiting for {told['waiting_for']}")
    return "\n".join(lines)


@click.group("rounds")
def rounds_command() -> None:
    """List, show, compare and revert rounds.

    \b
    Example:  labeler rounds list
              labeler rounds diff 1 2
              labeler rounds revert 2
    """


@rounds_command.command("list")
@in_workspace
def rounds_list(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """List all rounds.

    \b
    Example:  labeler rounds list
    """
    from labeler.rounds import story

    with desk(workspace, sets) as at:
        told = story.all_rounds(at)
    header = ("round", "kind", "stage", "human", "pseudo", "released", "EM %", "F1 %", "verdict")
    rows = [
        (
            each["round"],
            each["kind"],
            each["stage"],
            each["written"]["human"],
            each["written"]["pseudo"],
            each["written"]["released"],
            percent((each["gate"] or {}).get("exact_match")),
            percent((each["gate"] or {}).get("f1")),
            each["verdict"],
        )
        for each in told
    ]
    show(
        {"rounds": told},
        as_json=as_json,
        text=lambda: table(header, rows) if rows else "no round yet; run: labeler round",
    )


@rounds_command.command("show")
@click.argument("number", type=int)
@in_workspace
def rounds_show(workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int) -> None:
    """Show all that is known of one round.

    \b
    Example:  labeler rounds show 1
    """
    from labeler.rounds import story

    with desk(workspace, sets) as at:
        told = story.one_round(at, number)
    show(told, as_json=as_json, text=lambda: _fields(told))


@rounds_command.command("diff")
@click.argument("before", type=int)
@click.argument("after", type=int)
@in_workspace
def rounds_diff(workspace: Path | None, sets: tuple[str, ...], as_json: bool, before: int, after: int) -> None:
    """Compare two rounds: settings, marks, and pseudo-labels that came, went or changed.

    \b
    Example:  labeler rounds diff 1 2 --json
    """
    from labeler.rounds import story

    with desk(workspace, sets) as at:
        told = story.difference(at, before, after)
    show(told, as_json=as_json, text=lambda: _fields(told))


@rounds_command.command("revert")
@click.argument("number", type=int)
@click.option("--with-reviews", is_flag=True, help="Withdraw the human labels of these rounds too.")
@in_workspace
def rounds_revert(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int, with_reviews: bool
) -> None:
    """Undo the newest rounds down to this one.

    Their pseudo-labels are withdrawn, those that were live before are restored, and the reader before them is the
    current one again. People's labels stay unless you say otherwise. History is kept.

    \b
    Example:  labeler rounds revert 2
    """
    from labeler.rounds import story

    with desk(workspace, sets, write=True) as at:
        told = story.revert(at, number, with_reviews=with_reviews)
    show(
        told,
        as_json=as_json,
        text=lambda: (
            f"reverted rounds {', '.join(map(str, told['reverted']))}: "
            f"{told['withdrawn']} labels withdrawn, {told['restored']} restored; now: {told['reader']}"
        ),
    )


def _fields(told: dict[str, Any]) -> str:
    """One `name: value` a line, nested mappings indented, lists of mappings one line each."""
    lines: list[str] = []

    def add(value: Any, indent: int) -> None:
        for name, item in value.items():
            start = f"{'  ' * indent}{name}:"
            if isinstance(item, dict) and item:
                lines.append(start)
                add(item, indent + 1)
            elif isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
                lines.append(start)
                lines.extend(f"{'  ' * indent}  {_in_line(each)}" for each in item)
            else:
                lines.append(f"{start} {_word(item)}")

    add(told, 0)
    return "\n".join(lines)


def _in_line(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in entry.items())


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or "none"
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
