"""CSV for spreadsheets: with --safe-csv no cell is a formula; without it, and on import, cells are as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from labeler.labels.writers import FORMULA_STARTS
from tests.commands import new_workspace, ok, run, squad

QUESTIONS = {
    "=1+1": "=HYPERLINK('http://x')",
    "+1": "+1 is what?",
    "-1": "-1 is what?",
    "@1": "@SUM(1)",
    "'=1": "'=1?",
    "plain": "Who = who?",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ws = new_workspace(tmp_path / "ws")
    asked = [(key, text, "@SUM(A1)") for key, text in QUESTIONS.items()]
    file = squad(tmp_path / "gold.json", {"=A1 and @SUM(A1) are cells.": asked}, title="\t=A2")
    ok("import", file, "--as", "gold", "-w", ws)
    return ws


def exported(ws: Path, output: Path, *more: str) -> list[dict[str, str]]:
    assert run("export", "--format", "csv", "-o", output, "-w", ws, *more).code == 0
    with output.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_with_safe_csv_no_cell_is_a_formula_and_nothing_else_changes(workspace: Path, tmp_path: Path) -> None:
    plain, safe = exported(workspace, tmp_path / "a.csv"), exported(workspace, tmp_path / "b.csv", "--safe-csv")
    assert {row["question"] for row in plain} == set(QUESTIONS.values())
    assert not [cell for row in safe for cell in row.values() if cell.startswith(FORMULA_STARTS)]
    for row, other in zip(plain, safe, strict=True):
        for name, cell in row.items():
            assert other[name] == (f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell)


def test_importing_a_safe_file_keeps_the_apostrophes(workspace: Path, tmp_path: Path) -> None:
    exported(workspace, tmp_path / "b.csv", "--safe-csv")
    other = new_workspace(tmp_path / "other")
    ok("import", tmp_path / "b.csv", "--as", "pool", "-w", other)
    found = {each["question"] for each in ok("questions", "list", "-w", other)["questions"]}
    assert found == {f"'{text}" if text[0] in "=+-@" else text for text in QUESTIONS.values()}


@pytest.mark.parametrize("format_", ["squad", "jsonl", "hf", "label-studio"])
def test_safe_csv_is_for_csv_alone(format_: str, workspace: Path, tmp_path: Path) -> None:
    ran = run("export", "--format", format_, "--safe-csv", "-o", tmp_path / "x", "-w", workspace)
    assert ran.code == 2
    assert "--format csv" in ran.err
