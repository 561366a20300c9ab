"""Reads that list or look up labels, questions and passages; filters and limits run in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from db.engine import Session
from db.errors import NotFound
from db.queries.corpus import active_by_role, passages
from db.queries.label import fetch, live_counts
from db.rows import LabelRow, PassageRow
from db.sql import AnySelect
from db.tables import LABEL_ANSWERS, LABELS, PASSAGES, QUESTIONS

SHORTEST_PREFIX = 4  # characters of a passage id


def search_labels(
    session: Session,
    *,
    kinds: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    round_number: int | None = None,
    question_id: str | None = None,
    text: str | None = None,
    withdrawn: bool = False,
    after: str | None = None,
    limit: int | None = None,
) -> tuple[list[LabelRow], int]:
    """Live labels of active questions in question id order, and how many match: at most `limit` are read.

    `text` is part of the question, of its id or of an answer, in any case. With `withdrawn`, withdrawn labels too, a
    question's oldest first; those of the last question are read beyond the limit. `after`: only those of later
    questions; all are counted.
    """
    where: list[ColumnElement[bool]] = []
    if not withdrawn:
        where += [LABELS.c.withdrawn_at.is_(None), QUESTIONS.c.active.is_(True)]
    if kinds is not None:
        where.append(LABELS.c.kind.in_(kinds))
    if roles is not None:
        where.append(LABELS.c.question_role.in_(roles))
    if round_number is not None:
        where.append(LABELS.c.round_number == round_number)
    if question_id is not None:
        where.append(LABELS.c.question_id == question_id)
    if text is not None:
        answered = select(LABEL_ANSWERS.c.label_id).where(_contains(LABEL_ANSWERS.c.text, text))
        where.append(or_(_about(text), LABELS.c.id.in_(answered)))
    matching = select(LABELS.c.id).join(QUESTIONS, QUESTIONS.c.id == LABELS.c.question_id).where(*where)
    plain = not withdrawn and round_number is None and question_id is None and text is None
    total = _live(session, kinds, roles) if plain else _count(session, matching)
    place = _by_code_point(session, LABELS.c.question_id)
    page = matching if after is None else matching.where(place > after)
    found = fetch(session, LABELS.c.id.in_(page.order_by(place, LABELS.c.id).limit(limit)))
    if withdrawn and found and limit is not None:
        last = max(found, key=lambda label: label.question_id).question_id
        rest = fetch(session, LABELS.c.id.in_(matching.where(LABELS.c.question_id == last)))
        found = list({label.id: label for label in (*found, *rest)}.values())
    return sorted(found, key=lambda label: (label.question_id, label.id)), total


def _live(session: Session, kinds: Sequence[str] | None, roles: Sequence[str] | None) -> int:
    total = 0
    for (kind, role), count in live_counts(session).items():
        if (kinds is None or kind in kinds) and (roles is None or role in roles):
            total += count
    return total


def search_questions(
    session: Session,
    *,
    roles: Sequence[str] | None = None,
    labelled: bool | None = None,
    text: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> tuple[list[str], int]:
    """Ids of active questions in order, and how many match: at most `limit` are read.

    `labelled`: only those with, or without, a live label. `text` is part of the question or of its id, in any case.
    `after`: only later ids; all are counted.
    """
    where: list[ColumnElement[bool]] = [QUESTIONS.c.active.is_(True)]
    if roles is not None:
        where.append(QUESTIONS.c.role.in_(roles))
    if labelled is not None:
        live = QUESTIONS.c.id.in_(select(LABELS.c.question_id).where(LABELS.c.withdrawn_at.is_(None)))
        where.append(live if labelled else ~live)
    if text is not None:
        where.append(_about(text))
    matching = select(QUESTIONS.c.id).where(*where)
    place = _by_code_point(session, QUESTIONS.c.id)
    page = matching if after is None else matching.where(place > after)
    listed = page.order_by(place).limit(limit)
    if labelled is None and text is None:  # counted by an index
        total = sum(count for role, count in active_by_role(session).items() if roles is None or role in roles)
    else:
        total = _count(session, matching)
    return list(session.execute(listed).scalars()), total


def passage_by_prefix(session: Session, prefix: str) -> PassageRow:
    """The passage whose id starts with the prefix, active or not. Raises NotFound where none or several do."""
    if len(prefix) < SHORTEST_PREFIX:
        raise NotFound(f"passage {prefix!r}: give at least {SHORTEST_PREFIX} characters of its id")
    starts = PASSAGES.c.id.startswith(prefix, autoescape=True)
    found = list(session.execute(select(PASSAGES.c.id).where(starts).limit(2)).scalars())
    if not found:
        raise NotFound(f"passage {prefix!r} is not stored: `labeler search` shows ids")
    if len(found) > 1 and prefix not in found:
        raise NotFound(f"several passages have an id that starts with {prefix!r}: give more of it")
    key = prefix if prefix in found else found[0]
    return passages(session, [key])[key]


def questions_of_passage(session: Session, passage_id: str) -> list[str]:
    """Ids of active questions that came with the passage or whose live label answers from it, in order."""
    answers = (
        select(LABELS.c.question_id)
        .join(LABEL_ANSWERS, LABEL_ANSWERS.c.label_id == LABELS.c.id)
        .where(LABEL_ANSWERS.c.passage_id == passage_id, LABELS.c.withdrawn_at.is_(None))
    )
    mine = or_(QUESTIONS.c.context_id == passage_id, QUESTIONS.c.id.in_(answers))
    return sorted(session.execute(select(QUESTIONS.c.id).where(QUESTIONS.c.active, mine)).scalars())


def _about(text: str) -> ColumnElement[bool]:
    return or_(_contains(QUESTIONS.c.text, text), _contains(QUESTIONS.c.id, text))


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found


def _by_code_point(session: Session, column: Any) -> Any:
    """The column, ordered as Python orders texts: PostgreSQL's order depends on its locale, SQLite's does not."""
    return column.collate("C") if session.dialect.name == "postgresql" else column


def _count(session: Session, matching: AnySelect | Any) -> int:
    return int(session.execute(select(func.count()).select_from(matching.subquery())).scalar_one())
