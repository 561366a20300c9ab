"""What of a file belongs together: repeated ids, split groups, and questions that repeat another one. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from db.rows import QuestionRow
from labeler.importing.conflicts import Stored, keys, stored_places
from labeler.importing.formats import FileQuestion
from labeler.importing.formats.filed import Keys, Questions
from labeler.importing.near import NearPairs
from labeler.importing.splits import Item, split_groups
from mrc.squad import Rejected

DuplicateKey = tuple[str, str | None]


def stored_split_groups(questions: Sequence[QuestionRow], identities: Mapping[str, str]) -> dict[str, str]:
    """Return the split group of each stored question: a later file may have joined two stored groups.

    Args:
        identities: of the questions' contexts, by passage id.
    """
    stored = Stored(identities=identities)
    return split_groups(Item(row.id, _stored_keys(row, stored, by_document=False)) for row in questions)


def distinct(questions: Questions, numbers: Iterable[int]) -> tuple[Sequence[int], int, list[Rejected]]:
    """Return the first question of each id, the number of exact repetitions, and those that share the id alone."""
    first = array("q")
    seen: set[str] = set()
    again = []
    for number in numbers:
        if (key := questions.ids[number]) in seen:
            again.append(number)
        else:
            seen.add(key)
            first.append(number)
    repeated = {questions.ids[number] for number in again}
    first_of = {questions.ids[number]: number for number in first if questions.ids[number] in repeated}
    rejected = []
    for number in again:
        question = questions[number]
        if not _same(question, questions[first_of[question.id]]):
            rejected.append(Rejected(question.where, f"the id {question.id} occurs twice with different content"))
    return first, len(again) - len(rejected), rejected


def _same(one: FileQuestion, other: FileQuestion) -> bool:
    return replace(one, where=other.where, split=other.split, kind=other.kind) == other


def groups_of(
    questions: Questions, numbers: Sequence[int], stored: Stored, *, by_document: bool, near: NearPairs | None
) -> dict[str, str]:
    """Return the split group of each question that shares one; those left out are a group by themselves.

    A group connected with stored questions takes their name.
    """
    active = [row for row in stored.questions if row.active]  # those of undone imports may be moved
    more = near.keys() if near else {}
    items = [
        Item(row.id, (*_stored_keys(row, stored, by_document=by_document), *more.get(row.id, ()))) for row in active
    ]
    known = {key for item in items for key in item.keys}
    ids = {row.id for row in active}
    connected = np.ones(len(questions), dtype=bool) if by_document else questions.repeated()
    for number in numbers:
        if known or connected[number] or more:
            question = questions.key(number)
            shared = (*keys(question, by_document=by_document), *more.get(question.id, ()))
            if connected[number] or question.id in ids or question.id in more or not known.isdisjoint(shared):
                items.append(Item(question.id, shared))
    return _named(split_groups(items), active)


def _named(component: Mapping[str, str], active: Iterable[QuestionRow]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for row in active:
        name = component[row.id]
        joined[name] = min(row.split_group, joined.get(name, row.split_group))
    return {key: joined.get(name, name) for key, name in component.items()}


def _stored_keys(row: QuestionRow, stored: Stored, *, by_document: bool) -> tuple[Hashable, ...]:
    found: tuple[Hashable, ...] = (("text", row.normalized), ("split group", row.split_group))
    if row.context_id is None:
        return found
    return (*found, *stored_places(row.context_id, stored, by_document=by_document))


def originals_of(questions: Questions, numbers: Sequence[int], stored: Stored) -> dict[int, str]:
    """Return the original of each question with the text and context of another one, by number.

    The original is the stored one, else the one with the lowest id.
    """
    kept = {
        (row.normalized, row.context_id and stored.identities.get(row.context_id, row.context_id)): row.id
        for row in stored.questions
        if row.active and row.duplicate_of is None
    }
    shared = questions.repeated_texts()
    several = [questions.key(number) for number in numbers if shared[number]]
    lowest: dict[DuplicateKey, str] = {}
    for question in several:
        key = _duplicate_key(question)
        lowest[key] = min(question.id, lowest.get(key, question.id))
    asked = map(questions.key, numbers) if kept else several
    pairs = ((each, kept.get(key := _duplicate_key(each)) or lowest.get(key, each.id)) for each in asked)
    return {question.number: original for question, original in pairs if original != question.id}


def _duplicate_key(question: Keys) -> DuplicateKey:
    return question.normalized, question.place and question.place.identity
