"""Writes of the roles and exclusions of questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import update

from db.engine import Session
from db.errors import Conflict, NotFound
from db.queries import corpus
from db.sql import in_chunks, update_in
from db.store import writing
from db.tables import LABELS, QUESTIONS
from db.vocabulary import BAD_QUESTION, HELD_OUT


def set_roles(session: Session, roles: Mapping[str, str]) -> int:
    """Give questions new roles and return how many changed. Labels of questions now held out get weight 0.

    Raises:
        NotFound: an id that is not stored.
        Conflict: a held-out question would be trained on, or one with a live pseudo-label would leave the pool.
    """
    stored = {row.id: row for row in corpus.questions(session, ids=roles, active=False)}
    moving: dict[str, list[str]] = {}
    for question_id, role in sorted(roles.items()):
        if question_id not in stored:
            raise NotFound(f"question {question_id!r} is not stored: import it first")
        old = stored[question_id].role
        if old in HELD_OUT and role not in HELD_OUT:
            raise Conflict(f"question {question_id!r} is held out as {old}: it can never be trained on")
        if old != role:
            moving.setdefault(role, []).append(question_id)
    for role, ids in moving.items():
        _refuse_pseudo(session, ids)
        move_questions(session, ids, role)
    return sum(len(ids) for ids in moving.values())


def move_questions(session: Session, question_ids: Iterable[str], role: str, *, imported: bool = False) -> None:
    """Give questions another role; the caller has checked that they may move.

    First goes what the constraints forbid in the new role: training weights of held-out labels, pseudo-labels outside
    the pool, and inside it the flag `is_impossible`.
    """
    changes: dict[str, Any] = {"role": role} | ({"imported_role": role} if imported else {})
    if role == "pool":
        changes["is_impossible"] = None
    for ids in in_chunks(question_ids):
        if role in HELD_OUT:
            update_in(session, LABELS.c.question_id, ids, train_weight=0.0)
        if role != "pool":
            pseudo = [label_id for label_id, kind in writing.live_ids(session, ids).values() if kind == "pseudo"]
            writing.withdraw(session, pseudo, reason=f"the question moved to {role}", by=None)
        update_in(session, QUESTIONS.c.id, ids, **changes)


def _refuse_pseudo(session: Session, question_ids: Sequence[str]) -> None:
    for question_id, (_, kind) in sorted(writing.live_ids(session, question_ids).items()):
        if kind == "pseudo":
            raise Conflict(f"question {question_id!r} has a pseudo-label: `labeler label withdraw {question_id}` first")


def exclude(session: Session, question_ids: Iterable[str], *, reason: str | None) -> None:
    """Exclude questions for a reason, or lift their exclusion with None."""
    update_in(session, QUESTIONS.c.id, question_ids, exclusion_reason=reason)


def lift_exclusions(session: Session, question_ids: Iterable[str]) -> None:
    """Lift the exclusions that reviews caused; those made by hand stay."""
    for ids in in_chunks(question_ids):
        reviewed = (QUESTIONS.c.id.in_(ids), QUESTIONS.c.exclusion_reason.startswith(BAD_QUESTION))
        session.execute(update(QUESTIONS).where(*reviewed).values(exclusion_reason=None))
