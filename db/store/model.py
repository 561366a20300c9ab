"""Writes of what rounds train and measure: models, retrievers, calibrators, evaluations; pruning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import func, select, update

from db.certificates import certificates
from db.engine import Session
from db.errors import Conflict
from db.queries import round as round_queries
from db.queries.training import training_labels
from db.rows import Json, ModelRow, Pruned, RetrieverRow
from db.sql import insert_one, update_in
from db.sql.bulk import insert_all
from db.store.prediction import delete_predictions
from db.tables import (
    CALIBRATORS,
    EVALUATIONS,
    LABELS,
    MODELS,
    PREDICTIONS,
    RETRIEVERS,
    ROUNDS,
    TASKS,
    TRAINING_LABELS,
    utc_now,
)


def freeze_training(session: Session, round_number: int) -> int:
    """Fix which labels a round trains on, as `queries.training_labels` gives them now, and return how many.

    Raises Conflict if they are fixed already.
    """
    mine = select(func.count()).select_from(TRAINING_LABELS).where(TRAINING_LABELS.c.round_number == round_number)
    if session.execute(mine).scalar_one():
        raise Conflict(f"the training set of round {round_number} is fixed already: run `labeler round` to go on")
    rows = [
        {"round_number": round_number, "label_id": row.label.id, "weight": row.weight}
        for row in training_labels(session)
    ]
    insert_all(session, TRAINING_LABELS, rows)
    return len(rows)


class Trained(TypedDict):
    """What is stored of a trained model or retriever."""

    hash: str
    training_sha256: str
    path: str
    start: str
    config: Json
    examples: int
    seconds: float
    loss: float | None


def add_model(session: Session, round_number: int, *, name: str = "student", **trained: Unpack[Trained]) -> int:
    """Store a model and return its id. The same round, name and hash again is the model already stored.

    Raises Conflict if the round has another model of this name.
    """
    known = round_queries.model_of_round(session, round_number, name=name)
    if known is None:
        return insert_one(session, MODELS, round_number=round_number, name=name, **trained)
    if known.hash != trained["hash"]:
        raise Conflict(f"round {round_number} has another model {name!r} ({known.path}): remove the new folder")
    return known.id


def make_student(session: Session, round_number: int, model_id: int, *, other: str) -> None:
    """Give a model of the round the name `student`; the one that had it takes the name `other`."""
    mine = MODELS.c.round_number == round_number
    if session.execute(select(MODELS.c.name).where(MODELS.c.id == model_id)).scalar_one() == "student":
        return
    for name, to in (("name of the student to be", MODELS.c.id == model_id), (other, MODELS.c.name == "student")):
        session.execute(update(MODELS).where(mine, to).values(name=name))
    session.execute(update(MODELS).where(mine, MODELS.c.id == model_id).values(name="student"))


def add_retriever(session: Session, round_number: int, **trained: Unpack[Trained]) -> None:
    """Store the retriever that a round trained, without the gate's decision. Raises Conflict if the round has one."""
    known = round_queries.retriever_of_round(session, round_number)
    if known is not None:
        raise Conflict(f"round {round_number} has a retriever already ({known.path}): remove the new folder")
    insert_one(session, RETRIEVERS, round_number=round_number, **trained)


def record_retriever_gate(
    session: Session,
    round_number: int,
    *,
    promoted: bool,
    gate: Json,
    index_before: str | None,
    index_after: str | None,
    encoder_before: str | None,
) -> None:
    """Store the gate's decision on a round's retriever, and what was used before it.

    Raises Conflict unless the round has a retriever without a decision.
    """
    decision = {
        "promoted": promoted,
        "gate": gate,
        "index_before": index_before,
        "index_after": index_after,
        "encoder_before": encoder_before,
    }
    undecided = (RETRIEVERS.c.round_number == round_number, RETRIEVERS.c.promoted.is_(None))
    if session.execute(update(RETRIEVERS).where(*undecided).values(decision)).rowcount != 1:
        raise Conflict(f"round {round_number} has no retriever without a decision: see `labeler rounds show`")


def add_calibrator(session: Session, *, hash: str, kind: str, state: Json, metrics: Json) -> int:
    """Store a calibrator and return its id."""
    return insert_one(session, CALIBRATORS, hash=hash, kind=kind, state=state, metrics=metrics)


def add_evaluation(
    session: Session, model_id: int, *, split: str, key: str, summary: Json, results: Sequence[Any]
) -> int:
    """Store an evaluation and return its id; an older one of the same model, split and key is overwritten."""
    known = round_queries.evaluation(session, model_id, split=split, key=key)
    found = {"summary": summary, "results": results, "created_at": utc_now()}
    if known is None:
        return insert_one(session, EVALUATIONS, model_id=model_id, split=split, key=key, **found)
    update_in(session, EVALUATIONS.c.id, [known.id], **found)
    return known.id


def prune(
    session: Session, *, keep: int = 1, models_in_use: Collection[int] = (), retrievers_in_use: Collection[str] = ()
) -> Pruned:
    """Delete predictions of old rounds that nothing refers to, and mark such models and retrievers as pruned.

    Kept are predictions of the newest `keep` rounds, of an open round, of rounds with open tasks, of rounds that live
    pseudo-labels came from and of rounds under audit; students and fold readers of promoted rounds that are not
    reverted; those of an open round, and its teacher; promoted retrievers of rounds that are not reverted and that of
    an open round.

    The rows of pruned models and retrievers stay for provenance; the caller deletes their folders.

    Args:
        models_in_use: ids of further models to keep, which settings name.
        retrievers_in_use: hashes of further retrievers to keep, which settings name or an index is built with.
    """
    stored = set(session.execute(select(PREDICTIONS.c.round_number).distinct()).scalars())
    deleted = delete_predictions(session, stored - _rounds_in_use(session, keep))
    models = _models_to_prune(session, in_use=models_in_use)
    update_in(session, MODELS.c.id, [row.id for row in models], pruned_at=utc_now())
    retrievers = _retrievers_to_prune(session, in_use=retrievers_in_use)
    update_in(session, RETRIEVERS.c.id, [row.id for row in retrievers], pruned_at=utc_now())
    return Pruned(deleted, models, retrievers)


def _rounds_in_use(session: Session, keep: int) -> set[int | None]:
    statements = (
        select(ROUNDS.c.number).where(ROUNDS.c.kind != "audit").order_by(ROUNDS.c.number.desc()).limit(keep),
        select(ROUNDS.c.number).where(ROUNDS.c.kind == "audit").order_by(ROUNDS.c.number.desc()).limit(keep),
        select(ROUNDS.c.number).where(ROUNDS.c.is_open),
        select(TASKS.c.round_number).where(TASKS.c.state == "open").distinct(),
        select(LABELS.c.round_number).where(LABELS.c.withdrawn_at.is_(None), LABELS.c.kind == "pseudo").distinct(),
    )
    audited = {row.request.get("predictions_of_round") for row in certificates(session) if row.document is None}
    return audited | {number for statement in statements for number in session.execute(statement).scalars()}


def _models_to_prune(session: Session, *, in_use: Collection[int]) -> tuple[ModelRow, ...]:
    trained = select(MODELS.c.id).join(ROUNDS, ROUNDS.c.number == MODELS.c.round_number)
    statements = (
        trained.where(ROUNDS.c.promoted, ROUNDS.c.reverted_at.is_(None)),
        select(ROUNDS.c.teacher_id).where(ROUNDS.c.is_open),
        trained.where(ROUNDS.c.is_open),
    )
    kept = {key for statement in statements for key in session.execute(statement).scalars()} | set(in_use)
    return tuple(row for row in round_queries.models(session) if row.pruned_at is None and row.id not in kept)


def _retrievers_to_prune(session: Session, *, in_use: Collection[str]) -> tuple[RetrieverRow, ...]:
    current = round_queries.current_round(session)
    number = current.number if current else None
    kept = {row.id for row in round_queries.retrievers(session, reverted=False) if row.promoted}
    return tuple(
        row
        for row in round_queries.retrievers(session)
        if row.pruned_at is None and row.id not in kept and row.round_number != number and row.hash not in in_use
    )
