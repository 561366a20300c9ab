"""Plan an import: which questions of a file are imported, under which role, and why others are rejected. Pure."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.rows import ImportRows, NewImport, QuestionRow
from db.vocabulary import HELD_OUT
from labeler.core.console import storable
from labeler.importing.conflicts import POOL, ConflictFinder, Roles, Stored, side
from labeler.importing.file_split import role_of, roles_of_file
from labeler.importing.formats import Content
from labeler.importing.formats.filed import Keys, Passages, Questions, filed_passages, filed_questions
from labeler.importing.grouping import distinct, groups_of, originals_of
from labeler.importing.grouping import stored_split_groups as stored_split_groups
from labeler.importing.import_rows import Accepted
from labeler.importing.near import NearPair, NearPairs, StoredTexts, near_pairs
from labeler.importing.splits import FileSplit, SplitPlan, assign, group_name
from mrc.squad import Rejected

GOLD = "gold"
SMALL_DEV = 100  # questions, under which a comparison of readers has little power
SHORT = 0.9  # share of a wanted count below which a note says so; whole split groups seldom fill a count exactly


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What of a file is imported after all checks. `moved`: questions of undone imports that get another role."""

    passages: Passages
    accepted: Accepted
    splits: Mapping[str, int]  # accepted questions by role
    hidden: int  # pool questions with hidden answers
    duplicates: int
    rejected: tuple[Rejected, ...]
    moved: Mapping[str, str]
    shared_documents: int
    near_duplicates: tuple[NearPair, ...]  # on two sides of the split
    notes: tuple[str, ...]
    unanchored: int  # questions that are stored with answers that do not stand in their context

    @property
    def questions(self) -> Iterator[QuestionRow]:
        """The rows of the questions, made as they are asked for."""
        return self.accepted.rows()

    def parts(self) -> Iterator[ImportRows]:
        """Yield all rows, some at a time."""
        return self.accepted.parts(self.passages)

    def new_import(self, path: str, *, sha256: str, role: str, format: str, options: Mapping[str, Any]) -> NewImport:
        """Return the plan as an import; `parts` are its rows."""
        counts = {
            "passages": len(self.passages),
            "questions": len(self.accepted.numbers),
            "labels": sum(count for name, count in self.splits.items() if name != POOL),
            "duplicates": self.duplicates,
            "rejected": len(self.rejected),
            "splits": dict(sorted(self.splits.items())),
        }
        return NewImport(storable(path), sha256, role, format, options, counts)


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
    by_document = split_by == "document"
    questions = filed_questions(content.questions)
    usable: Iterable[int] = range(len(questions))
    wanted: str | SplitPlan | Mapping[str, str]
    leaking: list[Rejected] = []
    if isinstance(role, FileSplit):
        wanted, usable, leaking = roles_of_file(questions, by_document=by_document)
    else:
        wanted = role
    numbers, repeated, twice = distinct(questions, usable)
    near = NearPairs() if texts is None else near_pairs(questions, numbers, texts)
    groups = groups_of(questions, numbers, stored, by_document=by_document, near=near if together else None)
    roles = _roles(questions, numbers, stored, groups, wanted, seed=seed)
    accepted, conflicts = _accepted(
        questions, numbers, ConflictFinder(questions, roles, stored, by_document=by_document), roles
    )
    known = {row.id: row for row in stored.questions}
    originals = originals_of(questions, accepted, stored)
    chosen = Accepted(questions, accepted, roles, groups, originals, known)
    found = _Tally(chosen)
    return ImportPlan(
        filed_passages(content.passages, questions),
        chosen,
        found.splits,
        found.hidden,
        duplicates=repeated + found.repeats,
        rejected=(*content.rejected, *leaking, *twice, *conflicts),
        moved=found.moved,
        shared_documents=found.shared_documents,
        near_duplicates=_across(near, chosen, stored),
        notes=(
            *(_split_notes(role, questions, numbers, roles, stored) if isinstance(role, SplitPlan) else ()),
            *(_other_split_notes(role, found.other_splits) if isinstance(role, str) else ()),
            *_notes(found, stored, planned=isinstance(role, SplitPlan)),
        ),
        unanchored=found.unanchored,
    )


def _accepted(
    questions: Questions, numbers: Sequence[int], find_conflict: ConflictFinder, roles: Roles
) -> tuple[Sequence[int], list[Rejected]]:
    """Return the numbers of the questions that are imported, and those that contradict what is stored."""
    accepted = array("q")
    rejected = []
    for number in numbers:
        question = questions.key(number)
        role = roles.of(question.id)
        if role is None or _cannot_train(question, role):
            continue
        conflict = find_conflict(question, role)
        if conflict is None:
            accepted.append(number)
        else:
            rejected.append(Rejected(questions[number].where, conflict))
    return accepted, rejected


def _cannot_train(question: Keys, role: str) -> bool:
    """Whether a question is left out because none of its answers stands in its context; each is rejected already."""
    return role == GOLD and question.texts and not question.answered and question.place is not None


class _Tally:
    """Counts over the accepted questions of a file."""

    def __init__(self, accepted: Accepted) -> None:
        self.splits: Counter[str] = Counter()
        self.other_splits: Counter[str] = Counter()  # that the file names and the questions do not get
        self.hidden = self.unanchored = self.pseudo = self.repeats = self.new_dev = 0
        self.moved: dict[str, str] = {}
        self._sides: defaultdict[str, set[str]] = defaultdict(set)  # of documents
        self._one_side = len({side(name) for name in (accepted.roles.most, *accepted.roles.others.values()) if name})
        for number in accepted.numbers:
            question = accepted.questions.key(number)
            role = accepted.roles.of(question.id)
            assert role is not None  # the others were left out
            self._count(question, role)
            self._meet(question, role, accepted.known.get(question.id), repeats=number in accepted.originals)

    def _count(self, question: Keys, role: str) -> None:
        self.splits[role] += 1
        self.hidden += role == POOL and (question.answered or question.is_impossible)
        self.unanchored += question.texts and question.place is not None and role != POOL
        self.pseudo += question.kind == "pseudo" and role != POOL
        own = role_of(question) if question.split else ""
        if own and side(own) != side(role):
            self.other_splits[question.split] += 1
        if self._one_side > 1 and question.place is not None:
            self._sides[question.place.document].add(side(role))

    def _meet(self, question: Keys, role: str, old: QuestionRow | None, *, repeats: bool) -> None:
        """Count a question that is stored already, or repeats another one."""
        self.repeats += repeats or (old is not None and old.active)
        self.new_dev += role == "dev" and not (old is not None and old.active and old.role == "dev")
        # The store itself moves a question from pool to gold, with its context and without its pseudo-label.
        if old is not None and not old.active and old.role != role and (old.role, role) != (POOL, GOLD):
            self.moved[question.id] = role

    @property
    def shared_documents(self) -> int:
        """How many documents have paragraphs on more than one side."""
        return sum(len(found) > 1 for found in self._sides.values())


def _across(near: NearPairs, accepted: Accepted, stored: Stored) -> tuple[NearPair, ...]:
    """Return the near-duplicates on two sides of the split."""
    named = near.ids()
    if not named:
        return ()
    asked = {accepted.questions.ids[number] for number in accepted.numbers} & named
    roles = {row.id: row.role for row in stored.questions if row.id in named}
    return near.across(roles | {key: role for key in asked if (role := accepted.roles.of(key))}, of=asked)


def _notes(found: _Tally, stored: Stored, *, planned: bool) -> Iterator[str]:
    """Warn of a dev split that the import leaves small, and of pseudo-labels that it makes gold."""
    all_dev = stored.active_by_role.get("dev", 0) + found.new_dev
    if found.splits["dev"] and all_dev < SMALL_DEV:
        remedy = f"ask for dev={SMALL_DEV} or more" if planned else "import more of them"
        yield f"dev has {all_dev} questions: under {SMALL_DEV} the gate has little power; {remedy}"
    if found.pseudo:
        yield (
            f"{found.pseudo} labels were made by a model (kind pseudo) and are imported as gold; "
            "export with --kinds gold,human to leave them out"
        )


def _other_split_notes(role: str, others: Counter[str]) -> Iterator[str]:
    """Say how many questions get another side than the split that their file names."""
    if others:
        listed = ", ".join(f"{count} {split}" for split, count in sorted(others.items()))
        yield f"the file has questions of other splits ({listed}), imported as {role}; --split file keeps their splits"


def _split_notes(
    plan: SplitPlan, questions: Questions, numbers: Sequence[int], roles: Roles, stored: Stored
) -> Iterator[str]:
    """Say where the split differs from the plan: counts are maxima, and stored questions keep their split."""
    if len(roles.others) < len(numbers):
        yield f"{len(numbers) - len(roles.others)} questions were left out: --split has no rest"
    kept = {row.id for row in stored.questions if row.active or stored.begun}
    staying = sum(questions.ids[number] in kept for number in numbers) if kept else 0
    if staying:
        yield f"{staying} questions are stored already and keep their split"
        return
    got = Counter(roles.others.values())
    short = [f"{role} {got[role]} of {count}" for role, count in plan.counts if got[role] < SHORT * count]
    if plan.rest and not got[plan.rest]:
        short.append(f"{plan.rest} none")
    if short:
        yield f"fewer questions than --split wants: {', '.join(short)}; the file has {len(numbers)}"


def _roles(
    questions: Questions,
    numbers: Sequence[int],
    stored: Stored,
    groups: Mapping[str, str],
    role: str | SplitPlan | Mapping[str, str],
    *,
    seed: int,
) -> Roles:
    """Return the role of each question: the one role of all, by a plan, or as wanted for each.

    Stored questions keep theirs, also those that a round held out of gold.
    """
    ids = [questions.ids[number] for number in numbers]
    kept = {row.id: row for row in stored.questions if row.active or stored.begun}
    if isinstance(role, SplitPlan):
        fresh = {key: groups.get(key) or group_name(key) for key in ids if key not in kept}
        return Roles(None, assign(fresh, role, seed=seed) | {key: kept[key].role for key in ids if key in kept})
    if isinstance(role, str):
        asked = kept.keys() & set(ids) if kept else set()
        held_out = {key for key in asked if kept[key].imported_role == role}
        return Roles(role, {key: kept[key].role for key in held_out if kept[key].role != role})
    held_out = {key for key, row in kept.items() if row.imported_role == role.get(key)}
    return Roles(None, {key: kept[key].role if key in held_out else role[key] for key in ids})
