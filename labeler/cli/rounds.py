"""predict, round, rounds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import F, Number, confirm, in_workspace, on_device, plain, runtime, say, show
from labeler.cli.describe.rounds import (
    difference_text,
    forecast_text,
    predicted_text,
    reverted_text,
    round_text,
    rounds_named,
    rounds_table,
    summary_text,
)
from labeler.core.console import json_text

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime
    from labeler.rounds.stopping import Limits, Stop

#: option -> the setting that it is short for
SETTINGS = {
    "endpoint": "llm.endpoint",
    "model": "llm.model",
    "review_budget": "review.review_budget",
    "budget_minutes": "round.budget_minutes",
}


@click.command("predict")
@in_workspace
@on_device
def predict_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Predict the pool with the current reader.

    This is the first step of a round, and opens one if none is open. Run `labeler round` to continue.

    \b
    Example:  labeler predict && labeler round
    """
    from labeler.rounds import history, machine

    with runtime(workspace, sets, write=True) as at:
        open_round = machine.current(at)
        before = history.predicted(at, open_round) if open_round else 0
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
    show(found, as_json=as_json, text=lambda: predicted_text(row.number, predicted, before, seconds))


def _setting_options(command: F) -> F:
    """Options of a round that are short for settings."""

    @functools.wraps(command)
    def run(*args: Any, sets: tuple[str, ...] = (), **given: Any) -> Any:
        values = ((key, given.pop(name)) for name, key in SETTINGS.items())
        sets = (*sets, *(f"{key}={value}" for key, value in values if value not in (None, "")))
        return command(*args, sets=sets, **given)

    options = (
        click.option("--endpoint", metavar="URL", help="With --reviewer llm: address of an OpenAI-compatible API."),
        click.option("--model", metavar="NAME", help="With --reviewer llm: model, as the server calls it."),
        click.option("--review-budget", type=click.IntRange(min=0), help="Questions to review in each round."),
        click.option(
            "--budget-minutes",
            type=Number(min=0, min_open=True),
            metavar="M",
            help="Minutes of reading and training in each round: a part of the pool is left out, never gold labels.",
        ),
    )
    return functools.reduce(lambda found, option: option(found), reversed(options), run)  # type: ignore[return-value]


@click.command("round")
@click.option(
    "--rounds", "count", type=click.IntRange(min=1), help="Rounds to run; default: 1, with --until-converged no limit."
)
@click.option("--until-converged", is_flag=True, help="Run rounds until a stop rule applies, and say which.")
@click.option("--max-reviews", type=click.IntRange(min=1), help="With --until-converged: reviews in all rounds.")
@click.option("--max-minutes", type=Number(min=0, min_open=True), help="With --until-converged: minutes of reviewing.")
@click.option(
    "--reviewer",
    type=click.Choice(["studio", "people", "llm", "simulated", "none"]),
    help="studio: people in Label Studio; people: by file or terminal; llm: a language model, then people; "
    "simulated: by hidden answers; none.",
)
@_setting_options
@click.option("--wait", is_flag=True, help="Wait until all reviews are done, then continue.")
@click.option("--accept-partial", is_flag=True, help="Continue with the reviews so far and withdraw open tasks.")
@click.option("--dry-run", is_flag=True, help="Show what would be read, trained and reviewed; change nothing.")
@in_workspace
@on_device
def round_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    count: int | None,
    until_converged: bool,
    max_reviews: int | None,
    max_minutes: float | None,
    reviewer: str | None,
    wait: bool,
    accept_partial: bool,
    dry_run: bool,
) -> None:
    """Resume the current round, or open the next.

    Round 0 is the baseline, trained on gold labels alone. When people review, the command sends the questions, prints
    what it waits for and exits; run it again to fetch the reviews and continue. Interrupt it at any time: the same
    command resumes.

    With --budget-minutes, the forecast decides how much of the pool is read and taught: a random half, and by earlier
    confidence and diversity. --dry-run shows what would be left out.

    With --reviewer llm, a language model answers the questions of the middle band of confidence first; its answers
    become pseudo-labels under its name. What it leaves, and all blind questions, wait for people (llm.then says where).

    With --until-converged, rounds follow each other until two in a row are refused, fewer than 3% of the pseudo-labels
    change, exact match on dev rises by less than half a point, nothing is left to label, or a limit is reached.

    \b
    Example:  labeler round --rounds 2 --reviewer simulated --review-budget 150
              labeler round --reviewer studio --wait
              labeler round --reviewer none --budget-minutes 30
              labeler round --reviewer llm --endpoint http://127.0.0.1:8000/v1 --model qwen
              labeler round --until-converged --reviewer people --max-reviews 500
    """
    goes_on = wait or accept_partial or until_converged or (count or 1) > 1
    if wait and accept_partial:
        raise click.UsageError("Give --wait or --accept-partial, not both.")
    if not until_converged and (max_reviews or max_minutes):
        raise click.UsageError("Give --max-reviews and --max-minutes with --until-converged.")
    if dry_run and goes_on:
        raise click.UsageError("Give --dry-run without --rounds, --until-converged, --wait and --accept-partial.")
    if dry_run:
        _dry_run(workspace, sets, reviewer, as_json=as_json)
        return
    tell = (lambda line: None) if as_json else say
    runs = _Runs(count or 1, reviewer, tell)
    if until_converged:
        runs = _UntilConverged(count, reviewer, tell, limits=_limits(count, max_reviews, max_minutes))
    _run_rounds(workspace, sets, runs, wait=wait, accept_partial=accept_partial, as_json=as_json)


def _run_rounds(
    workspace: Path | None, sets: tuple[str, ...], runs: _Runs, *, wait: bool, accept_partial: bool, as_json: bool
) -> None:
    """Run rounds and print them; with `wait`, poll until no reviews are missing."""
    with runtime(workspace, sets, write=True) as at:
        seconds = at.config.studio.poll_seconds
        runs.resume(at)
        runs.run(at, accept_partial=accept_partial)
        if as_json and not (wait and runs.waiting):
            runs.show()
    if not (wait and runs.waiting):
        return
    while wait and runs.waiting:
        time.sleep(seconds)  # the workspace is unlocked meanwhile: others may review in it
        runs.poll(workspace, sets)
    if as_json:
        runs.show()


@dataclass
class _Runs:
    """Runs `count` rounds and prints each; `done` has their summaries, of which the last may wait for reviews."""

    count: int | None
    reviewer: str | None
    say: Callable[[str], object]
    done: list[dict[str, Any]] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        """Whether the last round waits for reviews."""
        return bool(self.done and self.done[-1]["waiting_for"])

    def resume(self, at: Runtime) -> None:
        """Count, and print, the rounds that this command closed before it was killed."""
        from labeler.rounds import history, machine

        for row in machine.finished_unreported(at, "round")[: self.count]:
            self.done.append(history.summary(at, machine.RoundStatus(row, None)))
            self.say(summary_text(self.done[-1]))

    def show(self) -> None:
        """Print all rounds as JSON."""
        say(json_text((self.done[-1] if self.done else {}) | {"rounds": self.done} | self.outcome()))

    def outcome(self) -> dict[str, Any]:
        """What the JSON says beside the rounds."""
        return {}

    def next_round(self, at: Runtime) -> Runtime | None:
        """The runtime that the next round is opened with; None once there is to be none."""
        return at if len(self.done) < (self.count or 1) else None

    def run(self, at: Runtime, *, accept_partial: bool = False) -> None:
        """Run until no round is to follow or one waits for reviews. Resumes a round that waited."""
        from labeler.core.errors import NotReady
        from labeler.rounds import history, machine

        waited = self.done.pop() if self.waiting else None
        while (prepared := self.next_round(at)) is not None:
            try:
                status = machine.run(prepared, reviewer=self.reviewer, accept_partial=accept_partial and not self.done)
            except NotReady as error:
                if not self.done or self.count is None or machine.current(at) is not None:
                    raise
                say(f"labeler: ran {len(self.done)} of {self.count} rounds: {error}", err=True)  # no pool left
                return
            self.done.append(history.summary(at, status))
            if self.done[-1] != waited:
                self.say(summary_text(self.done[-1]))
            if status.waiting_for:
                return

    def poll(self, workspace: Path | None, sets: tuple[str, ...]) -> None:
        """Resume if the reviews are done. If the server is down or the workspace busy, the next poll tries again."""
        from labeler.core.errors import ServerDown, WorkspaceBusy

        waited = self.done[-1]
        try:
            with runtime(workspace, sets, write=True) as at:
                self.run(at)
        except (ServerDown, WorkspaceBusy) as error:
            say(f"labeler: {error}; trying again later", err=True)
            if not self.done or self.done[-1] != waited:
                self.done.append(waited)


@dataclass
class _UntilConverged(_Runs):
    """Runs rounds until a stop rule applies, also over several calls of the command."""

    limits: Limits | None = None
    stopped: Stop | None = None

    def next_round(self, at: Runtime) -> Runtime | None:
        """The runtime within the budget; None once a rule applies, which is printed."""
        from labeler.rounds.stopping import series

        assert self.limits is not None
        under_way = series.begin(at)
        self.stopped = series.decide(at, under_way, self.limits)
        if self.stopped is None:
            return series.within_budget(at, under_way, self.limits)
        if not self.done:
            self.done += series.last_closed(at, under_way)
        self.say(f"stopped ({self.stopped.rule}): {self.stopped.why}")
        return None

    def outcome(self) -> dict[str, Any]:
        """The rule and its sentence; null while the series goes on."""
        why = self.stopped.why if self.stopped else None
        return {"stopped": self.stopped.rule if self.stopped else None, "why": why, "stopped_because": why}


def _limits(rounds: int | None, reviews: int | None, minutes: float | None) -> Limits:
    from labeler.rounds.stopping import Limits

    return Limits(rounds, reviews, minutes)


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
        found = history.all_rounds(at)
    show({"rounds": found}, as_json=as_json, text=lambda: rounds_table(found))


@rounds_command.command("show")
@click.argument("number", type=int)
@in_workspace
def rounds_show(workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int) -> None:
    """Show one round.

    Labels, scores with intervals, the gate's decision, and the settings that differ from the defaults.

    \b
    Example:  labeler rounds show 1
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        found = history.one_round(at, number)
    show(found, as_json=as_json, text=lambda: round_text(found))


@rounds_command.command("diff")
@click.argument("before", type=int)
@click.argument("after", type=int)
@in_workspace
def rounds_diff(workspace: Path | None, sets: tuple[str, ...], as_json: bool, before: int, after: int) -> None:
    """Compare two rounds.

    Scores, label counts and settings that differ, and up to ten pseudo-labels that were changed, added or removed;
    --json lists the ids of all.

    \b
    Example:  labeler rounds diff 1 2
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        found = history.difference(at, before, after)
    show(found, as_json=as_json, text=lambda: difference_text(found))


@rounds_command.command("revert")
@click.argument("number", type=int)
@click.option("--with-reviews", is_flag=True, help="Withdraw the human labels of these rounds too.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@in_workspace
def rounds_revert(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int, with_reviews: bool, yes: bool
) -> None:
    """Undo the newest rounds down to this one.

    Withdraws their pseudo-labels, restores the pseudo-labels that were live before, and makes the former reader
    current again, and the former index if these rounds trained its retriever. Human labels stay unless --with-reviews
    is given. The history is kept.

    \b
    Example:  labeler rounds revert 2
              labeler rounds revert 2 --with-reviews --yes
    """
    from labeler.rounds import history

    with runtime(workspace, sets, write=True) as at:
        numbers = history.reverted_by(at, number)
        if numbers and not yes:
            confirm(f"revert {rounds_named(numbers)} and withdraw the pseudo-labels written there")
        found = history.revert(at, number, with_reviews=with_reviews)
    show(found, as_json=as_json, text=lambda: reverted_text(found))
