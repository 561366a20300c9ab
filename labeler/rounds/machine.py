"""A round as a state machine: which step follows which stage, and running them from wherever a round is.

Each step computes outside of any transaction and then writes its results together with the new stage in one. A round
that is killed anywhere and started again ends in the same state; see `docs/architecture.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from db import queries
from db.rows import RoundRow
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.rounds.recorded import retriever_summary
from labeler.rounds.resolved_settings import of_round, warn_of_unused
from labeler.rounds.steps import human_review, labelling, opening, predicting, promotion, reviewing, training

log = logging.getLogger(__name__)

Step = Callable[[Runtime, RoundRow], RoundRow]

_TRAINING: Mapping[str, Step] = {"labelled": training.train, "trained": promotion.close}

#: kind of round -> stage -> the step that follows
STEPS: Mapping[str, Mapping[str, Step]] = {
    "baseline": {"open": training.train, "trained": promotion.close},
    "retrain": {"open": training.train, "trained": promotion.close},
    "cold": {
        "open": reviewing.select_at_random,
        "in_review": reviewing.review,
        "reviewed": labelling.label,
        **_TRAINING,
    },
    "loop": {
        "open": predicting.predict,
        "predicted": reviewing.select,
        "in_review": reviewing.review,
        "reviewed": labelling.label,
        **_TRAINING,
    },
}


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """A round after a run; `waiting_for` names the missing reviews, None where there are none."""

    round: RoundRow
    waiting_for: str | None


def next_stage(row: RoundRow) -> str:
    """The stage after the next step of an open round."""
    stages = [*STEPS[row.kind], "closed"]
    return stages[stages.index(row.stage) + 1]


def run(
    runtime: Runtime, *, until: str = "closed", reviewer: str | None = None, accept_partial: bool = False
) -> RoundStatus:
    """Resume the current round, or open the next one, and run its steps until a stage or until reviews are missing.

    A round keeps the settings it was opened with; settings given now that it does not use are logged.

    Args:
        until: a stage; a round whose kind lacks it runs to its end.
        reviewer: who reviews, if it changes.
        accept_partial: a round in review continues with the reviews it has.

    Raises:
        NotReady: something must be done first; the message names the command.
    """
    row = current(runtime)
    if row is not None and row.kind == "audit":
        opening.refuse_while_open(row)
    if accept_partial and (row is None or not _reached(row, "in_review")):
        raise NotReady("no round is waiting for reviews; run: labeler round")
    if row is None:
        row = opening.open_next(runtime, reviewer=reviewer)
    else:
        warn_of_unused(runtime, row)
    runtime = of_round(runtime, row)
    if reviewer is not None and row.reviewer != reviewer:
        row = reviewing.change_reviewer(runtime, row, reviewer)
    if accept_partial and row.stage == "in_review":  # else this command was interrupted after it
        row = human_review.accept_partial(runtime, row)
    while row.is_open and not _reached(row, until):
        after = STEPS[row.kind][row.stage](runtime, row)
        if after.stage == row.stage:
            return RoundStatus(after, human_review.waiting_for(runtime, after))
        row = after
    return RoundStatus(row, None)


def _reached(row: RoundRow, stage: str) -> bool:
    """Whether an open round has reached a stage; False where its kind has no such stage."""
    stages = list(STEPS[row.kind])
    return stage in stages and stages.index(row.stage) >= stages.index(stage)


def predict(runtime: Runtime) -> RoundRow:
    """Predict the open round, or open the next one and predict it.

    Raises NotReady without a reader, or while a round that predicts nothing is open.
    """
    if runtime.config.round.labeller is None:
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
    gate: Mapping[str, Any]  # the verdict with its statistics, see `labeler.rounds.gate.Verdict`
    scores: Mapping[str, Any] | None  # dev scores of the student and of the reader before; None without dev questions
    retriever: Mapping[str, Any] | None  # see `retriever_summary`; None where the round trained none


def train(runtime: Runtime) -> Trained:
    """Train a reader on the live labels: the baseline at first, later a round that only trains and is judged.

    An interrupted training is resumed. Raises NotReady while a loop round is open.
    """
    row = current(runtime)
    if row is None and (done := finished_unreported(runtime, "train")):
        return _trained(runtime, done[-1])
    if row is None:
        with runtime.database.read() as session:
            begun = queries.begun(session)
        row = opening.open_retrain(runtime) if begun else opening.open_baseline(runtime)
    elif row.kind not in ("baseline", "retrain"):
        opening.refuse_while_open(row)
    return _trained(runtime, run(runtime).round)


def finished_unreported(runtime: Runtime, command: str) -> list[RoundRow]:
    """The rounds that this command closed before it was killed: run again, it reports them instead of making more.

    Empty where the last command in the workspace was another one, or came to its end.
    """
    killed = runtime.interrupted
    if killed is None or killed.name != command:
        return []
    with runtime.database.read() as session:
        rounds = queries.rounds(session, reverted=False)
    found = [row for row in rounds if row.closed_at is not None and row.closed_at >= killed.since]
    for row in found:
        log.info("round %d was closed when the last `labeler %s` was killed; it is not run again", row.number, command)
    return found


def _trained(runtime: Runtime, closed: RoundRow) -> Trained:
    """The result of a round that trained a reader."""
    with runtime.database.read() as session:
        student = queries.model_of_round(session, closed.number)
        encoder = retriever_summary(session, closed.number)
    assert student is not None
    assert student.loss is not None
    gate = closed.gate or {}
    return Trained(
        model=student.hash,
        path=student.path,
        round=closed.number,
        examples=student.examples,
        seconds=student.seconds,
        loss=student.loss,
        promoted=bool(closed.promoted),
        why=str(gate.get("why")),
        gate={name: value for name, value in gate.items() if name != "scores"},
        scores=gate.get("scores"),
        retriever=encoder,
    )


def current(runtime: Runtime) -> RoundRow | None:
    """The open round, or None."""
    with runtime.database.read() as session:
        return queries.current_round(session)
