"""Label Studio's JSON exports: which of their annotations are of tasks of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from db.rows import TaskRow
from labeler.core.errors import ImportRefused
from labeler.core.files import read_text, text_fault
from labeler.review.studio.convert import reviewer_name
from mrc.squad import Rejected

LARGEST = 1 << 30  # bytes of a file that is read: about a hundred thousand tasks
LONGEST_NAME = 255
LONGEST_ID = 64
_NUMBERED = re.compile(r"(\d{1,18})=(.+)")
_HOW = "export from Label Studio as JSON"


@dataclass(frozen=True, slots=True)
class People:
    """What people are called whom an export knows by a number alone."""

    only: str | None = None  # the one person of the file, whatever the number
    by_number: Mapping[int, str] = field(default_factory=dict)

    def name(self, completed_by: Any) -> tuple[str, bool]:
        """Who made an annotation, and whether that is but a number: as the export says it, else as we are told."""
        if isinstance(completed_by, dict) and str(completed_by.get("email") or "").strip():
            return reviewer_name(completed_by, {}), False
        number = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
        told = self.only if number is None else self.by_number.get(number, self.only)
        return (reviewer_name(number, {}), True) if told is None else (told, False)


def parse_people(given: Sequence[str]) -> People:
    """The people of one `NAME`, or of a `NUMBER=NAME` for each. Raises ValueError."""
    numbered = [(match[1], match[2]) for text in given if (match := _NUMBERED.fullmatch(text.strip()))]
    plain = [text.strip() for text in given if not _NUMBERED.fullmatch(text.strip())]
    if len(plain) > 1 or (plain and numbered):
        raise ValueError("give one NAME, or NUMBER=NAME for each person")
    names = {int(number): name.strip() for number, name in numbered}
    for name in (*plain, *names.values()):
        if not name or len(name) > LONGEST_NAME or text_fault(name):
            raise ValueError(f"a name has 1 to {LONGEST_NAME} characters")
    return People(plain[0] if plain else None, names)


@dataclass(frozen=True, slots=True)
class Found:
    """An annotation of one of our tasks."""

    task: TaskRow
    data: Mapping[str, Any]  # of the task in the export
    annotation: Mapping[str, Any]
    reviewer: str
    numbered: bool  # the reviewer is known by a number alone
    updated_at: datetime  # by the clock of the server
    where: str

    @property
    def unique_id(self) -> str:
        """Of the annotation, in all servers; of our own making where the export says none."""
        said = self.annotation.get("unique_id")
        if isinstance(said, str) and said.isascii() and said.isprintable() and 0 < len(said) <= LONGEST_ID:
            return said
        return str(self.annotation["id"])

    @property
    def age(self) -> tuple[datetime, int]:
        return self.updated_at, self.annotation["id"]


@dataclass(frozen=True, slots=True)
class Export:
    """What an export holds for us; `rejected`: tasks of others, and what is no annotation."""

    found: tuple[Found, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def read_export(path: Path, tasks: Mapping[str, TaskRow], people: People) -> Export:
    """The annotations in an export of tasks of ours (`tasks`: by the key that they carry).

    Raises:
        ImportRefused: it is no JSON export, none of its tasks is ours, or one name is given for several people.
        FileError, OSError: the file cannot be read.
    """
    entries = _read(path)
    found: list[Found] = []
    rejected: list[Rejected] = []
    ours = 0
    for place, entry in enumerate(entries, start=1):
        where, data = f"{path}: entry {place}", entry.get("data") if isinstance(entry, dict) else None
        task = tasks.get(str(data.get("task"))) if isinstance(data, dict) else None
        if task is None:
            rejected.append(Rejected(where, "is no task of this workspace"))
            continue
        ours += 1
        for each in _annotations(entry, task, where=f"{where} (question {task.question_id})", people=people):
            found.append(each) if isinstance(each, Found) else rejected.append(each)
    if not ours:
        raise ImportRefused(f"{path}: none of its {len(entries)} tasks is of this workspace; is it another's export?")
    numbers = sorted({number for one in found if type(number := one.annotation.get("completed_by")) is int})
    if people.only is not None and len(numbers) > 1:
        known = ", ".join(map(str, numbers))
        raise ImportRefused(
            f"{path}: holds annotations of several people ({known}); give --reviewer-name NUMBER=NAME of each"
        )
    return Export(tuple(found), tuple(rejected), _notes(found))


def _read(path: Path) -> list[Any]:
    """The list of tasks in a file. Raises ImportRefused."""
    if path.stat().st_size > LARGEST:
        raise ImportRefused(f"{path}: is larger than {LARGEST >> 30} GiB; export fewer tasks a file")
    text, _ = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("data"), list):
        raise ImportRefused(f"{path}: holds questions, not reviews; say what they are: --as gold, pool, dev or test")
    if not isinstance(found, list):
        raise ImportRefused(f"{path}: is no JSON list of tasks; {_HOW}")
    entries = [each for each in found if isinstance(each, dict)]
    if any("annotation_id" in each and "annotations" not in each for each in entries):
        raise ImportRefused(f"{path}: is a JSON-MIN export, which leaves out what is needed; {_HOW}")
    if not any("annotations" in each for each in entries):
        raise ImportRefused(f"{path}: holds no annotations; {_HOW}")
    return found


def _annotations(entry: Mapping[str, Any], task: TaskRow, *, where: str, people: People) -> Iterator[Found | Rejected]:
    listed = entry.get("annotations")
    if not isinstance(listed, list):
        yield Rejected(where, "its annotations are no list")
        return
    for annotation in listed:
        why = _fault(annotation)
        if why is not None:
            yield Rejected(where, why)
            continue
        yield Found(
            task,
            entry["data"],
            annotation,
            *people.name(annotation.get("completed_by")),
            datetime.fromisoformat(annotation["updated_at"]),
            f"{where}, annotation {annotation['id']}",
        )


def _fault(annotation: Any) -> str | None:
    """Why something cannot be an annotation of an export; None where it can."""
    number = annotation.get("id") if isinstance(annotation, dict) else None
    if type(number) is not int or not 0 <= number < 1 << 63:
        return "an annotation without an id"
    by = annotation.get("completed_by")
    person = by.get("id") if isinstance(by, dict) else by
    if person is not None and type(person) is not int:
        return f"annotation {annotation['id']}: completed_by is no person"
    if not _is_moment(annotation.get("updated_at")):
        return f"annotation {annotation['id']}: updated_at is no moment with a time zone"
    return None


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _notes(found: Sequence[Found]) -> tuple[str, ...]:
    numbered = sorted({each.reviewer for each in found if each.numbered})
    if not numbered:
        return ()
    return (f"people known by a number: {', '.join(numbered)}; name them by: --reviewer-name NUMBER=NAME",)
