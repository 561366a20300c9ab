"""Tasks and reviews as Label Studio files, for teams whose server this machine cannot reach."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.rows import FileReview, RoundRow, TaskRow
from labeler.core.errors import ExportRefused, NotReady
from labeler.core.files import atomic_folder
from labeler.core.runtime import Runtime
from labeler.review.follow_up import resolve
from labeler.review.guidelines import instruction
from labeler.review.studio.annotations import read_annotation
from labeler.review.studio.export_parser import Export, ExportedAnnotation, ReviewerNames, read_export
from labeler.review.studio.labeling_config import MAX_PASSAGES
from labeler.review.studio.payloads import task_payloads
from labeler.review.studio.projects import ProjectSpec, page_language, spec_for
from labeler.review.studio.reconcile import tasks_by_key
from labeler.review.studio.stored_texts import StoredTexts, stored_texts
from mrc.squad import Rejected

PUSH_ID = "file"  # of tasks in files
_PULLED_BEFORE = "this annotation was pulled from the server, which decides; run: labeler pull"


# --- out -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrittenTasks:
    """The result of an export of tasks. Beside each file of tasks: its page as .xml, its guidelines as .html."""

    labels: int  # 0: tasks are no labels
    tasks: int
    path: str
    files: Mapping[str, int]  # file name -> tasks
    next: str


def write_tasks(runtime: Runtime, folder: Path) -> WrittenTasks:
    """Write the open tasks of the current round to a new folder: tasks, review page and guidelines for each project.

    Equal contents give equal bytes.

    Raises:
        NotReady: no round is open.
        ExportRefused: no task is open, or one has more passages than a page can show.
        FileError, OSError: the folder cannot be written.
    """
    row, tasks = _open_tasks(runtime)
    by_file: dict[str, list[TaskRow]] = {}
    for task in tasks:
        by_file.setdefault(_file_name(task), []).append(task)
    with atomic_folder(folder) as new:
        for name, chosen in by_file.items():
            _write_project(runtime, row, new / name, _spec(runtime, chosen), chosen)
    files = {f"{name}.json": len(chosen) for name, chosen in sorted(by_file.items(), key=_project_order)}
    return WrittenTasks(0, len(tasks), str(folder), files, _NEXT)


_NEXT = (
    "for each .json file make a project in Label Studio with the .xml of the same name as its labeling interface, "
    "import the .json there, and bring its JSON export back: labeler import FILE --as reviews"
)


def _open_tasks(runtime: Runtime) -> tuple[RoundRow, list[TaskRow]]:
    """The current round and its open tasks. Raises NotReady, ExportRefused."""
    with runtime.database.read() as session:
        row = queries.current_round(session)
        if row is None:
            raise NotReady("no round is open, so there is no task to export; run: labeler round --reviewer people")
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
    if not tasks:
        raise ExportRefused(f"round {row.number} has no open task; run: labeler round")
    most = max(len(task.passages) for task in tasks)
    if most > MAX_PASSAGES:
        raise ExportRefused(f"a task shows {most} passages, a page {MAX_PASSAGES}; review it with: labeler review")
    return row, tasks


def _file_name(task: TaskRow) -> str:
    """The name of a task's file, without its ending: one for each kind of project."""
    return ("blind" if task.blind else "suggested") + ("" if task.reviewers == 1 else "-two-people")


def _spec(runtime: Runtime, tasks: Sequence[TaskRow]) -> ProjectSpec:
    most = max(1, *(len(task.passages) for task in tasks))
    return spec_for(tasks[0], passage_slots=most, language=page_language(runtime))


def _project_order(item: tuple[str, Sequence[TaskRow]]) -> tuple[bool, int]:
    return item[1][0].blind, item[1][0].reviewers


def _write_project(runtime: Runtime, row: RoundRow, path: Path, spec: ProjectSpec, tasks: Sequence[TaskRow]) -> None:
    """The files of one project, `path` with the endings .xml, .html and .json."""
    slots, language = spec.passage_slots, spec.language
    payloads = list(task_payloads(runtime, row, tasks, push_id=PUSH_ID, passage_slots=slots, language=language))
    path.with_suffix(".xml").write_text(spec.label_config, encoding="utf-8")
    path.with_suffix(".html").write_text(instruction(spec.language, blind=spec.blind), encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(payloads, ensure_ascii=False), encoding="utf-8")


# --- in ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImportedReviews:
    """The result of importing exports. Annotations that cannot be read as reviews are among `rejected`."""

    reviews: int = 0  # new or edited, of every verdict
    labels: int = 0  # of these: with an answer, or "no answer"; the round's labelling makes labels of them
    skipped: int = 0  # of these
    edited: int = 0  # of these: in place of another
    duplicates: int = 0  # imported before
    older: int = 0  # a later edit was imported before
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    passages: int = 0  # a file of reviews has neither
    questions: int = 0

    def __add__(self, other: ImportedReviews) -> ImportedReviews:
        return ImportedReviews(
            self.reviews + other.reviews,
            self.labels + other.labels,
            self.skipped + other.skipped,
            self.edited + other.edited,
            self.duplicates + other.duplicates,
            self.older + other.older,
            self.rejected + other.rejected,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def import_reviews(runtime: Runtime, files: Sequence[str], names: ReviewerNames) -> ImportedReviews:
    """Import Label Studio's JSON exports, each file in one transaction. Idempotent.

    Of several annotations of a task by one person the newest counts, also across files, whatever their order. A review
    that is missing from a file stays.

    Raises:
        ImportRefused: a file is no JSON export, or none of its tasks is of this workspace. Files before it stay.
        FileError, OSError: a file cannot be read.
    """
    imported = ImportedReviews()
    for name in files:
        imported += _import_file(runtime, name, names)
    return imported


_Filed = tuple[ExportedAnnotation, FileReview, str | None]  # the last: why the annotation contains no review


def _import_file(runtime: Runtime, name: str, names: ReviewerNames) -> ImportedReviews:
    with runtime.database.read() as session:
        tasks = tasks_by_key(session)
    export = read_export(Path(name), tasks, names)
    newest = {(each.task.id, each.reviewer): each for each in sorted(export.annotations, key=lambda each: each.age)}
    with runtime.database.read() as session:
        texts = stored_texts(session, [each.task for each in newest.values()])
    filed: list[_Filed] = [(each, *_filed_review(each, texts)) for each in newest.values()]
    with runtime.database.write() as session:
        outcomes = store.record_file_reviews(session, [row for _, row, _ in filed])
    for number in sorted({each.task.round_number for each in newest.values()}):
        resolve(runtime, number)
    return _imported(export, filed, outcomes)


def _imported(export: Export, filed: Sequence[_Filed], outcomes: Sequence[str]) -> ImportedReviews:
    """The counts of one file. `outcomes`: what the database did with each review, as `record_file_reviews` says."""
    rejected = list(export.rejected)
    counts: Counter[str] = Counter(outcomes)
    for (each, row, problem), outcome in zip(filed, outcomes, strict=True):
        if outcome == "pulled":
            rejected.append(Rejected(each.where, _PULLED_BEFORE))
        elif problem is not None and outcome != "older":
            rejected.append(Rejected(each.where, problem))
            counts[outcome] -= 1
        elif row.review is not None and outcome in ("new", "edited"):
            counts[row.review.verdict] += 1
    return ImportedReviews(
        reviews=counts["new"] + counts["edited"],
        labels=counts["answerable"] + counts["no_answer"],
        skipped=counts["skipped"],
        edited=counts["edited"],
        duplicates=counts["known"],
        older=counts["older"],
        rejected=tuple(rejected),
        notes=export.notes,
    )


def _filed_review(found: ExportedAnnotation, texts: StoredTexts) -> tuple[FileReview, str | None]:
    """An annotation with its review, or with the problem why it contains none."""
    pulled = read_annotation(
        found.annotation,
        task=found.task,
        data=found.data,
        question=texts.questions[found.task.question_id],
        passages=texts.passages,
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
