"""Lists and looks up labels, questions and passages, with the provenance of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from db import queries
from db.engine import Database, Session

if TYPE_CHECKING:
    from db.rows import EventRow, LabelRow, QuestionRow, SpanRow

TRAINING_ROLES = ("gold", "pool")  # labels of the other roles calibrate or evaluate


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label with the text of its question, and hashes in place of the numbers of model and calibrator."""

    id: int
    question_id: str
    question: str
    role: str  # of the question
    kind: str  # gold, human, pseudo
    answers: tuple[SpanRow, ...]
    no_answer: bool
    passages: tuple[str, ...] | None  # ids shown with a no_answer
    confidence: float | None  # 0-1
    released: bool  # exported by default; never for a question that calibrates or evaluates
    train_weight: float  # 0-1
    origin: str
    round: int | None  # where the answer came from
    model: str | None  # hash
    labeller: str | None  # that made a pseudo-label instead of a model
    index: str | None  # fingerprint
    calibrator: str | None  # hash
    threshold: float | None  # of release, at that time
    reviewer: str | None
    import_id: int | None
    parent: int | None  # id of the label that it replaced or restored
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawal_reason: str | None
    certificate: str | None = None  # id of the one that released it, in force or not
    texts: tuple[str, ...] | None = None  # golds that do not stand in the context


@dataclass(frozen=True, slots=True)
class LabelList:
    """The labels listed, and how many match in all. `next`: what the next page is `after`; None at the end."""

    labels: tuple[StoredLabel, ...]
    total: int
    next: str | None = None


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question with its live label, if it has one."""

    id: str
    question: str
    role: str
    label: str | None  # kind: gold, human, pseudo
    answers: tuple[str, ...]  # different texts
    no_answer: bool
    context_id: str | None  # passage that it was imported with
    duplicate_of: str | None
    exclusion_reason: str | None  # why no model labels it


@dataclass(frozen=True, slots=True)
class QuestionList:
    """The questions listed, and how many match in all. `next`: what the next page is `after`; None at the end."""

    questions: tuple[StoredQuestion, ...]
    total: int
    next: str | None = None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage with the questions that came with it or are answered from it."""

    id: str
    title: str
    position: int  # in its document, from 0
    text: str
    questions: tuple[StoredQuestion, ...]


def find_labels(
    database: Database,
    *,
    kind: str | None = None,
    role: str | None = None,
    round_number: int | None = None,
    question_id: str | None = None,
    text: str | None = None,
    withdrawn: bool = False,
    after: str | None = None,
    limit: int | None = None,
) -> LabelList:
    """List live labels in question id order; with `withdrawn` withdrawn ones too, a question's oldest first.

    `text` is part of the question, of its id or of an answer; `after`: only those of questions with a later id. Raises
    NotFound for an unknown question or round.
    """
    with database.read() as session:
        if question_id is not None:
            queries.question(session, question_id)
        if round_number is not None:
            queries.round_(session, round_number)
        found, total = queries.search_labels(
            session,
            kinds=None if kind is None else [kind],
            roles=None if role is None else [role],
            round_number=round_number,
            question_id=question_id,
            text=text,
            withdrawn=withdrawn,
            after=after,
            limit=limit,
        )
        more = _next([label.question_id for label in found], limit)
        return LabelList(tuple(stored_labels(session, found)), total, more)


def find_questions(
    database: Database,
    *,
    role: str | None = None,
    labelled: bool | None = None,
    text: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> QuestionList:
    """List active questions in id order. `text` is part of the question or of its id; `after`: only later ids."""
    roles = None if role is None else [role]
    with database.read() as session:
        ids, total = queries.search_questions(
            session, roles=roles, labelled=labelled, text=text, after=after, limit=limit
        )
        return QuestionList(tuple(_stored_questions(session, ids)), total, _next(ids, limit))


def _next(ids: Sequence[str], limit: int | None) -> str | None:
    """The last id of a full page: the page may be the last one, and the next one empty."""
    return ids[-1] if limit is not None and len(ids) >= limit else None


def find_passage(database: Database, passage_id: str) -> StoredPassage:
    """Return one passage by its id or a unique start of it. Raises NotFound."""
    with database.read() as session:
        row = queries.passage_by_prefix(session, passage_id)
        asked = _stored_questions(session, queries.questions_of_passage(session, row.id))
        return StoredPassage(row.id, row.title, row.position, row.text, tuple(asked))


def question_history(database: Database, question_id: str) -> tuple[QuestionRow, list[EventRow]]:
    """Return the question and its events, oldest first. Raises NotFound."""
    with database.read() as session:
        return queries.question(session, question_id), queries.history(session, question_id)


def stored_labels(session: Session, labels: Sequence[LabelRow]) -> list[StoredLabel]:
    """Return the labels with their questions, models and calibrators."""
    texts = {row.id: row.text for row in queries.questions(session, ids={x.question_id for x in labels}, active=False)}
    models = {row.id: row.hash for row in queries.models(session)}
    labellers = {row.id: row.name for row in queries.labellers(session)}
    used = {label.calibrator_id for label in labels if label.calibrator_id is not None}
    calibrators = {key: queries.calibrator(session, key).hash for key in sorted(used)}
    certified = any(label.certificate_id is not None for label in labels)
    uids, released_by = _certificates(session) if certified else ({}, None)
    return [
        StoredLabel(
            id=label.id,
            question_id=label.question_id,
            question=texts[label.question_id],
            role=label.question_role,
            kind=label.kind,
            answers=label.answers,
            no_answer=label.no_answer,
            passages=label.passages,
            confidence=label.confidence,
            released=label.released
            and label.question_role in TRAINING_ROLES
            and (label.kind != "pseudo" or label.certificate_id == released_by),
            train_weight=label.train_weight,
            origin=label.origin,
            round=label.round_number,
            model=None if label.model_id is None else models[label.model_id],
            labeller=None if label.labeller_id is None else labellers[label.labeller_id],
            index=label.index_fingerprint,
            calibrator=None if label.calibrator_id is None else calibrators[label.calibrator_id],
            threshold=label.threshold,
            reviewer=label.reviewer,
            import_id=label.import_id,
            parent=label.parent_id,
            created_at=label.created_at,
            withdrawn_at=label.withdrawn_at,
            withdrawal_reason=label.withdrawal_reason,
            certificate=None if label.certificate_id is None else uids[label.certificate_id],
            texts=label.texts,
        )
        for label in labels
    ]


def _certificates(session: Session) -> tuple[dict[int, str], int | None]:
    """The id of each certificate by its number, and the number of the one in force."""
    from db import certificates
    from labeler.certificates.standing import in_force

    valid = in_force(session)
    uids = {row.id: row.uid for row in certificates.certificates(session)}
    return uids, valid[0].id if valid is not None else None


def _stored_questions(session: Session, ids: Sequence[str]) -> list[StoredQuestion]:
    live = {label.question_id: label for label in queries.live_labels(session, question_ids=ids)}
    return [_stored_question(row, live.get(row.id)) for row in queries.questions(session, ids=ids)]


def _stored_question(row: QuestionRow, label: LabelRow | None) -> StoredQuestion:
    return StoredQuestion(
        id=row.id,
        question=row.text,
        role=row.role,
        label=label.kind if label else None,
        answers=tuple(dict.fromkeys(label.gold_texts)) if label else (),
        no_answer=label.no_answer if label else False,
        context_id=row.context_id,
        duplicate_of=row.duplicate_of,
        exclusion_reason=row.exclusion_reason,
    )
