"""Reads of predictions with their n-best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Prediction, PredictionAnswer
from db.rows import AnswerRow, PredictionRow
from db.sql import AnyRow, in_chunks, table


def predicted_ids(session: Session, round_number: int) -> set[str]:
    """Ids of the questions that the round has predictions for."""
    return set(session.execute(select(Prediction.question_id).where(Prediction.round_number == round_number)).scalars())


def predictions(
    session: Session, round_number: int, *, question_ids: Iterable[str] | None = None
) -> list[PredictionRow]:
    """A round's predictions with their n-best (best first), in question id order."""
    return list(iter_predictions(session, round_number, question_ids=question_ids))


def iter_predictions(
    session: Session, round_number: int, *, question_ids: Iterable[str] | None = None, batch: int = 500
) -> Iterator[PredictionRow]:
    """The same, streamed, so that a large pool need not fit into memory."""
    wanted = predicted_ids(session, round_number) if question_ids is None else question_ids
    for chunk in in_chunks(wanted, batch):
        yield from _fetch(session, round_number, chunk)


def _fetch(session: Session, round_number: int, question_ids: Sequence[str]) -> list[PredictionRow]:
    where = (Prediction.round_number == round_number, Prediction.question_id.in_(question_ids))
    candidates = (
        select(
            PredictionAnswer.prediction_id,
            PredictionAnswer.text,
            PredictionAnswer.passage_id,
            PredictionAnswer.start,
            PredictionAnswer.end,
            PredictionAnswer.score,
            PredictionAnswer.probability,
        )
        .join(Prediction, Prediction.id == PredictionAnswer.prediction_id)
        .where(*where)
        .order_by(PredictionAnswer.prediction_id, PredictionAnswer.rank)
    )
    answers: dict[int, list[AnswerRow]] = {}
    for prediction_id, text, passage_id, start, end, score, probability in session.execute(candidates):
        answer = AnswerRow(text, passage_id, start, end, score, probability)
        answers.setdefault(prediction_id, []).append(answer)
    rows = session.execute(select(table(Prediction)).where(*where))
    found = [_prediction(row, answers.get(row.id, [])) for row in rows]
    return sorted(found, key=lambda row: row.question_id)


def _prediction(row: AnyRow, answers: Sequence[AnswerRow]) -> PredictionRow:
    fields = dict(row._mapping)
    del fields["created_at"]
    hits = tuple((passage_id, score) for passage_id, score in fields.pop("hits"))
    return PredictionRow(**fields, answers=tuple(answers), hits=hits)
