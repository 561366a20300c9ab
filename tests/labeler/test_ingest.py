"""Import: every format, rejected rows and refused files with reasons, repeated imports, undone imports."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import hidden_answers, queries, store
from db.engine import Database
from db.errors import Conflict
from db.rows import SpanRow
from labeler.core.errors import FileError, ImportRefused
from labeler.core.workspace import create_workspace
from labeler.importing.conflicts import Stored, side
from labeler.importing.formats import read_content
from labeler.importing.import_plan import plan_import, stored_split_groups
from labeler.importing.ingest import ImportReport, import_files, undo_import
from labeler.importing.splits import SplitPlan, parse_split
from mrc.errors import DataError
from mrc.text import passage_id

MILL = "The mill of Arlen stands north of the village. Mara built it in 1830. Mara sold it."
TOWER = "등대는 바위섬에 있다. 등대지기 나루가 종을 일곱 번 울린다."


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once: the tests work on copies."""
    workspace = create_workspace(tmp_path_factory.mktemp("blank") / "ws", environ={})
    return workspace.folder / "labeler.db"


@pytest.fixture
def database(tmp_path: Path, blank: Path) -> Iterator[Database]:
    shutil.copy(blank, tmp_path / "labeler.db")
    opened = Database(tmp_path / "labeler.db")
    yield opened
    opened.close()


def qa(id: str, question: str, *answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "question": question,
        "answers": [{"text": text, "answer_start": start} for text, start in answers],
        **more,
    }


def squad(path: Path, *paragraphs: tuple[str, list[dict[str, Any]]], title: str = "Arlen") -> str:
    data = {"data": [{"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs]}]}
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return str(path)


def jsonl(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.passages, report.questions, report.labels, report.duplicates


WHO = qa("q1", "Who built the mill?", ("Mara", MILL.index("Mara")))
WHEN = qa("q2", "When was the mill built?", ("1830", MILL.index("1830")))
BELL = qa("q3", "누가 종을 울리나?", ("나루", TOWER.index("나루")))


# --- formats -----------------------------------------------------------------------------------------------------


def as_squad(path: Path) -> str:
    return squad(path / "a.json", (MILL, [WHO, WHEN]), (TOWER, [BELL]))


def flat() -> list[dict[str, Any]]:
    return [
        {**one, "context": context, "title": "Arlen"} for one, context in ((WHO, MILL), (WHEN, MILL), (BELL, TOWER))
    ]


def as_jsonl(path: Path) -> str:
    return jsonl(path / "a.jsonl", *flat())


def as_csv(path: Path) -> str:
    with (path / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["id", "question", "context", "title", "answer", "answer_start"], delimiter=";")
        writer.writeheader()
        for row in flat():
            answer = row.pop("answers")[0]
            writer.writerow({**row, "answer": answer["text"], "answer_start": answer["answer_start"]})
    return str(path / "a.csv")


def as_hf(path: Path) -> str:
    import datasets

    rows = [
        {**row, "answers": {key: [answer[key] for answer in row["answers"]] for key in ("text", "answer_start")}}
        for row in flat()
    ]
    datasets.Dataset.from_list(rows).save_to_disk(str(path / "hf"))
    return str(path / "hf")


@pytest.mark.parametrize("write", [as_squad, as_jsonl, as_csv, as_hf])
def test_every_format_is_read_as_the_same_questions_and_answers(tmp_path: Path, database: Database, write: Any) -> None:
    report = import_files(database, [write(tmp_path)], role="gold")
    assert counts(report) == (2, 3, 3, 0)
    assert report.rejected == ()
    with database.read() as session:
        labels = {label.question_id: label.answers for label in queries.live_labels(session)}
        texts = queries.passages(session, [passage_id(MILL), passage_id(TOWER)])
    assert {key: (answers[0].text, answers[0].start) for key, answers in labels.items()} == {
        "q1": ("Mara", MILL.index("Mara")),
        "q2": ("1830", MILL.index("1830")),
        "q3": ("나루", TOWER.index("나루")),
    }
    assert {row.text for row in texts.values()} == {MILL, TOWER}


def test_the_guid_of_klue_is_an_id_and_its_impossible_questions_have_no_answer(
    tmp_path: Path, database: Database
) -> None:
    question = {"guid": "klue-1", "question": "Who burnt the mill?", "answers": [], "is_impossible": True}
    report = import_files(database, [squad(tmp_path / "a.json", (MILL, [question]))], role="gold")
    assert counts(report) == (1, 1, 1, 0)
    with database.read() as session:
        (label,) = queries.live_labels(session)
    assert (label.question_id, label.no_answer, label.passages) == ("klue-1", True, (passage_id(MILL),))


def test_a_folder_of_texts_becomes_passages_with_the_titles_of_its_documents(
    tmp_path: Path, database: Database
) -> None:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / "mill.md").write_bytes(b"# The mill\r\n\r\nIt stands.\r\nStill.\r\n\r\nIt turns.\r\n")
    (tmp_path / "docs" / "sub" / "tower.txt").write_bytes("등대는 섬에 있다.".encode("cp949"))
    (tmp_path / "docs" / "picture.png").write_bytes(b"\x89PNG")
    report = import_files(database, [str(tmp_path / "docs")], role="corpus")
    with database.read() as session:
        found = {(row.title, row.text) for row in queries.iter_passages(session)}
    assert found == {
        ("The mill", "# The mill\r\n\r\nIt stands.\r\nStill."),
        ("The mill", "It turns."),
        ("sub/tower", "등대는 섬에 있다."),
    }
    assert report.notes == (f"{tmp_path / 'docs' / 'sub' / 'tower.txt'}: not UTF-8, read as cp949",)


def test_records_without_a_question_are_passages(tmp_path: Path, database: Database) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"text": MILL, "title": "Mill"}, {"text": TOWER}, {"title": "nothing"})
    report = import_files(database, [file], role="corpus")
    assert counts(report) == (2, 0, 0, 0)
    assert [(row.where, row.why) for row in report.rejected] == [
        (f"{file}: line 3", "neither a question nor a text; see the documented field names")
    ]


def test_a_question_without_a_context_is_a_pool_question(tmp_path: Path, database: Database) -> None:
    report = import_files(
        database, [jsonl(tmp_path / "a.jsonl", {"question": "Who?"}, {"question": "When?"})], role="pool"
    )
    assert counts(report) == (0, 2, 0, 0)


def test_questions_of_a_corpus_file_are_left_out_with_a_note(tmp_path: Path, database: Database) -> None:
    report = import_files(database, [as_squad(tmp_path)], role="corpus")
    assert counts(report) == (2, 0, 0, 0)
    assert "its 3 questions were left out" in report.notes[0]


def test_a_csv_cell_keeps_its_line_ends(tmp_path: Path, database: Database) -> None:
    (tmp_path / "a.csv").write_bytes(b'text,title\n"one\r\ntwo\rthree\nfour",T\n')
    import_files(database, [str(tmp_path / "a.csv")], role="corpus")
    with database.read() as session:
        assert [row.text for row in queries.iter_passages(session)] == ["one\r\ntwo\rthree\nfour"]


# --- answers and offsets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "start"),
    [("1830", 0), ("1830", 10**9), ("1830", -7), ("1830", None)],
    ids=["elsewhere", "beyond", "negative", "missing"],
)
def test_an_answer_that_is_not_at_its_offset_is_moved_if_it_occurs_once(
    tmp_path: Path, database: Database, answer: str, start: int | None
) -> None:
    record = {"id": "q", "question": "When?", "context": MILL, "answer": answer, "answer_start": start}
    import_files(database, [jsonl(tmp_path / "a.jsonl", record)], role="gold")
    with database.read() as session:
        (label,) = queries.live_labels(session)
    assert label.answers[0].start == MILL.index("1830")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"answer": "Mara", "answer_start": 0}, "the answer 'Mara' is not at offset 0 and occurs more than once"),
        ({"answer": "Nobody"}, "the answer 'Nobody' does not occur in the context"),
        ({"answers": [" "]}, "the answer is empty"),
        ({"answers": 7}, "answers must be a list or an object, not a number"),
        ({"answers": {"text": ["Mara"], "answer_start": []}}, "lists of equal length"),
        ({"answer": "1830", "answer_start": "x"}, "answer_start must be a whole number, not 'x'"),
        ({"answer": 1830}, "answer must be text, not a number"),
        ({"answer": "Mara", "context": None}, "an answer needs its context"),
        ({"is_impossible": True, "context": None}, "is_impossible needs a context"),
        ({"is_impossible": True, "answer": "1830"}, "is_impossible is true, but it has answers"),
        ({"is_impossible": "perhaps"}, "is_impossible must be true or false, not 'perhaps'"),
        ({}, "a gold question needs an answer, or is_impossible with its context"),
        ({"answer": "1830", "id": "x" * 256}, "the id has 256 characters; at most 255 are allowed"),
        ({"answer": "1830", "question": "x" * 10_001}, "the question has 10,001 characters"),
        ({"answer": "1830", "question": " "}, "the question is empty"),
        ({"answer": "1830", "question": "a\x00"}, "the question holds a NUL character at offset 1"),
        ({"answer": "1830", "question": "\ud800"}, "the question holds half a surrogate pair (U+D800) at offset 0"),
        ({"answer": "1830", "context": "1830\ud800"}, "the passage holds half a surrogate pair"),
        ({"answer": "1830", "context": "1830\x00"}, "the passage holds a NUL character at offset 4"),
        ({"answer": "1830", "context": "1830" + "x" * 1_000_000}, "the passage has 1,000,004 characters"),
    ],
)
def test_a_rejected_row_is_listed_with_its_place_and_the_others_are_imported(
    tmp_path: Path, database: Database, record: dict[str, Any], why: str
) -> None:
    good = {**WHEN, "context": MILL}
    path = tmp_path / "a.jsonl"  # escapes, so that the file is plain ASCII whatever the row holds
    path.write_text(
        json.dumps(good) + "\n" + json.dumps({"id": "q", "question": "Who?", "context": MILL, **record}) + "\n"
    )
    report = import_files(database, [str(path)], role="gold")
    assert counts(report)[1:] == (1, 1, 0)
    (rejected,) = report.rejected
    assert rejected.where.startswith(f"{path}: line 2 (id ")
    assert why in rejected.why


def test_equal_golds_are_one_and_the_most_frequent_comes_first(tmp_path: Path, database: Database) -> None:
    answers = [{"text": text} for text in ("built", "1830", "1830")]
    record = {"id": "q", "question": "When?", "context": MILL, "answers": answers}
    import_files(database, [jsonl(tmp_path / "a.jsonl", record)], role="gold")
    with database.read() as session:
        (label,) = queries.live_labels(session)
    assert [span.text for span in label.answers] == ["1830", "built"]


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), st.data())
def test_any_span_of_any_text_comes_back_from_a_file_at_its_offset(
    tmp_path_factory: pytest.TempPathFactory, context: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    file = jsonl(
        tmp_path_factory.mktemp("span") / "a.jsonl",
        {"id": "q", "question": "What?", "context": context, "answers": [{"text": text, "answer_start": start}]},
    )
    content = read_content(file)
    if not text.strip() or not context.strip():
        assert content.questions == ()
        return
    (span,) = content.questions[0].answers
    assert (span.start, span.text, context[span.start : span.end]) == (start, text, text)


# --- files that are refused whole --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.json", b"", FileError, "the file is empty"),
        ("a.json", b'{"data": [}', DataError, "line 1 column 11"),
        ("a.json", b'{"data": [{"paragraphs": [{}]}]}', DataError, "data[0].paragraphs[0].context: missing"),
        ("a.json", b'{"data": []}', ImportRefused, "no question in it"),
        ("a.json", b"[" * 100_000, DataError, "nested too deeply"),
        ("a.jsonl", b'{"question": "Who?"}\n{"question"', ImportRefused, "line 2 column"),
        ("a.jsonl", b"[1]\n", ImportRefused, "line 1: a JSON object is needed"),
        ("a.jsonl", b"\n\n", ImportRefused, "no question in it"),
        ("a.jsonl", b'{"question": 1}\n{"question": 2}\n', ImportRefused, "2 rejected; "),
        ("a.csv", b"a,b\n1,2\n", ImportRefused, "line 1: the first row must name the fields"),
        ("a.csv", b"question,question\n1,2\n", ImportRefused, "the field 'question' is named twice"),
        ("a.csv", b"question,id\n1\n", ImportRefused, "line 2: 1 cells, but 2 field names"),
        ("a.csv", b'question,id\n"a"b,1\n', ImportRefused, "line 2: not CSV"),
        ("a.txt", b"words", ImportRefused, "passages alone are imported --as corpus"),
        ("a.xyz", b"words", ImportRefused, "the name does not show the format"),
        ("a.jsonl", "질문".encode() + b"\xb0\xa1", FileError, "byte 6 is not UTF-8"),
    ],
)
def test_a_broken_file_is_refused_in_one_line_and_changes_nothing(
    tmp_path: Path, database: Database, name: str, content: bytes, error: type[Exception], words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=re.escape(words)) as caught:
        import_files(database, [str(tmp_path / name)], role="pool")
    assert str(caught.value).startswith(f"{tmp_path / name}:")
    assert "\n" not in str(caught.value)
    with database.read() as session:
        assert (queries.imports(session), queries.questions(session), queries.corpus_ids(session)) == ([], [], [])


def test_a_line_too_long_for_a_record_is_refused_before_the_rest_is_read(tmp_path: Path, database: Database) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "' + b"x" * (17 << 20) + b'"}')
    with pytest.raises(ImportRefused, match="line 1: over 16,777,216 characters long"):
        import_files(database, [str(tmp_path / "a.jsonl")], role="pool")
    (tmp_path / "a.csv").write_bytes(b"question\n" + b"x" * (17 << 20))
    with pytest.raises(ImportRefused, match="line 2: not CSV: field larger"):
        import_files(database, [str(tmp_path / "a.csv")], role="pool")


def test_a_missing_file_and_a_folder_without_texts_have_different_errors(tmp_path: Path, database: Database) -> None:
    with pytest.raises(ImportRefused, match="no such file or folder"):
        import_files(database, [str(tmp_path / "none.json")], role="gold")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefused, match=r"no \.txt or \.md file in it"):
        import_files(database, [str(tmp_path / "empty")], role="corpus")


def test_a_saved_dataset_of_several_splits_asks_which_one(tmp_path: Path, database: Database) -> None:
    import datasets

    one = datasets.Dataset.from_list([{"text": MILL}])
    datasets.DatasetDict({"train": one, "dev": one}).save_to_disk(str(tmp_path / "hf"))
    with pytest.raises(ImportRefused, match="has the splits dev, train; name one"):
        import_files(database, [str(tmp_path / "hf")], role="corpus")
    assert import_files(database, [str(tmp_path / "hf" / "dev")], role="corpus").passages == 1


# --- twice, contradicting, undone --------------------------------------------------------------------------------


def test_a_file_imported_twice_is_stored_once(tmp_path: Path, database: Database) -> None:
    file = as_squad(tmp_path)
    first = import_files(database, [file], role="gold")
    again = import_files(database, [file], role="gold")
    assert counts(again) == (0, 0, 0, 3)
    assert again.imports == ()
    assert again.notes == (f"{file}: imported before (import {first.imports[0]}); nothing was added",)


def test_the_same_rows_in_another_file_are_duplicates(tmp_path: Path, database: Database) -> None:
    import_files(database, [as_squad(tmp_path)], role="gold")
    assert counts(import_files(database, [as_jsonl(tmp_path)], role="gold")) == (0, 0, 0, 3)


def test_an_equal_id_with_different_content_is_rejected_in_a_file_and_across_files(
    tmp_path: Path, database: Database
) -> None:
    other = qa("q1", "Who sold the mill?", ("Mara", MILL.rindex("Mara")))
    inside = import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO, other, WHO]))], role="gold")
    assert (inside.questions, inside.duplicates) == (1, 1)
    assert [row.why for row in inside.rejected] == ["the id q1 occurs twice with different content"]
    moved = qa("q1", WHO["question"], ("Mara", MILL.rindex("Mara")))
    for number, changed in enumerate((other, moved)):
        file = squad(tmp_path / f"b{number}.json", (MILL, [changed, WHEN]))
        report = import_files(database, [file], role="gold")
        assert [row.where for row in report.rejected] == [f"{file}: id q1"]
        assert "is stored with different" in report.rejected[0].why


def test_questions_with_equal_text_and_context_keep_their_rows_and_point_to_the_lowest_id(
    tmp_path: Path, database: Database
) -> None:
    twins = [qa(key, text, ("1830", MILL.index("1830"))) for key, text in (("b", "WHEN was it?"), ("a", "When was it"))]
    report = import_files(database, [squad(tmp_path / "a.json", (MILL, twins))], role="gold")
    assert counts(report) == (1, 2, 2, 1)
    with database.read() as session:
        assert {row.id: row.duplicate_of for row in queries.questions(session)} == {"a": None, "b": "a"}


@pytest.mark.parametrize(
    ("second", "role", "why"),
    [
        ((MILL, [WHO]), "dev", "it is stored as gold and cannot be dev: undo that import first"),
        (
            (TOWER, [qa("q9", "WHO built the mill", ("나루", TOWER.index("나루")))]),
            "pool",
            "the same question is stored as gold (id q1) and cannot be pool too",
        ),
        (
            (MILL, [WHEN]),
            "test",
            "its paragraph is in the train split and cannot be in the test split too",
        ),
    ],
)
def test_a_later_file_cannot_put_a_question_or_a_paragraph_into_another_split(
    tmp_path: Path, database: Database, second: tuple[str, list[dict[str, Any]]], role: str, why: str
) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="gold")
    far = ("Somewhere else, in 1999.", [qa("far", "In which year?", ("1999", 19))])
    report = import_files(database, [squad(tmp_path / "b.json", second, far)], role=role)
    assert report.questions == 1
    assert [row.why for row in report.rejected] == [why]


def test_gold_and_pool_may_share_a_paragraph(tmp_path: Path, database: Database) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="gold")
    assert import_files(database, [squad(tmp_path / "b.json", (MILL, [WHEN]))], role="pool").rejected == ()


def test_a_pool_question_imported_with_its_answer_as_gold_becomes_gold(tmp_path: Path, database: Database) -> None:
    import_files(database, [jsonl(tmp_path / "a.jsonl", {"id": "q1", "question": WHO["question"]})], role="pool")
    report = import_files(database, [squad(tmp_path / "b.json", (MILL, [WHO]))], role="gold")
    assert (report.rejected, report.labels) == ((), 1)
    with database.read() as session:
        assert queries.question(session, "q1").role == "gold"


def test_split_by_document_refuses_a_second_paragraph_of_a_known_document(tmp_path: Path, database: Database) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="gold", split_by="document")
    with pytest.raises(ImportRefused, match="its document is in the train split"):
        import_files(database, [squad(tmp_path / "b.json", (TOWER, [BELL]))], role="dev")
    elsewhere = squad(tmp_path / "c.json", (TOWER, [BELL]), title="Tower")
    assert import_files(database, [elsewhere], role="dev").questions == 1


def test_the_first_import_fixes_the_level_of_splitting(tmp_path: Path, database: Database) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="gold")
    with pytest.raises(ImportRefused, match="split by paragraph"):
        import_files(database, [squad(tmp_path / "b.json", (TOWER, [BELL]))], role="gold", split_by="document")


def test_an_undone_import_can_be_imported_again_under_any_role(tmp_path: Path, database: Database) -> None:
    file = as_squad(tmp_path)
    first = import_files(database, [file], role="dev")
    undone = undo_import(database, first.imports[0])
    assert (undone.passages, undone.questions, undone.labels) == (2, 3, 3)
    with database.read() as session:
        assert (queries.questions(session), queries.corpus_ids(session), queries.live_labels(session)) == ([], [], [])
    again = import_files(database, [file], role="gold")
    assert counts(again) == (2, 3, 3, 0)
    with database.read() as session:
        assert {row.role for row in queries.questions(session)} == {"gold"}
    with pytest.raises(Conflict, match="undone already"):
        undo_import(database, first.imports[0])


def test_once_a_round_has_run_an_undone_import_keeps_its_split(tmp_path: Path, database: Database) -> None:
    first = import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="dev")
    undo_import(database, first.imports[0])
    with database.write() as session:
        store.open_round(session, "baseline", config={}, seed=0, code_version="1")
    file = squad(tmp_path / "b.json", (MILL, [WHO, WHEN]), (TOWER, [BELL]))
    report = import_files(database, [file], role="gold")
    assert (report.questions, [row.why for row in report.rejected]) == (
        1,
        [
            "it is stored as dev and cannot be gold: its import was undone, but rounds have run since",
            "its paragraph is in the dev split and cannot be in the train split too",
        ],
    )
    assert import_files(database, [squad(tmp_path / "c.json", (MILL, [WHO]))], role="dev").rejected == ()


def test_a_passage_with_a_human_answer_belongs_to_a_split(tmp_path: Path, database: Database) -> None:
    import_files(database, [jsonl(tmp_path / "a.jsonl", {"text": MILL}, {"text": TOWER})], role="corpus")
    import_files(database, [jsonl(tmp_path / "b.jsonl", {"id": "p", "question": "Which year?"})], role="pool")
    start = MILL.index("1830")
    with database.write() as session:
        store.set_label(session, "p", [SpanRow("1830", passage_id(MILL), start, start + 4)], reviewer="ann")
    report = import_files(database, [squad(tmp_path / "c.json", (MILL, [WHO]), (TOWER, [BELL]))], role="test")
    assert [row.where for row in report.rejected] == [f"{tmp_path / 'c.json'}: id q1"]


def test_a_later_question_on_a_stored_paragraph_joins_its_split_group(tmp_path: Path, database: Database) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]), (TOWER, [BELL]))], role="gold")
    import_files(database, [squad(tmp_path / "b.json", (MILL, [WHEN]))], role="gold")
    with database.read() as session:
        group = {row.id: row.split_group for row in queries.questions(session)}
    assert group["q2"] == group["q1"] != group["q3"]


def test_a_later_question_joins_two_stored_split_groups(tmp_path: Path, database: Database) -> None:
    tie = qa("tie", "누가 종을 울리나", ("Mara", MILL.index("Mara")))
    for name, paragraph in (("a", (MILL, [WHO])), ("b", (TOWER, [BELL])), ("c", (MILL, [tie]))):
        import_files(database, [squad(tmp_path / f"{name}.json", paragraph)], role="gold")
    with database.read() as session:
        rows = queries.questions(session)
        identities = queries.passage_identities(session, [row.context_id for row in rows if row.context_id])
    assert len({row.split_group for row in rows}) == 2
    assert len(set(stored_split_groups(rows, identities).values())) == 1


def test_gold_that_a_round_held_out_stays_held_out_when_its_file_has_grown(tmp_path: Path, database: Database) -> None:
    import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]), (TOWER, [BELL]))], role="gold")
    with database.write() as session:
        store.set_roles(session, {"q1": "calibration"})
    report = import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO, WHEN]), (TOWER, [BELL]))], role="gold")
    assert (report.duplicates, [row.where for row in report.rejected]) == (2, [f"{tmp_path / 'a.json'}: id q2"])
    with database.read() as session:
        assert queries.question(session, "q1").role == "calibration"


def test_rows_of_another_import_survive_an_undo(tmp_path: Path, database: Database) -> None:
    first = import_files(database, [squad(tmp_path / "a.json", (MILL, [WHO]))], role="gold")
    import_files(database, [squad(tmp_path / "b.json", (MILL, [WHO, WHEN]))], role="gold")
    undo_import(database, first.imports[0])
    with database.read() as session:
        assert [row.id for row in queries.questions(session)] == ["q1", "q2"]
        assert [label.question_id for label in queries.live_labels(session)] == ["q1", "q2"]


def test_a_broken_file_does_not_undo_the_file_imported_before_it(tmp_path: Path, database: Database) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError):
        import_files(database, [as_squad(tmp_path), str(tmp_path / "bad.json")], role="gold")
    with database.read() as session:
        assert len(queries.imports(session)) == 1


# --- one labelled file, split ------------------------------------------------------------------------------------


def world(path: Path, *, paragraphs: int = 30) -> str:
    """Three questions a paragraph; the third is asked, with the same text, on the next paragraph too."""
    found = []
    for number in range(paragraphs):
        context = f"House {number} has {number + 100} windows and {number + 500} doors."
        found.append(
            (
                context,
                [
                    qa(
                        f"w{number:02}",
                        f"How many windows has house {number}?",
                        (str(number + 100), context.index(str(number + 100))),
                    ),
                    qa(
                        f"d{number:02}",
                        f"How many doors has house {number}?",
                        (str(number + 500), context.index(str(number + 500))),
                    ),
                    qa(f"s{number:02}", f"Same {number // 2}?", (str(number + 100), context.index(str(number + 100)))),
                ],
            )
        )
    return squad(path, *found)


PLAN = parse_split("gold=20,dev=10,test=20,pool=rest")


def test_a_split_keeps_split_groups_whole_and_hides_the_answers_of_the_pool(tmp_path: Path, database: Database) -> None:
    report = import_files(database, [world(tmp_path / "a.json")], split=PLAN)
    # groups are pairs of paragraphs with 6 questions: 3 of them fit into 20, 1 into 10, and 90 - 18 - 6 - 18 are left
    assert report.splits == {"gold": 18, "dev": 6, "test": 18, "pool": 48}
    assert (report.questions, report.labels, report.hidden) == (90, 18 + 6 + 18, 48)
    assert report.shared_documents == 1
    with database.read() as session:
        rows = queries.questions(session)
        pool = {row.id for row in rows if row.role == "pool"}
        assert {label.question_id for label in queries.live_labels(session)} == {row.id for row in rows} - pool
        assert set(hidden_answers.answers(session, pool)) == pool
    for key in ("split_group", "normalized", "context_id"):
        sides: dict[str, set[str]] = {}
        for row in rows:
            sides.setdefault(getattr(row, key), set()).add(row.role)
        assert all(len(roles) == 1 for roles in sides.values())


def test_a_split_is_the_same_for_the_same_seed_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    content = read_content(world(tmp_path / "a.json"))

    def roles(questions: Any, seed: int) -> dict[str, str]:
        from dataclasses import replace

        return {
            row.id: row.role
            for row in plan_import(replace(content, questions=questions), Stored(), role=PLAN, seed=seed).questions
        }

    assert roles(content.questions, 1) == roles(content.questions[::-1], 1)
    assert roles(content.questions, 1) != roles(content.questions, 2)


def test_without_a_rest_the_questions_beyond_the_counts_are_left_out_and_counted(
    tmp_path: Path, database: Database
) -> None:
    report = import_files(database, [world(tmp_path / "a.json")], split=SplitPlan((("gold", 20),), None))
    assert (report.questions, report.passages) == (18, 30)
    assert report.notes == ("72 questions were left out: --split has no rest",)


def test_a_split_that_wants_more_questions_than_the_file_has_says_which_roles_are_short(
    tmp_path: Path, database: Database
) -> None:
    plan = parse_split("gold=1000,dev=500,pool=rest")
    file = Path(world(tmp_path / "a.json"))
    first = import_files(database, [str(file)], split=plan, seed=0)
    with pytest.raises(ImportRefused, match=r"imported before with --split .*undo that first: labeler import --undo 1"):
        import_files(database, [str(file)], split=plan, seed=1)
    file.write_text(f"{file.read_text(encoding='utf-8')}\n", encoding="utf-8")  # the same questions in another file
    again = import_files(database, [str(file)], split=plan, seed=1)
    assert first.notes == (
        "fewer questions than --split wants: gold 90 of 1000, dev 0 of 500, pool none; the file has 90",
    )
    assert again.notes == ("90 questions are stored already and keep their split",)


def test_an_empty_file_in_a_folder_is_skipped_with_a_note(tmp_path: Path, database: Database) -> None:
    (tmp_path / "a.md").write_text("# A title\n\nAnd a text.")
    (tmp_path / "b.md").touch()
    report = import_files(database, [str(tmp_path)], role="corpus")
    assert report.passages
    assert report.notes == (f"{tmp_path / 'b.md'}: the file is empty and was skipped",)


def test_split_by_document_keeps_a_document_in_one_split(tmp_path: Path, database: Database) -> None:
    report = import_files(database, [world(tmp_path / "a.json")], split=PLAN, split_by="document")
    assert report.splits == {"pool": 90}  # one document, too large for every count
    assert report.shared_documents == 0


def test_a_split_file_that_has_grown_keeps_its_split_and_adds_rows_without_conflicts(
    tmp_path: Path, database: Database
) -> None:
    import_files(database, [world(tmp_path / "a.json", paragraphs=10)], split=PLAN)
    with database.read() as session:
        before = {row.id: row.role for row in queries.questions(session)}
    report = import_files(database, [world(tmp_path / "a.json", paragraphs=12)], split=PLAN)
    with database.read() as session:
        after = {row.id: row.role for row in queries.questions(session)}
    assert {key: after[key] for key in before} == before
    assert (report.questions, report.duplicates, report.rejected) == (6, 30, ())


def test_gold_and_pool_share_one_split_and_the_other_roles_have_their_own() -> None:
    assert {role: side(role) for role in ("gold", "pool", "dev", "test", "calibration")} == {
        "gold": "train",
        "pool": "train",
        "dev": "dev",
        "test": "test",
        "calibration": "calibration",
    }


# --- real questions ----------------------------------------------------------------------------------------------


@pytest.mark.skipif("LABELER_DATA" not in os.environ, reason="LABELER_DATA names no folder of development data")
def test_korquad_dev_is_imported_completely(database: Database) -> None:
    file = str(Path(os.environ["LABELER_DATA"]) / "KorQuAD_v1.0_dev.json")
    report = import_files(database, [file], split=parse_split("gold=1000,dev=500,test=1000,pool=rest"))
    assert (report.questions, report.rejected) == (5774, ())
    assert sum(report.splits.values()) == 5774
    assert all(report.splits[role] <= count for role, count in {"gold": 1000, "dev": 500, "test": 1000}.items())
