"""PostgreSQL: backup and restore by its client programs, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from db import backup, queries, store
from db.engine import REVISIONS, Database
from db.errors import Busy, Conflict, DbError, NotADatabase, StorageError, UnknownSchema, Unsupported
from tests.db.conftest import Backend, only_postgresql, span
from tests.postgres import Server

pytestmark = only_postgresql


@pytest.fixture(autouse=True)
def programs(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client programs of the server's version come first on the path."""
    assert backend.server is not None
    monkeypatch.setenv("PATH", str(backend.server.binaries), prepend=":")


def live(database: Database, question_id: str) -> list[str]:
    with database.read() as session:
        return [label.answers[0].text for label in queries.live_labels(session, question_ids=[question_id])]


def answer(database: Database, question_id: str, passage_id: str) -> None:
    with database.write() as session:
        store.set_label(session, question_id, [span(passage_id)], reviewer="kim")


def test_a_backup_made_during_a_write_holds_and_restores_what_was_committed(
    backend: Backend, database: Database, tmp_path: Path
) -> None:
    answer(database, "a", "p3")
    with database.write() as session:
        store.set_label(session, "b", [span("p4")], reviewer="kim")
        backup.backup(database, tmp_path / "copy.dump")
    answer(database, "c", "p4")
    aside = backup.restore(database, tmp_path / "copy.dump")
    assert (live(database, "a"), live(database, "b"), live(database, "c")) == (["Dov"], [], [])
    database.check_schema()
    answer(database, "b", "p4")  # ids go on where the copy's ended
    assert aside is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["copy.dump", aside.name])
    backup.restore(database, aside)
    assert (live(database, "b"), live(database, "c")) == (["Eve"], ["Eve"])


def test_a_backup_restores_into_another_empty_database(backend: Backend, database: Database, tmp_path: Path) -> None:
    other = backend.empty()
    assert backup.restore(other, backup.backup(database, tmp_path / "copy.dump")) is None
    other.check_schema()
    with other.read() as session, database.read() as here:
        assert queries.counts(session) == queries.counts(here)


def torn(path: Path, database: Database) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def rubbish(path: Path, database: Database) -> None:
    path.write_bytes(b"rubbish " * 1000)


def newer(path: Path, database: Database) -> None:
    path.unlink()
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    backup.backup(database, path)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": REVISIONS[-1]})


def missing(path: Path, database: Database) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(torn, NotADatabase), (rubbish, NotADatabase), (newer, UnknownSchema), (missing, NotADatabase)],
)
def test_an_unusable_backup_is_refused_and_nothing_changes(
    database: Database, tmp_path: Path, spoil: object, error: type[DbError]
) -> None:
    copy = backup.backup(database, tmp_path / "copy.dump")
    answer(database, "a", "p3")
    assert callable(spoil)
    spoil(copy, database)
    with pytest.raises(error, match=r"copy\.dump"):
        backup.restore(database, copy)
    assert live(database, "a") == ["Dov"]
    assert not list(tmp_path.glob("*restore*"))


def test_a_database_that_another_connection_reads_is_not_restored(
    backend: Backend, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.backup_postgresql._LOCK_SECONDS", 1)
    copy = backup.backup(database, tmp_path / "copy.dump")
    answer(database, "a", "p3")
    with backend.open(database).read() as session:
        queries.counts(session)
        with pytest.raises(Busy):
            backup.restore(database, copy)
    assert live(database, "a") == ["Dov"]


def test_a_backup_overwrites_no_file_and_makes_no_folder(backend: Backend, database: Database, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", "utf-8")
    with pytest.raises(Conflict, match="exists"):
        backup.backup(database, tmp_path / "mine")
    with pytest.raises(StorageError, match=r"pg_dump failed.*No such file or directory"):
        backup.backup(database, tmp_path / "none" / "copy.dump")
    with pytest.raises(NotADatabase, match="no tables yet"):
        backup.backup(backend.empty(), tmp_path / "copy.dump")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_another_programs_tables_are_not_replaced(backend: Backend, database: Database, tmp_path: Path) -> None:
    copy = backup.backup(database, tmp_path / "copy.dump")
    other = backend.empty()
    with other.write() as session:
        session.execute(text("CREATE TABLE bookmarks (url TEXT)"))
    with pytest.raises(NotADatabase, match="another program"):
        backup.restore(other, copy)


def test_missing_client_programs_are_named(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"pg_dump is not installed.*postgresql-client"):
        backup.backup(database, tmp_path / "copy.dump")
    assert not list(tmp_path.iterdir())


def test_the_password_is_no_argument_of_a_client_program(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    """A fake pg_dump records its arguments."""
    stand_in = tmp_path / "pg_dump"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho "pg_dump: error: no" >&2\nexit 1\n', "utf-8")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert isinstance(backend.server, Server)
    with pytest.raises(StorageError, match="pg_dump failed: pg_dump: error: no") as caught:
        backup.backup(database, tmp_path / "copy.dump")
    assert "--dbname=" in (tmp_path / "called").read_text("utf-8")
    assert backend.server.password not in (tmp_path / "called").read_text("utf-8") + str(caught.value)
