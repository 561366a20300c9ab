"""The stored texts of tasks, against which annotations are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import TaskRow


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """Texts by question id and by passage id."""

    questions: Mapping[str, str]
    passages: Mapping[str, str]


def stored_texts(session: Session, tasks: Iterable[TaskRow]) -> StoredTexts:
    """The texts of the questions and passages of these tasks."""
    tasks = list(tasks)
    ids = sorted({task.question_id for task in tasks})
    passages = queries.passages(session, {key for task in tasks for key in task.passages})
    return StoredTexts(
        questions={each.id: each.text for each in queries.questions(session, ids=ids, active=False)},
        passages={key: row.text for key, row in passages.items()},
    )
