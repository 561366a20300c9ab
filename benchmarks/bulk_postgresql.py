"""Time of storing in bulk in PostgreSQL, against bare COPY of the same rows.

    python benchmarks/bulk_postgresql.py [--questions 20000] [--answers 5] [--chunk 2000]

Starts a server of its own, as the tests do. `predictions`: `store.add_predictions` with everything that it does (roles,
checks, ids), against psycopg's COPY of the finished rows into the same tables with the same indexes and foreign keys.
`import`: `store.add_import` of that many questions with a gold label each and a tenth as many passages, against COPY of
the rows of passages, questions, labels and answers. Seconds are by wall clock, the server's work included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.bulk_predictions import TEXT, chunks, prepare, timed_store
from db import store
from db.engine import Database
from db.rows import DocumentRow, NewImport, NewLabel, NewPrediction, PassageRow, QuestionRow, SpanRow
from tests.postgres import find_binaries, running

COPIES = {
    "predictions": "id, round_number, question_id, question_role, model_id, index_fingerprint, score, null_score, "
    "features, hits, created_at",
    "prediction_answers": 'prediction_id, rank, text, passage_id, start, "end", score, probability',
    "documents": "id, title",
    "passages": "id, document_id, position, text, identity, active",
    "import_passages": "import_id, passage_id",
    "questions": "id, text, normalized, role, imported_role, split_group, context_id, active",
    "import_questions": "import_id, question_id, role",
    "labels": "id, question_id, question_role, kind, no_answer, train_weight, released, origin, import_id, created_at",
    "label_answers": 'label_id, ordinal, text, passage_id, start, "end"',
    "import_labels": "import_id, label_id",
}
NOW = "2026-01-01 00:00:00"


def main() -> None:
    arguments = parse()
    binaries = find_binaries()
    if binaries is None:
        sys.exit("this benchmark needs PostgreSQL's programs (initdb, postgres)")
    with running(binaries) as server:
        database = Database(server.make("bench"))
        rounds = prepare(database, arguments.questions)
        ours = timed_store(database, rounds[0], arguments)
        bare = sum(bare_predictions(database, rows, rounds[1], at) for at, rows in enumerate(chunks(arguments)))
        imported, copied = timed_import(database, arguments.questions)
        database.close()
    print(json.dumps({"predictions": compared(ours, bare), "import": compared(imported, copied)}, indent=2))


def compared(ours: float, bare: float) -> dict[str, float]:
    return {"seconds": round(ours, 2), "copy_seconds": round(bare, 2), "ratio": round(ours / bare, 2)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--answers", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=2_000, help="questions a transaction")
    return parser.parse_args()


def bare_predictions(database: Database, rows: Sequence[NewPrediction], round_number: int, chunk: int) -> float:
    first = 10_000_000 + chunk * len(rows)
    predictions = [
        (key, round_number, row.question_id, "pool", 1, "index", row.score, row.null_score, json.dumps(row.features),
         json.dumps(row.hits), NOW)
        for key, row in enumerate(rows, first)
    ]  # fmt: skip
    answers = [
        (key, rank, each.text, each.passage_id, each.start, each.end, each.score, each.probability)
        for key, row in enumerate(rows, first)
        for rank, each in enumerate(row.answers)
    ]
    return copied_in(database, {"predictions": predictions, "prediction_answers": answers})


def copied_in(database: Database, tables: dict[str, Iterable[tuple[Any, ...]]]) -> float:
    """Seconds of one transaction that copies the rows."""
    began = time.perf_counter()
    with database.write() as session:
        connection: Any = session.connection.driver_connection
        for name, rows in tables.items():
            with connection.cursor() as cursor, cursor.copy(f"COPY {name} ({COPIES[name]}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
    return time.perf_counter() - began


def timed_import(database: Database, questions: int) -> tuple[float, float]:
    """Seconds of an import by the store, and by COPY of as many other rows."""
    ours, bare = (new_import(mark, questions) for mark in "ab")
    began = time.perf_counter()
    with database.write() as session:
        store.add_import(session, ours)
    seconds = time.perf_counter() - began
    with database.write() as session:
        empty = NewImport("bare", "bare", "gold", "squad", {}, {})
        number = store.add_import(session, empty).import_id
    return seconds, copied_in(database, tables_of(bare, number))


def new_import(mark: str, questions: int) -> NewImport:
    passages = tuple(PassageRow(f"{mark}p{key}", f"{mark}d", key, f"{key} {TEXT}") for key in range(questions // 10))
    rows = tuple(
        QuestionRow(f"{mark}q{key}", f"Who built bridge {key}?", f"{mark}n{key}", "gold", "gold", f"{mark}u{key}",
                    context_id=passages[key % len(passages)].id)
        for key in range(questions)
    )  # fmt: skip
    spans = ((row, len(row.context_id or "") - 2) for row in rows)
    labels = tuple(
        NewLabel(row.id, (SpanRow("The old bridge", str(row.context_id), digits + 1, digits + 15),))
        for row, digits in spans
    )
    documents = (DocumentRow(f"{mark}d", "Bridges"),)
    return NewImport(mark, mark, "gold", "squad", {}, {}, documents, passages, rows, labels)


def tables_of(new: NewImport, number: int) -> dict[str, Iterable[tuple[Any, ...]]]:
    labels = list(enumerate(new.labels, 10_000_000))
    return {
        "documents": [(row.id, row.title) for row in new.documents],
        "passages": [(row.id, row.document_id, row.position, row.text, row.id, True) for row in new.passages],
        "import_passages": [(number, row.id) for row in new.passages],
        "questions": [
            (row.id, row.text, row.normalized, row.role, row.role, row.split_group, row.context_id, True)
            for row in new.questions
        ],
        "import_questions": [(number, row.id, row.role) for row in new.questions],
        "labels": [
            (key, row.question_id, "gold", "gold", False, 1.0, True, "import", number, NOW) for key, row in labels
        ],
        "label_answers": [
            (key, 0, row.answers[0].text, row.answers[0].passage_id, row.answers[0].start, row.answers[0].end)
            for key, row in labels
        ],
        "import_labels": [(number, key) for key, _ in labels],
    }


if __name__ == "__main__":
    main()
