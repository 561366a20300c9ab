"""Reads of rounds, models, retrievers, calibrators and evaluations."""

from __future__ import annotations

from sqlalchemy import func, select

from db.engine import Session
from db.errors import NotFound
from db.rows import (
    CalibratorRow,
    EvaluationRow,
    ModelRow,
    RetrieverRow,
    RoundRow,
)
from db.sql import fetch_all, fetch_first
from db.tables import (
    CALIBRATORS,
    EVALUATIONS,
    MODELS,
    PREDICTIONS,
    RETRIEVERS,
    ROUND_QUESTIONS,
    ROUNDS,
)

_IN_FORCE = ROUNDS.c.reverted_at.is_(None)


def rounds(session: Session, *, reverted: bool = True) -> list[RoundRow]:
    """All rounds by number, or those that are not reverted."""
    statement = select(ROUNDS).order_by(ROUNDS.c.number)
    return fetch_all(session, statement if reverted else statement.where(_IN_FORCE), RoundRow)


def round_(session: Session, number: int) -> RoundRow:
    """One round. Raises NotFound."""
    found = fetch_first(session, select(ROUNDS).where(ROUNDS.c.number == number), RoundRow)
    if found is None:
        raise NotFound(f"there is no round {number}: `labeler rounds list` shows all")
    return found


def current_round(session: Session) -> RoundRow | None:
    """The open round, or None."""
    return fetch_first(session, select(ROUNDS).where(ROUNDS.c.is_open), RoundRow)


def last_round(session: Session) -> RoundRow | None:
    """The newest round that is not reverted, or None."""
    return fetch_first(session, select(ROUNDS).where(_IN_FORCE).order_by(ROUNDS.c.number.desc()), RoundRow)


def begun(session: Session) -> bool:
    """Whether a round was opened that is no audit and not reverted: audits of labellers need no round before them."""
    return any(row.kind != "audit" for row in rounds(session, reverted=False))


def next_round_number(session: Session) -> int:
    """One above every round number ever used; 0 at first."""
    highest = session.execute(select(func.max(ROUNDS.c.number))).scalar()
    return 0 if highest is None else int(highest) + 1


def round_chunks(session: Session, number: int, *, predicted: bool = True) -> list[list[str]]:
    """The question ids that a round predicts, one sorted list per chunk, as `store.plan_predictions` fixed them.

    Without `predicted`, only chunks that are not stored whole: a chunk is always read and stored as a whole.
    """
    mine = ROUND_QUESTIONS.c.round_number == number
    chunks: dict[int, list[str]] = {}
    for chunk, question_id in session.execute(
        select(ROUND_QUESTIONS.c.chunk, ROUND_QUESTIONS.c.question_id).where(mine)
    ):
        chunks.setdefault(chunk, []).append(question_id)
    stored = select(PREDICTIONS.c.question_id).where(PREDICTIONS.c.round_number == number)
    done = set() if predicted else set(session.execute(stored).scalars())
    return [sorted(chunks[chunk]) for chunk in sorted(chunks) if not done.issuperset(chunks[chunk])]


def sampled_questions(session: Session, number: int) -> set[str]:
    """Ids of the questions of a round that are a uniform sample of the pool, as it was planned."""
    mine = (ROUND_QUESTIONS.c.round_number == number, ROUND_QUESTIONS.c.sampled)
    return set(session.execute(select(ROUND_QUESTIONS.c.question_id).where(*mine)).scalars())


def best_model(session: Session) -> ModelRow | None:
    """The student of the newest promoted round that is not reverted, or None."""
    promoted = select(MODELS).join(ROUNDS, ROUNDS.c.student_id == MODELS.c.id).where(ROUNDS.c.promoted, _IN_FORCE)
    return fetch_first(session, promoted.order_by(ROUNDS.c.number.desc()), ModelRow)


def model(session: Session, model_id: int) -> ModelRow:
    """One model. Raises NotFound."""
    found = fetch_first(session, select(MODELS).where(MODELS.c.id == model_id), ModelRow)
    if found is None:
        raise NotFound(f"model {model_id} is not stored: `labeler rounds list` shows all")
    return found


def model_of_round(session: Session, round_number: int, *, name: str = "student") -> ModelRow | None:
    """The model of this name trained in a round, or None."""
    statement = select(MODELS).where(MODELS.c.round_number == round_number, MODELS.c.name == name)
    return fetch_first(session, statement, ModelRow)


def models(session: Session) -> list[ModelRow]:
    """All models including pruned ones, oldest first."""
    return fetch_all(session, select(MODELS).order_by(MODELS.c.id), ModelRow)


def retriever_of_round(session: Session, round_number: int) -> RetrieverRow | None:
    """The retriever trained in a round, or None."""
    return fetch_first(session, select(RETRIEVERS).where(RETRIEVERS.c.round_number == round_number), RetrieverRow)


def retrievers(session: Session, *, reverted: bool = True) -> list[RetrieverRow]:
    """All retrievers including pruned ones, or those of rounds that are not reverted; oldest first."""
    statement = select(RETRIEVERS).order_by(RETRIEVERS.c.round_number)
    if not reverted:
        statement = statement.join(ROUNDS, ROUNDS.c.number == RETRIEVERS.c.round_number).where(_IN_FORCE)
    return fetch_all(session, statement, RetrieverRow)


def calibrator(session: Session, calibrator_id: int) -> CalibratorRow:
    """One calibrator. Raises NotFound."""
    found = fetch_first(session, select(CALIBRATORS).where(CALIBRATORS.c.id == calibrator_id), CalibratorRow)
    if found is None:
        raise NotFound(f"calibrator {calibrator_id} is not stored: `labeler rounds list` shows all")
    return found


def evaluation(session: Session, model_id: int, *, split: str, key: str) -> EvaluationRow | None:
    """The stored evaluation of a model on a split under this key, or None."""
    same = (EVALUATIONS.c.model_id == model_id, EVALUATIONS.c.split == split, EVALUATIONS.c.key == key)
    return fetch_first(session, select(EVALUATIONS).where(*same), EvaluationRow)


def evaluations(session: Session, *, split: str | None = None) -> list[EvaluationRow]:
    """Stored evaluations of all splits or of one, oldest first."""
    statement = select(EVALUATIONS).order_by(EVALUATIONS.c.id)
    if split is not None:
        statement = statement.where(EVALUATIONS.c.split == split)
    return fetch_all(session, statement, EvaluationRow)
