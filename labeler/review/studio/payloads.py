"""Tasks as Label Studio imports them, the same for a server and for a file.

Offsets in Label Studio are Python code points, end exclusive, as everywhere here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from db import queries
from db.rows import AnswerRow, PassageRow, RoundRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.review.guidelines import Language
from labeler.review.presentation import candidates_of, passage_order
from labeler.review.studio.labeling_config import (
    ANSWER_LABEL,
    CANDIDATE_LABEL,
    NOTE,
    VERDICT,
    VERDICTS,
    labels_name,
    text_name,
    title_name,
)
from labeler.review.studio.page.candidates import candidate_name
from labeler.review.studio.page.reasons import problems_before, reason

MODEL_VERSION = "labeler"  # of every prediction: a project shows the predictions of one version only


def task_key(round_uid: str, question_id: str, attempt: int) -> str:
    """The key by which a task is recognised on a server or in a file. It reveals nothing to a reviewer."""
    return hashlib.sha256(f"{attempt} {round_uid} {question_id}".encode()).hexdigest()[:24]


def task_payloads(
    runtime: Runtime,
    row: RoundRow,
    tasks: Sequence[TaskRow],
    *,
    push_id: str,
    passage_slots: int,
    language: Language = "both",
) -> Iterator[dict[str, Any]]:
    """The payload of each task, in order.

    Args:
        passage_slots: passages that the review page has room for.
        language: of the review page.
    """
    ids = [task.question_id for task in tasks]
    with runtime.database.read() as session:
        questions = {each.id: each.text for each in queries.questions(session, ids=ids, active=False)}
        rows = queries.passages(session, {key for task in tasks for key in task.passages})
        with_suggestion = [task.question_id for task in tasks if not task.blind]
        predictions = queries.predictions(session, row.number, question_ids=with_suggestion)
        problems = problems_before(session, row.number, tasks)
    answers = {each.question_id: each.answers for each in predictions}
    for task in tasks:
        yield task_payload(
            task,
            round_uid=row.uid,
            push_id=push_id,
            question=questions[task.question_id],
            passages=rows,
            passage_slots=passage_slots,
            answers=answers.get(task.question_id, ()),
            note=reason(problems[task.id], language) if task.id in problems else "",
        )


def task_payload(
    task: TaskRow,
    *,
    round_uid: str,
    push_id: str,
    question: str,
    passages: Mapping[str, PassageRow],
    passage_slots: int,
    answers: Sequence[AnswerRow] = (),
    note: str = "",
) -> dict[str, Any]:
    """The task as Label Studio imports it, with one prediction unless it is blind or has no answer in its passages.

    Args:
        task: the task.
        round_uid: of the task's round.
        push_id: of the push that sends it.
        question: the question's text.
        passages: passage id -> passage, at least of the task's passages.
        passage_slots: passages that the review page has room for.
        answers: predicted answers, best first.
        note: why the question is asked again; empty where it is asked for the first time.

    Raises:
        ValueError: the task has more passages than the page can show.
    """
    order = passage_order(task)
    if len(order) > passage_slots:
        raise ValueError(f"task {task.id} has {len(order)} passages, its review page has room for {passage_slots}")
    data: dict[str, Any] = {
        "question": question,
        **_passage_data([passages[key] for key in order], passage_slots),
        "question_id": task.question_id,
        "task": task_key(round_uid, task.question_id, task.attempt),
        "push_id": push_id,
    }
    if note:
        data[NOTE] = note
    prediction = suggestion(task, answers)
    return {"data": data, "predictions": [prediction]} if prediction else {"data": data}


def suggestion(task: TaskRow, answers: Sequence[AnswerRow]) -> dict[str, Any] | None:
    """The prediction that a task shows; None if it is blind, or none of the answers, best first, is in its passages."""
    candidates = candidates_of(task, answers)
    if not candidates:
        return None
    return {
        "model_version": MODEL_VERSION,
        "score": candidates[0].score,
        "result": [*_regions(candidates, passage_order(task)), _choice(VERDICT, VERDICTS[0])],
    }


def _passage_data(shown: Sequence[PassageRow], passage_slots: int) -> dict[str, str]:
    """Texts and titles by their names on the page; empty for the passages that the task does not have."""
    padded = [(row.text, row.title) for row in shown] + [("", "")] * (passage_slots - len(shown))
    texts = {text_name(number): text for number, (text, _) in enumerate(padded, start=1)}
    titles = {title_name(number): title for number, (_, title) in enumerate(padded, start=1)}
    return {**texts, **titles}


def _regions(candidates: Sequence[AnswerRow], order: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One region for each candidate, the best labelled as the answer."""
    for rank, answer in enumerate(candidates):
        number = order.index(answer.passage_id) + 1
        label = CANDIDATE_LABEL if rank else ANSWER_LABEL
        yield {
            "id": candidate_name(rank + 1),
            "from_name": labels_name(number),
            "to_name": text_name(number),
            "type": "labels",
            "score": answer.score,
            "value": {"start": answer.start, "end": answer.end, "text": answer.text, "labels": [label]},
        }


def _choice(name: str, value: str) -> dict[str, Any]:
    return {
        "id": name,
        "from_name": name,
        "to_name": text_name(1),
        "type": "choices",
        "value": {"choices": [value]},
    }
