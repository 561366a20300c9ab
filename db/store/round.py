"""Writes of rounds: open, advance, withdraw labels, revert."""

from __future__ import annotations

import secrets
from typing import Any, TypedDict, Unpack

from sqlalchemy import select, update

from db.engine import Session
from db.errors import Conflict
from db.queries import round as round_queries
from db.rows import Json, RoundRow, Withdrawn
from db.sql import update_in
from db.sql.bulk import insert_all
from db.store.label import withdraw_written
from db.store.task import withdraw_tasks
from db.tables import REVIEWS, ROUNDS, TASKS, utc_now

FIRST_KINDS = ("baseline", "cold")


class RoundChanges(TypedDict, total=False):
    """The columns of a round that a step may write together with the new stage."""

    teacher_id: int | None
    student_id: int | None
    index_fingerprint: str | None
    calibrator_id: int | None
    release: Json | None
    gate: Json | None
    promoted: bool | None
    reviewer: str | None


def open_round(
    session: Session,
    kind: str,
    *,
    config: Json,
    seed: int,
    code_version: str,
    teacher_id: int | None = None,
    labeller_id: int | None = None,
    index_fingerprint: str | None = None,
    reviewer: str | None = None,
) -> RoundRow:
    """Open a round at stage `open` with the next number, and return it. Raises Conflict if a round is open."""
    current = round_queries.current_round(session)
    if current is not None:
        raise Conflict(f"round {current.number} is open ({current.stage}): `labeler round` finishes it first")
    number = round_queries.next_round_number(session)
    row = {
        "number": number,
        "uid": secrets.token_hex(16),
        "kind": kind,
        "stage": "open",
        "config": config,
        "seed": seed,
        "code_version": code_version,
        "teacher_id": teacher_id,
        "labeller_id": labeller_id,
        "index_fingerprint": index_fingerprint,
        "reviewer": reviewer,
    }
    insert_all(session, ROUNDS, [row])
    return round_queries.round_(session, number)


def advance(session: Session, number: int, from_stage: str, to_stage: str, **changes: Unpack[RoundChanges]) -> RoundRow:
    """Move a round to its next stage together with the changes, and return it.

    The stage `closed` needs `promoted` and ends the round.

    Raises:
        NotFound: no such round.
        Conflict: the round is not at `from_stage`, or not open.
    """
    new: dict[str, Any] = {**changes, "stage": to_stage}
    if to_stage == "closed":
        new |= {"is_open": False, "closed_at": utc_now()}
    here = (ROUNDS.c.number == number, ROUNDS.c.stage == from_stage, ROUNDS.c.is_open)
    moved = session.execute(update(ROUNDS).where(*here).values(new)).rowcount
    found = round_queries.round_(session, number)
    if moved != 1:
        state = found.stage if found.reverted_at is None else "reverted"
        raise Conflict(f"round {number} is {state}, not {from_stage}: `labeler round` resumes it")
    return found


def withdraw_round(session: Session, number: int, *, reason: str) -> Withdrawn:
    """Withdraw a refused round's pseudo-labels and restore what they replaced. The round itself does not change."""
    return withdraw_written(session, number, reason=reason)


def revert(session: Session, number: int, *, with_reviews: bool = False) -> Withdrawn:
    """Revert this round and all newer ones.

    Their pseudo-labels are withdrawn, those live before restored, their open tasks withdrawn. Human labels stay unless
    `with_reviews`; then reviews that no labelling has considered yet are set aside too.

    Raises:
        NotFound: no such round.
        Conflict: the round is reverted already, or is the first one and closed.
    """
    first = round_queries.round_(session, number)
    if first.reverted_at is not None:
        raise Conflict(f"round {number} is reverted already")
    if first.kind in FIRST_KINDS and not first.is_open:
        raise Conflict(f"round {number} is the {first.kind} that all others build on: `labeler init` a new workspace")
    numbers = tuple(row.number for row in round_queries.rounds(session, reverted=False) if row.number >= number)
    done = withdraw_written(
        session, number, reason=f"round {number} reverted", reviewed_in=numbers if with_reviews else ()
    )
    for each in numbers:
        withdraw_tasks(session, each)
        if with_reviews:
            _set_reviews_aside(session, each)
    update_in(session, ROUNDS.c.number, numbers, reverted_at=utc_now(), is_open=False)
    return Withdrawn(done.labels, done.restored, numbers)


def _set_reviews_aside(session: Session, round_number: int) -> None:
    """Record the round's reviews that no labelling has considered, so that none will."""
    tasks = select(TASKS.c.id).where(TASKS.c.round_number == round_number)
    waiting = (REVIEWS.c.task_id.in_(tasks), REVIEWS.c.recorded_in.is_(None))
    session.execute(update(REVIEWS).where(*waiting).values(recorded_in=round_number))
