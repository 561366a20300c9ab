"""predict, round."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import in_workspace, on_device, plain, runtime, show

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime
    from labeler.rounds.forecast import Forecast


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
    from labeler.rounds import history, machine

    with runtime(workspace, sets, write=True) as at:
        status = machine.current(at)
        before = history.predicted(at, status) if status else 0
        began = time.perf_counter()
        row = machine.predict(at)
        seconds = time.perf_counter() - began
        predicted = history.predicted(at, row)
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
    type=click.Choice(["studio", "people", "simulated", "none"]),
    help="Who reviews: people in Label Studio; people by file or terminal; hidden answers of a labelled pool; nobody.",
)
@click.option("--review-budget", type=click.IntRange(min=0), help="Questions to review in each round.")
@click.option("--wait", is_flag=True, help="Wait until people have reviewed everything, and go on.")
@click.option("--accept-partial", is_flag=True, help="Go on with the reviews there are; the rest is withdrawn.")
@click.option("--dry-run", is_flag=True, help="Show what would be read, trained and reviewed; change nothing.")
@in_workspace
@on_device
def round_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    count: int,
    reviewer: str | None,
    review_budget: int | None,
    wait: bool,
    accept_partial: bool,
    dry_run: bool,
) -> None:
    """Run the current round on from where it stands.

    Opens the next round if none is open; the very first is the baseline, trained on gold labels alone. Interrupt it
    at any moment: the same command goes on from there. With people it sends the questions, says what it waits for and
    ends; run again, it fetches what was reviewed and goes on.

    \b
    Example:  labeler round --rounds 2 --reviewer simulated --review-budget 150
              labeler round --reviewer studio --wait
    """
    if review_budget is not None:
        sets = (*sets, f"review.review_budget={review_budget}")
    if wait and accept_partial:
        raise click.UsageError("--wait waits for all reviews, --accept-partial goes on without: give one of them")
    if dry_run and (wait or accept_partial or count > 1):
        raise click.UsageError("--dry-run looks at one round and does nothing: leave out --rounds, --wait and the like")
    if dry_run:
        _dry_run(workspace, sets, reviewer, as_json=as_json)
        return
    told: list[dict[str, Any]] = []
    tell = (lambda line: None) if as_json else click.echo
    with runtime(workspace, sets, write=True) as at:
        seconds = at.config.studio.poll_seconds
        _run(at, told, count, reviewer, tell, accept_partial=accept_partial)
    while wait and told[-1]["waiting_for"]:
        time.sleep(seconds)  # the workspace is free meanwhile: others may review in it
        _look(workspace, sets, told, count, reviewer, tell)
    if as_json:
        click.echo(json.dumps(told[-1] | {"rounds": told}, ensure_ascii=False))


def _run(
    at: Runtime,
    told: list[dict[str, Any]],
    count: int,
    reviewer: str | None,
    tell: Callable[[str], object],
    *,
    accept_partial: bool = False,
) -> None:
    """Runs rounds on until `count` are told of or one waits for people. One that waited is told of anew."""
    from labeler.core.errors import NotReady
    from labeler.rounds import history, machine

    waited = told.pop() if told and told[-1]["waiting_for"] else None
    while len(told) < count:
        try:
            status = machine.run(at, reviewer=reviewer, accept_partial=accept_partial and not told)
        except NotReady as error:
            if not told or machine.current(at) is not None:
                raise
            click.echo(f"labeler: {len(told)} of {count} rounds run: {error}", err=True)  # the pool is used up
            return
        told.append(history.summary(at, status))
        if told[-1] != waited:
            tell(_summary_text(told[-1]))
        if status.waiting_for:
            return


def _look(
    workspace: Path | None,
    sets: tuple[str, ...],
    told: list[dict[str, Any]],
    count: int,
    reviewer: str | None,
    tell: Callable[[str], object],
) -> None:
    """Runs on if people are done. A server that is away, or a workspace in use, is tried again at the next look."""
    from labeler.core.errors import ServerDown, WorkspaceBusy

    waiting = told[-1]
    try:
        with runtime(workspace, sets, write=True) as at:
            _run(at, told, count, reviewer, tell)
    except (ServerDown, WorkspaceBusy) as error:
        click.echo(f"labeler: {error}; looking again later", err=True)
        if not told or told[-1] != waiting:
            told.append(waiting)


def _dry_run(workspace: Path | None, sets: tuple[str, ...], reviewer: str | None, *, as_json: bool) -> None:
    from labeler.rounds.forecast import forecast

    with runtime(workspace, sets) as at:
        found = forecast(at, reviewer=reviewer)
    show({"dry_run": True, **plain(found)}, as_json=as_json, text=lambda: _forecast_text(found))


def _forecast_text(found: Forecast) -> str:
    def minutes(value: float | None) -> str:
        return "not known before a first time" if value is None else f"{value:.1f} minutes"

    def size(value: int | None) -> str:
        return "not known before a first reader" if value is None else f"{value / 2**20:,.0f} MiB"

    where = f"goes on from {found.stage}" if found.stage else "would be opened"
    facts = (
        ("round", f"{found.round} ({found.kind}) {where}; nothing was changed"),
        ("reading", f"{found.questions} questions, {found.sequences} sequences: {minutes(found.reading_minutes)}"),
        ("training", minutes(found.training_minutes)),
        ("reviews", f"{found.reviews} of {found.tasks} questions at most, by: {found.reviewer}"),
        ("disk", f"{size(found.disk.kept)} kept, {size(found.disk.peak)} while training, {size(found.disk.free)} free"),
    )
    return "\n".join(f"{name:<10} {value}" for name, value in facts)


def _summary_text(told: dict[str, Any]) -> str:
    labels = ", ".join(f"{count} {kind}" for kind, count in told["labels"].items())
    lines = [f"round {told['round']} ({told['kind']}): {told['stage']}; labels: {labels}"]
    release = told["release"] or {}
    if told["stage"] == "closed" and release and release.get("threshold") is None:
        lines.append(f"  no pseudo-label released: {release['why']}")
    if told["gate"]:
        lines.append(f"  {told['gate']['why']}")
    if told["retriever"] and told["retriever"]["gate"]:
        lines.append(f"  retriever {told['retriever']['gate']['why']}")
    if told["waiting_for"]:
        lines.append(f"  waiting for {told['waiting_for']}")
    return "\n".join(lines)
