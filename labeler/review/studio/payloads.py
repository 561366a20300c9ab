"""Tasks as Label Studio imports them, with all they show: the one form for a server and for a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from db import queries
from db.rows import RoundRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.review.studio.convert import task_json


def task_payloads(
    runtime: Runtime, row: RoundRow, tasks: Sequence[TaskRow], *, push_id: str, places: int
) -> Iterator[dict[str, Any]]:
    """One task each, in order; a blind task carries no prediction. `places`: passages that the page has room for."""
    ids = [task.question_id for task in tasks]
    with runtime.database.read() as session:
        questions = {each.id: each.text for each in queries.questions(session, ids=ids, active=False)}
        passages = queries.passages(session, {key for task in tasks for key in task.passages})
        suggested = [task.question_id for task in tasks if not task.blind]
        found = queries.predictions(session, row.number, question_ids=suggested)
    answers = {each.question_id: each.answers for each in found}
    for task in tasks:
        yield task_json(
            task,
            round_uid=row.uid,
            push_id=push_id,
            question=questions[task.question_id],
            passages=passages,
            places=places,
            answers=answers.get(task.question_id, ()),
        )
