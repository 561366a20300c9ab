"""Rows of an import: questions, gold labels, hidden answers and passages as they are stored. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from db.rows import HiddenRow, NewLabel, PassageRow, QuestionRow
from labeler.core.convert import span_row
from labeler.importing.conflicts import POOL, Stored, document_id, question_hash
from labeler.importing.formats import FileQuestion
from mrc.text.near_duplicates import identity
from mrc.types import Passage


def question_rows(
    questions: Sequence[FileQuestion], stored: Stored, split_group_of: Mapping[str, str], roles: Mapping[str, str]
) -> tuple[QuestionRow, ...]:
    """Return the rows of a file's questions; a stored question that keeps its role keeps its row."""
    known = {row.id: row for row in stored.questions}
    originals = _originals(questions, stored)
    rows = []
    for question in questions:
        original, role = originals[_duplicate_key(question)], roles[question.id]
        duplicate_of = None if original == question.id else original
        old = known.get(question.id)
        if old is not None and old.role == role:
            rows.append(replace(old, active=True, duplicate_of=duplicate_of))
        else:
            rows.append(_row(question, role, split_group=split_group_of[question.id], duplicate_of=duplicate_of))
    return tuple(rows)


def _row(question: FileQuestion, role: str, *, split_group: str, duplicate_of: str | None) -> QuestionRow:
    return QuestionRow(
        question.id,
        question.text,
        question_hash(question.text),
        role,
        role,
        split_group,
        context_id=question.context.id if question.context else None,
        is_impossible=question.is_impossible if role != POOL else None,
        duplicate_of=duplicate_of,
    )


def _originals(questions: Sequence[FileQuestion], stored: Stored) -> dict[tuple[str, str | None], str]:
    """Return the original of questions with equal text and context: the stored one, else the lowest id."""
    lowest: dict[tuple[str, str | None], str] = {}
    for question in questions:
        key = _duplicate_key(question)
        lowest[key] = min(question.id, lowest.get(key, question.id))
    kept = {
        (row.normalized, row.context_id and stored.identities.get(row.context_id, row.context_id)): row.id
        for row in stored.questions
        if row.active and row.duplicate_of is None
    }
    return lowest | {key: kept[key] for key in lowest if key in kept}


def _duplicate_key(question: FileQuestion) -> tuple[str, str | None]:
    return question_hash(question.text), identity(question.context.text) if question.context else None


def hidden_row(question: FileQuestion) -> HiddenRow:
    """Return the answers of a pool question, which are kept aside."""
    return HiddenRow(question.id, bool(question.is_impossible), tuple(span_row(span) for span in question.answers))


def gold_label(question: FileQuestion) -> NewLabel:
    """Return the gold label of a question; without answers it is a no_answer for its context."""
    answers, given = (tuple(map(span_row, spans)) for spans in (question.answers, question.all_answers))
    if answers or question.texts or question.context is None:
        return NewLabel(question.id, answers, all_answers=given, texts=question.texts or None)
    return NewLabel(question.id, (), no_answer=True, passages=(question.context.id,))


def passage_rows(passages: Sequence[Passage]) -> tuple[PassageRow, ...]:
    """Return the rows of a file's passages, numbered within their documents."""
    position: Counter[str] = Counter()
    rows = []
    for passage in passages:
        document = document_id(passage)
        rows.append(
            PassageRow(passage.id, document, position[document], passage.text, passage.title, identity(passage.text))
        )
        position[document] += 1
    return tuple(rows)
