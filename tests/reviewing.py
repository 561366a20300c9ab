"""A round in review, made by hand: three passages, four tasks, no model that runs."""

from __future__ import annotations

from pathlib import Path

from db import store
from db.rows import AnswerRow, NewImport, NewPrediction, NewTask, PassageRow, QuestionRow, RoundRow
from db.rows import DocumentRow as Document
from labeler.core.workspace import open_workspace
from tests.commands import new_workspace

TEXTS = {
    "harbour": "벨모라 항구는 1921년에 아르넨이 세웠다.\r\n아르넨은 등대도 세웠다.",
    "tower": "The tower of Korr (🗼) was raised by Ilvane in 1840.",
    "bridge": "Cafe\u0301 Dunmor stands\tbeside the <b>bridge</b> of Ilvane.",  # é in two characters
}
QUESTIONS = {
    "q1": "벨모라 항구는 누가 세웠는가?",
    "q2": "Who raised the tower of Korr?",
    "q3": "What stands beside the bridge?",
    "q4": "Who planned the bridge?",
}
ORDER = ("harbour", "tower", "bridge")
#: question, kind, blind, reviewers; in order of presentation
TASKS = (
    ("q1", "uncertain", False, 1),
    ("q3", "random", True, 1),
    ("q2", "suspect", False, 2),
    ("q4", "random", True, 1),
)


def place(passage_id: str, text: str) -> tuple[str, str, int, int]:
    """(text, passage id, start, end) of the first place of a text."""
    start = TEXTS[passage_id].index(text)
    return text, passage_id, start, start + len(text)


PREDICTIONS = (
    NewPrediction(
        "q1",
        (AnswerRow(*place("harbour", "1921년"), 0.5, 0.4), AnswerRow(*place("harbour", "아르넨"), 0.25, 0.2)),
        score=0.5,
        null_score=0.1,
        hits=tuple((key, 1.0) for key in ORDER),
    ),
    NewPrediction(
        "q2",
        (AnswerRow(*place("tower", "Ilvane"), 0.75, 0.7),),
        score=0.75,
        null_score=0.1,
        hits=tuple((key, 1.0) for key in ORDER),
    ),
    NewPrediction(
        "q3",
        (AnswerRow(*place("bridge", "Dunmor"), 0.9, 0.9),),
        score=0.9,
        null_score=0.1,
        hits=tuple((key, 1.0) for key in ORDER),
    ),
)


def corpus(path: str = "corpus") -> NewImport:
    return NewImport(
        path=path,
        sha256=path,
        role="pool",
        format="squad",
        options={},
        counts={},
        documents=(Document("d", "Velmora"),),
        passages=tuple(
            PassageRow(key, "d", number, text, "Velmora") for number, (key, text) in enumerate(TEXTS.items())
        ),
        questions=tuple(
            QuestionRow(key, text, f"n-{key}", "pool", "pool", f"u-{key}") for key, text in QUESTIONS.items()
        ),
    )


def round_in_review(folder: Path, *, tasks: tuple[tuple[str, str, bool, int], ...] = TASKS) -> RoundRow:
    """Round 0 of a new workspace in `folder`, in review."""
    database = open_workspace(new_workspace(folder), environ={}).database()
    with database.write() as session:
        store.add_import(session, corpus())
        row = store.open_round(session, "loop", config={}, seed=0, code_version="test", reviewer="people")
        model = store.add_model(
            session,
            0,
            hash="m",
            training_sha256="t",
            path="m",
            start="builtin",
            config={},
            examples=1,
            seconds=1,
            loss=None,
        )
        store.add_predictions(session, row.number, model_id=model, index_fingerprint="index", rows=PREDICTIONS)
        new = [
            NewTask(question, kind, blind, position, ORDER, reviewers=reviewers)
            for position, (question, kind, blind, reviewers) in enumerate(tasks)
        ]
        store.add_tasks(session, row.number, new)
        row = store.advance(session, row.number, "open", "in_review")
    database.close()
    return row
