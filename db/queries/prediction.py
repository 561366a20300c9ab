"""Reads of predictions with their n-best lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import select

from db.engine import Session
from db.rows import AnswerRow, PredictionRow
from db.sql import AnyRow, columns, in_chunks
from db.tables import PREDICTION_ANSWERS, PREDICTIONS, QUESTIONS, ROUND_QUESTIONS, ROUNDS


def predicted_ids(session: Session, round_number: int, *, roles: Sequence[str] | None = None) -> set[str]:
    """Ids of the questions, active ones that have one of these roles now, that the round has predictions for."""
    statement = select(PREDICTIONS.c.question_id).where(PREDICTIONS.c.round_number == round_number)
    if roles is not None:
        statement = statement.join(QUESTIONS, QUESTIONS.c.id == PREDICTIONS.c.question_id)
        statement = statement.where(QUESTIONS.c.role.in_(roles), QUESTIONS.c.active)
    return set(session.execute(statement).scalars())


def predicted_rounds(session: Session) -> list[int]:
    """The rounds, not reverted, that have predictions of pool questions; the audits that only borrowed some are not
    among them. By number."""
    own = select(ROUND_QUESTIONS.c.round_number).distinct()
    statement = (
        select(PREDICTIONS.c.round_number)
        .join(ROUNDS, ROUNDS.c.number == PREDICTIONS.c.round_number)
        .where(PREDICTIONS.c.question_role == "pool", ROUNDS.c.reverted_at.is_(None))
        .where((ROUNDS.c.kind != "audit") | ROUNDS.c.number.in_(own))
        .distinct()
    )
    return sorted(session.execute(statement).scalars())


def newest_confidences(session: Session) -> dict[str, float]:
    """The confidence of the newest prediction of each pool question, of rounds that are not reverted; its score where
    there was no calibrator, 0 without an answer."""
    statement = (
        select(PREDICTIONS.c.question_id, PREDICTIONS.c.confidence, PREDICTIONS.c.score)
        .join(ROUNDS, ROUNDS.c.number == PREDICTIONS.c.round_number)
        .where(PREDICTIONS.c.question_role == "pool", ROUNDS.c.reverted_at.is_(None))
        .order_by(PREDICTIONS.c.round_number)
    )
    return {
        question_id: confidence if confidence is not None else score or 0.0
        for question_id, confidence, score in session.execute(statement)
    }


def predictions(
    session: Session, round_number: int, *, question_ids: Iterable[str] | None = None
) -> list[PredictionRow]:
    """A round's predictions with their n-best lists (best first), in question id order."""
    return list(iter_predictions(session, round_number, question_ids=question_ids))


def iter_predictions(
    session: Session, round_number: int, *, question_ids: Iterable[str] | None = None, batch: int = 500
) -> Iterator[PredictionRow]:
    """Stream a round's predictions as `predictions` lists them, so that a large pool need not fit into memory."""
    wanted = predicted_ids(session, round_number) if question_ids is None else question_ids
    for chunk in in_chunks(wanted, batch):
        yield from _fetch(session, round_number, chunk)


def _fetch(session: Session, round_number: int, question_ids: Sequence[str]) -> list[PredictionRow]:
    wanted = (PREDICTIONS.c.round_number == round_number, PREDICTIONS.c.question_id.in_(question_ids))
    candidates = (
        select(PREDICTION_ANSWERS.c.prediction_id, *columns(PREDICTION_ANSWERS, AnswerRow))
        .join(PREDICTIONS, PREDICTIONS.c.id == PREDICTION_ANSWERS.c.prediction_id)
        .where(*wanted)
        .order_by(PREDICTION_ANSWERS.c.prediction_id, PREDICTION_ANSWERS.c.rank)
    )
    answers: dict[int, list[AnswerRow]] = {}
    for prediction_id, *answer in session.execute(candidates):
        answers.setdefault(prediction_id, []).append(AnswerRow(*answer))
    rows = session.execute(select(*columns(PREDICTIONS, PredictionRow)).where(*wanted))
    found = [_prediction(row, answers.get(row.id, [])) for row in rows]
    return sorted(found, key=lambda row: row.question_id)


def _prediction(row: AnyRow, answers: Sequence[AnswerRow]) -> PredictionRow:
    values = dict(row._mapping)
    hits = tuple((passage_id, score) for passage_id, score in values.pop("hits"))
    return PredictionRow(**values, answers=tuple(answers), hits=hits)
