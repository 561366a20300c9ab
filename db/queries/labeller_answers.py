"""Reads of labellers and their live answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from db.engine import Session
from db.errors import NotFound
from db.rows import LabellerAnswer, LabellerCounts, LabellerPredictionRow, LabellerReply, LabellerRow
from db.sql import columns, fetch_all, fetch_first, in_chunks, select_in
from db.tables import LABELLER_ANSWERS, LABELLER_PREDICTIONS, LABELLER_REPLIES, LABELLERS, QUESTIONS

_LIVE = LABELLER_PREDICTIONS.c.withdrawn_at.is_(None)


def labellers(session: Session) -> list[LabellerRow]:
    """All labellers by name."""
    return fetch_all(session, select(LABELLERS).order_by(LABELLERS.c.name), LabellerRow)


def find_labeller(session: Session, name: str) -> LabellerRow | None:
    """The labeller of this name, or None."""
    return fetch_first(session, select(LABELLERS).where(LABELLERS.c.name == name), LabellerRow)


def labeller(session: Session, name: str) -> LabellerRow:
    """The labeller of this name. Raises NotFound, which lists all."""
    found = find_labeller(session, name)
    if found is None:
        known = ", ".join(row.name for row in labellers(session)) or "none yet"
        raise NotFound(
            f"there is no labeller {name!r} (there are: {known}); import its answers with: labeler import FILE "
            "--as predictions --labeller NAME"
        )
    return found


def labeller_by_id(session: Session, labeller_id: int) -> LabellerRow:
    """One labeller. Raises NotFound."""
    found = fetch_first(session, select(LABELLERS).where(LABELLERS.c.id == labeller_id), LabellerRow)
    if found is None:
        raise NotFound(f"labeller {labeller_id} is not stored: `labeler status` lists all")
    return found


def answered(session: Session, labeller_id: int, question_ids: Iterable[str] | None = None) -> dict[str, int | None]:
    """The import that each live answer of a labeller came from, by question id; of all questions or of these."""
    column = LABELLER_PREDICTIONS.c.question_id
    statement = select(column, LABELLER_PREDICTIONS.c.import_id).where(
        LABELLER_PREDICTIONS.c.labeller_id == labeller_id, _LIVE
    )
    rows = session.execute(statement) if question_ids is None else select_in(session, statement, column, question_ids)
    return dict(tuple(row) for row in rows)


def labeller_predictions(
    session: Session, labeller_id: int, question_ids: Iterable[str] | None = None
) -> Iterator[LabellerPredictionRow]:
    """The live answers of a labeller to active questions in question id order; to all or to these."""
    for chunk in in_chunks(answered(session, labeller_id, question_ids)):
        yield from _fetch(session, labeller_id, chunk)


def _fetch(session: Session, labeller_id: int, question_ids: Sequence[str]) -> list[LabellerPredictionRow]:
    table = LABELLER_PREDICTIONS
    wanted = (table.c.labeller_id == labeller_id, table.c.question_id.in_(question_ids), _LIVE)
    answers: dict[int, list[LabellerAnswer]] = {}
    statement = (
        select(LABELLER_ANSWERS.c.prediction_id, *columns(LABELLER_ANSWERS, LabellerAnswer))
        .join(table, table.c.id == LABELLER_ANSWERS.c.prediction_id)
        .where(*wanted)
        .order_by(LABELLER_ANSWERS.c.prediction_id, LABELLER_ANSWERS.c.rank)
    )
    for row in session.execute(statement):
        values = dict(row._mapping)
        answers.setdefault(values.pop("prediction_id"), []).append(LabellerAnswer(**values))
    rows = (
        select(*columns(table, LabellerPredictionRow))
        .join(QUESTIONS, QUESTIONS.c.id == table.c.question_id)
        .where(*wanted, QUESTIONS.c.active)
        .order_by(table.c.question_id)
    )
    return [
        LabellerPredictionRow(**row._mapping, answers=tuple(answers.get(row.id, ()))) for row in session.execute(rows)
    ]


def labeller_sha256(session: Session, name: str) -> str:
    """The hash of a labeller's name and live answers: a JSON line for the name, then one for each question by id.

    Raises NotFound.
    """
    row = labeller(session, name)
    digest = hashlib.sha256(json.dumps([row.name, row.kind]).encode() + b"\n")
    for each in labeller_predictions(session, row.id):
        answers = [[one.text, one.passage_id, one.start, one.end, one.score] for one in each.answers]
        digest.update(json.dumps([each.question_id, each.abstains, each.null_score, answers]).encode() + b"\n")
    return digest.hexdigest()


def labeller_counts(session: Session) -> list[LabellerCounts]:
    """What each labeller has answered, by name."""
    table, first = LABELLER_PREDICTIONS, LABELLER_ANSWERS.c
    statement = (
        select(
            LABELLERS.c.name,
            LABELLERS.c.kind,
            func.count(QUESTIONS.c.id).label("questions"),
            func.count(QUESTIONS.c.id).filter(first.passage_id.is_not(None), ~table.c.abstains).label("anchored"),
            func.count(QUESTIONS.c.id).filter(table.c.abstains).label("abstained"),
        )
        .outerjoin(table, (table.c.labeller_id == LABELLERS.c.id) & _LIVE)
        .outerjoin(QUESTIONS, (QUESTIONS.c.id == table.c.question_id) & QUESTIONS.c.active)
        .outerjoin(LABELLER_ANSWERS, (first.prediction_id == table.c.id) & (first.rank == 0))
        .group_by(LABELLERS.c.id, LABELLERS.c.name, LABELLERS.c.kind)
        .order_by(LABELLERS.c.name)
    )
    spent = _spent(session)
    return [LabellerCounts(**row._mapping, **spent.get(row.name, {})) for row in session.execute(statement)]


def _spent(session: Session) -> dict[str, dict[str, Any]]:
    """Requests, tokens and cost by labeller."""
    replies = LABELLER_REPLIES.c
    statement = (
        select(
            LABELLERS.c.name,
            func.count().label("requests"),
            func.coalesce(func.sum(replies.prompt_tokens), 0).label("prompt_tokens"),
            func.coalesce(func.sum(replies.completion_tokens), 0).label("completion_tokens"),
            func.sum(replies.cost).label("cost"),
        )
        .join(LABELLERS, LABELLERS.c.id == replies.labeller_id)
        .group_by(LABELLERS.c.name)
    )
    found = (dict(row._mapping) for row in session.execute(statement))
    return {row.pop("name"): row for row in found}


def labeller_cost(session: Session, labeller_id: int, *, since: datetime) -> float:
    """What the replies to a labeller have cost since a moment, by the prices given then."""
    replies = LABELLER_REPLIES.c
    mine = (replies.labeller_id == labeller_id, replies.created_at >= since)
    return float(session.execute(select(func.coalesce(func.sum(replies.cost), 0.0)).where(*mine)).scalar_one())


def replies(session: Session, keys: Iterable[str]) -> dict[str, LabellerReply]:
    """The stored replies to these requests, by the hash of the request."""
    statement = select(*columns(LABELLER_REPLIES, LabellerReply))
    found = select_in(session, statement, LABELLER_REPLIES.c.sha256, keys)
    return {row.sha256: LabellerReply(**row._mapping) for row in found}
