"""A workspace whose database is on a PostgreSQL server: the same results, one worker at a time, no password shown."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, inspect, text

from db.engine import Database
from labeler.core.config import load_config
from labeler.core.errors import WorkspaceBusy
from labeler.core.workspace import create_workspace
from labeler.maintenance.doctor import examine
from labeler.rounds import machine
from tests.commands import run
from tests.postgres import Server
from tests.worlds import after_round, at, make_hybrid, make_workspace

VARIABLE = "LABELER_WORKSPACE__DATABASE"
SECRET = "s3cr3t/pass:word"  # what a password may hold that URLs must escape


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """The URL of an empty database, its user's password in it."""
    name = f"work_{secrets.token_hex(6)}"
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    postgres.make(name)
    postgres.execute(f"ALTER DATABASE {name} OWNER TO {name}")
    yield postgres.url(name, user=name, password=SECRET)
    postgres.drop(name)
    postgres.execute(f"DROP ROLE {name}")


def test_a_round_on_postgresql_equals_one_on_sqlite(tmp_path: Path, url: str, undisturbed: dict[str, Any]) -> None:
    folder = make_workspace(tmp_path / "ws", workspace__database=url)
    with at(folder) as runtime:
        machine.train(runtime)
    assert after_round(folder) == undisturbed
    assert not [path for path in folder.rglob("*") if path.suffix in (".db", ".sqlite")]
    told = [path for path in folder.rglob("*") if path.is_file() and leaks(path.read_bytes().decode("latin-1"))]
    assert told == [folder / "labeler.toml"]
    assert not leaks(stored(url))


def test_a_round_that_trains_a_retriever_equals_one_on_sqlite(
    tmp_path: Path, url: str, encoder: Path, hybrid_undisturbed: dict[str, Any]
) -> None:
    folder = make_hybrid(tmp_path / "ws", encoder, workspace__database=url)
    assert after_round(folder) == hybrid_undisturbed
    assert hybrid_undisturbed["retrievers"]


def test_no_result_depends_on_the_order_in_which_a_database_happens_to_give_rows(
    baseline: Path, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Database.connect_engine

    def reversed_engine(self: Database, *, foreign_keys: bool) -> Any:
        engine = connect(self, foreign_keys=foreign_keys)
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA reverse_unordered_selects = ON"))
        return engine

    monkeypatch.setattr(Database, "connect_engine", reversed_engine)
    assert after_round(shutil.copytree(baseline, tmp_path / "ws")) == undisturbed


def test_init_makes_the_tables_and_shows_no_password(tmp_path: Path, url: str) -> None:
    made = run("init", tmp_path / "ws", "--db", url, "--json")
    assert made.code == 0, made.err
    assert made.json["database"] == shown(url)
    commands = (("status",), ("db", "status"), ("db", "upgrade"), ("doctor",), ("import", "--list"))
    told = [made, *(run(*command, "-w", tmp_path / "ws") for command in commands)]
    assert [each.code for each in told] == [0] * len(told)
    assert not any(leaks(each.out + each.err) for each in told)
    assert [shown(url) in each.out for each in told] == [True, True, True, True, True, False]
    assert leaks((tmp_path / "ws" / "labeler.toml").read_text("utf-8"))  # as it was given; so none else may read it
    assert (tmp_path / "ws" / "labeler.toml").stat().st_mode & 0o077 == 0


def test_a_url_in_the_environment_leaves_its_password_there(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, url)
    assert run("init", tmp_path / "ws").code == 0
    written = (tmp_path / "ws" / "labeler.toml").read_text("utf-8")
    assert not leaks(written)
    assert f'database = "{shown(url)}"' in written
    assert not list((tmp_path / "ws").glob("*.db"))
    assert shown(url) in run("status", "-w", tmp_path / "ws").out
    monkeypatch.delenv(VARIABLE)
    assert "check the user's name and password" in run("status", "-w", tmp_path / "ws").fault


def test_a_url_of_this_run_alone_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    create_workspace(tmp_path / "ws", database=url, environ={})
    wrong = url.rpartition("/")[0] + "/none"
    at_ws = ("-w", tmp_path / "ws")
    faults = [
        run("status", *at_ws, "--set", f"workspace.database={wrong}").fault,
        run("status", *at_ws, "--set", f"workspace.databas={url}").fault,
        run("status", *at_ws, "--set", f"workspace-database {url}").fault,
        run("status", *at_ws, "--set", f"workspace.database={url}", "--set", "workspace.metric=none").fault,
        run("init", tmp_path / "other", "--db", wrong).fault,
        run("init", tmp_path / "other", "--db", url.replace("@", "/@@")).fault,
        run("init", tmp_path / "other", "--db", url.replace("+psycopg", "+pg8000")).fault,
    ]
    assert not any(leaks(fault) for fault in faults)
    assert "does not exist" in faults[0]


def test_backup_and_restore_work_from_the_command_line(
    tmp_path: Path, url: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres.binaries), prepend=":")
    create_workspace(tmp_path / "ws", database=url, environ={})
    made = run("db", "backup", tmp_path / "monday.dump", "-w", tmp_path / "ws")
    back = run("db", "restore", tmp_path / "monday.dump", "-w", tmp_path / "ws", "--json")
    assert (made.code, back.code) == (0, 0)
    assert Path(back.json["put_aside"]).is_file()
    assert not leaks(made.out + made.err + back.out + back.err)


def test_settings_stored_with_a_round_hold_no_password(url: str) -> None:
    config = load_config(environ={VARIABLE: url})
    assert config.workspace.database == url
    assert config.resolved()["workspace"]["database"] == shown(url)
    assert not leaks(repr(config))


HOLDER = """
import sys
from pathlib import Path
from labeler.core.workspace import open_workspace
with open_workspace(Path(sys.argv[1])).lock("labeler round --set workspace.database=" + sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_folders_on_one_database_work_one_after_the_other(tmp_path: Path, url: str) -> None:
    """Two folders stand for two machines: neither sees the other's lock file."""
    first, second = (create_workspace(tmp_path / name, database=url, environ={}) for name in ("one", "two"))
    command = [sys.executable, "-c", HOLDER, str(first.folder), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceBusy, match=rf"process {holder.pid} \(labeler round") as caught, second.lock():
            pass
        assert not leaks(str(caught.value))
        assert not leaks((first.folder / ".lock.json").read_text("utf-8"))
        assert run("status", "-w", second.folder).code == 0  # reading goes on
        holder.kill()
    with second.lock("labeler index"), pytest.raises(WorkspaceBusy, match="labeler index"), first.lock():
        pass


def test_a_lock_whose_connection_broke_ends_without_an_error(tmp_path: Path, url: str, postgres: Server) -> None:
    workspace = create_workspace(tmp_path / "ws", database=url, environ={})
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%process%'"
    with workspace.lock():
        assert postgres.execute(others) == [(True,)]
    with workspace.lock():
        pass


def test_doctor_tells_what_is_wrong_with_the_server(tmp_path: Path, url: str, postgres: Server) -> None:
    create_workspace(tmp_path / "ws", database=url, environ={})
    good = {check.name: check for check in examine(tmp_path / "ws")}
    assert good["database"].ok
    assert good["database"].detail.startswith(shown(url))
    file = tmp_path / "ws" / "labeler.toml"
    file.write_text(file.read_text("utf-8").replace(f":{postgres.port}/", ":1/"), "utf-8")
    bad = {check.name: check for check in examine(tmp_path / "ws")}
    assert not bad["database"].ok
    assert "Connection refused" in bad["database"].detail
    assert not leaks(str(good) + str(bad))


def test_without_the_driver_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    told = run("init", tmp_path / "ws", "--db", f"postgresql+psycopg://me:{SECRET}@host/name").fault
    assert 'pip install "labeler[postgres]"' in told
    assert not leaks(told)


def leaks(text: str) -> bool:
    """Whether any part of the password is in a text."""
    return any(part in text for part in ("s3cr3t", "pass:word", "pass%3Aword"))


def shown(url: str) -> str:
    """The URL as it may be shown."""
    head, _, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}@{tail}"


def stored(url: str) -> str:
    """Every row of a database, as text."""
    database = Database(url)
    with database.read() as session:
        names = inspect(session).get_table_names()
        rows = [tuple(row) for name in names for row in session.execute(text(f'SELECT * FROM "{name}"'))]
    database.close()
    return str(rows)
