"""Label Studio's JSON exports: the annotations of our tasks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from db.rows import TaskRow
from labeler.core.errors import ImportRefused
from labeler.core.files import detect_encoding, text_fault
from labeler.core.files.json_stream import json_items
from labeler.review.studio.annotations import annotation_fault, reviewer_name
from labeler.review.studio.untrusted import as_moment, as_text, load_json
from mrc.errors import DataError
from mrc.squad import Rejected

MAX_BYTES = 1 << 30  # of a file that is read: about a hundred thousand tasks
MAX_MEMBERS = 1000  # of an object, which is no list of tasks, that are searched for `data`
MAX_REJECTED = 100_000  # entries of others, after which a file is no export of ours
MAX_NAME = 255
MAX_ID = 64
_NUMBERED = re.compile(r"(\d{1,18})=(.+)")
_HOW = "export from Label Studio as JSON"


@dataclass(frozen=True, slots=True)
class ReviewerNames:
    """Names of reviewers whom an export identifies only by a number."""

    only: str | None = None  # the one reviewer of the file, whatever the number
    by_number: Mapping[int, str] = field(default_factory=dict)

    def name(self, completed_by: Any) -> tuple[str, bool]:
        """The name of an annotation's reviewer, and whether it is only a number."""
        if isinstance(completed_by, dict) and (as_text(completed_by.get("email")) or "").strip():
            return reviewer_name(completed_by, {}), False
        number = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
        given = self.only if number is None else self.by_number.get(number, self.only)
        return (reviewer_name(number, {}), True) if given is None else (given, False)


def parse_reviewer_names(given: Sequence[str]) -> ReviewerNames:
    """The names in one `NAME`, or in a `NUMBER=NAME` for each reviewer. Raises ValueError."""
    numbered = [(match[1], match[2]) for text in given if (match := _NUMBERED.fullmatch(text.strip()))]
    plain = [text.strip() for text in given if not _NUMBERED.fullmatch(text.strip())]
    if len(plain) > 1 or (plain and numbered):
        raise ValueError("give one NAME, or NUMBER=NAME for each reviewer")
    names = {int(number): name.strip() for number, name in numbered}
    for name in (*plain, *names.values()):
        if not name or len(name) > MAX_NAME or text_fault(name):
            raise ValueError(f"a name has 1 to {MAX_NAME} characters")
    return ReviewerNames(plain[0] if plain else None, names)


@dataclass(frozen=True, slots=True)
class ExportedAnnotation:
    """An annotation of one of our tasks."""

    task: TaskRow
    data: Mapping[str, Any]  # of the task in the export
    annotation: Mapping[str, Any]
    reviewer: str
    numbered: bool  # the reviewer is known only by a number
    updated_at: datetime  # by the clock of the server
    where: str

    @property
    def unique_id(self) -> str:
        """The annotation's id across servers; its local id where the export has none."""
        given = self.annotation.get("unique_id")
        if isinstance(given, str) and given.isascii() and given.isprintable() and 0 < len(given) <= MAX_ID:
            return given
        return str(self.annotation["id"])

    @property
    def age(self) -> tuple[datetime, int]:
        """Sorts annotations from old to new."""
        return self.updated_at, self.annotation["id"]


@dataclass(frozen=True, slots=True)
class Export:
    """The newest annotation of each of our tasks by each reviewer; `rejected`: other tasks and faulty annotations."""

    annotations: tuple[ExportedAnnotation, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def read_export(path: Path, tasks: Mapping[str, TaskRow], names: ReviewerNames) -> Export:
    """The annotations in an export of tasks of ours (`tasks`: by the key that they carry).

    Raises:
        ImportRefused: it is no JSON export, none of its tasks is ours, or one name is given for several reviewers.
        FileError, OSError: the file cannot be read.
    """
    kind = _Kind()
    found = _Newest()
    rejected: list[Rejected] = []
    ours = position = 0
    for position, entry in enumerate(_entries(path), start=1):
        kind.see(entry)
        where, data = f"{path}: entry {position}", entry.get("data") if isinstance(entry, dict) else None
        task = tasks.get(as_text(data.get("task")) or "") if isinstance(data, dict) else None
        if task is None:
            rejected.append(Rejected(where, "not a task of this workspace"))
        else:
            ours += 1
            for each in _annotations(entry, task, where=f"{where} (question {task.question_id})", names=names):
                found.add(each) if isinstance(each, ExportedAnnotation) else rejected.append(each)
        if len(rejected) > max(MAX_REJECTED, ours):
            raise ImportRefused(f"{path}: over {MAX_REJECTED:,} entries are no reviews for this workspace; {_HOW}")
    kind.check(path)
    if not ours:
        raise ImportRefused(
            f"{path}: none of its {position} tasks belongs to this workspace; was it exported for another one?"
        )
    if names.only is not None and len(found.numbers) > 1:
        known = ", ".join(map(str, sorted(found.numbers)))
        raise ImportRefused(
            f"{path}: has annotations of several reviewers ({known}); give --reviewer-name NUMBER=NAME for each"
        )
    annotations = tuple(found.by_reviewer.values())
    return Export(annotations, tuple(rejected), _notes(annotations))


class _Newest:
    """The newest annotation of each task by each reviewer: only those count, and only those are kept."""

    def __init__(self) -> None:
        self.by_reviewer: dict[tuple[int, str], ExportedAnnotation] = {}
        self.numbers: set[int] = set()  # by which reviewers are known, as far as they are

    def add(self, found: ExportedAnnotation) -> None:
        number = found.annotation.get("completed_by")
        if type(number) is int and len(self.numbers) < MAX_MEMBERS:
            self.numbers.add(number)
        key = found.task.id, found.reviewer
        known = self.by_reviewer.get(key)
        if known is None or known.age <= found.age:
            self.by_reviewer[key] = found


def _entries(path: Path) -> Iterator[Any]:
    """Yield the entries of the list in a file, one at a time. Raises ImportRefused, FileError."""
    if path.stat().st_size > MAX_BYTES:
        raise ImportRefused(f"{path}: larger than {MAX_BYTES >> 30} GiB; export fewer tasks per file")
    members = 0
    try:
        for item in json_items(detect_encoding(path), deep=load_json, constant=str):
            if item.key == "data" and (item.index is not None or item.value == []):
                raise ImportRefused(
                    f"{path}: contains questions, not reviews; import it with --as gold, pool, dev or test"
                )
            members += item.key != ""
            if members > MAX_MEMBERS:
                break
            if item.key == "" and item.index is not None:
                yield item.value
    except DataError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise ImportRefused(f"{path}: not a JSON list of tasks; {_HOW} ({why})") from error
    if members:
        raise ImportRefused(f"{path}: not a JSON list of tasks; {_HOW}")


@dataclass(slots=True)
class _Kind:
    """What the entries of a file are."""

    has_annotations: bool = False
    is_min: bool = False  # a row of a JSON-MIN export

    def see(self, entry: Any) -> None:
        if isinstance(entry, dict):
            self.has_annotations |= "annotations" in entry
            self.is_min |= "annotation_id" in entry and "annotations" not in entry

    def check(self, path: Path) -> None:
        """Raise ImportRefused unless they are tasks with annotations."""
        if self.is_min:
            raise ImportRefused(f"{path}: a JSON-MIN export, which has no task data; {_HOW}")
        if not self.has_annotations:
            raise ImportRefused(f"{path}: contains no annotations; {_HOW}")


def _annotations(
    entry: Mapping[str, Any], task: TaskRow, *, where: str, names: ReviewerNames
) -> Iterator[ExportedAnnotation | Rejected]:
    listed = entry.get("annotations")
    if not isinstance(listed, list):
        yield Rejected(where, "its annotations are not a list")
        return
    for annotation in listed:
        why = annotation_fault(annotation)
        if why is not None:
            yield Rejected(where, why)
            continue
        updated_at = as_moment(annotation["updated_at"])
        assert updated_at is not None, "an annotation without a fault has its date"
        yield ExportedAnnotation(
            task,
            entry["data"],
            annotation,
            *names.name(annotation.get("completed_by")),
            updated_at,
            f"{where}, annotation {annotation['id']}",
        )


def _notes(found: Sequence[ExportedAnnotation]) -> tuple[str, ...]:
    numbered = sorted({each.reviewer for each in found if each.numbered})
    if not numbered:
        return ()
    return (f"reviewers known only by a number: {', '.join(numbered)}; name them with: --reviewer-name NUMBER=NAME",)
