"""Writes of tasks and their states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import and_, select

from db.engine import Session
from db.rows import NewTask
from db.sql import select_in, update_in, values
from db.sql.bulk import insert_all
from db.tables import REVIEWS, ROUNDS, STUDIO_ANNOTATIONS, STUDIO_TASKS, TASKS, utc_now

_ASKING = ("open", "predicted", "in_review")  # stages in which a round still waits for reviews


def add_tasks(session: Session, round_number: int, rows: Sequence[NewTask]) -> int:
    """Add tasks and return how many; a question that has a task of this attempt in this round keeps it."""
    statement = select(TASKS.c.question_id, TASKS.c.attempt).where(TASKS.c.round_number == round_number)
    known = {tuple(row) for row in session.execute(statement)}
    new = [row for row in rows if (row.question_id, row.attempt) not in known]
    insert_all(session, TASKS, [values(row, TASKS) | {"round_number": round_number} for row in new])
    return len(new)


def show_further(session: Session, task_id: int, passages: Sequence[str], *, reviewer: str) -> bool:
    """Add passages to those that a task shows; return whether they were added.

    They are not where another person has reviewed the task, whose "no answer" is about the passages shown before, where
    it was sent to Label Studio, whose page does not change, or where it audits a certificate, whose plan is fixed.
    """
    others = select(REVIEWS.c.id).where(
        REVIEWS.c.task_id == task_id, REVIEWS.c.reviewer != reviewer, REVIEWS.c.superseded_at.is_(None)
    )
    sent = select(STUDIO_TASKS.c.id).where(STUDIO_TASKS.c.task_id == task_id)
    audits = select(TASKS.c.id).join(ROUNDS, ROUNDS.c.number == TASKS.c.round_number)
    audits = audits.where(TASKS.c.id == task_id, ROUNDS.c.kind == "audit")
    if any(session.execute(each).first() for each in (others, sent, audits)):
        return False
    shown = session.execute(select(TASKS.c.passages).where(TASKS.c.id == task_id)).scalar_one()
    update_in(session, TASKS.c.id, [task_id], passages=tuple(dict.fromkeys([*shown, *passages])))
    return True


def withdraw_tasks(session: Session, round_number: int, *, ids: Sequence[int] | None = None) -> int:
    """Withdraw the round's open tasks (of these ids, if given) and return how many.

    A task that one of two people has answered is done instead: that answer counts.
    """
    still_open = (TASKS.c.round_number == round_number, TASKS.c.state == "open")
    found = set(session.execute(select(TASKS.c.id).where(*still_open)).scalars())
    withdrawn = found if ids is None else found & set(ids)
    update_in(session, TASKS.c.id, withdrawn, state="withdrawn", withdrawn_at=utc_now())
    update_task_states(session, withdrawn)
    return len(withdrawn)


def reopen_tasks(session: Session, ids: Sequence[int]) -> None:
    """Take back the withdrawal of tasks that are needed after all."""
    update_in(session, TASKS.c.id, ids, withdrawn_at=None)
    update_task_states(session, ids)


def set_task_states(session: Session, ids: Sequence[int], state: str) -> None:
    """Set the state of tasks, for callers that can compare their reviews: conflict, done."""
    update_in(session, TASKS.c.id, ids, state=state)


def update_task_states(session: Session, task_ids: Iterable[int]) -> None:
    """Set each task's state by its current reviews and unreadable annotations.

    conflict: an annotation on a server cannot be read. Else, where reviews are missing: open while the round asks,
    withdrawn afterwards (but one answer of two counts then). Else skipped if all skipped, else done. Whether two
    reviews disagree is for callers that can compare them (`set_task_states`).
    """
    ids = set(task_ids)
    verdicts = _verdicts(session, ids)
    unreadable = _unreadable(session, ids)
    asking = and_(ROUNDS.c.is_open, ROUNDS.c.stage.in_(_ASKING), TASKS.c.withdrawn_at.is_(None))
    statement = select(TASKS.c.id, TASKS.c.reviewers, TASKS.c.state, asking).join(
        ROUNDS, ROUNDS.c.number == TASKS.c.round_number
    )
    moved: dict[str, list[int]] = defaultdict(list)
    for task_id, wanted, before, is_asking in select_in(session, statement, TASKS.c.id, ids):
        after = _state(verdicts.get(task_id, ()), wanted=wanted, asking=is_asking)
        after = "conflict" if task_id in unreadable else after
        if after != before:
            moved[after].append(task_id)
    for state, some in moved.items():
        set_task_states(session, some, state)


def _state(verdicts: Sequence[str], *, wanted: int, asking: bool) -> str:
    if len(verdicts) < wanted and (asking or not verdicts):
        return "open" if asking else "withdrawn"
    return "skipped" if set(verdicts) == {"skipped"} else "done"


def _verdicts(session: Session, task_ids: Iterable[int]) -> dict[int, list[str]]:
    """Task id -> the verdicts of its current reviews."""
    current = select(REVIEWS.c.task_id, REVIEWS.c.verdict).where(REVIEWS.c.superseded_at.is_(None))
    found: dict[int, list[str]] = {}
    for task_id, verdict in select_in(session, current, REVIEWS.c.task_id, task_ids):
        found.setdefault(task_id, []).append(verdict)
    return found


def _unreadable(session: Session, task_ids: Iterable[int]) -> set[int]:
    """Those of the tasks that have an unreadable annotation on a server."""
    statement = (
        select(STUDIO_TASKS.c.task_id)
        .join(STUDIO_ANNOTATIONS, STUDIO_TASKS.c.id == STUDIO_ANNOTATIONS.c.studio_task_id)
        .where(STUDIO_TASKS.c.deleted_at.is_(None), STUDIO_ANNOTATIONS.c.deleted_at.is_(None))
        .where(STUDIO_ANNOTATIONS.c.problem.is_not(None))
    )
    return {row.task_id for row in select_in(session, statement, STUDIO_TASKS.c.task_id, task_ids)}
