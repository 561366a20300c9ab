"""An import into a large workspace reads what its file touches, and does what it would do having read everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db import queries, store
from db.engine import Database
from db.rows import SpanRow
from labeler.core.workspace import create_workspace
from labeler.importing import near
from labeler.importing.formats import read_content
from labeler.importing.ingest import ImportReport, import_files, undo_import
from labeler.importing.splits import parse_split
from labeler.importing.stored import stored_rows
from mrc.text import passage_id

FIRST = [("q1", "Who built the mill?", "Mara built the mill.", "Mara"),
         ("q2", "Who rang the bell?", "Naru rang the bell.", "Naru"),
         ("q3", "Who wrote it?", "Ada wrote it.", "Ada"),
         ("q4", "Who sang?", "Ben sang.", "Ben")]  # fmt: skip
SECOND = [("q1", "Who built the mill?", "Mara built the mill.", "Mara"),  # repeated
          ("q5", "Who made the mill?", "Mara  built the mill!", "Mara"),  # a paragraph of the same identity
          ("q6", "who rang the BELL", "Lee rang the bell too.", "Lee"),  # a question of the same identity
          ("q7", "Who built the mill", "Naru rang the bell.", "Naru"),  # joins two split groups
          ("q3", "Who wrote it?", "Eve wrote it.", "Eve"),  # an id with other content
          ("q8", "Who painted?", "Cy painted.", "Cy"),
          ("q9", "Who answered?", "Dov answered.", "Dov")]  # fmt: skip


def jsonl(path: Path, rows: list[tuple[str, str, str, str]], title: str = "") -> str:
    with path.open("w", encoding="utf-8") as file:
        for key, question, context, answer in rows:
            answers = [{"text": answer, "answer_start": context.index(answer)}]
            row = {"id": key, "question": question, "context": context, "answers": answers, "title": title or key}
            file.write(json.dumps(row) + "\n")
    return str(path)


def outcome(folder: Path, second: Callable[[Database], ImportReport], first: dict[str, Any]) -> tuple[Any, ...]:
    """The report of the second import and all questions after it."""
    database = Database(create_workspace(folder / "ws", environ={}).folder / "labeler.db")
    import_files(database, [jsonl(folder / "a.jsonl", FIRST)], **first)
    report = second(database)
    with database.read() as session:
        state = queries.questions(session, active=False), queries.live_labels(session), queries.counts(session)
    database.close()
    return (replace(report, notes=(), stored_compared=True), *state)


def again(rows: list[tuple[str, str, str, str]], **options: Any) -> Callable[[Database], ImportReport]:
    def run(database: Database) -> ImportReport:
        assert database.path is not None
        return import_files(database, [jsonl(database.path.parent / "b.jsonl", rows)], **options)

    return run


def after_undo(database: Database) -> ImportReport:
    undo_import(database, 1)
    return again(SECOND, role="dev")(database)


def after_a_review(database: Database) -> ImportReport:
    text = "Dov answered."
    assert database.path is not None
    (database.path.parent / "c.jsonl").write_text(json.dumps({"text": text}) + "\n")
    import_files(database, [str(database.path.parent / "c.jsonl")], role="corpus")
    with database.write() as session:
        store.set_label(session, "q4", [SpanRow("Dov", passage_id(text), 0, 3)], reviewer="ann")
    return again(SECOND, role="test")(database)


CASES: dict[str, tuple[Callable[[Database], ImportReport], dict[str, Any]]] = {
    "the same role": (again(SECOND, role="gold"), {"role": "gold"}),
    "another side": (again(SECOND, role="dev"), {"role": "gold"}),
    "pool to gold": (again(SECOND, role="gold"), {"role": "pool"}),
    "a plan": (again(SECOND, split=parse_split("dev=2,pool=rest"), seed=3), {"role": "gold"}),
    "documents": (again(SECOND, role="dev"), {"role": "gold", "split_by": "document"}),
    "after undo": (after_undo, {"role": "gold"}),
    "after a review": (after_a_review, {"role": "pool"}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_import_into_a_large_workspace_does_what_it_does_in_a_small_one(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, first = CASES[case]
    found = []
    for limit in (1_000, 0):  # read as a whole, and as far as the file reaches
        monkeypatch.setattr(near, "LIMIT", limit)
        (folder := tmp_path / str(limit)).mkdir()
        found.append(outcome(folder, second, first))
    rejected = [[row.why for row in each[0].rejected] for each in found]
    assert rejected[0] == rejected[1]
    assert replace(found[0][0], rejected=(), near_duplicates=()) == replace(
        found[1][0], rejected=(), near_duplicates=()
    )
    assert [[_timeless(row) for row in rows] for rows in found[0][1:3]] == [
        [_timeless(row) for row in rows] for rows in found[1][1:3]
    ]
    assert found[0][3] == found[1][3]


def _timeless(row: Any) -> Any:
    return replace(row, created_at=None) if hasattr(row, "created_at") else row


def test_only_what_a_file_touches_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "LIMIT", 0)
    database = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    import_files(database, [jsonl(tmp_path / "a.jsonl", FIRST)], role="gold")
    content = read_content(jsonl(tmp_path / "b.jsonl", SECOND[2:3]))
    with database.read() as session:
        stored = stored_rows(session, content, "paragraph")
    assert [row.id for row in stored.questions] == ["q2"]
    assert stored.active_by_role == {"gold": 4}
    database.close()
