"""A database is opened only if it holds our tables alone, written only while it is the same file, read anywhere."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from db import store
from db.engine import Database
from db.errors import Busy, NotADatabase, StorageError
from tests.commands import gold_file, new_workspace, ok, run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace with labels."""
    folder = new_workspace(tmp_path / "ws")
    ok("import", gold_file(tmp_path), "--as", "gold", "-w", folder)
    return folder


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


FOREIGN = {
    "a trigger": ("CREATE TRIGGER theft AFTER INSERT ON labels BEGIN DELETE FROM passages; END",),
    "a view": ("CREATE VIEW seen AS SELECT 1",),
    "a virtual table": ("CREATE VIRTUAL TABLE found USING fts5(x)",),
    "a missing table": ("DROP TABLE studio_annotations",),
    "a view instead of a table": (
        "DROP TABLE studio_annotations",
        "CREATE VIEW studio_annotations AS SELECT * FROM labels",
    ),
    "a missing column": ("ALTER TABLE documents RENAME COLUMN title TO heading",),
    "no revision": ("DELETE FROM alembic_version",),
    "another revision": ("UPDATE alembic_version SET version_num = 'a1b2c3'",),
    "a version table of another program": ("DROP TABLE alembic_version", "CREATE TABLE alembic_version (at TEXT)"),
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_a_database_with_more_or_less_than_our_tables_is_neither_opened_nor_restored(
    statements: tuple[str, ...], ws: Path, tmp_path: Path
) -> None:
    spoiled = shutil.copyfile(ws / "labeler.db", tmp_path / "spoiled.db")
    execute(spoiled, *statements)
    before = (ws / "labeler.db").read_bytes()
    assert "spoiled.db" in run("db", "restore", spoiled, "-w", ws).fault
    assert (ws / "labeler.db").read_bytes() == before
    shutil.copyfile(spoiled, ws / "labeler.db")
    for command in (("status",), ("label", "set", "q1", "--text", "x"), ("db", "upgrade")):
        assert "labeler.db" in run(*command, "-w", ws).fault


def test_another_programs_database_is_neither_opened_nor_restored(ws: Path, tmp_path: Path) -> None:
    execute(tmp_path / "other.db", "CREATE TABLE bookmarks (url TEXT)")
    assert "another program" in run("db", "restore", tmp_path / "other.db", "-w", ws).fault
    shutil.copyfile(tmp_path / "other.db", ws / "labeler.db")
    assert "another program" in run("status", "-w", ws).fault


# The same file.


def replaced(path: Path, other: Path) -> None:
    other.replace(path)


def overwritten(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def deleted(path: Path, other: Path) -> None:
    path.unlink()


def moved(path: Path, other: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


@pytest.mark.parametrize("change", [replaced, overwritten, deleted, moved])
def test_a_database_swapped_under_a_command_is_noticed_at_the_next_write(
    change: Callable[[Path, Path], None], ws: Path, tmp_path: Path
) -> None:
    ok("init", tmp_path / "other")
    database = Database(ws / "labeler.db")
    with database.write() as session:
        store.set_meta(session, "a", "1")
    change(ws / "labeler.db", tmp_path / "other" / "labeler.db")
    with pytest.raises(NotADatabase, match="while this command ran"), database.write() as session:
        store.set_meta(session, "b", "2")
    database.close()
    assert (ws / "labeler.db").exists() == (change in (replaced, overwritten)), "an empty file was made"


def test_a_copy_put_in_its_place_is_another_file(ws: Path, tmp_path: Path) -> None:
    database = Database(ws / "labeler.db")
    with database.write() as session:
        store.set_meta(session, "a", "1")
    copy = Path(shutil.copyfile(ws / "labeler.db", tmp_path / "copy.db"))
    copy.replace(ws / "labeler.db")
    with pytest.raises(NotADatabase, match="replaced"), database.write():
        pass
    database.close()


def test_two_processes_may_still_write_in_turn(ws: Path) -> None:
    """The check opens the file, and must not drop the locks of this process on it."""
    database, code = Database(ws / "labeler.db"), f"from tests.safety.test_databases import write; write({str(ws)!r})"
    with database.write() as session:
        store.set_meta(session, "a", "1")
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.stdout == "busy\n", done.stderr
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "written\n", done.stderr
    with database.write() as session:
        store.set_meta(session, "a", "2")
    database.close()


def write(ws: str) -> None:
    """Write a row, or say that another process writes."""
    try:
        with Database(Path(ws) / "labeler.db", busy_seconds=0.01).write() as session:
            store.set_meta(session, "b", "1")
        sys.stdout.write("written\n")
    except Busy:
        sys.stdout.write("busy\n")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_no_link_beside_a_database_is_written_through(suffix: str, ws: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious" * 5000)
    (ws / f"labeler.db{suffix}").unlink(missing_ok=True)
    (ws / f"labeler.db{suffix}").symlink_to(precious)
    assert "is a link" in run("label", "set", "q1", "--text", "x", "-w", ws).fault
    assert precious.read_text() == "precious" * 5000


# Read-only workspaces.


@pytest.fixture
def bound() -> tuple[str, ...]:
    """What to put before a command so that the rights of files bind it, the superuser too."""
    if os.geteuid() != 0:
        return ()
    powers = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}")
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode != 0:
        pytest.skip("a read-only folder: the superuser writes everywhere, and setpriv cannot change that here")
    return prefix


def clean(ws: Path) -> None:
    """As after the last command."""


def with_log(ws: Path) -> None:
    """As a killed command leaves it: what it committed is in the log alone."""
    code = (
        f"import sqlite3, os; c = sqlite3.connect({str(ws / 'labeler.db')!r}, isolation_level=None);"
        "c.execute('PRAGMA journal_mode = WAL');"
        "c.execute(\"INSERT OR REPLACE INTO meta VALUES ('x', '1')\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (ws / "labeler.db-wal").stat().st_size


def without_wal(ws: Path) -> None:
    """As a backup that was copied here."""
    execute(ws / "labeler.db", "PRAGMA journal_mode = DELETE")


@pytest.fixture
def protected(ws: Path) -> Iterator[Callable[[tuple[str, ...]], None]]:
    """Takes the right to write from parts of the workspace: `folder`, `files`."""

    def protect(parts: tuple[str, ...]) -> None:
        for path in (ws, *ws.iterdir()):
            if ("folder" if path == ws else "files") in parts:
                path.chmod(0o555 if path.is_dir() else 0o444)

    yield protect
    for path in (ws, *ws.iterdir()):
        path.chmod(0o755)


OTHERS = (["questions", "list"], ["rounds", "list"], ["import", "--list"], ["db", "status"], ["prune", "--dry-run"])
RUNS = """
import json, sys
from tests.commands import run
for command in json.loads(sys.argv[1]):
    ran = run(*command, "-w", sys.argv[2])
    print(json.dumps([command[0], ran.code, ran.err]))
"""


@pytest.mark.parametrize(
    ("before", "parts"),
    [
        (clean, ("folder", "files")),
        (clean, ("folder",)),
        (clean, ("files",)),
        (with_log, ("folder", "files")),
        (without_wal, ("folder", "files")),
    ],
)
def test_a_readonly_workspace_is_listed_exported_and_backed_up(
    before: Callable[[Path], None],
    parts: tuple[str, ...],
    ws: Path,
    protected: Callable[[tuple[str, ...]], None],
    bound: tuple[str, ...],
    tmp_path: Path,
) -> None:
    before(ws)
    rows = len(ok("labels", "list", "-w", ws)["labels"])
    before(ws)
    protected(parts)
    held = {path: path.read_bytes() for path in ws.iterdir() if path.is_file() and path.suffix != ".db-shm"}
    commands = [
        *([["report", "-o", str(tmp_path / "out.html")], *OTHERS] if (before, len(parts)) == (clean, 2) else ()),
        *(["status"], ["labels", "list"], ["history", "q1"]),
        ["export", "--format", "jsonl", "-o", str(tmp_path / "out.jsonl")],
        ["db", "backup", str(tmp_path / "out.db")],
        ["label", "set", "q1", "--text", "아르넨"],
    ]
    done = subprocess.run(
        [*bound, sys.executable, "-c", RUNS, json.dumps(commands), str(ws)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    *reading, (_, code, refusal) = ran
    assert [(name, err) for name, code, err in reading if code] == []
    assert (code, len(refusal.splitlines())) == (1, 1)
    assert str(ws) in refusal
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == rows
    assert {path: path.read_bytes() for path in held} == held
    assert run("db", "restore", tmp_path / "out.db", "-w", new_workspace(tmp_path / "copy")).code == 0


def test_a_log_that_a_readonly_folder_cannot_show_is_no_silent_loss(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_log(ws)
    (ws / "labeler.db-shm").unlink()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StorageError, match="copy the workspace"), Database(ws / "labeler.db").read():
        pass
