"""Rounds in review with as many tasks as wanted, written into the database directly: no reader is trained for them.

The passages hold what offsets go wrong at: Hangul composed and not, emoji, line ends of every kind, markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import store
from db.engine import Database
from db.rows import (
    AnswerRow,
    DocumentRow,
    NewImport,
    NewPrediction,
    NewTask,
    PassageRow,
    QuestionRow,
    RoundRow,
)
from labeler.core.config import Config
from labeler.core.runtime import Runtime, with_settings
from labeler.core.workspace import open_workspace
from tests.commands import new_workspace

SENTENCES = (
    "벨모라 항구는 1921년에 아르넨이 세웠다.\r\n",
    "항구에는 등대가 세 개 있다 👩‍👩‍👧‍👦 그리고 🏝.\n",
    "The tower of Korr was raised by Ilvane & her <b>seven</b> masons.\t",
    unicodedata.normalize("NFD", "서울의 강은 한강이다. Café à côté. "),
    "𠮷野家 stands  beside the bridge &amp; the mill.\u2028",
    "다리는 이백 미터이고 돌로 되어 있다. ",
)
PLACES = 3  # passages of a task


@dataclass(frozen=True, slots=True)
class Shape:
    """What a runtime is made of."""

    tasks: int = 12
    blind_every: int = 4  # each fourth task is blind
    double_every: int = 0  # each n-th task is for two people; 0: none
    characters: int = 120  # of a passage, at least
    batch: int = 5  # tasks in one call


def passage_text(number: int, *, characters: int) -> str:
    """A passage's text: `number` makes it one of its own."""
    parts = [f"제{number}조 "]
    turn = number
    while sum(map(len, parts)) < characters:
        parts.append(SENTENCES[turn % len(SENTENCES)])
        turn += 1
    return "".join(parts)


def make_runtime(folder: Path, shape: Shape) -> Path:
    """A workspace whose round 0 is in review, with unanswered tasks."""
    new_workspace(folder)
    database = open_workspace(folder, environ={}).database()
    with database.write() as session:
        store.add_import(session, _corpus(shape))
    with database.write() as session:
        row = _open_round(session)
        store.add_predictions(session, row.number, model_id=1, index_fingerprint="index", rows=_predictions(shape))
        store.add_tasks(session, row.number, list(_tasks(shape)))
        store.advance(session, row.number, "open", "in_review")
    database.close()
    return folder


def _open_round(session: Any) -> RoundRow:
    config = with_settings(Config(), workspace={"language": "ko", "metric": "korquad"}, read={"top_k": PLACES})
    row = store.open_round(session, "loop", config=config.resolved(), seed=0, code_version="test", reviewer="studio")
    store.add_model(
        session,
        row.number,
        hash="model",
        training_sha256="rows",
        path="models/none",
        start="builtin",
        config={},
        examples=1,
        seconds=1.0,
        loss=None,
    )
    return row


def _corpus(shape: Shape) -> NewImport:
    count = shape.tasks + PLACES
    texts = {f"p{number:05}": passage_text(number, characters=shape.characters) for number in range(count)}
    return NewImport(
        path="corpus",
        sha256="corpus",
        role="pool",
        format="squad",
        options={},
        counts={},
        documents=(DocumentRow("d", "벨모라 <문서>"),),
        passages=tuple(PassageRow(key, "d", place, text) for place, (key, text) in enumerate(texts.items())),
        questions=tuple(_question(number) for number in range(shape.tasks)),
    )


def _question(number: int) -> QuestionRow:
    key = f"q{number:05}"
    return QuestionRow(key, f"{number}번째 다리는 누가 놓았는가? 🤔", f"n-{key}", "pool", "pool", f"u-{key}")


def _shown(number: int) -> tuple[str, ...]:
    return tuple(f"p{number + place:05}" for place in range(PLACES))


def _predictions(shape: Shape) -> list[NewPrediction]:
    return [_prediction(number, shape) for number in range(shape.tasks)]


def _prediction(number: int, shape: Shape) -> NewPrediction:
    spans = [(place, 6 + number % 7, 6 + number % 7 + 5) for place in range(PLACES)]
    answers = tuple(
        AnswerRow(
            passage_text(number + place, characters=shape.characters)[start:end],
            f"p{number + place:05}",
            start,
            end,
            0.5 / (place + 1),
            0.25 / (place + 1),
        )
        for place, start, end in spans
    )
    hits = tuple((key, 1.0) for key in _shown(number))
    return NewPrediction(f"q{number:05}", answers, answers[0].score, 0.125, hits)


def _tasks(shape: Shape) -> Iterator[NewTask]:
    for number in range(shape.tasks):
        blind = number % shape.blind_every == 0
        double = bool(shape.double_every) and number % shape.double_every == 0
        yield NewTask(
            f"q{number:05}",
            "random" if blind else "uncertain",
            blind=blind,
            position=number,
            passages=_shown(number),
            reviewers=2 if double else 1,
        )


@contextmanager
def at(folder: Path, *, batch: int = 5) -> Iterator[Runtime]:
    """The runtime of such a workspace."""
    workspace = open_workspace(folder, environ={}, overrides=[f"studio.batch_size={batch}"])
    database: Database = workspace.database()
    try:
        yield Runtime(workspace, database)
    finally:
        database.close()
