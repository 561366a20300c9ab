"""A workspace with stored predictions and hidden answers and no model: certificates need neither reader nor index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from db import hidden_answers, queries, store
from db.engine import Database, Session
from db.rows import AnswerRow, NewPrediction, SpanRow
from labeler.core.workspace import create_workspace
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split

FACTS = 8  # questions about each passage
Confidence = Callable[[np.random.Generator], float]
Right = Callable[[np.random.Generator, float], bool]


def _uniform(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.2, 0.99))


def _calibrated(rng: np.random.Generator, confidence: float) -> bool:
    return bool(rng.random() < confidence)


def squad(passages: int) -> dict[str, Any]:
    """A file of passages, each with a price for every item and a question about each price."""
    articles = []
    for number in range(passages):
        prices = [f"{100 * number + place} florins" for place in range(FACTS)]
        context = " ".join(f"Lot {number}.{place} costs {price}." for place, price in enumerate(prices))
        questions = [
            {
                "id": f"lot-{number:03}-{place}",
                "question": f"What does lot {number}.{place} cost?",
                "answers": [{"text": price, "answer_start": context.index(price)}],
            }
            for place, price in enumerate(prices)
        ]
        articles.append({"title": f"Auction {number}", "paragraphs": [{"context": context, "qas": questions}]})
    return {"version": "1.1", "data": articles}


def make_predicted(
    folder: Path,
    *,
    passages: int = 60,
    confidence: Confidence = _uniform,
    right: Right = _calibrated,
    seed: int = 0,
    **settings: Any,
) -> Path:
    """A workspace after round 1, whose predictions of the pool are made up. No model and no index is there."""
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(squad(passages)), encoding="utf-8")
    given = {tuple(name.split("__")): value for name, value in settings.items()} | {("compute", "device"): "cpu"}
    workspace = create_workspace(folder, language="en", settings=given, environ={})
    database = workspace.database()
    import_files(database, [str(file)], split=parse_split("gold=8,pool=rest"), seed=1)
    _play(database, confidence, right, seed)
    database.close()
    return folder


def _play(database: Database, confidence: Confidence, right: Right, seed: int) -> None:
    with database.write() as session:
        first = store.open_round(session, "baseline", config={}, seed=0, code_version="1").number
        model = store.add_model(
            session,
            first,
            hash="a" * 64,
            training_sha256="b" * 64,
            path="models/gone",
            start="builtin",
            config={},
            examples=8,
            seconds=1.0,
            loss=0.1,
        )
        store.advance(session, first, "open", "trained", student_id=model)
        store.advance(session, first, "trained", "closed", promoted=True)
        number = store.open_round(session, "loop", config={}, seed=1, code_version="1", teacher_id=model).number
        rows = predictions(session, confidence, right, seed=seed)
        store.add_predictions(session, number, model_id=model, index_fingerprint="c" * 64, rows=rows)
        store.advance(session, number, "open", "closed", promoted=False, gate={"why": "made up"})


def predictions(session: Session, confidence: Confidence, right: Right, *, seed: int) -> list[NewPrediction]:
    """A prediction for every question of the pool: a hidden answer, or the number of its lot."""
    rng = np.random.default_rng(seed)
    pool = [row.id for row in queries.pool_to_predict(session)]
    known = hidden_answers.answers(session, pool)
    made = []
    for question_id in pool:
        gold, sure = known[question_id].answers[0], confidence(rng)
        span = gold if right(rng, sure) else _wrong(session, gold)
        answer = AnswerRow(span.text, span.passage_id, span.start, span.end, sure, sure)
        made.append(
            NewPrediction(
                question_id,
                (answer,),
                score=sure,
                null_score=1 - sure,
                hits=((span.passage_id, 1.0),),
                features={"passage_rank": 0, "margin": 0.1, "support": 1},
                confidence=sure,
            )
        )
    return made


def _wrong(session: Session, gold: SpanRow) -> SpanRow:
    """The first word of the passage."""
    text = queries.passages(session, [gold.passage_id])[gold.passage_id].text
    assert text.startswith("Lot")
    return SpanRow("Lot", gold.passage_id, 0, 3)
