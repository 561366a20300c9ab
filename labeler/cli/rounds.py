"""predict, round, rounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import in_workspace, on_device, plain, runtime, show
from labeler.cli.describe.rounds import fields, forecast_text, predicted_text, summary_text
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime


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
        text=lambda: predicted_text(row.number, predicted, before, seconds),
    )


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
            tell(summary_text(told[-1]))
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
    show({"dry_run": True, **plain(found)}, as_json=as_json, text=lambda: forecast_text(found))


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
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.all_rounds(at)
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
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.one_round(at, number)
    show(told, as_json=as_json, text=lambda: fields(told))


@rounds_command.command("diff")
@click.argument("before", type=int)
@click.argument("after", type=int)
@in_workspace
def rounds_diff(workspace: Path | None, sets: tuple[str, ...], as_json: bool, before: int, after: int) -> None:
    """Compare two rounds: settings, marks, and pseudo-labels that came, went or changed.

    \b
    Example:  labeler rounds diff 1 2 --json
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.difference(at, before, after)
    show(told, as_json=as_json, text=lambda: fields(told))


@rounds_command.command("revert")
@click.argument("number", type=int)
@click.option("--with-reviews", is_flag=True, help="Withdraw the human labels of these rounds too.")
@in_workspace
def rounds_revert(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int, with_reviews: bool
) -> None:
    """Undo the newest rounds down to this one.

    Their pseudo-labels are withdrawn, those that were live before are restored, and the reader before them is the
    current one again. So is the index before them, where it is that of a retriever that they trained. People's labels
    stay unless you say otherwise. History is kept.

    \b
    Example:  labeler rounds revert 2
    """
    from labeler.rounds import history

    with runtime(workspace, sets, write=True) as at:
        told = history.revert(at, number, with_reviews=with_reviews)
    show(
        told,
        as_json=as_json,
        text=lambda: (
            f"reverted rounds {', '.join(map(str, told['reverted']))}: "
            f"{told['withdrawn']} labels withdrawn, {told['restored']} restored; now: {told['reader']}"
            + (f", and the index {told['index'][:12]}" if told["retrievers"] and not told["next"] else "")
            + (f"\nthe index of before is gone or older; run: {told['next']}" if told["next"] else "")
        ),
    )
