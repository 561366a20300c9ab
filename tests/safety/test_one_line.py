"""One line where one line is promised: numbers without end, names that are not UTF-8, dates at the ends of time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import TOWER, Ran, new_workspace, ok, run

DIGITS = "1" * 5000
LARGE = str(2**70)
NAME = os.fsdecode(b"na\xffme")  # of a file, as Python reads one that is not UTF-8


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_workspace(tmp_path_factory.mktemp("one line") / "ws")


def refused(ran: Ran) -> str:
    """The one line of a refused command: an error, or an error of usage."""
    assert ran.code in (1, 2), f"ended with {ran.code}: {ran.out}{ran.err}"
    assert "Traceback" not in ran.err
    (line,) = [each for each in ran.err.splitlines() if each.startswith(("labeler: ", "Error: "))]
    return line


def gold(**fields: object) -> str:
    qa = {"id": "q1", "question": "Who raised it?", "answers": [{"text": "Ilvane", "answer_start": 28}]} | fields
    return json.dumps({"data": [{"title": "Korr", "paragraphs": [{"context": TOWER, "qas": [qa]}]}]})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("offset.json", gold().replace("28", DIGITS)),
        ("id.json", gold(id=0).replace('"id": 0', f'"id": {DIGITS}')),
        ("a.jsonl", f'{{"question": "q", "context": {DIGITS}}}'),
        ("a.csv", f"question,context,answer,answer_start\nWho?,A tower,tower,{DIGITS}\n"),
        ("b.csv", "question,context,answer,answer_start\nWho?,A tower,tower,--5\n"),
        ("c.csv", "question,context,answer,answer_start\nWho?,A tower,tower,²\n"),
        ("d.csv", f'question,context,answers\nWho?,A tower,"[{{""text"": ""tower"", ""answer_start"": {DIGITS}}}]"\n'),
        ("deep.json", "[" * 100_000),
    ],
)
def test_a_file_with_a_number_of_5000_digits_is_refused_in_one_line(
    name: str, content: str, empty: Path, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    line = refused(run("import", file, "--as", "gold", "-w", empty))
    assert name in line
    assert "sys.set_int_max_str_digits" not in line


def test_a_number_of_5000_digits_in_a_field_that_is_not_read_is_no_fault(empty: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(gold(note=0).replace('"note": 0', f'"note": {DIGITS}'), encoding="utf-8")
    assert ok("import", file, "--as", "gold", "-w", empty)["rejected"] == []


@pytest.mark.parametrize("number", [DIGITS, LARGE, "--5", "-5", "²", "1e999", "nan"])
@pytest.mark.parametrize(
    "command",
    [
        ("rounds", "show"),
        ("rounds", "revert", "--yes"),
        ("rounds", "diff", "0"),
        ("import", "--undo"),
        ("import", "x.json", "--as", "gold", "--seed"),
        ("labels", "list", "--round"),
        ("labels", "set", "q", "--passage", "x", "--end", "9", "--start"),
        ("search", "Who?", "-k"),
        ("ask", "Who?", "-k"),
        ("train", "--seed"),
        ("round", "--rounds"),
        ("import", "x.json", "--split"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_none_is_refused_in_one_line(command: tuple[str, ...], number: str, empty: Path) -> None:
    refused(run(*command, f"gold={number}" if command[-1] == "--split" else number, "-w", empty))


@pytest.mark.parametrize(
    "command", [("labels", "list", "--limit"), ("questions", "list", "--limit"), ("prune", "--keep")]
)
def test_a_count_that_no_database_holds_is_refused_in_one_line(command: tuple[str, ...], empty: Path) -> None:
    assert "number" in refused(run(*command, LARGE, "-w", empty))


@pytest.mark.parametrize("key", ["round.seed", "train.epochs", "index.k1", "compute.threads"])
@pytest.mark.parametrize("value", [DIGITS, str(10**400), LARGE, "--5", "0001-01-01", "9999-12-31T23:59:59Z"])
def test_a_setting_that_is_no_number_is_refused_in_one_line(
    key: str, value: str, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(refused(run("status", "--set", f"{key}={value}", "-w", empty))) < 6000
    section, name = key.split(".")
    ws = shutil.copytree(empty, tmp_path / "ws")
    (ws / "labeler.toml").write_text(f"[{section}]\n{name} = {value}\n")
    assert "labeler.toml" in refused(run("status", "-w", ws))
    monkeypatch.setenv(f"LABELER_{section}__{name}".upper(), value)
    refused(run("status", "-w", empty))


def test_settings_without_end_are_refused_in_one_line(empty: Path, tmp_path: Path) -> None:
    ws = shutil.copytree(empty, tmp_path / "ws")
    (ws / "labeler.toml").write_text("[train]\nepochs = " + "[" * 5000)
    assert "labeler.toml" in refused(run("status", "-w", ws))


@pytest.mark.parametrize(
    "command",
    [
        ("history", NAME),
        ("labels", "list", "--search", NAME),
        ("labels", "list", "--question", NAME),
        ("labels", "set", NAME, "--text", "x"),
        ("labels", "set", "q1", "--text", "x", "--reviewer-name", NAME),
        ("labels", "withdraw", NAME, "--reason", "x"),
        ("questions", "search", NAME),
        ("passages", "show", NAME),
        ("rounds", "show", NAME),
        ("import", f"{NAME}.json", "--as", "gold"),
        ("db", "restore", f"{NAME}.db"),
        ("train", "--model", f"/{NAME}"),
        ("index", "--analyzer", NAME),
        ("status", "--set", f"{NAME}=1"),
        ("status", "--set", f"workspace.database=sqlite:///{NAME}"),
    ],
    ids=lambda command: ascii(" ".join(command)),
)
def test_a_name_or_id_that_is_not_utf8_is_refused_in_one_line(command: tuple[str, ...], empty: Path) -> None:
    refused(run(*command, "-w", empty))


def test_files_and_workspaces_whose_names_are_not_utf8_are_used_like_others(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / NAME)
    file = tmp_path / f"{NAME}.json"
    file.write_text(gold(), encoding="utf-8")
    assert ok("import", file, "--as", "gold", "-w", ws)["labels"] == 1
    (stored,) = ok("import", "--list", "-w", ws)["imports"]
    assert stored["path"].endswith(r"na\xffme.json")
    (tmp_path / f"{NAME}.txt").write_text("The tower stands.")
    assert ok("import", tmp_path / f"{NAME}.txt", "--as", "corpus", "-w", ws)["passages"] == 1
    assert "na\ufffdme" in run("status", "-w", ws).out
    for number, command in enumerate((("export", "--format", "csv"), ("report",))):
        output = tmp_path / f"{NAME}.{number}"
        assert run(*command, "-o", output, "-w", ws).code == 0
        assert output.is_file()
    assert run("db", "backup", tmp_path / f"{NAME}.db", "-w", ws).code == 0
    assert run("db", "restore", tmp_path / f"{NAME}.db", "-w", ws).code == 0


# Databases whose cells hold what this tool did not write.

DATES = "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE p.type = 'DATETIME'"


def set_dates(ws: Path, value: object) -> None:
    with closing(sqlite3.connect(ws / "labeler.db")) as connection, connection:
        for table, column in connection.execute(DATES).fetchall():
            connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" IS NOT NULL', [value])


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    ws = new_workspace(tmp_path / "ws")
    file = tmp_path / "gold.json"
    file.write_text(gold(), encoding="utf-8")
    ok("import", file, "--as", "gold", "-w", ws)
    return ws


READING = (("import", "--list"), ("labels", "list"), ("history", "q1"), ("status",), ("questions", "list"))


@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"])
def test_dates_in_the_years_1_and_9999_are_shown(moment: str, labelled: Path, tmp_path: Path) -> None:
    set_dates(labelled, moment)
    for command in READING:
        assert run(*command, "-w", labelled).code == 0, command
        ok(*command, "-w", labelled)
    assert run("report", "-o", tmp_path / "r.html", "-w", labelled).code == 0
    assert run("export", "--format", "jsonl", "-o", tmp_path / "r.jsonl", "-w", labelled).code == 0


@pytest.mark.parametrize("value", ["yesterday", 5, b"\xff", "9999-99-99"])
def test_a_cell_that_is_no_date_is_one_line(value: object, labelled: Path) -> None:
    set_dates(labelled, value)
    assert "db restore" in refused(run("import", "--list", "-w", labelled))


@pytest.mark.parametrize("value", ["{", "", "[" * 100_000, DIGITS])
def test_a_cell_that_is_no_json_is_one_line(value: str, labelled: Path) -> None:
    with closing(sqlite3.connect(labelled / "labeler.db")) as connection, connection:
        connection.execute("UPDATE imports SET counts = ?", [value])
    assert "db restore" in refused(run("import", "--list", "-w", labelled))


def test_a_stored_text_that_is_not_utf8_is_one_line(labelled: Path) -> None:
    with closing(sqlite3.connect(labelled / "labeler.db")) as connection, connection:
        connection.execute("UPDATE passages SET text = CAST(x'ff41' AS TEXT)")
    assert "not UTF-8" in refused(run("index", "-w", labelled))
