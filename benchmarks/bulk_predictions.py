"""Time and peak memory of storing predictions with their n-best, against plain sqlite3 on the same rows.

    python benchmarks/bulk_predictions.py [--questions 100000] [--answers 5] [--chunk 2000]

Target: 100,000 predictions with 5 answers each in under 30 s and 1 GiB, everything that `store.add_predictions` does
included (roles, checks, constraints, indexes, foreign keys).
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from db import schema, store
from db.engine import Database
from db.rows import AnswerRow, DocumentRow, NewImport, NewPrediction, PassageRow, QuestionRow

TEXT = "The old bridge over the northern river was built by hand in three long summers. " * 6
PREDICTION = (
    "INSERT INTO predictions (id, round_number, question_id, question_role, model_id, index_fingerprint, score, "
    "null_score, features, hits, created_at) VALUES (?, ?, ?, 'pool', 1, 'index', ?, ?, ?, ?, '2026-01-01 00:00:00')"
)
ANSWER = (
    'INSERT INTO prediction_answers (prediction_id, rank, text, passage_id, start, "end", score, probability) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "bench.sqlite")
        rounds = prepare(database, arguments.questions)
        before = peak_mib()
        seconds = timed_store(database, rounds[0], arguments)
        ours_mib = peak_mib()
        database.close()
        peer = timed_sqlite3(Path(folder) / "bench.sqlite", rounds[1], arguments)
    result = {
        "predictions": arguments.questions,
        "answers": arguments.questions * arguments.answers,
        "seconds": round(seconds, 2),
        "sqlite3_seconds": round(peer, 2),
        "ratio": round(seconds / peer, 2),
        "peak_mib_before": round(before),
        "peak_mib": round(ours_mib),
        "within_target": seconds < 30 and ours_mib < 1024,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=2_000, help="questions a transaction")
    return parser.parse_args()


def prepare(database: Database, questions: int) -> tuple[int, int]:
    """Fill a database with the questions and a tenth as many passages; returns the numbers of two rounds."""
    schema.upgrade(database)
    passages = tuple(PassageRow(f"p{number}", "d", number, f"{number} {TEXT}") for number in range(questions // 10))
    rows = tuple(
        QuestionRow(f"q{number}", f"Who built bridge {number}?", f"n{number}", "pool", "pool", f"u{number}")
        for number in range(questions)
    )
    new = NewImport("bench", "sha", "pool", "squad", {}, {}, (DocumentRow("d", "Bridges"),), passages, rows)
    with database.write() as session:
        store.add_import(session, new)
        first = store.open_round(session, "baseline", config={}, seed=0, code_version="bench").number
        model_id = store.add_model(
            session,
            first,
            hash="h",
            training_sha256="t",
            path="m",
            start="s",
            config={},
            examples=1,
            seconds=1.0,
            loss=0.1,
        )
        store.advance(session, first, "open", "trained", student_id=model_id)
        store.advance(session, first, "trained", "closed", promoted=True)
        second = store.open_round(session, "loop", config={}, seed=0, code_version="bench").number
    return second, first


def chunks(arguments: argparse.Namespace) -> Iterator[list[NewPrediction]]:
    """Predictions as a reader yields them: one chunk at a time, never all in memory."""
    for first in range(0, arguments.questions, arguments.chunk):
        last = min(first + arguments.chunk, arguments.questions)
        yield [prediction(number, arguments) for number in range(first, last)]


def prediction(number: int, arguments: argparse.Namespace) -> NewPrediction:
    passages = max(arguments.questions // 10, 1)
    places = [f"p{(number + step) % passages}" for step in range(arguments.answers)]
    answers = tuple(
        AnswerRow("northern river", place, 29, 43, 0.5 / 2**rank, 0.4 / 2**rank) for rank, place in enumerate(places)
    )
    features = {"margin": 0.25, "null_margin": 0.125, "hits": float(len(places)), "length": 14.0}
    hits = tuple((place, 10.0 - rank) for rank, place in enumerate(places))
    return NewPrediction(f"q{number}", answers, 0.5, 0.1, hits, features)


def timed_store(database: Database, round_number: int, arguments: argparse.Namespace) -> float:
    """Seconds spent in db.store; making the rows does not count."""
    spent = 0.0
    for rows in chunks(arguments):
        began = time.perf_counter()
        with database.write() as session:
            store.add_predictions(session, round_number, model_id=1, index_fingerprint="index", rows=rows)
        spent += time.perf_counter() - began
    return spent


def timed_sqlite3(path: Path, round_number: int, arguments: argparse.Namespace) -> float:
    """Seconds that executemany takes for the same rows in the same schema, ids given; JSON included."""
    spent = 0.0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        next_id = connection.execute("SELECT max(id) + 1 FROM predictions").fetchone()[0]
        for rows in chunks(arguments):
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            insert_plain(connection, rows, round_number, next_id)
            connection.execute("COMMIT")
            spent += time.perf_counter() - began
            next_id += len(rows)
    return spent


def insert_plain(connection: sqlite3.Connection, rows: Sequence[NewPrediction], round_number: int, first: int) -> None:
    connection.executemany(
        PREDICTION,
        (
            (
                key,
                round_number,
                row.question_id,
                row.score,
                row.null_score,
                json.dumps(row.features),
                json.dumps(row.hits),
            )
            for key, row in enumerate(rows, first)
        ),
    )
    connection.executemany(
        ANSWER,
        (
            (key, rank, a.text, a.passage_id, a.start, a.end, a.score, a.probability)
            for key, row in enumerate(rows, first)
            for rank, a in enumerate(row.answers)
        ),
    )


def peak_mib() -> float:
    """The highest resident memory of this process so far."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
