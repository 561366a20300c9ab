"""Inserts in bulk store what SQLAlchemy's own inserts store, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from db.engine import Database
from db.errors import Conflict
from db.sql import bulk
from db.sql.bulk import insert_all, insert_numbered
from db.tables import DOCUMENTS, EVENTS, PASSAGES

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HARD = ["tab\t, line\n, \\ and \\N", '"quoted"', "가나 \U0001f600", "'; DROP TABLE labels; --", ""]


def events(database: Database, *, few: int) -> list[tuple[object, ...]]:
    """The stored events, inserted in the ordinary way up to `few` rows."""
    rows = [{"at": MOMENT, "kind": "k", "detail": {"text": text, "n": [1, None, 0.1]}} for text in HARD]
    with pytest.MonkeyPatch.context() as patch, database.write() as session:
        patch.setattr(bulk, "FEW", few)
        session.execute(delete(EVENTS))
        ids = insert_numbered(session, EVENTS, rows)
        columns = [column for column in EVENTS.c if column.name != "id"]
        found = [tuple(row) for row in session.execute(select(*columns).order_by(EVENTS.c.id))]
        assert ids == list(session.execute(select(EVENTS.c.id).order_by(EVENTS.c.id)).scalars())
        assert [row[-1]["text"] for row in found] == HARD
    return found


def test_rows_are_stored_alike_in_bulk_and_in_the_ordinary_way(database: Database) -> None:
    assert events(database, few=0) == events(database, few=100)


def test_defaults_of_columns_that_are_left_out_are_stored(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FEW", 0)
    with database.write() as session:
        insert_all(session, DOCUMENTS, [{"id": "of bulk", "title": "t"}])
        insert_all(session, PASSAGES, [
            {"id": f"bulk {n}", "document_id": "of bulk", "position": n, "text": "t", "identity": f"{n}", "title": None}
            for n in range(2)
        ])  # fmt: skip
        insert_all(session, EVENTS, [{"kind": "k", "detail": {}}])
        mine = select(PASSAGES.c.active, PASSAGES.c.title).where(PASSAGES.c.document_id == "of bulk")
        assert [tuple(row) for row in session.execute(mine)] == [(True, None)] * 2
        newest = select(EVENTS.c.at).order_by(EVENTS.c.id.desc()).limit(1)
        assert abs((session.execute(newest).scalar_one() - datetime.now(UTC)).total_seconds()) < 60


def test_a_row_that_breaks_a_rule_stores_none(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FEW", 0)
    rows = [{"id": "one", "title": "t"}, {"id": "one", "title": "t"}]
    with pytest.raises(IntegrityError), database.write() as session:
        insert_all(session, DOCUMENTS, rows)
    with database.read() as session:
        assert session.execute(select(DOCUMENTS.c.id).where(DOCUMENTS.c.id == "one")).first() is None


def test_rows_with_other_columns_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FEW", 0)
    with pytest.raises(ValueError, match="different columns"), database.write() as session:
        insert_all(session, DOCUMENTS, [{"id": "one", "title": "t"}, {"id": "two"}])


def test_a_text_that_cannot_be_stored_has_a_named_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FEW", 0)
    with pytest.raises(Conflict, match="not UTF-8"), database.write() as session:
        insert_all(session, DOCUMENTS, [{"id": "one", "title": "\ud800"}])
    if not database.is_sqlite:
        with pytest.raises(Conflict, match="NUL"), database.write() as session:
            insert_all(session, DOCUMENTS, [{"id": "one", "title": "a\0b"}])
