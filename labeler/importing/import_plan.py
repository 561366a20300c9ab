"""Plan an import: which questions of a file are imported, under which role, and why others are rejected. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from db.rows import DocumentRow, HiddenRow, NewImport, NewLabel, QuestionRow
from db.vocabulary import HELD_OUT
from labeler.core.console import storable
from labeler.importing.conflicts import (
    POOL,
    ConflictFinder,
    Stored,
    document_id,
    keys,
    side,
    stored_places,
)
from labeler.importing.file_split import role_of, roles_of_file
from labeler.importing.formats import Content, FileQuestion
from labeler.importing.import_rows import gold_label, hidden_row, passage_rows, question_rows
from labeler.importing.near import NearPair, NearPairs, StoredTexts, near_pairs
from labeler.importing.splits import FileSplit, Item, SplitPlan, assign, split_groups
from mrc.squad import Rejected
from mrc.types import Passage

GOLD = "gold"
SMALL_DEV = 100  # questions, under which a comparison of readers has little power
SHORT = 0.9  # share of a wanted count below which a note says so; whole split groups seldom fill a count exactly


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The rows of a file after all checks. `moved`: questions of undone imports that get another role."""

    passages: tuple[Passage, ...]
    questions: tuple[QuestionRow, ...]
    labels: tuple[NewLabel, ...]
    hidden: tuple[HiddenRow, ...]
    duplicates: int
    rejected: tuple[Rejected, ...]
    moved: Mapping[str, str]
    shared_documents: int
    near_duplicates: tuple[NearPair, ...]  # on two sides of the split
    notes: tuple[str, ...]
    unanchored: int  # questions that are stored with answers that do not stand in their context

    def new_import(self, path: str, *, sha256: str, role: str, format: str, options: Mapping[str, Any]) -> NewImport:
        """Return the plan as the rows of one import."""
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
            storable(path),
            sha256,
            role,
            format,
            options,
            counts,
            documents=tuple(DocumentRow(*pair) for pair in titles.items()),
            passages=passage_rows(self.passages),
            questions=self.questions,
            labels=self.labels,
            hidden=self.hidden,
        )


def stored_split_groups(questions: Sequence[QuestionRow], identities: Mapping[str, str]) -> dict[str, str]:
    """Return the split group of each stored question: a later file may have joined two stored groups.

    Args:
        identities: of the questions' contexts, by passage id.
    """
    stored = Stored(identities=identities)
    return split_groups(Item(row.id, _stored_keys(row, stored, by_document=False)) for row in questions)


def sides_of(role: str | SplitPlan | FileSplit) -> set[str]:
    """Return the sides that an import may put questions on."""
    if isinstance(role, FileSplit):
        return {"train", *HELD_OUT}
    if isinstance(role, SplitPlan):
        return {side(name) for name in (*dict(role.counts), role.rest) if name}
    return {side(role)}


def plan_import(
    content: Content,
    stored: Stored,
    *,
    role: str | SplitPlan | FileSplit,
    seed: int,
    split_by: str = "paragraph",
    texts: StoredTexts | None = None,
    together: bool = False,
) -> ImportPlan:
    """Plan the import of a file: one role for all questions, whole split groups by a plan, or the file's own split.

    Args:
        seed: of the draw by a plan.
        texts: of stored questions, which the file's are compared with for near-duplicates; None: nothing is compared,
            because all questions are on one side.
        together: put near-duplicates into one split group, so that a plan keeps them on one side.
    """
    wanted: str | SplitPlan | Mapping[str, str]
    by_document = split_by == "document"
    given, leaking = list(content.questions), list[Rejected]()
    if isinstance(role, FileSplit):
        wanted, given, leaking = roles_of_file(given, by_document=by_document)
    else:
        wanted = role
    questions, repeated, twice = _distinct(given)
    rejected = [*leaking, *twice]
    near = NearPairs() if texts is None else near_pairs(questions, texts)
    split_group_of = _split_groups(questions, stored, by_document=by_document, near=near if together else None)
    roles = _roles(questions, stored, split_group_of, wanted, seed=seed)
    find_conflict = ConflictFinder(roles, stored, by_document=by_document)
    accepted: list[FileQuestion] = []
    for question in questions:
        if question.id not in roles or _cannot_train(question, roles[question.id]):
            continue
        conflict = find_conflict(question, roles[question.id])
        if conflict is None:
            accepted.append(question)
        else:
            rejected.append(Rejected(question.where, conflict))
    rows = question_rows(accepted, stored, split_group_of, roles)
    known = {row.id: row for row in stored.questions}
    repeats = sum((row.id in known and known[row.id].active) or row.duplicate_of is not None for row in rows)
    return ImportPlan(
        content.passages,
        rows,
        labels=tuple(gold_label(one) for one in accepted if roles[one.id] != POOL),
        hidden=tuple(
            hidden_row(one) for one in accepted if roles[one.id] == POOL and (one.answers or one.is_impossible)
        ),
        duplicates=repeated + repeats,
        rejected=(*content.rejected, *rejected),
        moved={row.id: row.role for row in rows if row.id in known and _is_moved(known[row.id], row)},
        shared_documents=_shared_documents(accepted, roles),
        near_duplicates=near.across(
            {row.id: row.role for row in (*stored.questions, *rows)}, of={row.id for row in rows}
        ),
        notes=(
            *(_split_notes(role, questions, roles, stored) if isinstance(role, SplitPlan) else ()),
            *(_other_split_notes(role, accepted) if isinstance(role, str) else ()),
            *_notes(rows, accepted, stored, planned=isinstance(role, SplitPlan)),
        ),
        unanchored=sum(bool(one.texts) and one.context is not None and roles[one.id] != POOL for one in accepted),
    )


def _cannot_train(question: FileQuestion, role: str) -> bool:
    """Whether a question is left out because none of its answers stands in its context; each is rejected already."""
    unplaced = question.texts and not question.answers and question.context is not None
    return role == GOLD and bool(unplaced)


def _notes(
    rows: Sequence[QuestionRow], accepted: Sequence[FileQuestion], stored: Stored, *, planned: bool
) -> Iterator[str]:
    """Warn of a dev split that the import leaves small, and of pseudo-labels that it makes gold."""
    dev = {row.id for row in rows if row.role == "dev"}
    new = dev - {row.id for row in stored.questions if row.active and row.role == "dev"}
    all_dev = stored.active_by_role.get("dev", 0) + len(new)
    if dev and all_dev < SMALL_DEV:
        remedy = f"ask for dev={SMALL_DEV} or more" if planned else "import more of them"
        yield f"dev has {all_dev} questions: under {SMALL_DEV} the gate has little power; {remedy}"
    labelled = {row.id for row in rows if row.role != POOL}
    pseudo = sum(one.kind == "pseudo" and one.id in labelled for one in accepted)
    if pseudo:
        yield (
            f"{pseudo} labels were made by a model (kind pseudo) and are imported as gold; "
            "export with --kinds gold,human to leave them out"
        )


def _other_split_notes(role: str, accepted: Sequence[FileQuestion]) -> Iterator[str]:
    """Say how many questions get another side than the split that their file names."""
    others = Counter(one.split for one in accepted if (own := role_of(one)) and side(own) != side(role))
    if others:
        listed = ", ".join(f"{count} {split}" for split, count in sorted(others.items()))
        yield f"the file has questions of other splits ({listed}), imported as {role}; --split file keeps their splits"


def _split_notes(
    plan: SplitPlan, questions: Sequence[FileQuestion], roles: Mapping[str, str], stored: Stored
) -> Iterator[str]:
    """Say where the split differs from the plan: counts are maxima, and stored questions keep their split."""
    if len(roles) < len(questions):
        yield f"{len(questions) - len(roles)} questions were left out: --split has no rest"
    kept = {row.id for row in stored.questions if row.active or stored.begun}
    staying = sum(one.id in kept for one in questions)
    if staying:
        yield f"{staying} questions are stored already and keep their split"
        return
    got = Counter(roles.values())
    short = [f"{role} {got[role]} of {count}" for role, count in plan.counts if got[role] < SHORT * count]
    if plan.rest and not got[plan.rest]:
        short.append(f"{plan.rest} none")
    if short:
        yield f"fewer questions than --split wants: {', '.join(short)}; the file has {len(questions)}"


def _is_moved(old: QuestionRow, row: QuestionRow) -> bool:
    # The store itself moves a question from pool to gold, with its context and without its pseudo-label.
    return not old.active and old.role != row.role and (old.role, row.role) != (POOL, "gold")


def _distinct(questions: Sequence[FileQuestion]) -> tuple[list[FileQuestion], int, list[Rejected]]:
    """Return the first question of each id, the number of exact repetitions, and those that share the id alone."""
    first: dict[str, FileQuestion] = {}
    rejected = []
    for question in questions:
        same = first.setdefault(question.id, question)
        if replace(question, where=same.where, split=same.split, kind=same.kind) != same:
            rejected.append(Rejected(question.where, f"the id {question.id} occurs twice with different content"))
    return list(first.values()), len(questions) - len(first) - len(rejected), rejected


def _split_groups(
    questions: Sequence[FileQuestion], stored: Stored, *, by_document: bool, near: NearPairs | None
) -> dict[str, str]:
    """Return the split group of each question; a group connected with stored questions takes their name."""
    active = [row for row in stored.questions if row.active]  # those of undone imports may be moved
    more = near.keys() if near else {}
    items = [
        Item(row.id, (*_stored_keys(row, stored, by_document=by_document), *more.get(row.id, ()))) for row in active
    ]
    items += [
        Item(question.id, (*keys(question, by_document=by_document), *more.get(question.id, ())))
        for question in questions
    ]
    component = split_groups(items)
    joined: dict[str, str] = {}
    for row in active:
        name = component[row.id]
        joined[name] = min(row.split_group, joined.get(name, row.split_group))
    return {question.id: joined.get(component[question.id], component[question.id]) for question in questions}


def _stored_keys(row: QuestionRow, stored: Stored, *, by_document: bool) -> tuple[Hashable, ...]:
    keys: tuple[Hashable, ...] = (("text", row.normalized), ("split group", row.split_group))
    if row.context_id is None:
        return keys
    return (*keys, *stored_places(row.context_id, stored, by_document=by_document))


def _roles(
    questions: Sequence[FileQuestion],
    stored: Stored,
    split_group_of: Mapping[str, str],
    role: str | SplitPlan | Mapping[str, str],
    *,
    seed: int,
) -> dict[str, str]:
    """Return the role of each question: the one role of all, by a plan, or as wanted for each.

    Stored questions keep theirs, also those that a round held out of gold.
    """
    kept = {row.id: row for row in stored.questions if row.active or stored.begun}
    if isinstance(role, SplitPlan):
        fresh = {one.id: split_group_of[one.id] for one in questions if one.id not in kept}
        return assign(fresh, role, seed=seed) | {one.id: kept[one.id].role for one in questions if one.id in kept}
    wanted = {one.id: role if isinstance(role, str) else role[one.id] for one in questions}
    held_out = {key: row.role for key, row in kept.items() if row.imported_role == wanted.get(key)}
    return wanted | {key: held_out[key] for key in wanted if key in held_out}


def _shared_documents(questions: Sequence[FileQuestion], roles: Mapping[str, str]) -> int:
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for question in questions:
        if question.context is not None:
            sides[document_id(question.context)].add(side(roles[question.id]))
    return sum(len(found) > 1 for found in sides.values())
