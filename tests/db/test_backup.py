"""SQLite: backup while in use, and restore that checks before it moves anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from db import backup, queries, store
from db.engine import Database
from db.errors import Busy, Conflict, DbError, NotADatabase, UnknownSchema
from tests.db.conftest import only_sqlite, span


def live(database: Database, question_id: str) -> list[str]:
    with database.read() as session:
        return [label.answers[0].text for label in queries.live_labels(session, question_ids=[question_id])]


@only_sqlite
def test_a_backup_made_during_a_write_holds_what_was_committed(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        store.set_label(session, "a", [span("p3")], reviewer="kim")
    with database.write() as session:
        store.set_label(session, "b", [span("p4")], reviewer="kim")
        backup.backup(database, tmp_path / "copy.sqlite")
    copy = Database(tmp_path / "copy.sqlite")
    copy.check_schema()
    assert (live(copy, "a"), live(copy, "b")) == (["Dov"], [])
    copy.close()


@only_sqlite
def test_a_backup_overwrites_nothing(database: Database, tmp_path: Path) -> None:
    (tmp_path / "copy.sqlite").write_text("mine", "utf-8")
    with pytest.raises(Conflict, match="exists"):
        backup.backup(database, tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").read_text("utf-8") == "mine"


@only_sqlite
def test_restore_replaces_the_database_and_keeps_the_former_file(database: Database, tmp_path: Path) -> None:
    backup.backup(database, tmp_path / "copy.sqlite")
    with database.write() as session:
        store.set_label(session, "a", [span("p3")], reviewer="kim")
    aside = backup.restore(database, tmp_path / "copy.sqlite")
    assert aside is not None
    assert live(database, "a") == []
    former = Database(aside)
    assert live(former, "a") == ["Dov"]
    former.close()
    assert not list(tmp_path.glob("*.partial*"))


@only_sqlite
def test_restore_works_where_there_was_no_file(database: Database, tmp_path: Path) -> None:
    backup.backup(database, tmp_path / "copy.sqlite")
    other = Database(tmp_path / "other.sqlite")
    assert backup.restore(other, tmp_path / "copy.sqlite") is None
    other.check_schema()
    other.close()


@only_sqlite
def test_restore_replaces_a_broken_file(database: Database, tmp_path: Path) -> None:
    backup.backup(database, tmp_path / "copy.sqlite")
    database.close()
    assert database.path is not None
    database.path.write_bytes(b"rubbish " * 1000)
    aside = backup.restore(database, tmp_path / "copy.sqlite")
    assert aside is not None
    assert aside.read_bytes().startswith(b"rubbish")
    database.check_schema()


@only_sqlite
def test_a_database_that_another_process_has_open_is_not_restored(database: Database, tmp_path: Path) -> None:
    backup.backup(database, tmp_path / "copy.sqlite")
    other = Database(str(database.path))
    with other.read() as session:
        queries.counts(session)
        with pytest.raises(Busy):
            backup.restore(database, tmp_path / "copy.sqlite")
    other.close()
    assert not list(tmp_path.glob("*before-restore*"))
    database.check_schema()


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def dangling(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM passages WHERE id = 'p0'")


def rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish " * 1000)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20480])


@only_sqlite
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (newer, UnknownSchema),
        (dangling, NotADatabase),
        (rubbish, NotADatabase),
        (foreign, NotADatabase),
        (torn, NotADatabase),
        (Path.unlink, NotADatabase),
    ],
)
def test_an_unusable_backup_is_refused_and_nothing_moves(
    database: Database, tmp_path: Path, spoil: object, error: type[DbError]
) -> None:
    assert callable(spoil)
    copy = backup.backup(database, tmp_path / "copy.sqlite")
    spoil(copy)
    with pytest.raises(error, match=r"copy\.sqlite"):
        backup.restore(database, copy)
    database.check_schema()
    assert sorted(path.name for path in tmp_path.glob("*restore*")) == []
    assert not list(tmp_path.glob("*.partial"))


def test_a_backup_of_a_missing_database_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotADatabase, match="no such file"):
        backup.backup(Database(tmp_path / "none.sqlite"), tmp_path / "copy.sqlite")
    assert not list(tmp_path.iterdir())


@only_sqlite
def test_a_backup_carries_the_schema_revision(database: Database, tmp_path: Path) -> None:
    copy = Database(backup.backup(database, tmp_path / "copy.sqlite"))
    with copy.read() as session:
        assert session.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    copy.close()
