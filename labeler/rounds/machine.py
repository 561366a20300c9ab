"""The round as a state machine: which step comes next, and running on from wherever a round stands.

Each step computes outside any transaction and then writes its results together with the new stage in one. Killed
anywhere and started again, a round ends in the same state; `docs/design.md` tells why, step by step.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import queries
from db.rows import RoundRow
from labeler.core.config import Config, unused_settings
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.rounds.retriever import loop
from labeler.rounds.steps import human_review, labelling, opening, predicting, promotion, reviewing, training

log = logging.getLogger("labeler")

Step = Callable[[Runtime, RoundRow], RoundRow]

_LAST: Mapping[str, Step] = {"labelled": training.train, "trained": promotion.close}

#: kind of round -> stage -> the step that leads on from it
STEPS: Mapping[str, Mapping[str, Step]] = {
    "baseline": {"open": training.train, "trained": promotion.close},
    "retrain": {"open": training.train, "trained": promotion.close},
    "cold": {"open": reviewing.ask_at_random, "in_review": reviewing.review, "reviewed": labelling.label, **_LAST},
    "loop": {
        "open": predicting.predict,
        "predicted": reviewing.ask,
        "in_review": reviewing.review,
        "reviewed": labelling.certify,
        "certified": labelling.label,
        **_LAST,
    },
}


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """Where a round stands after a run; `waiting_for` says for what, None once it is closed."""

    round: RoundRow
    waiting_for: str | None


def next_stage(row: RoundRow) -> str:
    """The stage that an open round's next step leads to."""
    stages = [*STEPS[row.kind], "closed"]
    return stages[stages.index(row.stage) + 1]


def run(
    runtime: Runtime, *, until: str = "closed", reviewer: str | None = None, accept_partial: bool = False
) -> RoundStatus:
    """Runs the current round on, opening the next one if none is open, until a stage or until people are needed.

    A round goes on with the settings that it was opened with; others that are given now are named in the log.
    `accept_partial`: a round in review goes on with the reviews that there are.

    Raises: NotReady where something must be done first (the message names the command).
    """
    row = current(runtime)
    if accept_partial and (row is None or row.stage != "in_review"):
        raise NotReady("no round waits for reviews, so there is nothing to go on without; run: labeler round")
    if row is None:
        row = opening.open_next(runtime, reviewer=reviewer)
    else:
        _name_unused_settings(runtime, row)
    runtime = of_round(runtime, row)
    if reviewer is not None and row.reviewer != reviewer:
        row = reviewing.change_reviewer(runtime, row, reviewer)
    if accept_partial:
        row = human_review.go_on_without(runtime, row)
    while row.is_open and not _reached(row, until):
        after = STEPS[row.kind][row.stage](runtime, row)
        if after.stage == row.stage:
            return RoundStatus(after, human_review.waiting_for(runtime, after))
        row = after
    return RoundStatus(row, None)


def of_round(runtime: Runtime, row: RoundRow) -> Runtime:
    """The runtime under the settings that a round was opened with; [studio] and compute.threads are no part of it."""
    config = Config.from_resolved(row.config)
    compute = dataclasses.replace(config.compute, threads=runtime.config.compute.threads)
    return runtime.with_config(dataclasses.replace(config, compute=compute, studio=runtime.config.studio))


def _reached(row: RoundRow, stage: str) -> bool:
    """Whether an open round stands at the stage or past it; never where its kind has no such stage."""
    stages = list(STEPS[row.kind])
    return stage in stages and stages.index(row.stage) >= stages.index(stage)


def _name_unused_settings(runtime: Runtime, row: RoundRow) -> None:
    """Log the settings that were given now and that the open round, opened with others, does not use."""
    unused = unused_settings(runtime.config, Config.from_resolved(row.config))
    names = [name for name, stays in unused.items() if not _is_resolved(runtime.config, name, stays)]
    if names:
        listed = ", ".join(f"{name} (stays {unused[name]})" for name in names)
        log.warning("round %d continues with the settings it was opened with; not used: %s", row.number, listed)


def _is_resolved(config: Config, name: str, stays: Any) -> bool:
    """Whether a round may store another value than the one given: a setting that does not bind it, or the same
    checkpoints by absolute path."""
    section, _, key = name.partition(".")
    if name not in opening.CHECKPOINTS:
        return name in opening.RESOLVED or section == "studio"
    value = getattr(getattr(config, section), key)
    given, stored = _as_list(value), _as_list(stays)
    if not given and key == "start":  # none: any start will do
        return True
    return len(given) == len(stored) and all(
        kept in (each, str(Path(each).absolute())) for each, kept in zip(given, stored, strict=True)
    )


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def predict(runtime: Runtime) -> RoundRow:
    """The round whose predictions are stored: the open one, or the next, just opened.

    Raises: NotReady without a reader, or while a round that predicts nothing is open.
    """
    runtime.best_model()
    row = current(runtime)
    if row is not None and row.kind != "loop":
        opening.refuse_while_open(row)
    return run(runtime, until="predicted").round


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of `labeler train`."""

    model: str  # hash
    path: str  # in the workspace
    round: int
    examples: int
    seconds: float
    loss: float
    promoted: bool
    why: str
    scores: Mapping[str, Any] | None  # dev scores of the student and of the reader before; None without dev questions
    retriever: Mapping[str, Any] | None  # as `labeler rounds show` tells it; None where the round trained none


def train(runtime: Runtime) -> Trained:
    """A reader trained on the live labels: the baseline at first, later a round of its own, judged like any other.

    Goes on with a training that was interrupted. Raises: NotReady in the middle of a round of the loop.
    """
    row = current(runtime)
    if row is None:
        with runtime.database.read() as session:
            begun = queries.last_round(session) is not None
        row = opening.open_retrain(runtime) if begun else opening.open_baseline(runtime)
    elif row.kind not in ("baseline", "retrain"):
        opening.refuse_while_open(row)
    closed = run(runtime).round
    with runtime.database.read() as session:
        student = queries.model_of_round(session, closed.number)
        encoder = loop.summary(session, closed.number)
    assert student is not None
    assert student.loss is not None
    return Trained(
        model=student.hash,
        path=student.path,
        round=closed.number,
        examples=student.examples,
        seconds=student.seconds,
        loss=student.loss,
        promoted=bool(closed.promoted),
        why=str((closed.gate or {}).get("why")),
        scores=(closed.gate or {}).get("scores"),
        retriever=encoder,
    )


def current(runtime: Runtime) -> RoundRow | None:
    """The open round, or None."""
    with runtime.database.read() as session:
        return queries.current_round(session)
