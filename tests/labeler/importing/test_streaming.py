"""Imports of files that do not fit into memory: stored part by part, in one transaction, with the same result."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import hidden_answers, queries
from db.engine import Database
from labeler.core.errors import ImportRefused
from labeler.core.files import spool
from labeler.core.files.spool import Spool
from labeler.core.workspace import create_workspace
from labeler.importing import import_rows, ingest, open_answers, stored
from labeler.importing.formats import filed, read_content
from labeler.importing.ingest import import_files
from labeler.importing.splits import parse_split
from mrc.types import Passage

RECORDS = [
    {"id": "b", "question": "Who built it?", "context": "Ada built the mill.", "title": "Mill", "answers": ["Ada"]},
    {"id": "a", "question": "who built it", "context": "ada built the mill", "title": "MILL", "answers": ["ada"]},
    {"text": "A passage alone.", "title": "Mill"},
    {
        "id": "c",
        "question": "When?",
        "context": "It burned in 1901.",
        "answers": [{"text": "1901", "answer_start": 13}],
    },
    {
        "id": "c",
        "question": "When?",
        "context": "It burned in 1901.",
        "answers": [{"text": "1901", "answer_start": 13}],
    },
    {"id": "c", "question": "Why?", "context": "It burned in 1901.", "answers": ["1901"]},
    {"id": "d", "question": "Where?", "context": "It burned in 1901.", "is_impossible": True, "answers": []},
    {"id": "e", "question": "Who built it?", "context": "Ada built the mill.", "answers": ["Ada"], "split": "dev"},
    {"id": "f", "question": "Who stood there?", "context": "Bo stood there. Bo left.", "answers": ["Cy"]},
    {"id": "g", "question": "Who left?", "context": "Bo stood there; Bo left.", "answers": ["Bo", "left", "left"]},
    {"text": "Another passage."},
]


def written(path: Path, records: list[dict[str, Any]] = RECORDS) -> str:
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def everything(folder: Path, **how: Any) -> Any:
    """The report of an import, and all rows that it stored."""
    database = Database(create_workspace(folder / "ws", environ={}).folder / "labeler.db")
    report = import_files(database, [written(folder / "a.jsonl")], **how)
    with database.read() as session:
        rows = queries.questions(session, active=False)
        labels = [(row.question_id, row.answers, row.all_answers, row.texts) for row in queries.live_labels(session)]
        hidden = hidden_answers.answers(session, [row.id for row in rows if row.role == "pool"])
        passages = list(queries.iter_passages(session))
        found = (rows, sorted(labels, key=str), hidden, passages, queries.corpus_state(session))
    database.close()
    rejected = [row.why for row in report.rejected]
    return (report.passages, report.questions, report.labels, report.hidden, report.duplicates, rejected), found


HOW: dict[str, dict[str, Any]] = {
    "gold": {"role": "gold"},
    "pool": {"role": "pool"},
    "split": {"split": parse_split("gold=2,dev=2,pool=rest")},
    "the file's split": {"split": parse_split("file")},
    "near": {"split": parse_split("gold=2,pool=rest"), "dedupe": "near"},
    "document": {"split": parse_split("gold=2,pool=rest"), "split_by": "document"},
}


@pytest.mark.parametrize("how", HOW)
def test_parts_of_any_size_store_the_same_rows(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for size in (1, 2, 1000):
        monkeypatch.setattr(import_rows, "PART", size)
        monkeypatch.setattr(spool, "IN_MEMORY", size)
        (folder := tmp_path / str(size)).mkdir()
        found.append(everything(folder, **HOW[how]))
    assert found[0] == found[1] == found[2]
    assert found[0][0][0] == 7


def test_what_fails_in_a_late_part_leaves_nothing_of_the_early_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    monkeypatch.setattr(import_rows, "PART", 1)
    kept = import_rows.gold_label

    def fails(question: Any) -> Any:
        if question.id == "g":
            raise ImportRefused("at the end")
        return kept(question)

    monkeypatch.setattr(import_rows, "gold_label", fails)
    with pytest.raises(ImportRefused, match="at the end"):
        import_files(database, [written(tmp_path / "a.jsonl")], role="gold")
    with database.read() as session:
        assert (queries.imports(session), queries.questions(session), queries.corpus_ids(session)) == ([], [], [])
    database.close()


def records(count: int, size: int) -> list[dict[str, Any]]:
    return [
        {"id": f"q{number}", "question": f"When did {number} end?", "context": f"In {number:06} {'x' * size}.",
         "answers": [{"text": f"{number:06}", "answer_start": 3}], "title": f"T{number}"}
        for number in range(count)
    ]  # fmt: skip


def squad(path: Path, found: list[dict[str, Any]]) -> str:
    data = [
        {"title": each.pop("title"), "paragraphs": [{"context": each.pop("context"), "qas": [each]}]} for each in found
    ]
    path.write_text(json.dumps({"data": data}))
    return str(path)


@pytest.mark.parametrize("write", [written, squad])
def test_memory_does_not_grow_with_the_texts_of_a_file(
    write: Callable[[Path, list[dict[str, Any]]], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each question and passage its id, hashes and places are held, about 1 KiB in all; the texts are 8 KiB."""
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    monkeypatch.setattr(import_rows, "PART", 50)
    database = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    peaks = []
    for count in (10, 300, 1300):
        file = write(tmp_path / f"{count}.json{'l' if write is written else ''}", records(count, 8000))
        tracemalloc.start()
        import_files(database, [file], role="gold")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    database.close()
    assert (peaks[2] - peaks[1]) / 1000 < 2500


def test_answers_without_a_place_are_looked_for_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_answers, "AT_ONCE", 2)
    asked: list[int] = []

    def retrieve(questions: Any) -> list[list[Passage]]:
        asked.append(len(questions))
        return [[Passage(f"p{question[-2]}", f"It is {question[-2]} here.")] for question in questions]

    some = [{"id": f"q{number}", "question": f"What is {number}?", "answers": [str(number)]} for number in range(5)]
    content = open_answers.place_answers("f", read_content(written(tmp_path / "a.jsonl", some)), retrieve)
    assert asked == [2, 2, 1]
    assert [(each.id, each.context and each.context.text, each.answers[0].start) for each in content.questions] == [
        (f"q{number}", f"It is {number} here.", 6) for number in range(5)
    ]
    assert [passage.id for passage in content.passages] == [f"p{number}" for number in range(5)]


def test_a_large_workspace_is_asked_for_the_keys_of_some_questions_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rejections and duplicates as when all are asked for at once."""
    found = []
    for size in (1, 1000):
        monkeypatch.setattr(stored, "AT_ONCE", size)
        monkeypatch.setattr("labeler.importing.near.LIMIT", 0)
        (folder := tmp_path / str(size)).mkdir()
        database = Database(create_workspace(folder / "ws", environ={}).folder / "labeler.db")
        import_files(database, [written(folder / "a.jsonl", RECORDS[:4])], role="gold")
        report = import_files(database, [written(folder / "b.jsonl", [*RECORDS[3:], *RECORDS[:2]])], role="gold")
        found.append((report.duplicates, [row.why for row in report.rejected], report.questions))
        database.close()
    assert found[0] == found[1]


def test_progress_names_the_file_and_then_the_storing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int]] = []
    real = ingest.bar

    def noted(label: str, *, total: int, **more: Any) -> Any:
        shown.append((label, total))
        return real(label, total=total, **more)

    monkeypatch.setattr(ingest, "bar", noted)
    monkeypatch.setattr("labeler.importing.formats.gathering.bar", noted)
    database = Database(create_workspace(tmp_path / "ws", environ={}).folder / "labeler.db")
    import_files(database, [written(tmp_path / "a.jsonl")], role="gold")
    database.close()
    assert shown == [("reading a.jsonl", 0), ("storing", 7 + 6)]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.integers(0, 99), st.none() | st.booleans())))
def test_records_come_back_by_number_in_any_order(found: list[tuple[Any, ...]]) -> None:
    records = Spool()
    for number, record in enumerate(found):
        assert records.append(record) == number
        assert records[number // 2] == found[number // 2]
    assert [records[number] for number in reversed(range(len(records)))] == found[::-1]


def test_values_that_occur_more_than_once_are_found() -> None:
    import numpy as np

    values = np.array([7, 1, 7, 3, 1, 9], dtype=np.uint64)
    assert filed._repeated(values).tolist() == [True, True, True, False, True, False]
    assert filed._repeated(values[:0]).tolist() == []
