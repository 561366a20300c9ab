"""Tasks and reviews as Label Studio files, for teams whose server this tool cannot reach."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.rows import FileReview, TaskRow
from labeler.core.errors import ExportRefused, NotReady
from labeler.core.files import atomic_folder
from labeler.core.runtime import Runtime
from labeler.review import follow_up
from labeler.review.guidelines import instruction
from labeler.review.studio import convert
from labeler.review.studio.export_parser import Found, People, read_export
from labeler.review.studio.labeling_config import MAX_PLACES, page
from labeler.review.studio.payloads import task_payloads
from mrc.squad import Rejected

PUSH_ID = "file"  # of tasks that no push has sent

Form = tuple[bool, int]  # blind, people who answer each task


# --- out -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. `files`: tasks by file; beside each stand its page as .xml, its guidelines as .html."""

    labels: int  # none: tasks are no labels
    tasks: int
    path: str
    files: Mapping[str, int]
    next: str


def write_tasks(runtime: Runtime, folder: Path) -> Written:
    """The open tasks of the current round in a new folder: for each form of the page tasks, the page, the guidelines.

    Tasks that two people answer stand in files of their own. Equal contents give equal bytes.

    Raises:
        NotReady: no round is under way.
        ExportRefused: no task is open, or one shows more passages than a page has places.
        FileError, OSError: the place cannot be written.
    """
    with runtime.database.read() as session:
        row = queries.current_round(session)
        if row is None:
            raise NotReady("no round is under way, so there is no task to export; run: labeler round --reviewer people")
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
    if not tasks:
        raise ExportRefused(f"round {row.number} has no open task; run: labeler round")
    _check_places(tasks)
    forms: dict[Form, list[TaskRow]] = {}
    for task in tasks:
        forms.setdefault((task.blind, task.reviewers), []).append(task)
    with atomic_folder(folder) as new:
        for (blind, people), chosen in forms.items():
            places = max(1, *(len(task.passages) for task in chosen))
            name = _file_name(blind, people)
            (new / f"{name}.xml").write_text(page(blind=blind, places=places, language="both"), encoding="utf-8")
            (new / f"{name}.html").write_text(instruction("both", blind=blind), encoding="utf-8")
            with (new / f"{name}.json").open("w", encoding="utf-8") as file:
                tasks_out = list(task_payloads(runtime, row, chosen, push_id=PUSH_ID, places=places))
                json.dump(tasks_out, file, ensure_ascii=False)
    files = {f"{_file_name(*form)}.json": len(chosen) for form, chosen in sorted(forms.items())}
    return Written(0, len(tasks), str(folder), files, _ADVICE)


_ADVICE = (
    "next       for each .json file make a project in Label Studio with the .xml of the same name as its labelling\n"
    "           setup, import the .json there, and bring its JSON export back: labeler import FILE --as reviews"
)


def _file_name(blind: bool, people: int) -> str:
    return ("blind" if blind else "suggested") + ("" if people == 1 else "-two-people")


def _check_places(tasks: Sequence[TaskRow]) -> None:
    most = max(len(task.passages) for task in tasks)
    if most > MAX_PLACES:
        raise ExportRefused(f"a task shows {most} passages, a page has {MAX_PLACES}; answer them with: labeler review")


# --- in ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """What files brought. An annotation that cannot be read as a review is among `rejected`."""

    reviews: int = 0  # new or edited, of every verdict
    labels: int = 0  # of these: an answer, or that there is none; the round's labelling makes labels of them
    skipped: int = 0  # of these
    edited: int = 0  # of these: in place of another
    duplicates: int = 0  # filed before
    older: int = 0  # a later edit was filed before
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    passages: int = 0  # a file of reviews brings neither
    questions: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.reviews + other.reviews,
            self.labels + other.labels,
            self.skipped + other.skipped,
            self.edited + other.edited,
            self.duplicates + other.duplicates,
            self.older + other.older,
            self.rejected + other.rejected,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def import_reviews(runtime: Runtime, files: Sequence[str], people: People) -> Taken:
    """What Label Studio's JSON exports brought, each file in one transaction. The same file again changes nothing.

    Of several annotations of a task by one person the newest counts, also over files, whatever their order. That one
    is missing from a file says nothing: its review stays.

    Raises:
        ImportRefused: a file is no JSON export, or none of its tasks is of this workspace. Files before it stay.
        FileError, OSError: a file cannot be read.
    """
    taken = Taken()
    for name in files:
        taken += _import_one(runtime, name, people)
    return taken


def _import_one(runtime: Runtime, name: str, people: People) -> Taken:
    export = read_export(Path(name), _tasks_by_key(runtime), people)
    newest = {(each.task.id, each.reviewer): each for each in sorted(export.found, key=lambda each: each.age)}
    with runtime.database.read() as session:
        rows = queries.passages(session, {key for each in newest.values() for key in each.task.passages})
    passages = {key: row.text for key, row in rows.items()}
    filed = [(each, *_filed(each, passages)) for each in newest.values()]
    with runtime.database.write() as session:
        became = store.record_file_reviews(session, [row for _, row, _ in filed])
    for number in sorted({each.task.round_number for each in newest.values()}):
        follow_up.resolve(runtime, number)
    rejected = list(export.rejected)
    counts: Counter[str] = Counter(became)
    for (each, row, problem), outcome in zip(filed, became, strict=True):
        if outcome == "pulled":
            rejected.append(Rejected(each.where, _PULLED))
        elif problem is not None and outcome != "older":
            rejected.append(Rejected(each.where, problem))
            counts[outcome] -= 1
        elif row.review is not None and outcome in ("new", "edited"):
            counts[row.review.verdict] += 1
    return Taken(
        reviews=counts["new"] + counts["edited"],
        labels=counts["answerable"] + counts["no_answer"],
        skipped=counts["skipped"],
        edited=counts["edited"],
        duplicates=counts["known"],
        older=counts["older"],
        rejected=tuple(rejected),
        notes=export.notes,
    )


_PULLED = "this was pulled from the server before, whose word counts; run: labeler pull"


def _filed(found: Found, passages: Mapping[str, str]) -> tuple[FileReview, str | None]:
    """An annotation with the review that it is, or the problem why it is none."""
    pulled = convert.read_annotation(
        found.annotation,
        task=found.task,
        data=found.data,
        passages=passages,
        reviewer=found.reviewer,
        source="file",
    )
    row = FileReview(
        task_id=found.task.id,
        reviewer=found.reviewer,
        numbered=found.numbered,
        unique_id=found.unique_id,
        remote_id=found.annotation["id"],
        updated_at=found.updated_at,
        review=pulled.review,
    )
    return row, pulled.problem


def _tasks_by_key(runtime: Runtime) -> dict[str, TaskRow]:
    """Every task of the workspace by the key that it carries."""
    with runtime.database.read() as session:
        uids = {row.number: row.uid for row in queries.rounds(session)}
        tasks = queries.tasks(session)
    return {convert.task_key(uids[task.round_number], task.question_id, task.attempt): task for task in tasks}
