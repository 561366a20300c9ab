"""Labels looked at, set and withdrawn by hand, each told with all that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db import queries, store
from db.engine import Database, Session
from db.errors import Conflict, NotFound, SpanConflict
from db.rows import EventRow, LabelRow, PassageRow, QuestionRow, SpanRow
from labeler.labels.span_search import occurrences


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label as it is told: its question beside it, hashes instead of numbers for model and calibrator."""

    id: int
    question_id: str
    question: str
    role: str  # of the question
    kind: str  # gold, human, pseudo
    answers: tuple[SpanRow, ...]
    no_answer: bool
    passages: tuple[str, ...] | None  # ids shown with a no_answer
    confidence: float | None  # 0-1
    released: bool
    train_weight: float  # 0-1
    origin: str
    round: int | None  # where the answer came from
    model: str | None  # hash
    index: str | None  # fingerprint
    calibrator: str | None  # hash
    threshold: float | None  # of release, as it stood
    reviewer: str | None
    import_id: int | None
    parent: int | None  # id of the label that it replaced or restored
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawal_reason: str | None


@dataclass(frozen=True, slots=True)
class Correction:
    """The answer that a person gives: a text, or offsets (code points, end exclusive), or none of them: no answer.

    `passages`: ids of where it stands; none: the passages that the question was last shown with.
    """

    text: str | None = None
    start: int | None = None
    end: int | None = None
    passages: tuple[str, ...] = ()


def find_labels(
    database: Database,
    *,
    kind: str | None = None,
    round_number: int | None = None,
    question_id: str | None = None,
    withdrawn: bool = False,
) -> list[StoredLabel]:
    """Live labels in question id order, or with `withdrawn` those that were withdrawn too, a question's oldest first.

    Raises NotFound for a question or a round that is not stored.
    """
    kinds = None if kind is None else [kind]
    with database.read() as session:
        if question_id is not None:
            queries.question(session, question_id)
        if round_number is not None:
            queries.round_(session, round_number)
        if withdrawn:
            found = queries.labels(session, question_id=question_id, round_number=round_number, kinds=kinds)
        else:
            wanted = None if question_id is None else [question_id]
            found = queries.live_labels(session, kinds=kinds, question_ids=wanted)
            found = [label for label in found if round_number in (None, label.round_number)]
        return _told(session, sorted(found, key=lambda label: (label.question_id, label.id)))


def set_label(database: Database, question_id: str, correction: Correction, *, reviewer: str) -> StoredLabel:
    """The human label that is live now; it replaces the one before.

    Raises:
        NotFound: no such question or passage, or nothing says in which passage to look.
        SpanConflict: the text stands nowhere in the passages or at several places; offsets outside of the passage.
        Conflict: a duplicate question, or one whose imports are all undone.
    """
    with database.write() as session:
        question = queries.question(session, question_id)
        if not question.active:
            raise Conflict(f"question {question_id!r} is out of use, its import was undone: import it again first")
        places = _places(session, question, correction.passages)
        answers = _answers(correction, places)
        shown = None if answers else [place.id for place in places]
        store.set_label(session, question_id, answers, reviewer=reviewer, passages=shown)
        (label,) = _told(session, queries.live_labels(session, question_ids=[question_id]))
    return label


def withdraw_label(database: Database, question_id: str, *, reviewer: str, why: str) -> StoredLabel:
    """The label that is withdrawn now. Raises NotFound if the question has no live label."""
    with database.write() as session:
        label_id = store.withdraw_label(session, question_id, reviewer=reviewer, reason=why)
        labels = queries.labels(session, question_id=question_id)
        (label,) = _told(session, [label for label in labels if label.id == label_id])
    return label


def question_history(database: Database, question_id: str) -> tuple[QuestionRow, list[EventRow]]:
    """The question and all that happened to it, oldest first. Raises NotFound."""
    with database.read() as session:
        return queries.question(session, question_id), queries.history(session, question_id)


def _told(session: Session, labels: Sequence[LabelRow]) -> list[StoredLabel]:
    texts = {row.id: row.text for row in queries.questions(session, ids={x.question_id for x in labels}, active=False)}
    models = {row.id: row.hash for row in queries.models(session)}
    used = {label.calibrator_id for label in labels if label.calibrator_id is not None}
    calibrators = {key: queries.calibrator(session, key).hash for key in sorted(used)}
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
            released=label.released,
            train_weight=label.train_weight,
            origin=label.origin,
            round=label.round_number,
            model=None if label.model_id is None else models[label.model_id],
            index=label.index_fingerprint,
            calibrator=None if label.calibrator_id is None else calibrators[label.calibrator_id],
            threshold=label.threshold,
            reviewer=label.reviewer,
            import_id=label.import_id,
            parent=label.parent_id,
            created_at=label.created_at,
            withdrawn_at=label.withdrawn_at,
            withdrawal_reason=label.withdrawal_reason,
        )
        for label in labels
    ]


def _places(session: Session, question: QuestionRow, named: Sequence[str]) -> list[PassageRow]:
    """The passages named, else those that the question was last shown with."""
    ids = tuple(named) or _last_shown(session, question)
    found = queries.passages(session, ids)
    for key in ids:
        if key not in found:
            raise NotFound(f"passage {key!r} is not stored: `labeler search` shows ids")
    if not found:
        raise NotFound(f"question {question.id!r} came with no passage: name one with --passage ID (`labeler search`)")
    return [found[key] for key in dict.fromkeys(ids)]


def _last_shown(session: Session, question: QuestionRow) -> tuple[str, ...]:
    """Its own context; else the passages of its live label; else those read for its newest prediction."""
    if question.context_id is not None:
        return (question.context_id,)
    for label in queries.live_labels(session, question_ids=[question.id]):
        return tuple(answer.passage_id for answer in label.answers) or label.passages or ()
    for row in reversed(queries.rounds(session, reverted=False)):
        for prediction in queries.predictions(session, row.number, question_ids=[question.id]):
            return tuple(passage_id for passage_id, _ in prediction.hits)
    return ()


def _answers(correction: Correction, places: Sequence[PassageRow]) -> tuple[SpanRow, ...]:
    if correction.text is not None:
        found = occurrences(correction.text, {place.id: place.text for place in places})
        return (_only(correction.text, found, places),)
    if correction.start is None or correction.end is None:
        return ()
    place, start, end = places[0], correction.start, correction.end
    if not 0 <= start < end <= len(place.text):
        raise SpanConflict(f"{start}-{end} is no span of passage {place.id}, which has {len(place.text)} characters")
    return (SpanRow(place.text[start:end], place.id, start, end),)


def _only(text: str, found: Sequence[SpanRow], places: Sequence[PassageRow]) -> SpanRow:
    if not found:
        where = ", ".join(place.id for place in places)
        raise SpanConflict(f"{text!r} stands nowhere in passage {where}: copy it exactly, or name another --passage")
    if len(found) > 1:
        where = "; ".join(f"--passage {span.passage_id} --start {span.start} --end {span.end}" for span in found[:5])
        raise SpanConflict(f"{text!r} stands at {len(found)} places, say which: {where}")
    return found[0]
