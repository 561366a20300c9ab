"""The calls of Label Studio's ML backend protocol, apart from HTTP.

The server waits 1 s for /health, 3 s for /setup and /versions, 100 s for /predict, and 1 s for a webhook.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from db.rows import AnswerRow, TaskRow
from labeler.core.error_messages import explain
from labeler.core.errors import LabelerError
from labeler.core.runtime import Runtime
from labeler.review.presentation import passage_order
from labeler.review.studio.payloads import MODEL_VERSION, suggestion
from labeler.serving.protocol import BadRequest, own_tasks, parse_predict, result
from labeler.serving.suggestions import Suggester

PREDICT_SECONDS = 90.0  # for one call of /predict; what was not read by then is not stored, and asked for again

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class Reply:
    """The status and the JSON object with which a call is answered."""

    status: HTTPStatus
    body: Mapping[str, Any]


@dataclass(slots=True)
class Backend:
    """Answers calls. `on_hint` is told that something changed in Label Studio."""

    runtime: Runtime
    suggester: Suggester
    on_hint: Callable[[], None]
    counts: Counter[str] = field(default_factory=Counter)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, body: bytes) -> Reply:
        """The reply to a call; an error is one line, without a trace of what was sent."""
        calls = {
            "/": {"GET": self._health},
            "/health": {"GET": self._health},
            "/setup": {"POST": self._setup},
            "/predict": {"POST": lambda: self._predict(body)},
            "/versions": {"GET": self._versions, "POST": self._versions},
            "/webhook": {"POST": self._webhook},
        }
        allowed = calls.get(path.rstrip("/") or "/")
        if allowed is None:
            return _error(HTTPStatus.NOT_FOUND, f"no such call; known are {', '.join(sorted(calls))}")
        if method not in allowed:
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)}")
        self._count(path.strip("/") or "health")
        return self._guarded(allowed[method])

    def _guarded(self, call: Callable[[], Mapping[str, Any]]) -> Reply:
        try:
            return Reply(HTTPStatus.OK, call())
        except BadRequest as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            line = explain(error)
            if line is None:
                log.exception("a call failed")
            else:
                log.warning("%s", line)
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, line or "an error that the log of `labeler serve` shows")

    def _health(self) -> Mapping[str, Any]:
        return {"status": "UP", "model_class": "labeler", **self._reader()}

    def _setup(self) -> Mapping[str, Any]:
        """The body holds the key of the project's owner: it is neither read nor logged."""
        return {"model_version": MODEL_VERSION}

    def _versions(self) -> Mapping[str, Any]:
        return {"versions": [MODEL_VERSION]}

    def _webhook(self) -> Mapping[str, Any]:
        """Anybody may have sent the body, so nothing of it is read: the next pull finds what changed."""
        self.on_hint()
        return {}

    def _reader(self) -> Mapping[str, Any]:
        try:
            model = self.suggester.current()
        except LabelerError:
            return {"reader": None, "round": None}
        return {"reader": model.hash, "round": model.round_number}

    def _predict(self, body: bytes) -> Mapping[str, Any]:
        """One result for each task, in order; a task that was not reached has an empty list, which is not stored."""
        until = time.monotonic() + PREDICT_SECONDS
        request = parse_predict(body)
        with self.runtime.database.read() as session:
            tasks = own_tasks(session, request.claims)
        answers = self.suggester.answers([task for task in tasks if task is not None], until=until)
        results = [_result(task, answers, request.within) for task in tasks]
        self._report(tasks, results)
        return {"results": results, "model_version": MODEL_VERSION}

    def _report(self, tasks: list[TaskRow | None], results: list[Any]) -> None:
        foreign, late = tasks.count(None), results.count([])
        self._count("suggestions", sum(bool(each and each["result"]) for each in results))
        self._count("foreign", foreign)
        if foreign or late:
            log.info("%d tasks: %d not of this workspace, %d not read in time", len(tasks), foreign, late)

    def _count(self, name: str, number: int = 1) -> None:
        with self._counting:
            self.counts[name] += number


def _result(task: TaskRow | None, answers: Mapping[int, tuple[AnswerRow, ...]], within: frozenset[int]) -> Any:
    if task is None:
        return result(None)
    if task.id not in answers:
        return []
    return result(suggestion(task, _within(task, answers[task.id], within)))


def _within(task: TaskRow, answers: tuple[AnswerRow, ...], places: frozenset[int]) -> tuple[AnswerRow, ...]:
    """The answers in the passages at these places of the page; all answers where no place is named."""
    order = passage_order(task)
    passages = {order[place - 1] for place in places if place <= len(order)}
    return tuple(each for each in answers if each.passage_id in passages) if passages else answers


def _error(status: HTTPStatus, line: str) -> Reply:
    return Reply(status, {"error": line})
