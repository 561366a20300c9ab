"""Writes of rounds, models, calibrators, evaluations, releases and the journal."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.errors import Conflict
from db.models import Calibrator, Evaluation, Event, Label, Model, Prediction, Release, Review, Round, Task, utc_now
from db.models import ReleaseRow as ReleaseRowTable
from db.queries import label as label_queries
from db.queries import round as round_queries
from db.rows import Json, LabelRow, Pruned, ReleaseRow, RoundRow, Withdrawn
from db.sql import table
from db.store.label import take_back
from db.store.prediction import delete_predictions
from db.store.retriever import prune_retrievers
from db.store.review import withdraw_tasks
from db.store.writing import span_values

FIRST_KINDS = ("baseline", "cold")


class RoundChanges(TypedDict, total=False):
    """The columns of a round that a step may write together with the new stage."""

    teacher_id: int | None
    student_id: int | None
    index_fingerprint: str | None
    calibrator_id: int | None
    release: Json | None
    gate: Json | None
    promoted: bool | None
    reviewer: str | None


def open_round(
    session: Session,
    kind: str,
    *,
    config: Json,
    seed: int,
    code_version: str,
    teacher_id: int | None = None,
    index_fingerprint: str | None = None,
    reviewer: str | None = None,
) -> RoundRow:
    """The new round at stage `open`; its number is `queries.next_round_number`. Raises Conflict if one is open."""
    current = round_queries.current_round(session)
    if current is not None:
        raise Conflict(f"round {current.number} is open ({current.stage}): `labeler round` finishes it first")
    number = round_queries.next_round_number(session)
    values = {
        "number": number,
        "uid": secrets.token_hex(16),
        "kind": kind,
        "stage": "open",
        "is_open": True,
        "config": dict(config),
        "seed": seed,
        "code_version": code_version,
        "teacher_id": teacher_id,
        "index_fingerprint": index_fingerprint,
        "reviewer": reviewer,
    }
    session.execute(insert(table(Round)), [values])
    return round_queries.round_(session, number)


def advance(session: Session, number: int, from_stage: str, to_stage: str, **changes: Unpack[RoundChanges]) -> RoundRow:
    """The round at its new stage, with the changes written. `closed` needs `promoted` and ends the round.

    Raises:
        NotFound: no such round.
        Conflict: the round does not stand at `from_stage`, or is not open.
    """
    values: dict[str, Any] = {**changes, "stage": to_stage}
    if to_stage == "closed":
        values |= {"is_open": False, "closed_at": utc_now()}
    target = table(Round)
    here = (Round.number == number, Round.stage == from_stage, Round.is_open)
    moved = session.execute(update(target).where(*here).values(values).returning(Round.number)).all()
    found = round_queries.round_(session, number)
    if len(moved) != 1:
        state = found.stage if found.reverted_at is None else "reverted"
        raise Conflict(f"round {number} is {state}, not {from_stage}: `labeler round` goes on from where it stands")
    return found


def add_model(
    session: Session,
    round_number: int,
    *,
    hash: str,
    training_sha256: str,
    path: str,
    start: str,
    config: Json,
    examples: int,
    seconds: float,
    loss: float | None,
    name: str = "student",
) -> int:
    """The id of the stored model. The same round, name and hash again is the model already there.

    Raises Conflict if the round has another model of this name.
    """
    known = round_queries.model_of_round(session, round_number, name=name)
    if known is not None:
        if known.hash != hash:
            raise Conflict(f"round {round_number} has another model {name!r} ({known.path}): remove the new folder")
        return known.id
    values = {
        "round_number": round_number,
        "name": name,
        "hash": hash,
        "training_sha256": training_sha256,
        "path": path,
        "start": start,
        "config": dict(config),
        "examples": examples,
        "seconds": seconds,
        "loss": loss,
    }
    return session.execute(insert(table(Model)).values(values).returning(Model.id)).scalar_one()


def add_calibrator(session: Session, *, hash: str, kind: str, state: Json, metrics: Json) -> int:
    """The id of the stored calibrator."""
    values = {"hash": hash, "kind": kind, "state": dict(state), "metrics": dict(metrics)}
    return session.execute(insert(table(Calibrator)).values(values).returning(Calibrator.id)).scalar_one()


def add_evaluation(
    session: Session, model_id: int, *, split: str, key: str, summary: Json, results: Sequence[Any]
) -> int:
    """The id of the stored evaluation; an older one of the same model, split and key is overwritten."""
    known = round_queries.evaluation(session, model_id, split=split, key=key)
    values = {"summary": dict(summary), "results": list(results), "created_at": utc_now()}
    target = table(Evaluation)
    if known is not None:
        session.execute(update(target).where(target.c.id == known.id).values(values))
        return known.id
    values |= {"model_id": model_id, "split": split, "key": key}
    return session.execute(insert(target).values(values).returning(Evaluation.id)).scalar_one()


def release_snapshot(session: Session, round_number: int, *, rule: Json) -> ReleaseRow:
    """The immutable snapshot of the live, released pseudo-labels that the round wrote, with the hash of its rows."""
    mine = (
        Label.withdrawn_at.is_(None),
        Label.kind == "pseudo",
        Label.released.is_(True),
        Label.written_by == round_number,
    )
    labels = sorted(label_queries.fetch(session, *mine), key=lambda label: label.question_id)
    values: dict[str, Any] = {
        "round_number": round_number,
        "rule": dict(rule),
        "count": len(labels),
        "sha256": _released_sha256(labels),
        "created_at": utc_now(),
    }
    target = table(Release)
    release_id = session.execute(insert(target).values(values).returning(Release.id)).scalar_one()
    rows = [
        {"release_id": release_id, "question_id": label.question_id, "label_id": label.id}
        | {**span_values(label.answers[0]), "confidence": label.confidence}
        for label in labels
    ]
    if rows:
        session.execute(insert(table(ReleaseRowTable)), rows)
    return ReleaseRow(id=release_id, **values)


def _released_sha256(labels: Sequence[LabelRow]) -> str:
    """Of one JSON line a row in question id order: id, text, passage, start, end, confidence; no surrogate keys."""
    digest = hashlib.sha256()
    for label in labels:
        span = label.answers[0]
        line = [label.question_id, span.text, span.passage_id, span.start, span.end, label.confidence]
        digest.update(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def withdraw_round(session: Session, number: int, *, reason: str, with_reviews: bool = False) -> Withdrawn:
    """Takes back a refused round's labels: its pseudo-labels (and, if asked, its human labels) are withdrawn and
    what they replaced is restored. The round itself stays as it is."""
    return take_back(session, number, reason=reason, with_reviews=with_reviews)


def revert(session: Session, number: int, *, with_reviews: bool = False) -> Withdrawn:
    """Undoes the newest rounds down to this one: their pseudo-labels are withdrawn, those live before it restored,
    their open tasks withdrawn, the rounds marked reverted. Human labels stay unless `with_reviews`; then reviews
    that no labelling has considered yet are set aside too.

    Raises NotFound; Conflict if the round is reverted already, or is the first one and closed.
    """
    first = round_queries.round_(session, number)
    if first.reverted_at is not None:
        raise Conflict(f"round {number} is reverted already")
    if first.kind in FIRST_KINDS and not first.is_open:
        raise Conflict(f"round {number} is the {first.kind} that all others stand on: `labeler init` a new workspace")
    numbers = tuple(row.number for row in round_queries.rounds(session, reverted=False) if row.number >= number)
    done = take_back(session, number, reason=f"round {number} reverted", with_reviews=with_reviews)
    for each in numbers:
        withdraw_tasks(session, each)
        if with_reviews:
            _set_reviews_aside(session, each)
    gone = {"reverted_at": utc_now(), "is_open": False}
    session.execute(update(table(Round)).where(Round.number.in_(numbers)).values(gone))
    return Withdrawn(done.labels, done.restored, numbers)


def _set_reviews_aside(session: Session, round_number: int) -> None:
    tasks = select(Task.id).where(Task.round_number == round_number)
    waiting = (Review.task_id.in_(tasks), Review.recorded_in.is_(None))
    session.execute(update(table(Review)).where(*waiting).values(recorded_in=round_number))


def prune(
    session: Session, *, keep: int = 1, models_in_use: Collection[int] = (), retrievers_in_use: Collection[str] = ()
) -> Pruned:
    """Deletes predictions, and names models, of old rounds that nothing refers to.

    Kept: predictions of the newest `keep` rounds, of an open one, of rounds with open tasks, and of rounds that live
    pseudo-labels came from; students of promoted rounds that are not reverted; teacher and student of an open round;
    the models of the ids given; promoted retrievers of rounds that are not reverted, that of an open round, and those
    of the hashes given: what settings name or an index is built with is not known here.
    The rows of the models named stay, for provenance, with `pruned_at`; their folders are the caller's to delete.
    """
    stored = set(session.execute(select(Prediction.round_number).distinct()).scalars())
    deleted = delete_predictions(session, stored - _rounds_in_use(session, keep))
    kept = _models_in_use(session) | set(models_in_use)
    gone = tuple(row for row in round_queries.models(session) if row.pruned_at is None and row.id not in kept)
    for row in gone:
        session.execute(update(table(Model)).where(Model.id == row.id).values(pruned_at=utc_now()))
    return Pruned(deleted, gone, prune_retrievers(session, in_use=retrievers_in_use))


def _rounds_in_use(session: Session, keep: int) -> set[int | None]:
    newest = select(Round.number).order_by(Round.number.desc()).limit(keep)
    referred = select(Label.round_number).where(Label.withdrawn_at.is_(None), Label.kind == "pseudo")
    statements = (
        newest,
        select(Round.number).where(Round.is_open),
        select(Task.round_number).where(Task.state == "open"),
        referred,
    )
    return {number for statement in statements for number in session.execute(statement.distinct()).scalars()}


def _models_in_use(session: Session) -> set[int | None]:
    promoted = select(Round.student_id).where(Round.promoted.is_(True), Round.reverted_at.is_(None))
    teachers = select(Round.teacher_id).where(Round.is_open)
    students = select(Round.student_id).where(Round.is_open)
    fresh = select(Model.id).join(Round, Round.number == Model.round_number).where(Round.is_open)
    return {key for statement in (promoted, teachers, students, fresh) for key in session.execute(statement).scalars()}


def add_event(
    session: Session,
    kind: str,
    *,
    detail: Json,
    round_number: int | None = None,
    question_id: str | None = None,
    label_id: int | None = None,
) -> None:
    """Appends to the journal."""
    values = {
        "kind": kind,
        "detail": dict(detail),
        "round_number": round_number,
        "question_id": question_id,
        "label_id": label_id,
    }
    session.execute(insert(table(Event)), [values])
