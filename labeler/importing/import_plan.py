"""Which questions of a file are taken in, under which role, and why the others are not. Pure: the database's part in
it is `Stored`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from db.rows import DocumentRow, HiddenRow, NewImport, NewLabel, PassageRow, QuestionRow, SpanRow
from labeler.core.convert import span_row
from labeler.importing.formats import Content, FileQuestion
from labeler.importing.splits import Item, SplitPlan, assign, split_groups
from mrc.squad import Rejected
from mrc.text import normalize, passage_id
from mrc.types import Passage

POOL = "pool"
SHORT = 0.9  # share of a wanted count below which the shortage is told; whole units seldom fill one exactly


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds that a file may meet. Questions of undone imports hold their place too, but before the
    first round a file may bring them back under another role.
    """

    questions: tuple[QuestionRow, ...] = ()  # active or not
    golds: Mapping[str, Sequence[SpanRow]] = field(default_factory=dict)  # live imported answers, by question
    reviewed: Mapping[str, str] = field(default_factory=dict)  # passage a person answered from -> role
    documents: Mapping[str, str] = field(default_factory=dict)  # passage -> document; needed when split by document
    begun: bool = False  # a round has run: what once stood on a side stays there

    def may_move(self, row: QuestionRow, role: str) -> bool:
        """Whether a file may give a stored question this other role: labelled at last, or undone in good time."""
        if row.role == role:
            return False
        return (row.role, role) == (POOL, "gold") or not (row.active or self.begun)


@dataclass(frozen=True, slots=True)
class Intake:
    """What a file brings after all checks. `moved`: questions of undone imports that come back under another role."""

    passages: tuple[Passage, ...]
    questions: tuple[QuestionRow, ...]
    labels: tuple[NewLabel, ...]
    hidden: tuple[HiddenRow, ...]
    duplicates: int
    rejected: tuple[Rejected, ...]
    moved: Mapping[str, str]
    shared_documents: int
    notes: tuple[str, ...]

    def new_import(self, path: str, *, sha256: str, role: str, format: str, options: Mapping[str, Any]) -> NewImport:
        """The same as the rows of one import."""
        titles = {document_id(passage): passage.title for passage in self.passages}
        counts = {
            "passages": len(self.passages),
            "questions": len(self.questions),
            "labels": len(self.labels),
            "duplicates": self.duplicates,
            "rejected": len(self.rejected),
            "splits": dict(sorted(Counter(row.role for row in self.questions).items())),
        }
        return NewImport(
            path,
            sha256,
            role,
            format,
            options,
            counts,
            documents=tuple(DocumentRow(*pair) for pair in titles.items()),
            passages=_passage_rows(self.passages),
            questions=self.questions,
            labels=self.labels,
            hidden=self.hidden,
        )


def wording(text: str) -> str:
    """The hash by which equal questions are known: of the normalised text."""
    return passage_id(normalize(text))


def document_id(passage: Passage) -> str:
    """The id of a passage's document: a hash of its title; an untitled passage is a document of its own."""
    return passage_id(passage.title) if passage.title else passage.id


def side(role: str) -> str:
    """The side of the split: gold and pool share one, both may teach."""
    return "train" if role in ("gold", POOL) else role


def stored_split_groups(questions: Sequence[QuestionRow]) -> dict[str, str]:
    """The unit of each stored question as it stands now: a later file may have tied two stored units together."""
    return split_groups(Item(row.id, _stored_keys(row, Stored(), by_document=False)) for row in questions)


def take_in(
    content: Content, stored: Stored, *, role: str | SplitPlan, seed: int, split_by: str = "paragraph"
) -> Intake:
    """What becomes of each question of a file: one role for all, or whole units by a plan, drawn by `seed`."""
    questions, repeated, rejected = _distinct(content.questions)
    split_group_of = _units(questions, stored, by_document=split_by == "document")
    roles = _roles(questions, stored, split_group_of, role, seed=seed)
    refuse = _Refusal(roles, stored, by_document=split_by == "document")
    accepted: list[FileQuestion] = []
    for question in questions:
        why = refuse(question, roles[question.id]) if question.id in roles else None
        if why is not None:
            rejected.append(Rejected(question.where, why))
        elif question.id in roles:
            accepted.append(question)
    rows = _rows(accepted, stored, split_group_of, roles)
    known = {row.id: row for row in stored.questions}
    repeats = sum((row.id in known and known[row.id].active) or row.duplicate_of is not None for row in rows)
    return Intake(
        content.passages,
        rows,
        labels=tuple(_label(one) for one in accepted if roles[one.id] != POOL),
        hidden=tuple(_hidden(one) for one in accepted if roles[one.id] == POOL and (one.answers or one.is_impossible)),
        duplicates=repeated + repeats,
        rejected=(*content.rejected, *rejected),
        moved={row.id: row.role for row in rows if row.id in known and _comes_back(known[row.id], row)},
        shared_documents=_shared_documents(accepted, roles),
        notes=tuple(_split_notes(role, questions, roles, stored)) if isinstance(role, SplitPlan) else (),
    )


def _split_notes(
    plan: SplitPlan, questions: Sequence[FileQuestion], roles: Mapping[str, str], stored: Stored
) -> Iterator[str]:
    """What a split did otherwise than it was asked: counts are "at most", and what is stored keeps its side."""
    if len(roles) < len(questions):
        yield f"{len(questions) - len(roles)} questions were left out: the split names no rest"
    kept = {row.id for row in stored.questions if row.active or stored.begun}
    staying = sum(one.id in kept for one in questions)
    if staying:
        yield f"{staying} questions keep the side on which they are stored, whatever --split says"
        return
    got = Counter(roles.values())
    short = [f"{role} {got[role]} of {count}" for role, count in plan.counts if got[role] < SHORT * count]
    if plan.rest and not got[plan.rest]:
        short.append(f"{plan.rest} none")
    if short:
        yield f"fewer questions than --split asks for: {', '.join(short)}; the file has {len(questions)}"


def _comes_back(old: QuestionRow, row: QuestionRow) -> bool:
    # From pool to gold the store moves a question itself, with its context and without its pseudo-label.
    return not old.active and old.role != row.role and (old.role, row.role) != (POOL, "gold")


def _distinct(questions: Sequence[FileQuestion]) -> tuple[list[FileQuestion], int, list[Rejected]]:
    """The first question of each id, how many repeat one word for word, and those that share only its id."""
    first: dict[str, FileQuestion] = {}
    rejected = []
    for question in questions:
        same = first.setdefault(question.id, question)
        if replace(question, where=same.where) != same:
            rejected.append(Rejected(question.where, f"the id {question.id} comes twice with different content"))
    return list(first.values()), len(questions) - len(first) - len(rejected), rejected


def _units(questions: Sequence[FileQuestion], stored: Stored, *, by_document: bool) -> dict[str, str]:
    """The unit of each question; one that hangs together with stored questions joins their unit."""
    active = [row for row in stored.questions if row.active]  # those of undone imports may be moved
    items = [Item(row.id, _stored_keys(row, stored, by_document=by_document)) for row in active]
    items += [Item(question.id, _keys(question, by_document=by_document)) for question in questions]
    component = split_groups(items)
    joined: dict[str, str] = {}
    for row in active:
        name = component[row.id]
        joined[name] = min(row.split_group, joined.get(name, row.split_group))
    return {question.id: joined.get(component[question.id], component[question.id]) for question in questions}


def _keys(question: FileQuestion, *, by_document: bool) -> tuple[Hashable, ...]:
    keys: tuple[Hashable, ...] = (("wording", wording(question.text)),)
    if question.context is None:
        return keys
    return (*keys, ("place", _place(question.context, by_document=by_document)))


def _stored_keys(row: QuestionRow, stored: Stored, *, by_document: bool) -> tuple[Hashable, ...]:
    keys: tuple[Hashable, ...] = (("wording", row.normalized), ("unit", row.split_group))
    if row.context_id is None:
        return keys
    return (*keys, ("place", stored.documents[row.context_id] if by_document else row.context_id))


def _place(context: Passage, *, by_document: bool) -> str:
    return document_id(context) if by_document else context.id


def _roles(
    questions: Sequence[FileQuestion],
    stored: Stored,
    split_group_of: Mapping[str, str],
    role: str | SplitPlan,
    *,
    seed: int,
) -> dict[str, str]:
    """The role of each question. What is known keeps its own, also where a round held it out of gold."""
    kept = {row.id: row for row in stored.questions if row.active or stored.begun}
    if isinstance(role, SplitPlan):
        fresh = {one.id: split_group_of[one.id] for one in questions if one.id not in kept}
        return assign(fresh, role, seed=seed) | {one.id: kept[one.id].role for one in questions if one.id in kept}
    held_out = {key: row.role for key, row in kept.items() if row.imported_role == role}
    return {one.id: held_out.get(one.id, role) for one in questions}


class _Refusal:
    """Why a question may not be taken in under a role, or None."""

    def __init__(self, roles: Mapping[str, str], stored: Stored, *, by_document: bool) -> None:
        staying = [row for row in stored.questions if not stored.may_move(row, roles.get(row.id, row.role))]
        places = stored.documents if by_document else {}
        asked = ((row.context_id, row.role) for row in staying if row.context_id)
        sides = (*stored.reviewed.items(), *asked)
        self._stored = stored
        self._by_document = by_document
        self._by_id = {row.id: row for row in stored.questions}
        self._by_wording = {row.normalized: row for row in staying}
        self._sides = {places.get(key, key): side(role) for key, role in sides}

    def __call__(self, question: FileQuestion, role: str) -> str | None:
        if role != POOL and not question.answers and not question.is_impossible:
            return f"a {role} question needs an answer, or is_impossible with its context"
        return self._known(question, role) or self._same_wording(question, role) or self._other_side(question, role)

    def _known(self, question: FileQuestion, role: str) -> str | None:
        row = self._by_id.get(question.id)
        if row is None:
            return None
        contexts = {row.context_id, question.context.id if question.context else None} - {None}
        if row.text != question.text or len(contexts) > 1:
            return f"the id {question.id} is stored with different content; give the question another id"
        if row.role != role and not self._stored.may_move(row, role):
            remedy = "undo that import first" if row.active else "its import was undone, but rounds have run since"
            return f"it is stored as {row.role} and cannot be {role}: {remedy}"
        golds = self._stored.golds.get(question.id)
        if golds is not None and set(golds) != {span_row(span) for span in question.answers}:
            return f"the id {question.id} is stored with different answers; give the question another id"
        return None

    def _same_wording(self, question: FileQuestion, role: str) -> str | None:
        row = self._by_wording.get(wording(question.text))
        if row is None or row.role == role:
            return None
        return f"the same question is stored as {row.role} (id {row.id}) and cannot be {role} too"

    def _other_side(self, question: FileQuestion, role: str) -> str | None:
        if question.context is None:
            return None
        stands = self._sides.get(_place(question.context, by_document=self._by_document))
        if stands is None or stands == side(role):
            return None
        name = "document" if self._by_document else "paragraph"
        return f"its {name} stands on the {stands} side of the split and cannot be on the {side(role)} side too"


def _rows(
    questions: Sequence[FileQuestion], stored: Stored, split_group_of: Mapping[str, str], roles: Mapping[str, str]
) -> tuple[QuestionRow, ...]:
    known = {row.id: row for row in stored.questions}
    originals = _originals(questions, stored)
    rows = []
    for question in questions:
        original, role = originals[_twins(question)], roles[question.id]
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
        wording(question.text),
        role,
        role,
        split_group,
        context_id=question.context.id if question.context else None,
        is_impossible=question.is_impossible if role != POOL else None,
        duplicate_of=duplicate_of,
    )


def _originals(questions: Sequence[FileQuestion], stored: Stored) -> dict[tuple[str, str | None], str]:
    """What questions of equal wording and context are duplicates of: the stored one, else that of the lowest id."""
    lowest: dict[tuple[str, str | None], str] = {}
    for question in questions:
        key = _twins(question)
        lowest[key] = min(question.id, lowest.get(key, question.id))
    kept = {
        (row.normalized, row.context_id): row.id for row in stored.questions if row.active and row.duplicate_of is None
    }
    return lowest | {key: kept[key] for key in lowest if key in kept}


def _twins(question: FileQuestion) -> tuple[str, str | None]:
    return wording(question.text), question.context.id if question.context else None


def _hidden(question: FileQuestion) -> HiddenRow:
    return HiddenRow(question.id, bool(question.is_impossible), tuple(span_row(span) for span in question.answers))


def _label(question: FileQuestion) -> NewLabel:
    answers = tuple(span_row(span) for span in question.answers)
    if answers or question.context is None:
        return NewLabel(question.id, answers)
    return NewLabel(question.id, (), no_answer=True, passages=(question.context.id,))


def _shared_documents(questions: Sequence[FileQuestion], roles: Mapping[str, str]) -> int:
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for question in questions:
        if question.context is not None:
            sides[document_id(question.context)].add(side(roles[question.id]))
    return sum(len(found) > 1 for found in sides.values())


def _passage_rows(passages: Sequence[Passage]) -> tuple[PassageRow, ...]:
    position: Counter[str] = Counter()
    rows = []
    for passage in passages:
        document = document_id(passage)
        rows.append(PassageRow(passage.id, document, position[document], passage.text, passage.title))
        position[document] += 1
    return tuple(rows)
