"""A round in review with suggestions of the baseline's reader, a second reader to promote, and calls of the backend."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from sqlalchemy import insert, update

from db import queries, store
from db.rows import ModelRow, TaskRow
from db.tables import ROUNDS
from labeler.core.runtime import Runtime, with_settings
from labeler.review.studio.payloads import task_payloads
from labeler.rounds import machine
from labeler.serving.backend import Backend
from labeler.serving.suggestions import Suggester
from mrc.encoder.compute import use_threads
from mrc.read.model.reader import model_hash
from tests.worlds import at

Json = dict[str, Any]
#: of 12 tasks 4 are blind, the others have suggestions whatever their confidence
MOSTLY_SUGGESTED = {
    "review_budget": 12,
    "random_share": 0.3,
    "first_random_share": 0.3,
    "uncertain_share": 0.7,
    "suspect_share": 0.0,
    "uncertain_low": 0.0,
    "uncertain_high": 1.0,
}


def in_review(baseline: Path, folder: Path) -> Path:
    """A copy of the baseline whose round 1 waits for people, with blind tasks and tasks with suggestions."""
    use_threads(1)
    shutil.copytree(baseline, folder)
    with at(folder) as runtime:
        settings = with_settings(runtime.config, review=MOSTLY_SUGGESTED)
        machine.run(runtime.with_config(settings), until="in_review", reviewer="people")
    return folder


def promote(runtime: Runtime) -> ModelRow:
    """Another reader becomes current while round 1 is still in review: the same network with its ends swapped."""
    before = runtime.best_model()
    path = f"models/promoted-{before.id}"
    home = runtime.workspace.folder / path
    shutil.copytree(runtime.workspace.folder / before.path, home)
    (weights,) = home.glob("*.safetensors")
    tensors = load_file(weights)
    head = [name for name, tensor in tensors.items() if tensor.shape and tensor.shape[0] == 2 and "embed" not in name]
    assert head, sorted(tensors)
    save_file({name: -tensor if name in head else tensor for name, tensor in tensors.items()}, weights)
    with runtime.database.write() as session:
        number = queries.next_round_number(session)
        teacher = queries.round_(session, 0)
        values = {
            "uid": f"{number:032}",
            "kind": "retrain",
            "stage": "closed",
            "is_open": False,
            "promoted": False,
            "config": dict(teacher.config),
            "seed": 0,
            "code_version": "test",
        }
        session.execute(insert(ROUNDS).values(number=number, **values))
        model_id = store.add_model(
            session,
            number,
            hash=model_hash(home),
            training_sha256="0" * 64,
            path=path,
            start="builtin",
            config=dict(before.config),
            examples=1,
            seconds=1.0,
            loss=1.0,
        )
        closed = {"student_id": model_id, "promoted": True}
        session.execute(update(ROUNDS).where(ROUNDS.c.number == number).values(**closed))
    return runtime.best_model()


def tasks_of(runtime: Runtime) -> list[TaskRow]:
    with runtime.database.read() as session:
        return queries.tasks(session, round_number=1)


def on_server(runtime: Runtime, tasks: Sequence[TaskRow]) -> list[Json]:
    """The tasks as a server sends them to a backend."""
    with runtime.database.read() as session:
        row = queries.round_(session, 1)
    payloads = task_payloads(runtime, row, tasks, push_id="f" * 32, passage_slots=3)
    return [{"id": 1000 + number, "project": 1, **payload} for number, payload in enumerate(payloads)]


def predict_body(tasks: Sequence[Any], context: Any = None) -> bytes:
    body = {
        "tasks": tasks,
        "project": "1.1",
        "label_config": "<View/>",
        "params": {"login": "", "password": "", "context": context},
    }
    return json.dumps(body).encode()


@contextmanager
def backend(runtime: Runtime) -> Iterator[Backend]:
    suggester = Suggester(runtime)
    try:
        yield Backend(runtime, suggester, lambda: None)
    finally:
        suggester.close()


def results(backend: Backend, tasks: Sequence[Any], context: Any = None) -> list[Any]:
    """The results that /predict gives for tasks as a server sends them."""
    reply = backend.answer("POST", "/predict", predict_body(tasks, context))
    assert reply.status == 200, reply.body
    found: list[Any] = reply.body["results"]
    return found


def answer_of(found: Json) -> tuple[str, int, int] | None:
    """Where a result marks its answer: name of the text, start, end."""
    marks = [each for each in found["result"] if each["type"] == "labels" and each["value"]["labels"] == ["Answer"]]
    return (marks[0]["to_name"], marks[0]["value"]["start"], marks[0]["value"]["end"]) if marks else None
