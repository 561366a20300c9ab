"""Reads of rounds, models, retrievers, calibrators, evaluations and releases."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import Calibrator, Evaluation, Model, Prediction, Release, Retriever, Round, RoundQuestion
from db.models import ReleaseRow as ReleaseRowTable
from db.rows import (
    CalibratorRow,
    EvaluationRow,
    ModelRow,
    ReleasedAnswer,
    ReleaseRow,
    RetrieverRow,
    RoundRow,
    SpanRow,
)
from db.sql import AnyRow, AnySelect, table


def rounds(session: Session, *, reverted: bool = True) -> list[RoundRow]:
    """All rounds, or those that are not reverted, by number."""
    statement = _rounds().order_by(Round.number)
    if not reverted:
        statement = statement.where(Round.reverted_at.is_(None))
    return [RoundRow(**row._mapping) for row in session.execute(statement)]


def round_(session: Session, number: int) -> RoundRow:
    """One round. Raises NotFound."""
    row = session.execute(_rounds().where(Round.number == number)).first()
    if row is None:
        raise NotFound(f"there is no round {number}: `labeler rounds list` shows all")
    return RoundRow(**row._mapping)


def current_round(session: Session) -> RoundRow | None:
    """The open round, or None."""
    return _round_or_none(session, _rounds().where(Round.is_open))


def last_round(session: Session) -> RoundRow | None:
    """The newest round that is not reverted, or None."""
    return _round_or_none(session, _rounds().where(Round.reverted_at.is_(None)).order_by(Round.number.desc()))


def next_round_number(session: Session) -> int:
    """The number the next round gets: one above every number ever used, 0 at first."""
    highest = session.execute(select(func.max(Round.number))).scalar()
    return 0 if highest is None else highest + 1


def round_chunks(session: Session, number: int, *, predicted: bool = True) -> list[list[str]]:
    """The question ids that a round predicts, as `store.plan_predictions` fixed them: a sorted list a chunk.

    Without `predicted`, only chunks that are not stored whole: a chunk is always read, and stored, as a whole.
    """
    statement = select(RoundQuestion.chunk, RoundQuestion.question_id).where(RoundQuestion.round_number == number)
    chunks: dict[int, list[str]] = {}
    for chunk, question_id in session.execute(statement):
        chunks.setdefault(chunk, []).append(question_id)
    stored = select(Prediction.question_id).where(Prediction.round_number == number)
    done = set() if predicted else set(session.execute(stored).scalars())
    return [sorted(chunks[chunk]) for chunk in sorted(chunks) if not done.issuperset(chunks[chunk])]


def best_model(session: Session) -> ModelRow | None:
    """The student of the newest promoted round that is not reverted, or None."""
    statement = (
        select(table(Model))
        .join(Round, Round.student_id == Model.id)
        .where(Round.promoted.is_(True), Round.reverted_at.is_(None))
        .order_by(Round.number.desc())
        .limit(1)
    )
    row = session.execute(statement).first()
    return None if row is None else ModelRow(**row._mapping)


def model(session: Session, model_id: int) -> ModelRow:
    """One model. Raises NotFound."""
    row = session.execute(select(table(Model)).where(Model.id == model_id)).first()
    if row is None:
        raise NotFound(f"model {model_id} is not stored: `labeler rounds list` shows all")
    return ModelRow(**row._mapping)


def model_of_round(session: Session, round_number: int, *, name: str = "student") -> ModelRow | None:
    """The model of this name trained in a round, or None."""
    statement = select(table(Model)).where(Model.round_number == round_number, Model.name == name)
    row = session.execute(statement).first()
    return None if row is None else ModelRow(**row._mapping)


def models(session: Session) -> list[ModelRow]:
    """All models, pruned ones too, oldest first."""
    return [ModelRow(**row._mapping) for row in session.execute(select(table(Model)).order_by(Model.id))]


def retriever_of_round(session: Session, round_number: int) -> RetrieverRow | None:
    """The retriever trained in a round, or None."""
    row = session.execute(select(table(Retriever)).where(Retriever.round_number == round_number)).first()
    return None if row is None else RetrieverRow(**row._mapping)


def retrievers(session: Session, *, reverted: bool = True) -> list[RetrieverRow]:
    """All retrievers, pruned ones too, or those of rounds that are not reverted; oldest first."""
    statement = select(table(Retriever)).order_by(Retriever.round_number)
    if not reverted:
        statement = statement.join(Round, Round.number == Retriever.round_number).where(Round.reverted_at.is_(None))
    return [RetrieverRow(**row._mapping) for row in session.execute(statement)]


def calibrator(session: Session, calibrator_id: int) -> CalibratorRow:
    """One calibrator. Raises NotFound."""
    row = session.execute(select(table(Calibrator)).where(Calibrator.id == calibrator_id)).first()
    if row is None:
        raise NotFound(f"calibrator {calibrator_id} is not stored: `labeler rounds list` shows all")
    return CalibratorRow(**row._mapping)


def evaluation(session: Session, model_id: int, *, split: str, key: str) -> EvaluationRow | None:
    """The stored evaluation of a model on a split under this key, or None."""
    same = (Evaluation.model_id == model_id, Evaluation.split == split, Evaluation.key == key)
    row = session.execute(select(table(Evaluation)).where(*same)).first()
    return None if row is None else _evaluation(row)


def evaluations(session: Session, *, split: str | None = None) -> list[EvaluationRow]:
    """Stored evaluations, oldest first."""
    statement = select(table(Evaluation)).order_by(Evaluation.id)
    if split is not None:
        statement = statement.where(Evaluation.split == split)
    return [_evaluation(row) for row in session.execute(statement)]


def release(session: Session, round_number: int) -> ReleaseRow | None:
    """The newest released snapshot of a round, or None."""
    statement = select(table(Release)).where(Release.round_number == round_number).order_by(Release.id.desc()).limit(1)
    row = session.execute(statement).first()
    return None if row is None else ReleaseRow(**row._mapping)


def released_answers(session: Session, release_id: int) -> list[ReleasedAnswer]:
    """The rows of a released snapshot in question id order."""
    statement = select(table(ReleaseRowTable)).where(ReleaseRowTable.release_id == release_id)
    found = [
        ReleasedAnswer(
            row.question_id, row.label_id, SpanRow(row.text, row.passage_id, row.start, row.end), row.confidence
        )
        for row in session.execute(statement)
    ]
    return sorted(found, key=lambda row: row.question_id)


def _rounds() -> AnySelect:
    return select(table(Round))


def _round_or_none(session: Session, statement: AnySelect) -> RoundRow | None:
    row = session.execute(statement.limit(1)).first()
    return None if row is None else RoundRow(**row._mapping)


def _evaluation(row: AnyRow) -> EvaluationRow:
    fields = dict(row._mapping)
    return EvaluationRow(**{**fields, "results": tuple(fields["results"])})
