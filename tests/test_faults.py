"""Bad input and faults: each is one line that names place and remedy, and the database is as it was before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labeler.core.workspace import open_workspace
from mrc import analyzers
from mrc.errors import MissingExtra
from tests.commands import TOWER, Ran, gold_file, new_workspace, ok, run, squad
from tests.worlds import after_round, make_workspace

ROOT = Path(__file__).parent.parent
KB = 1 << 10
MB = 1 << 20


@pytest.fixture
def workspace(baseline: Path, tmp_path: Path) -> Path:
    """A copy of the baseline for one test to spoil."""
    return shutil.copytree(baseline, tmp_path / "ws")


def contents(folder: Path) -> str:
    """A hash over every row of the workspace's database; of the file's bytes where it is no database."""
    path = folder / "labeler.db"
    if not path.is_file():
        return "no database"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            dump = "\n".join(connection.iterdump()).encode()
    except sqlite3.DatabaseError:
        dump = path.read_bytes()
    return hashlib.sha256(dump).hexdigest()


def process(*arguments: str | Path, before: tuple[str, ...] = (), module: str = "labeler", **variables: str) -> Ran:
    """`labeler ARGUMENTS` in a process of its own, `before` put before the command, under these variables."""
    command = [*before, sys.executable, "-m", module, *map(str, arguments)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def fault(ran: Ran, *, code: int = 1) -> str:
    """The line that a refused command with --json ends with: on stderr after any progress, and as JSON on stdout."""
    assert ran.code == code, f"ended with {ran.code}: {ran.out}{ran.err}"
    assert "Traceback" not in ran.err
    *progress, last = ran.err.splitlines()
    assert last.startswith("labeler: "), ran.err
    assert not [line for line in progress if line.startswith("labeler: ")], ran.err
    said = last.removeprefix("labeler: ")
    assert ran.json == {"error": said}
    return said


# The table: what is spoiled, the command that meets it, and words of the place and the remedy that it must say.


@dataclass(frozen=True, slots=True)
class Fault:
    """`spoil(ws, folder)` breaks something and gives the arguments of the command, less -w and --json."""

    name: str
    spoil: Callable[[Path, Path], list[str | Path]]
    says: tuple[str, ...]


def importing(name: str, content: str | bytes, *, role: str = "gold") -> Callable[[Path, Path], list[str | Path]]:
    """The import of a file with this content."""

    def spoil(ws: Path, folder: Path) -> list[str | Path]:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ["import", path, "--as", role]

    return spoil


def article(context: str, **qa: Any) -> str:
    """A SQuAD file with one question."""
    return json.dumps({"data": [{"title": "Korr", "paragraphs": [{"context": context, "qas": [qa]}]}]})


def asked(start: int = 30, text: str = "Ilvane", **rest: Any) -> dict[str, Any]:
    return {"id": "q1", "question": "Who raised it?", "answers": [{"text": text, "answer_start": start}], **rest}


def long_line(ws: Path, folder: Path) -> list[str | Path]:
    path = folder / "long.jsonl"
    with path.open("wb") as file:
        for _ in range(200):
            file.write(b"a" * MB)
    return ["import", path, "--as", "corpus"]


def spoiled(*arguments: str | Path, **files: str | None) -> Callable[[Path, Path], list[str | Path]]:
    """Files of the workspace replaced (None: removed), then the command."""

    def spoil(ws: Path, folder: Path) -> list[str | Path]:
        for name, content in files.items():
            path = ws / name.replace("__", ".")
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
        return list(arguments)

    return spoil


def newer_schema(ws: Path, folder: Path) -> list[str | Path]:
    with closing(sqlite3.connect(ws / "labeler.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    return ["status"]


def truncated(pattern: str, *arguments: str) -> Callable[[Path, Path], list[str | Path]]:
    """The command over a file of the workspace that lost its second half."""

    def spoil(ws: Path, folder: Path) -> list[str | Path]:
        (path,) = ws.glob(pattern)
        os.truncate(path, path.stat().st_size // 2)
        return list(arguments)

    return spoil


def removed(name: str, *arguments: str) -> Callable[[Path, Path], list[str | Path]]:
    """The command over a workspace without one of its folders."""

    def spoil(ws: Path, folder: Path) -> list[str | Path]:
        shutil.rmtree(ws / name)
        return list(arguments)

    return spoil


def stale(*arguments: str) -> Callable[[Path, Path], list[str | Path]]:
    """The command after passages were added to the corpus."""

    def spoil(ws: Path, folder: Path) -> list[str | Path]:
        ok("import", squad(folder / "more.json", {"A new passage of Dunmor.": []}), "--as", "corpus", "-w", ws)
        return list(arguments)

    return spoil


def no_hidden_answers(ws: Path, folder: Path) -> list[str | Path]:
    with closing(sqlite3.connect(ws / "labeler.db")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM hidden_questions")
    return ["round", "--reviewer", "simulated"]


def no_model(ws: Path, folder: Path) -> list[str | Path]:
    (folder / "nothing").mkdir()
    return ["train", "--model", folder / "nothing"]


FAULTS = (
    Fault("JSON cut off", importing("a.json", '{"data": ['), ("a.json", "line 1")),
    Fault("JSON of another shape", importing("a.json", '["x"]'), ("a.json", "an object with named fields is needed")),
    Fault("a line that is not JSON", importing("a.jsonl", '{"text": "x"}\n{"text": \n'), ("a.jsonl", "line 2")),
    Fault("no field that is known", importing("a.csv", "x,y\n1,2\n"), ("a.csv", "line 1", "question")),
    Fault("a row with too few cells", importing("a.csv", "question,context\nWho?\n"), ("a.csv", "line 2")),
    Fault("no question", importing("a.json", article(TOWER, id="q1", answers=[])), ("a.json", "qas[0].question")),
    Fault("an offset out of range", importing("a.json", article(TOWER, **asked(900, "Nobody"))), ("a.json", "q1")),
    Fault("a negative offset", importing("a.json", article(TOWER, **asked(-1, "Nobody"))), ("a.json", "q1")),
    Fault("an answer that stands elsewhere twice", importing("a.json", article("a b a", **asked(2, "a"))), ("q1",)),
    Fault("an empty passage", importing("a.json", article("  ", **asked())), ("a.json", "empty")),
    Fault("an empty file", importing("a.json", ""), ("a.json", "empty")),
    Fault("only a byte order mark", importing("a.jsonl", b"\xef\xbb\xbf"), ("a.jsonl", "no question")),
    Fault(
        "two encodings in one file",
        importing("a.txt", "벨모라 항구".encode() * 9 + "등대".encode("cp949"), role="corpus"),
        ("a.txt", "byte 144", "UTF-8"),
    ),
    Fault("no text at all", importing("a.txt", b"\x7fELF\x00\xff\xfe\x00", role="corpus"), ("a.txt", "not text")),
    Fault("a line of 200 MB", long_line, ("long.jsonl", "line 1", "characters long")),
    Fault("a folder without questions as gold", lambda ws, folder: ["import", folder, "--as", "gold"], (".txt",)),
    Fault("no such file", lambda ws, folder: ["import", folder / "no.json", "--as", "gold"], ("no.json", "no such")),
    Fault("an import that never was", lambda ws, folder: ["import", "--undo", "77"], ("77", "import --list")),
    Fault("a workspace that is none", spoiled("status", labeler__toml=None), ("no labeler.toml", "labeler init")),
    Fault("settings that are not TOML", spoiled("status", labeler__toml="x = = 1"), ("labeler.toml", "line 1")),
    Fault(
        "a setting of the wrong type",
        spoiled("status", labeler__toml='[train]\nepochs = "two"\n'),
        ("labeler.toml", "train.epochs", "a number"),
    ),
    Fault("an unknown setting", spoiled("status", "--set", "train.epoch=2"), ("train.epoch", "did you mean epochs")),
    Fault("an unknown section", spoiled("status", "--set", "trian.epochs=2"), ("trian", "did you mean train")),
    Fault("a seed below 0", spoiled("train", "--set", "round.seed=-1"), ("round.seed=-1", "seed must be in 0")),
    Fault("no database", spoiled("status", labeler__db=None), ("labeler.db", "labeler init", "db restore")),
    Fault("a database that is none", spoiled("status", labeler__db="hello " * 999), ("labeler.db", "db restore")),
    Fault("a database of a newer schema", newer_schema, ("9999", "unknown to this version")),
    Fault("a starting model that is none", no_model, ("nothing", "config.json", "give a folder")),
    Fault("no starting model", spoiled("train", "--model", "/no/model"), ("/no/model", "labeler train --model")),
    Fault("a starting model that is gone", removed("models", "train"), ("models/builtin", "labeler train --model")),
    Fault("no such device", spoiled("train", "--device", "cuda"), ("cuda", "use device 'cpu'")),
    Fault(
        "broken weights, asked",
        truncated("models/round-0*/model.safetensors", "ask", "Who?"),
        ("round-0", "files changed"),
    ),
    Fault(
        "broken weights, evaluated",
        truncated("models/round-0*/model.safetensors", "evaluate", "--split", "test"),
        ("round-0", "files changed", "labeler train"),
    ),
    Fault(
        "broken weights before a round",
        truncated("models/round-0*/model.safetensors", "round"),
        ("round-0", "files changed", "labeler train"),
    ),
    Fault("no models folder", removed("models", "ask", "Who?"), ("round-0", "labeler train")),
    Fault("a simulated reviewer who knows nothing", no_hidden_answers, ("--split", "--reviewer none")),
    Fault("no index folder", removed("index", "search", "Who?"), ("index", "labeler index")),
    Fault("an index cut short", truncated("index/*/*/ids.json", "search", "Who?"), ("ids.json", "labeler index")),
    Fault("an index without its description", truncated("index/*/meta.json", "round"), ("meta.json", "labeler index")),
    Fault("a stale index, searched", stale("search", "Who?"), ("passages were added", "labeler index")),
    Fault("a stale index, asked", stale("ask", "Who?"), ("passages were added", "labeler index")),
    Fault("a stale index before a round", stale("round"), ("passages were added", "labeler index")),
    Fault("no such question", spoiled("history", "nope"), ("nope", "labels list")),
    Fault("no such round", spoiled("rounds", "show", "9"), ("round 9", "rounds list")),
    Fault("the baseline undone", spoiled("rounds", "revert", "0", "--yes"), ("round 0", "labeler init")),
    Fault("an unknown round undone", spoiled("rounds", "revert", "7"), ("round 7", "rounds list")),
    Fault(
        "an export onto a folder",
        lambda ws, folder: ["export", "--format", "squad", "-o", folder],
        ("is a folder",),
    ),
    Fault(
        "an export into no folder",
        lambda ws, folder: ["export", "--format", "csv", "-o", folder / "no" / "x.csv"],
        ("folder", "does not exist"),
    ),
    Fault("a copy over a file", lambda ws, folder: ["db", "backup", ws / "labeler.toml"], ("exists", "another file")),
)


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.name)
def test_a_fault_is_one_line_with_place_and_remedy_and_changes_nothing(
    case: Fault, workspace: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    arguments = case.spoil(workspace, folder)
    before = contents(workspace)
    said = fault(run(*arguments, "-w", workspace, "--json"))
    assert not [words for words in case.says if words not in said], said
    assert contents(workspace) == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("no such command", ["rund"]),
        ("no such option", ["round", "--foo"]),
        ("no such reviewer", ["round", "--reviewer", "nobody"]),
        ("no rounds", ["round", "--rounds", "0"]),
        ("no threads", ["ask", "Who?", "--threads", "0"]),
        ("a seed below 0", ["import", "x.json", "--split", "gold=1", "--seed", "-1"]),
        ("a part of 0", ["import", "x.json", "--split", "gold=0,pool=rest"]),
        ("a part below 0", ["import", "x.json", "--split", "gold=-1,pool=rest"]),
        ("two rests", ["import", "x.json", "--split", "gold=rest,pool=rest"]),
        ("a part that is no role", ["import", "x.json", "--split", "corpus=3"]),
        ("a file that is nothing", ["import", "x.json"]),
        ("a label without an answer", ["label", "set", "q1"]),
        ("half a span", ["label", "set", "q1", "--start", "3"]),
        ("an unknown kind", ["export", "--format", "squad", "-o", "x", "--kinds", "silver"]),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line_of_error_below_the_usage(name: str, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    usage, *_, error = ran.err.splitlines()
    assert usage.startswith("Usage: labeler")
    assert error.startswith("Error: ")


def test_an_unknown_variable_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELER_EPOCHS", "3")
    assert "LABELER_EPOCHS" in fault(run("status", "-w", workspace, "--json"))


# What is no error: rows and questions that cannot be used are counted and listed, the rest is taken.


def test_rows_that_cannot_be_used_are_listed_and_the_others_taken(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "ws")
    rows = [
        {"id": "q1", "question": "Who raised it?", "context": TOWER, "answers": asked()["answers"]},
        {"id": "q1", "question": "When was it raised?", "context": TOWER, "answers": asked()["answers"]},
        {"id": "q2", "question": "Who raised it?", "context": "", "answers": asked()["answers"]},
        {"id": "q3", "question": "Where is it?", "context": TOWER, "answers": asked(900, "Nowhere")["answers"]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    found = ok("import", file, "--as", "gold", "-w", ws)
    assert (found["questions"], found["labels"]) == (1, 1)
    places = [row["where"] for row in found["rejected"]]
    assert len(places) == 3
    assert all(str(file) in place for place in places)
    assert all(row["why"] for row in found["rejected"])


def test_an_import_refused_at_its_second_file_keeps_the_first_and_nothing_of_the_second(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "ws")
    broken = tmp_path / "b.jsonl"
    broken.write_text(json.dumps({"text": "A passage."}) + "\n{")
    assert "line 2" in fault(run("import", gold_file(tmp_path), broken, "--as", "corpus", "-w", ws, "--json"))
    assert ok("status", "-w", ws)["passages"] == 3  # those of gold.json


def test_a_question_longer_than_the_window_is_cut_counted_and_answered(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (hit,) = ok("search", "bridge river harbour tower", "-k", "1", "-w", workspace)["hits"]
    answers = ok("ask", f"{hit['text']} " * 20, "-w", workspace)["answers"]
    assert answers
    assert any("1 question" in record.getMessage() for record in caplog.records)


def test_without_kiwi_korean_is_indexed_by_bigrams_and_the_tool_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> None:
        raise MissingExtra("the kiwi analyzer needs kiwipiepy")

    monkeypatch.setattr(analyzers, "Kiwi", missing)
    ws = new_workspace(tmp_path / "ws")
    ok("import", gold_file(tmp_path), "--as", "gold", "-w", ws)
    assert ok("index", "-w", ws, "--set", "workspace.language=ko")["analyzer"] == "bigram"
    assert any("kiwipiepy is not installed" in record.getMessage() for record in caplog.records)
    assert "kiwipiepy" in fault(run("index", "--analyzer", "kiwi", "-w", ws, "--json"))


def test_a_training_that_can_never_end_says_how_to_give_its_round_up(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path / "ws")
    said = fault(run("train", "--set", "train.learning_rate=1e30", "-w", ws, "--json"))
    assert "loss is" in said
    assert "labeler rounds revert 0" in said
    assert ok("rounds", "revert", "0", "--yes", "-w", ws)["reverted"] == [0]
    assert ok("train", "-w", ws)["promoted"]


def test_a_workspace_may_be_moved_linked_and_called_anything(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "Who planned the bridge?"
    before = ok("ask", question, "-w", workspace)
    moved = workspace.rename(tmp_path / "내 작업 공간 (new) 'it'")
    link = tmp_path / "link"
    link.symlink_to(moved, target_is_directory=True)
    assert ok("ask", question, "-w", link) == before
    monkeypatch.chdir(moved / "models")
    assert ok("ask", question) == before


# Faults of the machine: they need a process of their own.


def test_the_second_of_two_processes_is_told_who_holds_the_workspace(workspace: Path) -> None:
    before = contents(workspace)
    with open_workspace(workspace, environ={}).lock("labeler round --rounds 3"):
        said = fault(process("index", "-w", workspace, "--json"))
        assert process("status", "-w", workspace, "--json").code == 0  # looking is always free
    assert f"process {os.getpid()} (labeler round --rounds 3)" in said
    assert "wait for it or stop it" in said
    assert contents(workspace) == before


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


@pytest.fixture
def readonly(workspace: Path) -> Iterator[Path]:
    """A workspace that may be read but not written."""
    everything = [workspace, *workspace.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield workspace
    for path in everything:
        path.chmod(0o755)


@pytest.mark.parametrize("command", ["index", "train", "round", "evaluate"])
def test_a_folder_that_cannot_be_written_is_named(command: str, readonly: Path, bound: tuple[str, ...]) -> None:
    before = contents(readonly)
    said = fault(process(command, "-w", readonly, "--json", before=bound))
    assert str(readonly) in said
    assert "permission" in said or "rights" in said
    assert contents(readonly) == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a full disk: this user may not mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, *, leaving: int) -> Path:
    """A file that takes all of the disk but `leaving` bytes."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as file:
        file.write(b"\0" * max(0, free - leaving))
    return ballast


def big_corpus(folder: Path) -> Path:
    """A file whose passages and index are about 2 MB each."""
    file = folder / "big.jsonl"
    rows = (
        {"text": f"Passage {n} tells of {' '.join(f'word{n * k % 99991}' for k in range(40))}."} for n in range(4000)
    )
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


@pytest.mark.parametrize("leaving", [0, 64 * KB, 512 * KB])
def test_a_disk_that_fills_up_during_an_import_leaves_the_database_as_it_was(
    leaving: int, disk: Path, tmp_path: Path
) -> None:
    ws = new_workspace(disk / "ws")
    file = big_corpus(tmp_path)
    before = contents(ws)
    ballast = fill(disk, leaving=leaving)
    said = fault(process("import", file, "--as", "corpus", "-w", ws, "--json"))
    assert "disk is full" in said
    assert str(ws) in said
    assert contents(ws) == before
    ballast.unlink()
    assert ok("import", file, "--as", "corpus", "-w", ws)["passages"] == 4000


@pytest.mark.parametrize("leaving", [64 * KB, 300 * KB])
def test_a_disk_that_fills_up_during_indexing_leaves_no_half_index(leaving: int, disk: Path, tmp_path: Path) -> None:
    ws = new_workspace(disk / "ws")
    ok("import", big_corpus(tmp_path), "--as", "corpus", "-w", ws)
    before = contents(ws)
    ballast = fill(disk, leaving=leaving)
    said = fault(process("index", "-w", ws, "--json"))
    assert "disk is full" in said
    assert str(ws) in said
    assert contents(ws) == before
    ballast.unlink()
    assert ok("index", "-w", ws)["passages"] == 4000


@pytest.mark.parametrize(
    ("during", "leaving"), [("predicting", 48 * KB), ("a checkpoint", 500 * KB), ("saving the reader", 900 * KB)]
)
def test_a_disk_that_fills_up_during_a_round_stops_it_and_it_goes_on_with_space(
    during: str, leaving: int, disk: Path, baseline: Path, undisturbed: dict[str, Any]
) -> None:
    ws = shutil.copytree(baseline, disk / "ws")
    ballast = fill(disk, leaving=leaving)
    said = fault(process("round", "--reviewer", "simulated", "-w", ws, "--json"))
    assert "disk is full" in said
    assert str(ws) in said
    ballast.unlink()
    assert after_round(ws) == undisturbed


@pytest.mark.parametrize(
    ("during", "times"), [("predictions stored", 2), ("review recorded", 5), ("checkpoint written", 2)]
)
def test_ctrl_c_is_one_line_and_the_round_goes_on_as_if_nothing_had_been(
    during: str, times: int, workspace: Path, undisturbed: dict[str, Any]
) -> None:
    arguments = (during, str(times), "round", "--reviewer", "simulated", "--json", "-w", workspace)
    said = fault(process(*arguments, module="tests.killing", KILLED_BY="SIGINT"), code=130)
    assert said == "interrupted; nothing is lost: run the same command to resume"
    assert after_round(workspace) == undisturbed


def test_a_reader_of_the_output_that_goes_away_is_no_error(workspace: Path) -> None:
    command = f"{sys.executable} -m labeler labels list --json -w '{workspace}' | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")
