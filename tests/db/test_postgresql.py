"""PostgreSQL: errors of a server and their names, text, the order of ids, the lock of a database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from db import queries, schema, store
from db.engine import Database
from db.errors import Busy, Conflict, DbError, NotADatabase, StorageError, Unreachable
from db.rows import NewLabel, NewReview, PassageRow, SpanRow
from tests.db.conftest import Backend, an_import, only_postgresql, open_round, question, span, task
from tests.postgres import Server, find_binaries, skip_without

pytestmark = only_postgresql
SECRET = "s3cr3t"


@pytest.fixture
def server(backend: Backend) -> Server:
    assert backend.server is not None
    return backend.server


@pytest.fixture
def guest(backend: Backend, server: Server) -> Iterator[str]:
    """The name of a user with no rights but to connect; the password is SECRET."""
    server.execute(f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
    yield "guest"
    backend.clean()
    server.execute("DROP ROLE guest")


def refused(url: str) -> DbError:
    database = Database(url)
    with pytest.raises(DbError) as caught:
        database.check_schema()
    database.close()
    assert "\n" not in str(caught.value)
    return caught.value


# --- refused connections----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("@", "x@"), "password authentication failed .* check the user's name and password"),
        (("//labeler:", "//nobody:"), "check the user's name and password"),
        (("/postgres", "/none"), r'database "none" does not exist.*createdb NAME'),
        (("127.0.0.1:", "127.0.0.1:1"), "check host and port, and that the server runs"),
        (("127.0.0.1", "no-such-host.invalid"), "check host and port"),
        (("/postgres", "/postgres?sslmode=require"), "correct sslmode"),
        (("/postgres", "/postgres?host=/nowhere"), "No such file or directory.*that the server runs"),
    ],
)
def test_a_refused_connection_is_named_with_its_remedy(server: Server, change: tuple[str, str], says: str) -> None:
    url = server.url(password=SECRET) if change[0] == "@" else server.url()
    database = Database(url.replace(*change))
    with pytest.raises(Unreachable, match=says) as caught:
        database.check_schema()
    assert not any(secret in str(caught.value) for secret in (SECRET, server.password))


def test_a_missing_right_to_connect_is_named(server: Server, backend: Backend, guest: str) -> None:
    name = backend.filled().url.database
    server.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    assert "ask its owner to GRANT CONNECT" in str(refused(server.url(str(name), user=guest, password=SECRET)))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://me:s3cr3t@host:port/name", "not a database URL"),
        ("postgresql+psycopg://me:s3@cr3t@host/name", "as %40"),
        ("postgresql+psycopg2://me:s3cr3t@host/name", "psycopg2 is not supported"),
        ("mysql://me:s3cr3t@host/name", "mysql is not supported"),
        ("postgresql://me:s3cr3t@host", "names no database"),
    ],
)
def test_a_malformed_url_is_refused_without_showing_its_password(backend: Backend, url: str, says: str) -> None:
    with pytest.raises(NotADatabase, match=says) as caught:
        Database(url)
    assert "cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_unknown_option_of_the_url_is_named(server: Server) -> None:
    assert "nosuch" in str(refused(server.url() + "?nosuch=1"))


@pytest.mark.parametrize("prefix", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_form_of_the_url_is_accepted(database: Database, prefix: str) -> None:
    url = database.url.render_as_string(hide_password=False).replace("postgresql+psycopg", prefix)
    assert str(Database(f"{url}?application_name=mine&password={SECRET}")) == f"{database}?application_name=mine"
    same = Database(url)
    same.check_schema()
    same.close()


def test_a_database_that_is_not_utf8_is_refused(server: Server, backend: Backend) -> None:
    server.drop("latin")
    url = server.make("latin", options="TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    database = backend.open(url)
    for attempt in (database.check_schema, lambda: schema.upgrade(database)):
        with pytest.raises(NotADatabase, match=r"as LATIN1.*--encoding=UTF8"):
            attempt()


# --- rights, errors during a write ----------------------------------------------------------------


def test_missing_rights_to_create_tables_or_write_are_named(server: Server, backend: Backend, guest: str) -> None:
    empty, filled = backend.empty(), backend.filled()
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest", name=str(filled.url.database))
    mine = backend.open(server.url(str(empty.url.database), user=guest, password=SECRET))
    with pytest.raises(StorageError, match="GRANT"):
        schema.upgrade(mine)
    reader = backend.open(server.url(str(filled.url.database), user=guest, password=SECRET))
    with reader.read() as session:
        assert queries.counts(session).labels["gold"] == 3
    with pytest.raises(StorageError, match="GRANT"), reader.write() as session:
        store.set_meta(session, "index", "one")


def test_a_read_only_server_is_named(database: Database, server: Server) -> None:
    server.execute(f'ALTER DATABASE "{database.url.database}" SET default_transaction_read_only = on')
    with pytest.raises(StorageError, match="read-only: name the primary"), database.write() as session:
        store.set_meta(session, "index", "one")


def test_a_connection_lost_during_a_write_leaves_nothing_and_the_next_write_works(
    database: Database, server: Server
) -> None:
    def write_and_lose() -> None:
        with database.write() as session:
            store.set_label(session, "a", [span("p3")], reviewer="kim")
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            server.execute(f"SELECT pg_terminate_backend({pid})")
            store.set_label(session, "b", [span("p4")], reviewer="kim")

    with pytest.raises(Unreachable, match="run again"):
        write_and_lose()
    with database.write() as session:
        assert queries.live_labels(session, question_ids=["a", "b"]) == []


def test_a_connection_dropped_between_two_writes_is_reopened(database: Database, server: Server) -> None:
    with database.read() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    server.execute(f"SELECT pg_terminate_backend({pid})")
    with database.write() as session:
        store.set_meta(session, "index", "one")


def test_two_concurrent_upgrades_make_the_tables_once(backend: Backend) -> None:
    first = backend.empty()
    both = [backend.open(first, busy_seconds=30) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = [done.result() for done in [pool.submit(schema.upgrade, each) for each in both]]
    assert found == [schema.status(first)] * 2


# --- text -----------------------------------------------------------------------------------------


def test_offsets_count_code_points_outside_the_basic_plane_too(database: Database) -> None:
    passage = PassageRow("px", "d0", 9, "👩‍👩‍👧 𝒜da 서울\r\n한글")
    answers = [SpanRow(passage.text[start:end], "px", start, end) for start, end in ((0, 5), (6, 9), (10, 16))]
    rows = an_import(
        "more",
        "gold",
        passages=(passage,),
        questions=(question("x", "gold", context="px"),),
        labels=(NewLabel("x", tuple(answers)),),
    )
    with database.write() as session:
        store.add_import(session, rows)
        assert queries.passages(session, ["px"])["px"].text == passage.text
        assert queries.live_labels(session, question_ids=["x"])[0].answers == tuple(answers)


def test_text_that_the_server_cannot_store_is_refused_in_one_line(database: Database) -> None:
    with database.write() as session:
        store.add_tasks(session, open_round(session).number, [task("a")])
    review = NewReview(1, "kim", "bad_question", comment="a \x00 b")
    for bad, says in ((review, "NUL character"), (replace(review, comment=None, reviewer="k" * 256), "shorten it")):
        with pytest.raises(Conflict, match=says), database.write() as session:
            store.record_review(session, bad)


def test_ids_are_sorted_by_code_point_in_every_locale(database: Database) -> None:
    ids = ["0f", "Zz", "aa0", "ab1", "ff2", "가"]  # Danes write aa behind z
    rows = tuple(PassageRow(key, "d0", 10 + place, f"Text {key}.") for place, key in enumerate(reversed(ids)))
    questions = tuple(question(key, "pool") for key in reversed(ids))
    with database.write() as session:
        store.add_import(session, an_import("more", "pool", passages=rows, questions=questions))
        in_server = session.execute(text("SELECT id FROM passages ORDER BY id")).scalars().all()
        assert in_server.index("aa0") > in_server.index("ff2")  # in this locale the database sorts differently
        assert [row.id for row in queries.iter_passages(session, batch=2)] == sorted(in_server)
        assert [row.id for row in queries.pool_to_predict(session)] == sorted([*ids, "a", "b", "c"])


# --- the lock -------------------------------------------------------------------------------------


def test_the_holder_of_the_lock_is_named_until_it_is_released(backend: Backend, database: Database) -> None:
    other = backend.open(database)
    with (
        database.lock("runtime 7 (labeler round)"),
        pytest.raises(Busy, match=r"in use by runtime 7 \(labeler round\) since \d{4}-"),
        other.lock("me"),
    ):
        pass
    with other.lock("me"), database.read(), database.write():
        pass


def test_an_error_under_the_lock_passes_through_and_releases_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.lock("me"):
        raise ZeroDivisionError
    with database.lock("me"):
        pass


# --- without a server ---------------------------------------------------------------------------


def test_without_a_server_tests_are_skipped_and_fail_in_ci(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_binaries() is not None
    monkeypatch.setattr("tests.postgres.find_binaries", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL is not installed"):
        skip_without()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is not installed"):
        skip_without()
