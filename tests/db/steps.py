"""Steps that several tests share, each in a transaction of its own."""

from __future__ import annotations

from db import queries, store
from db.engine import Database
from db.rows import AnswerRow, NewPrediction
from tests.db.conftest import open_round


def opened(database: Database) -> int:
    """Open a round and return its number."""
    with database.write() as session:
        return open_round(session).number


def predicted(question_id: str, score: float = 0.5) -> NewPrediction:
    """A prediction with two candidates."""
    answers = (AnswerRow("Dov", "p3", 0, 3, score, 0.4), AnswerRow("Eve", "p4", 0, 3, 0.2, 0.1))
    return NewPrediction(question_id, answers, score, 0.1, (("p3", 2.5),), {"m": 0.3})


def predict(database: Database, number: int, *ids: str) -> int:
    """Store predictions of these questions and return how many."""
    with database.write() as session:
        rows = [predicted(key) for key in ids]
        return store.add_predictions(session, number, model_id=1, index_fingerprint="index-1", rows=rows)


def live(database: Database) -> dict[str, tuple[str, str]]:
    """Kind and answer of the live label of each pool question."""
    with database.read() as session:
        labels = queries.live_labels(session, roles=["pool"])
        return {row.question_id: (row.kind, row.answers[0].text if row.answers else "") for row in labels}
