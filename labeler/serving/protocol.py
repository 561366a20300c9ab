"""The bodies of Label Studio's ML backend protocol: requests read without trust, and the answers to them.

A task is recognised by the key that it carries, as on every way back. Its texts are those of the database, whatever a
request says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db import queries
from db.engine import Session
from db.rows import TaskRow
from labeler.review.studio.labeling_config import MAX_PASSAGES, text_name
from labeler.review.studio.payloads import MODEL_VERSION, task_key
from labeler.review.studio.untrusted import as_mapping, as_text, load_json

_KEY = re.compile("[0-9a-f]{24}")
_MAX_QUESTION_ID = 255  # characters
_PLACES = {text_name(number): number for number in range(1, MAX_PASSAGES + 1)}


class BadRequest(ValueError):
    """A body that is no request of the protocol; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a task in a request says of itself; it serves to look for our task only."""

    key: str
    question_id: str


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A call of /predict. `within`: for an interactive call, the places (from 1) of the passages that were marked."""

    claims: tuple[Claim | None, ...]  # None for a task that carries no key of ours
    within: frozenset[int]


def parse_predict(body: bytes) -> PredictRequest:
    """The request that a body is. Raises BadRequest."""
    try:
        asked = load_json(body.decode("utf-8"))
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    tasks = asked.get("tasks") if isinstance(asked, Mapping) else None
    if not isinstance(tasks, list):
        raise BadRequest("the body has no list `tasks`")
    context = as_mapping(as_mapping(asked.get("params")).get("context"))
    return PredictRequest(tuple(map(_claim, tasks)), frozenset(_marked(context.get("result"))))


def _claim(task: Any) -> Claim | None:
    data = as_mapping(as_mapping(task).get("data"))
    key, question_id = as_text(data.get("task")) or "", as_text(data.get("question_id")) or ""
    if not _KEY.fullmatch(key) or not 0 < len(question_id) <= _MAX_QUESTION_ID or "\0" in question_id:
        return None
    return Claim(key, question_id)


def _marked(regions: Any) -> Iterator[int]:
    for region in regions if isinstance(regions, list) else ():
        name = as_text(as_mapping(region).get("to_name"))
        if name in _PLACES:
            yield _PLACES[name]


def own_tasks(session: Session, claims: Sequence[Claim | None]) -> list[TaskRow | None]:
    """The task of each claim, in order; None where it is not ours."""
    uids = {row.number: row.uid for row in queries.rounds(session)}
    tasks = queries.tasks_of_questions(session, {claim.question_id for claim in claims if claim is not None})
    known = {
        Claim(task_key(uids[task.round_number], task.question_id, task.attempt), task.question_id): task
        for task in tasks
    }
    return [None if claim is None else known.get(claim) for claim in claims]


def result(suggestion: Mapping[str, Any] | None) -> dict[str, Any]:
    """A prediction as /predict answers it; without regions where nothing is suggested."""
    return dict(suggestion or {"model_version": MODEL_VERSION, "score": 0.0, "result": []})
