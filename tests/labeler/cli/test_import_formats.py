"""`labeler import` of files of other tools: its options, what is stored, and that a refused file stores nothing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.commands import HARBOUR, TOWER, new_workspace, ok, run

RAISED = {"question": "Who raised the tower of Korr?", "answer": ["ilvane", "Ilvane of Korr"]}


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    return new_workspace(tmp_path / "ws")


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def rows(ws: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(ws / "labeler.db")) as database:
        return database.execute(query).fetchall()


def test_a_prefix_and_the_choice_for_empty_answers(ws: Path, tmp_path: Path) -> None:
    known = {"id": 1, "question": "Who raised the tower of Korr?", "context": TOWER, "answer": "Ilvane"}
    empty = {"id": 2, "question": "Who burnt it?", "context": TOWER, "answers": []}
    file = lines(tmp_path / "a.jsonl", known, empty)
    first = ok("import", file, "--as", "gold", "--id-prefix", "a-", "--empty", "reject", "-w", ws)
    assert (first["questions"], len(first["rejected"])) == (1, 1)
    other = lines(
        tmp_path / "b.jsonl", {**known, "question": "누가 세웠나?", "context": HARBOUR, "answer": "아르넨"}, empty
    )
    second = ok("import", other, "--as", "gold", "--id-prefix", "b-", "-w", ws)
    assert second["rejected"] == []
    assert sorted(rows(ws, "SELECT id FROM questions")) == [("a-1",), ("b-1",), ("b-2",)]
    assert rows(ws, "SELECT question_id FROM labels WHERE no_answer") == [("b-2",)]
    again = lines(tmp_path / "c.jsonl", {**known, "question": "Which one?"})
    assert "--id-prefix" in run("import", again, "--as", "gold", "--id-prefix", "b-", "-w", ws).fault


def test_an_empty_answer_of_a_pool_question_is_no_label_unless_it_is_said_to_be(ws: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {"id": "q", "question": "Who burnt it?", "context": TOWER, "answers": []})
    assert ok("import", file, "--as", "pool", "-w", ws)["hidden"] == 0
    other = lines(tmp_path / "b.jsonl", {"id": "r", "question": "Who sold it?", "context": TOWER, "answers": []})
    assert ok("import", other, "--as", "pool", "--empty", "none", "-w", ws)["hidden"] == 1


def test_annotations_of_another_label_studio_project(ws: Path, tmp_path: Path) -> None:
    value = {"start": TOWER.index("Ilvane"), "end": TOWER.index("Ilvane") + 6, "text": "Ilvane", "labels": ["Found"]}
    result = [{"from_name": "l", "to_name": "t", "type": "labels", "value": value}]
    task = {"id": 5, "data": {"frage": "Who raised it?", "absatz": TOWER}, "annotations": [{"result": result}]}
    (tmp_path / "p.json").write_text(json.dumps([task]))
    said = run("import", tmp_path / "p.json", "--as", "gold", "-w", ws).fault
    assert "--label-studio-map question=FIELD" in said
    assert rows(ws, "SELECT count(*) FROM imports") == [(0,)]
    made = ok("import", tmp_path / "p.json", "--as", "gold", "--label-studio-map", "question=frage", "-w", ws)
    assert made["labels"] == 1
    assert rows(ws, "SELECT text FROM label_answers") == [("Ilvane",)]
    wrong = run("import", tmp_path / "p.json", "--as", "gold", "--label-studio-map", "frage", "-w", ws)
    assert wrong.code == 2
    assert "is not NAME=FIELD" in wrong.err


@pytest.mark.parametrize("option", [("--id-prefix", "x"), ("--empty", "none"), ("--label-studio-map", "id=x")])
def test_options_of_reading_do_not_apply_to_reviews(ws: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    file = lines(tmp_path / "a.json")
    assert run("import", file, "--as", "reviews", *option, "-w", ws).code == 2


def test_answers_as_text_alone_are_placed_in_passages_of_the_index(ws: Path, tmp_path: Path) -> None:
    nowhere = {"question": "Who sank the harbour of Velmora?", "answer": ["nobody"]}
    file = lines(tmp_path / "open.jsonl", RAISED, nowhere)
    assert "an answer needs its context" in run("import", file, "--as", "gold", "-w", ws).fault
    bare = ok("import", lines(tmp_path / "first.jsonl", nowhere), "--as", "pool", "-w", ws)
    assert (bare["questions"], bare["hidden"]) == (1, 0)
    assert "1 questions have answers as text alone; with an index" in bare["notes"][0]
    ok("import", lines(tmp_path / "corpus.jsonl", {"text": TOWER}, {"text": HARBOUR}), "--as", "corpus", "-w", ws)
    ok("index", "-w", ws)
    placed = ok("import", file, "--as", "gold", "-w", ws)
    assert (placed["questions"], placed["labels"], len(placed["rejected"])) == (1, 1, 1)
    assert "of 2 questions with answers as text alone, 1 have an answer exactly once" in placed["notes"][0]
    start = TOWER.index("Ilvane")
    assert rows(ws, 'SELECT text, start, "end" FROM label_answers') == [("Ilvane", start, start + 6)]


def test_a_file_that_breaks_in_the_middle_stores_nothing(ws: Path, tmp_path: Path) -> None:
    good = json.dumps({"id": "q", "question": "Who raised it?", "context": TOWER, "answer": "Ilvane"})
    for name, content in (
        ("a.jsonl", f"{good}\n" * 50 + '{"id": '),
        ("b.json", f"[{good}, {good}, "),
        ("c.json", json.dumps({"data": [{"paragraphs": [{"context": TOWER, "qas": []}]}, 7]})),
        ("d.csv", 'id,question,context\n1,Who?,"It"\n2,When?,"It\n'),
    ):
        (tmp_path / name).write_text(content)
        said = run("import", tmp_path / name, "--as", "pool", "-w", ws).fault
        assert said.startswith(f"{tmp_path / name}: ")
        assert rows(ws, "SELECT (SELECT count(*) FROM imports), (SELECT count(*) FROM passages)") == [(0, 0)]
