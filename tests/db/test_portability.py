"""Every statement of a played world also compiles for PostgreSQL: nothing in reads and writes is SQLite's alone."""

from __future__ import annotations

from sqlalchemy import ClauseElement, event
from sqlalchemy.dialects import postgresql

from db import hidden_answers, queries, store
from db.engine import Database
from db.rows import AnswerRow, Decision, NewPrediction, NewReview
from tests.db.conftest import WORLD, close, human, open_round, play_round, pseudo, task


def test_every_statement_of_a_round_compiles_for_postgresql(database: Database) -> None:
    compiled: list[str] = []
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    def compile_too(_connection: object, statement: object, *_rest: object) -> None:
        assert isinstance(statement, ClauseElement)
        compiled.append(str(statement.compile(dialect=dialect)))

    event.listen(database.engine, "before_execute", compile_too)
    with database.write() as session:
        number = open_round(session).number
        store.plan_predictions(session, number, chunk_size=2)
        best = AnswerRow("Dov", "p3", 0, 3, 0.5, 0.4)
        rows = [NewPrediction(key, (best,), 0.5, 0.1, (("p3", 1.0),)) for key in ("a", "b")]
        store.add_predictions(session, number, model_id=1, index_fingerprint=None, rows=rows)
        store.set_confidences(session, number, {"a": 0.9})
        store.set_decisions(session, number, [Decision("a", "train", 0.5)])
        store.add_tasks(session, number, [task("a")])
        store.record_review(session, NewReview(queries.tasks(session)[0].id, "kim", "bad_question"))
        reviews = [row.id for row in queries.unrecorded_reviews(session)]
        store.record_labels(session, number, human=[human("b")], pseudo=[pseudo("c")], reason="x", reviews=reviews)
        store.freeze_training(session, number)
        store.release_snapshot(session, number, rule={})
        close(session, number, promoted=True)
        store.revert(session, play_round(session, human_labels=(human("c"),)), with_reviews=True)
        store.prune(session)
        for read in (
            queries.counts,
            queries.imports,
            queries.best_model,
            queries.training_labels,
            hidden_answers.count,
        ):
            read(session)
        queries.history(session, "a")
        queries.predictions(session, number)
        queries.passage_sides(session, ["p0"])
        queries.document_sides(session, ["d0"])
        list(queries.iter_passages(session))
        store.undo_import(session, 1)
        store.add_import(session, WORLD)
    assert any("RETURNING" in statement for statement in compiled)
    assert not any("sqlite" in statement.lower() or "PRAGMA" in statement for statement in compiled)
