"""Writes of predictions, in bulk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from db.engine import Session
from db.errors import Conflict, NotFound
from db.queries.prediction import predicted_ids
from db.rows import AnswerRow, Decision, NewPrediction
from db.sql import select_in, values
from db.sql.bulk import insert_all, insert_numbered
from db.store.writing import question_roles
from db.tables import PREDICTION_ANSWERS, PREDICTIONS, ROUND_QUESTIONS, utc_now


def plan_predictions(
    session: Session,
    round_number: int,
    groups: Iterable[Sequence[str]],
    *,
    chunk_size: int,
    sampled: Collection[str] | None = None,
) -> int:
    """Fix the questions that a round predicts, and return how many.

    The ids of each group, which one reader reads, are cut into chunks of `chunk_size` in their order. `sampled` are
    those that are a uniform sample of the pool; None: all.
    """
    rows: list[dict[str, Any]] = []
    chunk = 0
    for group in groups:
        for at in range(0, len(group), chunk_size):
            rows += [
                {
                    "round_number": round_number,
                    "question_id": key,
                    "chunk": chunk,
                    "sampled": sampled is None or key in sampled,
                }
                for key in group[at : at + chunk_size]
            ]
            chunk += 1
    insert_all(session, ROUND_QUESTIONS, rows)
    return len(rows)


def add_predictions(
    session: Session,
    round_number: int,
    *,
    index_fingerprint: str | None,
    model_id: int | None = None,
    labeller_id: int | None = None,
    rows: Sequence[NewPrediction],
) -> int:
    """Store predictions of a model or a labeller and return how many.

    Spans are checked when labels are made of them, not here.

    Raises:
        Conflict: the round has a prediction for one of the questions already.
        NotFound: a question that is not stored.
    """
    if not rows:
        return 0
    roles = question_roles(session, [row.question_id for row in rows])
    _refuse_known(session, round_number, rows, roles)
    shared = {
        "round_number": round_number,
        "model_id": model_id,
        "labeller_id": labeller_id,
        "index_fingerprint": index_fingerprint,
        "created_at": utc_now(),
    }
    found = [values(row, PREDICTIONS) | shared | {"question_role": roles[row.question_id]} for row in rows]
    ids = insert_numbered(session, PREDICTIONS, found)
    answers = [
        _answer(answer, prediction_id, rank)
        for prediction_id, row in zip(ids, rows, strict=True)
        for rank, answer in enumerate(row.answers)
    ]
    insert_all(session, PREDICTION_ANSWERS, answers)
    return len(rows)


def delete_predictions(session: Session, round_numbers: Iterable[int]) -> int:
    """Delete the predictions of these rounds with their n-best lists, and return how many."""
    count = 0
    for number in sorted(set(round_numbers)):
        mine = PREDICTIONS.c.round_number == number
        ids = select(PREDICTIONS.c.id).where(mine)
        session.execute(delete(PREDICTION_ANSWERS).where(PREDICTION_ANSWERS.c.prediction_id.in_(ids)))
        count += session.execute(delete(PREDICTIONS).where(mine)).rowcount
    return count


def set_confidences(session: Session, round_number: int, confidences: Mapping[str, float | None]) -> int:
    """Set confidences by question id and return how many. Raises NotFound for a question without a prediction."""
    rows = [{"of": question_id, "confidence": value} for question_id, value in confidences.items()]
    return _update(session, round_number, rows, ("confidence",))


def set_decisions(session: Session, round_number: int, decisions: Sequence[Decision]) -> int:
    """Set decisions and return how many. Raises NotFound for a question without a prediction."""
    columns = ("decision", "train_weight", "reviewed_by")
    rows = [{"of": row.question_id, **{name: getattr(row, name) for name in columns}} for row in decisions]
    return _update(session, round_number, rows, columns)


def _update(session: Session, round_number: int, rows: list[dict[str, Any]], columns: Sequence[str]) -> int:
    missing = {row["of"] for row in rows} - predicted_ids(session, round_number)
    if missing:
        raise NotFound(f"round {round_number} has no prediction for question {min(missing)!r}: `labeler predict` first")
    if rows:
        mine = (PREDICTIONS.c.round_number == round_number, PREDICTIONS.c.question_id == bindparam("of"))
        statement = update(PREDICTIONS).where(*mine).values({name: bindparam(name) for name in columns})
        session.execute(statement, rows)
    return len(rows)


def _refuse_known(session: Session, round_number: int, rows: Sequence[NewPrediction], roles: Mapping[str, str]) -> None:
    for row in rows:
        if row.question_id not in roles:
            raise NotFound(f"question {row.question_id!r} is not stored: import it first")
    column = PREDICTIONS.c.question_id
    known = select_in(session, select(column).where(PREDICTIONS.c.round_number == round_number), column, roles)
    first = next(known, None)
    if first is not None:
        raise Conflict(f"round {round_number} has a prediction for question {first[0]!r} already: drop it first")


def _answer(answer: AnswerRow, prediction_id: int, rank: int) -> dict[str, Any]:
    """Written out: `values` takes three times as long, and there are several answers per prediction."""
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
