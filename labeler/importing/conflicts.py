"""What a file may not contradict: stored questions, and the split that a question, paragraph or document belongs to.

Pure: `Stored` is the part of the database that a file may meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db.rows import QuestionRow, SpanRow
from labeler.core.convert import span_row
from labeler.importing.formats.filed import Keys, Place, Questions
from mrc.text.near_duplicates import identity
from mrc.types import Passage

POOL = "pool"


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored rows that a file may meet, directly or through others, those of undone imports included.

    Before the first round, a file may import a question of an undone import under another role.
    """

    questions: tuple[QuestionRow, ...] = ()  # active or not
    golds: Mapping[str, Sequence[SpanRow]] = field(default_factory=dict)  # live imported answers, by question
    reviewed: Mapping[str, str] = field(default_factory=dict)  # passage with a human answer -> role
    documents: Mapping[str, str] = field(default_factory=dict)  # passage -> document; needed to split by document
    identities: Mapping[str, str] = field(default_factory=dict)  # passage -> identity; default: its id
    begun: bool = False  # a round has run: roles are final
    counts: Mapping[str, int] | None = None  # active questions by role, those that the file does not meet too

    @property
    def active_by_role(self) -> Mapping[str, int]:
        """How many active questions are stored, by role."""
        if self.counts is not None:
            return self.counts
        return Counter(row.role for row in self.questions if row.active)

    def may_move(self, row: QuestionRow, role: str) -> bool:
        """Whether a file may give a stored question this other role: pool to gold, or undone before the first round."""
        if row.role == role:
            return False
        return (row.role, role) == (POOL, "gold") or not (row.active or self.begun)


def question_hash(text: str) -> str:
    """Return the hash by which equal questions are known: it survives changes of spacing, case and the like."""
    return identity(text)


def document_id(passage: Passage) -> str:
    """Return the id of a passage's document: the identity of its title, or of an untitled passage's text."""
    return identity(passage.title or passage.text)


def places(context: Place, *, by_document: bool) -> list[tuple[str, str]]:
    """Return what may be in one split only: the paragraph by its identity, and the document where that is asked for."""
    found = [("paragraph", context.identity)]
    return [*found, ("document", context.document)] if by_document else found


def keys(question: Keys, *, by_document: bool) -> tuple[tuple[str, str], ...]:
    """Return what a question shares with those that must be on its side: its text, and its `places`."""
    found = (("text", question.normalized),)
    return found if question.place is None else (*found, *places(question.place, by_document=by_document))


def stored_places(passage_id: str, stored: Stored, *, by_document: bool) -> list[tuple[str, str]]:
    """Return the same for a stored passage."""
    found = [("paragraph", stored.identities.get(passage_id, passage_id))]
    return [*found, ("document", stored.documents[passage_id])] if by_document else found


def side(role: str) -> str:
    """Return the split of a role: gold and pool share "train", because both may train a reader."""
    return "train" if role in ("gold", POOL) else role


@dataclass(frozen=True, slots=True)
class Roles:
    """The role that each question of a file is to get: the one of all, but for some. None: it is left out."""

    most: str | None
    others: Mapping[str, str] = field(default_factory=dict)  # by question id

    def of(self, question_id: str) -> str | None:
        """Return the role of a question."""
        return self.others.get(question_id, self.most)


class ConflictFinder:
    """Finds why a question cannot be imported under a role.

    Args:
        questions: of the file.
        roles: the role that each question of the file is to get.
        by_document: whole documents, not paragraphs, stay in one split.
    """

    def __init__(self, questions: Questions, roles: Roles, stored: Stored, *, by_document: bool) -> None:
        asked = set(questions.ids) if stored.questions else set()
        staying = [
            row
            for row in stored.questions
            if row.id not in asked or not stored.may_move(row, roles.of(row.id) or row.role)
        ]
        self._questions = questions
        contexts = ((row.context_id, row.role) for row in staying if row.context_id)
        self._stored = stored
        self._by_document = by_document
        self._by_id = {row.id: row for row in stored.questions}
        self._by_hash = {row.normalized: row for row in staying}
        self._sides = {
            place: side(role)
            for key, role in (*stored.reviewed.items(), *contexts)
            for place in stored_places(key, stored, by_document=by_document)
        }

    def __call__(self, question: Keys, role: str) -> str | None:
        """Return the reason in one line, or None."""
        if role != POOL and question.texts and question.place is None:
            return "an answer needs its context: import the question --as pool, or with the passage that answers it"
        if role != POOL and not (question.answered or question.texts or question.is_impossible):
            return f"a {role} question needs an answer, or is_impossible with its context"
        return self._same_id(question, role) or self._same_text(question, role) or self._same_place(question, role)

    def _same_id(self, keys: Keys, role: str) -> str | None:
        row = self._by_id.get(keys.id)
        if row is None:
            return None
        question = self._questions[keys.number]
        contexts = {row.context_id, question.context.id if question.context else None} - {None}
        if row.text != question.text or len(contexts) > 1:
            return f"the id {question.id} is stored with different content; give the question another id (--id-prefix)"
        if row.role != role and not self._stored.may_move(row, role):
            remedy = "undo that import first" if row.active else "its import was undone, but rounds have run since"
            return f"it is stored as {row.role} and cannot be {role}: {remedy}"
        golds = self._stored.golds.get(question.id)
        if golds is not None and set(golds) != {span_row(span) for span in question.answers}:
            return f"the id {question.id} is stored with different answers; give the question another id (--id-prefix)"
        return None

    def _same_text(self, question: Keys, role: str) -> str | None:
        row = self._by_hash.get(question.normalized)
        if row is None or row.role == role:
            return None
        return f"the same question is stored as {row.role} (id {row.id}) and cannot be {role} too"

    def _same_place(self, question: Keys, role: str) -> str | None:
        if question.place is None:
            return None
        for name, place in places(question.place, by_document=self._by_document):
            stored = self._sides.get((name, place))
            if stored not in (None, side(role)):
                return f"its {name} is in the {stored} split and cannot be in the {side(role)} split too"
        return None
