"""Set and withdraw labels by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db import queries, store
from db.engine import Database, Session
from db.errors import Conflict, NotFound, SpanConflict
from db.rows import PassageRow, QuestionRow, SpanRow
from labeler.labels.browse import StoredLabel, stored_labels
from labeler.labels.span_search import occurrences


@dataclass(frozen=True, slots=True)
class Correction:
    """A reviewer's answer: a text, or offsets (code points, end exclusive); neither means no answer.

    `passages`: ids of the passages that hold it; empty: the passages that the question was last shown with.
    """

    text: str | None = None
    start: int | None = None
    end: int | None = None
    passages: tuple[str, ...] = ()


def set_label(database: Database, question_id: str, correction: Correction, *, reviewer: str) -> StoredLabel:
    """Replace the live label by a human label, and return that.

    Raises:
        NotFound: no such question or passage, or no passage is known to search.
        SpanConflict: the passages hold the text nowhere or several times; offsets outside the passage.
        Conflict: a duplicate question, or one whose imports are all undone.
    """
    with database.write() as session:
        question = queries.question(session, question_id)
        if not question.active:
            raise Conflict(f"question {question_id!r} is inactive because its import was undone: import it again first")
        passages = _passages(session, question, correction.passages)
        answers = _answers(correction, passages)
        shown = None if answers else [passage.id for passage in passages]
        store.set_label(session, question_id, answers, reviewer=reviewer, passages=shown)
        (label,) = stored_labels(session, queries.live_labels(session, question_ids=[question_id]))
    return label


def withdraw_label(database: Database, question_id: str, *, reviewer: str, reason: str) -> StoredLabel:
    """Withdraw the live label, and return it. Raises NotFound if the question has no live label."""
    with database.write() as session:
        label_id = store.withdraw_label(session, question_id, reviewer=reviewer, reason=reason)
        labels = queries.labels(session, question_id=question_id)
        (label,) = stored_labels(session, [label for label in labels if label.id == label_id])
    return label


def _passages(session: Session, question: QuestionRow, named: Sequence[str]) -> list[PassageRow]:
    """Return the passages named, else those that the question was last shown with."""
    ids = tuple(named) or _last_shown(session, question)
    found = queries.passages(session, ids)
    for key in ids:
        if key not in found:
            raise NotFound(f"passage {key!r} is not stored: `labeler search` shows ids")
    if not found:
        raise NotFound(f"question {question.id!r} came with no passage: name one with --passage ID (`labeler search`)")
    return [found[key] for key in dict.fromkeys(ids)]


def _last_shown(session: Session, question: QuestionRow) -> tuple[str, ...]:
    """Return its own context; else the passages of its live label; else those read for its newest prediction."""
    if question.context_id is not None:
        return (question.context_id,)
    for label in queries.live_labels(session, question_ids=[question.id]):
        return tuple(answer.passage_id for answer in label.answers) or label.passages or ()
    for row in reversed(queries.rounds(session, reverted=False)):
        for prediction in queries.predictions(session, row.number, question_ids=[question.id]):
            return tuple(passage_id for passage_id, _ in prediction.hits)
    return ()


def _answers(correction: Correction, passages: Sequence[PassageRow]) -> tuple[SpanRow, ...]:
    if correction.text is not None:
        found = occurrences(correction.text, {passage.id: passage.text for passage in passages})
        return (_only(correction.text, found, passages),)
    if correction.start is None or correction.end is None:
        return ()
    passage, start, end = passages[0], correction.start, correction.end
    if not 0 <= start < end <= len(passage.text):
        length = len(passage.text)
        raise SpanConflict(f"{start}-{end} is not a span of passage {passage.id}, which has {length} characters")
    return (SpanRow(passage.text[start:end], passage.id, start, end),)


def _only(text: str, found: Sequence[SpanRow], passages: Sequence[PassageRow]) -> SpanRow:
    if not found:
        where = ", ".join(passage.id for passage in passages)
        raise SpanConflict(f"{text!r} is not in passage {where}: copy it exactly, or name another --passage")
    if len(found) > 1:
        where = "; ".join(f"--passage {span.passage_id} --start {span.start} --end {span.end}" for span in found[:5])
        raise SpanConflict(f"{text!r} occurs {len(found)} times, choose one: {where}")
    return found[0]
