"""Transactions, named errors, and what a killed process leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from db import queries, schema, store
from db.engine import Database
from db.errors import Busy, NotADatabase, SchemaTooOld, StorageError
from tests.db.conftest import Backend, human, only_sqlite, span

KILLED = """
import os, signal, sys
from sqlalchemy import text
from db import store
from db.engine import Database
from db.rows import SpanRow
database = Database(sys.argv[1])
with database.write() as session:
    store.set_label(session, "a", [SpanRow("Dov", "p3", 0, 3)], reviewer="kim")
    session.execute(text("CREATE TABLE stray (id INTEGER)"))
    if database.is_sqlite:
        session.execute(text("PRAGMA cache_size = 1"))  # so that it writes to the file before the end
    session.execute(text("CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                         "WHERE i < 20000) SELECT i, '0123456789012345678901234567890123456789' AS b FROM n"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_write_leaves_the_database_unchanged(database: Database) -> None:
    with database.read() as session:
        before = queries.counts(session)
    database.close()
    url = database.url.render_as_string(hide_password=False)
    done = subprocess.run([sys.executable, "-c", KILLED, url], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    with database.read() as session:
        assert queries.counts(session) == before
        assert not {"stray", "filler"} & set(inspect(session).get_table_names())
        if database.is_sqlite:
            assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    with database.write() as session:
        assert store.set_label(session, "a", [span("p3")], reviewer="kim") > 0


@only_sqlite
def test_sqlite_enforces_foreign_keys_and_writes_ahead(database: Database) -> None:
    with database.read() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_read_sees_one_snapshot_while_another_connection_writes(database: Database) -> None:
    with database.read() as session:
        assert queries.live_labels(session, question_ids=["a"]) == []
        with database.write() as writer:
            store.set_label(writer, "a", human("a").answers, reviewer="kim")
        assert queries.live_labels(session, question_ids=["a"]) == []
    with database.read() as session:
        assert len(queries.live_labels(session, question_ids=["a"])) == 1


def test_a_second_writer_gets_a_busy_error(backend: Backend, database: Database) -> None:
    other = backend.open(database, busy_seconds=0.01)
    with database.write(), pytest.raises(Busy, match="another process"), other.write():
        pass


def test_writers_queue_and_see_what_earlier_ones_wrote(backend: Backend) -> None:
    database = backend.filled()

    def count_up(times: int) -> None:
        mine = backend.open(database, busy_seconds=30)
        for _ in range(times):
            with mine.write() as session:
                store.set_meta(session, "count", str(int(queries.get_meta(session, "count") or 0) + 1))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count_up, 5) for _ in range(4)]:
            done.result()
    with database.read() as session:
        assert queries.get_meta(session, "count") == str(4 * 5)


def test_a_missing_file_is_refused_and_not_created(tmp_path: Path) -> None:
    database = Database(tmp_path / "none.sqlite")
    with pytest.raises(NotADatabase, match="no such file"):
        database.check_schema()
    assert not (tmp_path / "none.sqlite").exists()


def test_a_file_that_is_no_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, long enough to be no header of anything " * 20, "utf-8")
    before = path.read_bytes()
    database = Database(path)
    for attempt in (database.check_schema, lambda: schema.upgrade(database)):
        with pytest.raises(NotADatabase, match=r"notes\.txt is not a database"):
            attempt()
    assert path.read_bytes() == before


@only_sqlite
def test_a_damaged_database_is_a_named_error(database: Database) -> None:
    assert database.path is not None
    database.close()
    with database.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.path.stat().st_size - 4096))
    with pytest.raises(NotADatabase, match="damaged"), database.read() as session:
        queries.counts(session)


def test_tables_of_another_program_are_refused(backend: Backend) -> None:
    database = backend.empty()
    with database.write() as session:
        session.execute(text("CREATE TABLE bookmarks (url TEXT)"))
    for attempt in (database.check_schema, lambda: schema.upgrade(database)):
        with pytest.raises(NotADatabase, match="another program"):
            attempt()


def test_an_empty_database_needs_an_upgrade(backend: Backend) -> None:
    database = backend.empty()
    if database.path is not None:
        database.path.touch()
    with pytest.raises(SchemaTooOld, match="labeler db upgrade"):
        database.check_schema()


@pytest.mark.parametrize("url", ["nosuch://host/name", "://", "postgresql+nodriver://host/name"])
def test_a_malformed_url_is_a_named_error(url: str) -> None:
    with pytest.raises(NotADatabase):
        Database(url)


@only_sqlite
def test_a_full_disk_is_a_named_error_and_loses_nothing(database: Database) -> None:
    def fill() -> None:
        with database.write() as session:
            session.execute(text("PRAGMA max_page_count = 1"))
            session.execute(text("CREATE TABLE filler AS SELECT randomblob(100000) AS b"))

    with pytest.raises(StorageError, match="disk is full"):
        fill()
    with database.read() as session:
        assert queries.counts(session).labels["gold"] == 3


def test_a_url_that_sqlite_cannot_use_is_a_named_error_without_its_password() -> None:
    with pytest.raises(NotADatabase) as caught:
        Database("sqlite://user:secret@/x.db")
    assert "secret" not in str(caught.value)
