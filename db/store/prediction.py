"""Bulk writes of predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from db.errors import Conflict, NotFound
from db.models import Prediction, PredictionAnswer, RoundQuestion, utc_now
from db.queries.corpus import pool_to_predict, questions
from db.queries.prediction import predicted_ids
from db.rows import AnswerRow, Decision, NewPrediction
from db.sql import in_chunks, table
from db.store.writing import question_roles


def plan_predictions(session: Session, round_number: int, *, chunk_size: int) -> int:
    """How many questions the round predicts: the pool to predict and the calibration questions, fixed now, in chunks
    of `chunk_size` questions by order of their ids. Written at the opening of the round."""
    held_out = questions(session, roles=["calibration"], duplicates=False)
    ids = sorted(row.id for row in (*pool_to_predict(session), *held_out))
    rows = [
        {"round_number": round_number, "question_id": question_id, "chunk": position // chunk_size}
        for position, question_id in enumerate(ids)
    ]
    if rows:
        session.execute(insert(table(RoundQuestion)), rows)
    return len(rows)


def add_predictions(
    session: Session,
    round_number: int,
    *,
    model_id: int,
    index_fingerprint: str | None,
    rows: Sequence[NewPrediction],
) -> int:
    """How many predictions were stored. Spans are not compared with passages here: labels made of them are.

    Raises:
        Conflict: the round has a prediction for one of the questions already.
        NotFound: a question that is not stored.
    """
    if not rows:
        return 0
    roles = question_roles(session, [row.question_id for row in rows])
    _refuse_known(session, round_number, rows, roles)
    now = utc_now()
    shared = {"round_number": round_number, "model_id": model_id, "index_fingerprint": index_fingerprint}
    values = [_prediction(row, roles[row.question_id], now) | shared for row in rows]
    statement = insert(table(Prediction)).returning(Prediction.id, sort_by_parameter_order=True)
    ids = session.execute(statement, values).scalars().all()
    answers = [
        _answer(answer, prediction_id, rank)
        for prediction_id, row in zip(ids, rows, strict=True)
        for rank, answer in enumerate(row.answers)
    ]
    if answers:
        session.execute(insert(table(PredictionAnswer)), answers)
    return len(rows)


def drop_predictions(session: Session, round_number: int) -> int:
    """How many predictions of the round were deleted, with their n-best."""
    return delete_predictions(session, [round_number])


def delete_predictions(session: Session, round_numbers: Iterable[int]) -> int:
    """How many predictions of these rounds were deleted, with their n-best."""
    count = 0
    for number in sorted(set(round_numbers)):
        mine = select(Prediction.id).where(Prediction.round_number == number)
        count += session.execute(select(func.count()).select_from(mine.subquery())).scalar_one()
        session.execute(delete(table(PredictionAnswer)).where(PredictionAnswer.prediction_id.in_(mine)))
        session.execute(delete(table(Prediction)).where(Prediction.round_number == number))
    return count


def set_confidences(session: Session, round_number: int, confidences: Mapping[str, float | None]) -> int:
    """How many predictions got their confidence, by question id. Raises NotFound for one that is not stored."""
    rows = [{"of": question_id, "confidence": value} for question_id, value in confidences.items()]
    return _update(session, round_number, rows, ("confidence",))


def set_decisions(session: Session, round_number: int, decisions: Sequence[Decision]) -> int:
    """How many predictions got their decision. Raises NotFound for one that is not stored."""
    rows = [{"of": row.question_id, "decision": row.decision, "train_weight": row.train_weight} for row in decisions]
    return _update(session, round_number, rows, ("decision", "train_weight"))


def _update(session: Session, round_number: int, rows: list[dict[str, Any]], columns: Sequence[str]) -> int:
    missing = {row["of"] for row in rows} - predicted_ids(session, round_number)
    if missing:
        raise NotFound(f"round {round_number} has no prediction for question {min(missing)!r}: `labeler predict` first")
    if rows:
        target = table(Prediction)
        mine = (target.c.round_number == round_number, target.c.question_id == bindparam("of"))
        statement = update(target).where(*mine).values({name: bindparam(name) for name in columns})
        session.connection().execute(statement, rows)
    return len(rows)


def _refuse_known(session: Session, round_number: int, rows: Sequence[NewPrediction], roles: Mapping[str, str]) -> None:
    for row in rows:
        if row.question_id not in roles:
            raise NotFound(f"question {row.question_id!r} is not stored: import it first")
    statement = select(Prediction.question_id).where(Prediction.round_number == round_number)
    for ids in in_chunks(roles):
        known = session.execute(statement.where(Prediction.question_id.in_(ids))).scalars().first()
        if known is not None:
            raise Conflict(f"round {round_number} has a prediction for question {known!r} already: drop it first")


def _prediction(row: NewPrediction, role: str, now: datetime) -> dict[str, Any]:
    return {
        "question_id": row.question_id,
        "question_role": role,
        "score": row.score,
        "null_score": row.null_score,
        "confidence": row.confidence,
        "features": dict(row.features),
        "hits": [list(hit) for hit in row.hits],
        "created_at": now,
    }


def _answer(answer: AnswerRow, prediction_id: int, rank: int) -> dict[str, Any]:
    return {
        "prediction_id": prediction_id,
        "rank": rank,
        "text": answer.text,
        "passage_id": answer.passage_id,
        "start": answer.start,
        "end": answer.end,
        "score": answer.score,
        "probability": answer.probability,
    }
