"""Documents, passages and questions, and the hidden answers of a labelled pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpanRow:
    """An answer in a passage: `text == passage[start:end]`, in code points, end exclusive."""

    text: str
    passage_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """An article."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A paragraph, unaltered."""

    id: str
    document_id: str
    position: int  # in its document, from 0
    text: str
    title: str = ""  # as its file spells it; written only where its document has another spelling
    identity: str | None = None  # hash that near-equal texts share; default: the id, shared by equal texts alone


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question and its role in the split."""

    id: str
    text: str
    normalized: str  # hash of the normalised text
    role: str
    imported_role: str  # before anything was held out
    split_group: str  # questions and passages of one group stay on one side of a split
    context_id: str | None = None
    is_impossible: bool | None = None
    duplicate_of: str | None = None
    exclusion_reason: str | None = None  # set: no model labels it again; not read by writes
    active: bool = True  # not read by writes: what an import brings is active


@dataclass(frozen=True, slots=True)
class RoleRow:
    """Role and split group of a normalised question that is stored; imports may not contradict them."""

    normalized: str
    role: str
    imported_role: str
    split_group: str
    question_id: str  # the canonical one, or the lowest id
    active: bool


@dataclass(frozen=True, slots=True)
class HiddenRow:
    """The hidden answers of a pool question in file order; none if its file called it impossible."""

    question_id: str
    is_impossible: bool
    answers: tuple[SpanRow, ...]
