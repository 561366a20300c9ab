"""Work grows with what is touched, counted in steps: characters copied, and instructions of SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsIndex

import pytest

from db import queries, store
from db.engine import Database, Session
from db.rows import DocumentRow, NewImport, NewLabel, PassageRow, QuestionRow, SpanRow
from db.schema import upgrade
from mrc.text import split_passages

STEP = 100  # instructions of SQLite between two counts


class CountedText(str):
    """A text that counts the characters of its slices."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        found = super().__getitem__(key)
        CountedText.copied += len(found)
        return found


@pytest.mark.parametrize("line", ["a line of text", "x" * 300, "no space" * 40, "가나다. " * 5])
def test_splitting_text_with_single_newlines_copies_each_character_a_few_times(line: str) -> None:
    """16 million characters took 27.6 CPU seconds: each piece copied the rest of the text."""
    counts = []
    for size in (2000, 4000, 8000):
        CountedText.copied = 0
        text = CountedText("\n".join([line] * size))
        pieces = split_passages(text)
        assert pieces[-1][1] == len(text.rstrip())
        counts.append(CountedText.copied / len(text))
    assert max(counts) < 10
    assert counts[2] <= counts[0] * 1.5 + 1


def filled(path: Path, count: int) -> Database:
    """A database of `count` gold questions, each with an answer in a passage of its own."""
    database = Database(path)
    upgrade(database)
    names = [f"q{number:06}" for number in range(count)]
    passages = tuple(PassageRow(f"p{name}", "d", place, "a mill") for place, name in enumerate(names))
    rows = tuple(QuestionRow(name, name, name, "gold", "gold", name, f"p{name}") for name in names)
    labels = tuple(NewLabel(name, (SpanRow("mill", f"p{name}", 2, 6),)) for name in names)
    new = NewImport("f", "s", "gold", "squad", {}, {}, (DocumentRow("d", "d"),), passages, rows, labels, ())
    with database.write() as session:
        store.add_import(session, new)
    return database


def steps(database: Database, read: Callable[[Session], Any]) -> int:
    """How many times SQLite counted `STEP` instructions while something was read."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with database.read() as session:
        raw = session.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(count, STEP)
        try:
            read(session)
        finally:
            raw.set_progress_handler(None, 0)
    return counted


READS: dict[str, Callable[[Session], Any]] = {
    "live labels of ten questions": lambda session: queries.live_labels(
        session, question_ids=[f"q{number:06}" for number in range(10)]
    ),
    "gold labels of ten questions": lambda session: queries.live_labels(
        session, kinds=["gold"], question_ids=[f"q{number:06}" for number in range(10)]
    ),
    "lengths of the answers of ten questions": lambda session: queries.answer_lengths(
        session, kinds=["gold", "human"], question_ids=[f"q{number:06}" for number in range(10)]
    ),
    "duplicates": queries.duplicate_questions,
    "ten questions": lambda session: queries.questions(session, ids=[f"q{number:06}" for number in range(10)]),
    "ten passages": lambda session: queries.passages(session, [f"pq{number:06}" for number in range(10)]),
    "identities of ten passages": lambda session: queries.passage_identities(
        session, [f"pq{number:06}" for number in range(10)]
    ),
    "sides of ten passages": lambda session: queries.passage_sides(session, [f"pq{number:06}" for number in range(10)]),
}


@pytest.mark.parametrize("name", READS)
def test_reading_ten_rows_takes_as_many_steps_in_a_large_database(name: str, tmp_path: Path) -> None:
    """live_labels, asked for 500 questions at a time, scanned all questions each time."""
    small, large = filled(tmp_path / "small.db", 500), filled(tmp_path / "large.db", 8000)
    few, many = (steps(database, READS[name]) for database in (small, large))
    assert many <= 2 * few + 5, f"{few} -> {many}"


def test_the_counter_counts(tmp_path: Path) -> None:
    small, large = filled(tmp_path / "small.db", 500), filled(tmp_path / "large.db", 4000)
    few, many = (steps(database, lambda session: queries.questions(session)) for database in (small, large))
    assert many > 4 * few
