"""The stored rows that a file may meet: all of a small workspace, of a large one only what the file touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from db import queries
from labeler.importing import near
from labeler.importing.conflicts import Stored, side
from labeler.importing.formats.filed import batches, filed_questions
from labeler.importing.import_plan import sides_of
from labeler.importing.near import StoredTexts

if TYPE_CHECKING:
    from db.engine import Session
    from db.rows import QuestionRow
    from labeler.importing.formats import Content
    from labeler.importing.formats.filed import Keys, Questions
    from labeler.importing.splits import FileSplit, SplitPlan


AT_ONCE = 10_000  # questions of a file whose keys are looked for at a time


@dataclass(slots=True)
class _Keys:
    """What questions are stored under and a file's questions may share."""

    ids: set[str] = field(default_factory=set)
    normalized: set[str] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)  # of contexts
    documents: set[str] = field(default_factory=set)  # of contexts, to split by document
    split_groups: set[str] = field(default_factory=set)

    def without(self, known: _Keys) -> _Keys:
        return _Keys(*(getattr(self, each.name) - getattr(known, each.name) for each in fields(self)))

    def add(self, more: _Keys) -> None:
        for each in fields(self):
            getattr(self, each.name).update(getattr(more, each.name))

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


def stored_rows(session: Session, content: Content, split_by: str) -> Stored:
    """The stored rows that the content may meet."""
    if not content.questions:
        return Stored()
    counts = queries.active_by_role(session)
    by_document = split_by == "document"
    questions = filed_questions(content.questions)
    if is_large(counts):
        rows, reviewed = _connected(session, questions, by_document=by_document)
    else:
        rows = queries.questions(session, active=False)
        reviewed = _reviewed(session)
    golds = queries.live_labels(session, kinds=["gold"], question_ids=_shared(questions, rows))
    passages = {*reviewed, *_contexts(rows)}
    return Stored(
        questions=tuple(rows),
        golds={label.question_id: label.answers for label in golds},
        reviewed=reviewed,
        documents=queries.documents_of(session, passages) if by_document else {},
        identities=queries.passage_identities(session, passages),
        begun=queries.last_round(session) is not None,
        counts=counts,
    )


def is_large(counts: Mapping[str, int]) -> bool:
    """Whether a workspace with so many active questions by role is too large to be read as a whole."""
    return sum(counts.values()) > near.LIMIT


def stored_texts(
    session: Session, stored: Stored, role: str | SplitPlan | FileSplit, *, together: bool
) -> tuple[StoredTexts | None, bool]:
    """Return the texts of stored questions to compare a file with, and whether all that matter are among them.

    None where near-duplicates do not matter: all questions are on one side, and nobody wants them `together`. In a
    workspace of more than `near.LIMIT` questions no stored text is compared.
    """
    counts = stored.active_by_role
    if not together and len({side(name) for name, count in counts.items() if count} | sides_of(role)) < 2:
        return None, True
    if is_large(counts):
        return StoredTexts(), False
    active = [row for row in stored.questions if row.active]
    first = {row.context_id: row.id for row in reversed(active) if row.context_id}
    passages = queries.passages(session, first)
    paragraphs = {first[key]: row.text for key, row in passages.items()}
    return StoredTexts({row.id: row.text for row in active}, paragraphs), True


def _reviewed(session: Session) -> dict[str, str]:
    human = queries.live_labels(session, kinds=["human"])
    return {answer.passage_id: label.question_role for label in human for answer in label.answers}


def _shared(questions: Questions, rows: Iterable[QuestionRow]) -> set[str]:
    """The ids of questions that the file has and that are stored."""
    stored = {row.id for row in rows}
    return {key for key in questions.ids if key in stored} if stored else set()


def _contexts(rows: Iterable[QuestionRow]) -> set[str]:
    return {row.context_id for row in rows if row.context_id}


def _keys_of(questions: Iterable[Keys], *, by_document: bool) -> _Keys:
    found = _Keys()
    for question in questions:
        found.ids.add(question.id)
        found.normalized.add(question.normalized)
        if question.place is not None:
            found.identities.add(question.place.identity)
            found.documents.update([question.place.document] if by_document else ())
    return found


def _connected(
    session: Session, questions: Questions, *, by_document: bool
) -> tuple[list[QuestionRow], dict[str, str]]:
    """The stored questions that share a key with the file's, with one that does, and so on; in id order.

    Also the passages with human answers that share one with the file's, and the roles of those answers.
    """
    found: dict[str, QuestionRow] = {}
    reviewed: dict[str, str] = {}
    for numbers in batches(range(len(questions)), AT_ONCE):
        keys = _keys_of(map(questions.key, numbers), by_document=by_document)
        found.update((row.id, row) for row in _met(session, keys))
        reviewed |= queries.human_answers(session, identities=keys.identities, documents=keys.documents)
    wanted, asked = _keys_of_rows(session, list(found.values()), by_document=by_document), _Keys()
    while wanted:
        rows = _met(session, wanted)
        asked.add(wanted)
        fresh = [row for row in rows if row.id not in found]
        found.update((row.id, row) for row in fresh)
        wanted = _keys_of_rows(session, fresh, by_document=by_document).without(asked)
    return [found[key] for key in sorted(found)], reviewed


def _met(session: Session, keys: _Keys) -> list[QuestionRow]:
    return queries.questions_met(
        session,
        ids=keys.ids,
        normalized=keys.normalized,
        identities=keys.identities,
        documents=keys.documents,
        split_groups=keys.split_groups,
    )


def _keys_of_rows(session: Session, rows: list[QuestionRow], *, by_document: bool) -> _Keys:
    contexts = _contexts(rows)
    return _Keys(
        normalized={row.normalized for row in rows},
        identities=set(queries.passage_identities(session, contexts).values()),
        documents=set(queries.documents_of(session, contexts).values()) if by_document else set(),
        split_groups={row.split_group for row in rows},
    )
