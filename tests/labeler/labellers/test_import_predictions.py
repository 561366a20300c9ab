"""Predictions from outside: every shape of file, anchoring by the rules of import, and one line for each fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from db import queries
from labeler.labellers import prediction_file
from labeler.labellers.anchoring import find_span
from mrc.types import Passage, Span
from tests.commands import ok, run
from tests.labeler.labellers.worlds import HARBOUR, TOWER, imported, jsonl, make
from tests.worlds import at


def stored(workspace: Path, name: str = "model") -> dict[str, list[tuple[str, bool, float | None]]]:
    """The answers of a labeller by question: text, whether it is a span, score."""
    with at(workspace) as runtime, runtime.database.read() as session:
        row = queries.labeller(session, name)
        return {
            each.question_id: [(one.text, one.passage_id is not None, one.score) for one in each.answers]
            for each in queries.labeller_predictions(session, row.id)
        }


SHAPES: dict[str, str] = {
    "lines.jsonl": '{"id": "q1", "answer": "Arnen", "score": 0.9}\n'
    '{"question_id": "q2", "text": "1921", "score": 0.5}\n',
    "predictions.json": '{"q1": "Arnen",\n "q2": "1921"}',
    "nbest.json": '{"q1": [{"text": "Arnen", "probability": 0.9, "start_logit": 9.1, "end_logit": 8, "score": 17.1}],'
    ' "q2": [{"text": "1921", "probability": 0.5, "start_logit": 1, "end_logit": 2, "score": 3.0}]}',
    "rows.csv": "id,answer,score\nq1,Arnen,0.9\nq2,1921,0.5\n",
    "records.json": '[{"id": "q1", "prediction_text": "Arnen", "confidence": 0.9},'
    ' {"id": "q2", "prediction_text": "1921", "prob": "0.5"}]',
    "wrapped.json": '{"predictions": [{"qid": "q1", "answer": "Arnen", "score": 0.9},'
    ' {"qid": "q2", "answers": [{"text": "1921", "score": 0.5}]}]}',
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_file_gives_the_same_answers(tmp_path: Path, name: str) -> None:
    workspace = make(tmp_path)
    file = tmp_path / name
    file.write_text(SHAPES[name], encoding="utf-8")
    report = imported(workspace, file)
    assert (report["predictions"], report["anchored"], report["rejected"]) == (2, 2, [])
    scores = (None, None) if name == "predictions.json" else (0.9, 0.5)
    assert stored(workspace) == {"q1": [("Arnen", True, scores[0])], "q2": [("1921", True, scores[1])]}


def test_an_answer_is_anchored_in_the_first_passage_that_has_it_once_and_in_the_one_it_names(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    rows: list[dict[str, Any]] = [
        {"id": "q3", "answer": " Ilvane", "score": 0.4, "context": TOWER, "start": 31},
        {"id": "q3", "answer": "the chapel", "score": 0.8},
        {"id": "q4", "answer": "Ilvane"},
        {"id": "q5", "answer": "1921", "context": HARBOUR},
        {"id": "q1", "answer": "", "score": 0.7},
        {"id": "q1", "answer": "Arnen", "score": 0.2},
    ]
    report = imported(workspace, jsonl(tmp_path / "p.jsonl", rows))
    assert (report["questions"], report["predictions"], report["anchored"]) == (4, 6, 3)
    assert (report["as_text"], report["no_answer"]) == (2, 1)
    whys = [each["why"] for each in report["rejected"]]
    assert whys == [
        "the answer 'the chapel' does not occur in what was found for the question (1 passages)",
        "the answer 'Ilvane' occurs more than once in every one of them that has it: give its offset as answer_start",
    ]
    assert report["rejected"][0]["where"].endswith("line 2")
    assert stored(workspace)["q3"] == [("the chapel", False, 0.8), ("Ilvane", True, 0.4)]
    with at(workspace) as runtime, runtime.database.read() as session:
        row = queries.labeller(session, "model")
        found = {each.question_id: each for each in queries.labeller_predictions(session, row.id)}
    assert (found["q3"].answers[1].start, found["q3"].answers[1].end) == (32, 38)
    assert (found["q1"].abstains, found["q1"].null_score, found["q1"].text) == (True, 0.7, "")


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"id": "nowhere", "answer": "x"}, "there is no question 'nowhere' in this workspace"),
    ({"id": "q1", "answer": "Arnen", "score": 1.5}, "score must be a number from 0 to 1, not 1.5"),
    ({"id": "q1", "answer": "Arnen", "probability": -0.1}, "probability must be a number from 0 to 1, not -0.1"),
    ({"id": "q1", "answer": "Arnen", "score": float("nan")}, "score must be a number from 0 to 1, not nan"),
    ({"id": "q1", "answer": "Arnen", "score": "high"}, "score must be a number from 0 to 1, not 'high'"),
    ({"id": "q1", "answer": "Arnen", "score": True}, "score must be a number from 0 to 1, not True"),
    ({"id": "q1", "answer": 1921}, "answer must be text, not a number"),
    ({"id": "q1", "answer": "x" * 10_001}, "the answer has 10,001 characters"),
    ({"id": "q1", "answer": "a\x00b"}, "the answer holds a NUL character at offset 1"),
    ({"id": "q1"}, "the answer is missing; name it in a field such as answer, answer_text, text"),
    ({"answer": "Arnen"}, "the question's id is missing; name it in a field such as id, guid, qid, question_id"),
    ({"id": "q1", "answers": []}, "the list of answers is empty"),
    (
        {"id": "q1", "answer": "Arnen", "context": "Another corpus."},
        "the passage that the answer names is not in the corpus",
    ),
    ({"id": "q1", "answer": "Arnen", "start": "first"}, "answer_start must be a whole number, not 'first'"),
    ({"id": "\ud800", "answer": "Arnen"}, "id holds half a surrogate pair (U+D800) at offset 0"),
    ({"id": "a\0b", "answer": "Arnen"}, "id holds a NUL character at offset 1"),
    (
        {"id": "q1", "answer": "Arnen", "passage_id": "p\udc00"},
        "passage_id holds half a surrogate pair (U+DC00) at offset 1",
    ),
    (
        {"id": "q1", "answers": {"text": ["Arnen"], "answer_start": [1, 2]}},
        "the lists of an answer must be of equal length (text, answer_start)",
    ),
]


@pytest.mark.parametrize(("row", "why"), FAULTS, ids=range(len(FAULTS)))
def test_a_faulty_prediction_is_listed_in_one_line_and_the_others_are_kept(
    tmp_path: Path, row: dict[str, Any], why: str
) -> None:
    workspace = make(tmp_path)
    file = jsonl(tmp_path / "p.jsonl", [{"id": "q2", "answer": "1921", "score": 0}, row])
    report = imported(workspace, file)
    assert report["anchored"] == 1
    assert [each["why"] for each in report["rejected"]] == [why]
    assert report["rejected"][0]["where"] == f"{file}: line 2"


def test_a_repeated_answer_is_listed_and_a_second_file_cannot_answer_again(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    twice = jsonl(tmp_path / "twice.jsonl", [{"id": "q1", "answer": "Arnen"}, {"id": "q1", "answer": "Arnen "}])
    report = imported(workspace, twice)
    assert [each["why"] for each in report["rejected"]] == [
        f"the same answer to question 'q1' stands before ({twice}: line 1)"
    ]
    again = imported(workspace, twice)
    assert (again["predictions"], again["notes"]) == (0, [f"{twice}: imported before (import 2); nothing was added"])
    other = jsonl(tmp_path / "other.jsonl", [{"id": "q1", "answer": "1921"}, {"id": "q2", "answer": "1921"}])
    assert [each["why"] for each in imported(workspace, other)["rejected"]] == [
        "the labeller 'model' has answered question 'q1' already; to replace it: labeler import --undo 2"
    ]
    assert imported(workspace, other, "another")["anchored"] == 2
    assert ok("import", "--undo", 2, "-w", workspace)["predictions"] == 1
    assert set(stored(workspace)) == {"q2"}
    assert imported(workspace, twice)["anchored"] == 1


def test_answers_may_be_a_text_or_columns_of_texts_and_offsets(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    rows: list[dict[str, Any]] = [
        {"id": "q1", "predictions": "Arnen"},
        {"id": "q3", "answers": {"text": ["Ilvane", "Korr"], "answer_start": [32, 13], "score": [0.6, 0.3]}},
        {"id": "q5", "answers": {"text": "412", "score": 0.5}},
    ]
    assert imported(workspace, jsonl(tmp_path / "p.jsonl", rows))["rejected"] == []
    assert stored(workspace) == {
        "q1": [("Arnen", True, None)],
        "q3": [("Ilvane", True, 0.6), ("Korr", True, 0.3)],
        "q5": [("412", True, 0.5)],
    }


def test_faulty_records_of_a_wrapped_list_are_listed_in_their_places(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    file = tmp_path / "p.json"
    file.write_text('{"predictions": [{"id": "q1", "answer": "Arnen"},\n{"answer": "x"}, 7]}', encoding="utf-8")
    report = imported(workspace, file)
    assert [(each["where"], each["why"].partition(";")[0]) for each in report["rejected"]] == [
        (f"{file}: record 2", "the question's id is missing"),
        (f"{file}: record 3", "a record must be an object, not a number"),
    ]
    assert stored(workspace) == {"q1": [("Arnen", True, None)]}


def test_a_key_that_no_database_holds_does_not_stop_the_other_answers(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    file = tmp_path / "p.json"
    file.write_text('{"q1": "Arnen",\n"\\ud800": "x"}', encoding="utf-8")
    report = imported(workspace, file)
    assert [each["why"] for each in report["rejected"]] == ["id holds half a surrogate pair (U+D800) at offset 0"]
    assert stored(workspace) == {"q1": [("Arnen", True, None)]}


def test_an_unknown_offset_is_no_place_whatever_space_is_before_the_answer() -> None:
    passages = [Passage("p", "Arnen met Arnen.", "")]
    assert isinstance(find_span("  Arnen", passages, start=-1, named=True), str)
    assert find_span("  Arnen", passages, start=8, named=True) == Span("p", 10, 15, "Arnen")


def test_offsets_count_code_points_or_else_utf16_units_also_where_no_passage_is_named() -> None:
    text = "가족 👨‍👩‍👧 𠮷野家에 갔다. 𠮷野家는 싸다."
    first, second = text.index("𠮷"), text.rindex("𠮷")
    units = len(text[:second].encode("utf-16-le")) // 2
    assert units not in (first, second)
    passages = [Passage("other", "서울.", ""), Passage("p", text, "")]
    for start in (second, units):
        assert find_span("𠮷野家", passages, start=start) == Span("p", second, second + 3, "𠮷野家")
    assert find_span("𠮷野家", passages, start=first) == Span("p", first, first + 3, "𠮷野家")
    for start in (second + 1, 99_999):
        assert find_span("𠮷野家", passages, start=start) == (
            "the answer '𠮷野家' occurs more than once in every one of them that has it, "
            f"and not at answer_start {start}"
        )


def test_the_same_question_twice_in_one_object_is_listed(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    file = tmp_path / "p.json"
    file.write_text('{"q1": "Arnen",\n"q1": "1921"}', encoding="utf-8")
    report = imported(workspace, file)
    assert [each["why"] for each in report["rejected"]] == [
        "the question stands twice in the file; its first answer counts"
    ]
    assert stored(workspace) == {"q1": [("Arnen", True, None)]}


REFUSED = {
    "dataset.json": ('{"data": [{"paragraphs": []}]}', "a dataset, not predictions"),
    "null_odds.json": ('{"q1": 0.3,\n"q2": 0.4}', "(a file of scores?)"),
    "broken.json": ('{"q1": ', "line 1 column 8: not JSON"),
    "strangers.json": ('{"x1": "a",\n"x2": "b"}', "nothing can be imported, 2 rejected"),
    "number.json": ("[\n3]", "a record must be an object, not a number"),
    "empty.json": ("{}", "no prediction in it"),
    "header.csv": ("question,answer\nWho?,Arnen\n", "the first row must name the fields, one of them the question's"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_of_which_nothing_can_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    workspace = make(tmp_path)
    file = tmp_path / name
    file.write_text(REFUSED[name][0], encoding="utf-8")
    fault = run("import", file, "--as", "predictions", "--labeller", "m", "-w", workspace).fault
    assert REFUSED[name][1] in fault
    assert ok("status", "-w", workspace)["labellers"] == []


def test_a_document_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make(tmp_path)
    file = tmp_path / "p.json"
    file.write_text('{"q1": "Arnen"}', encoding="utf-8")
    monkeypatch.setattr(prediction_file, "MAX_DOCUMENT", 14)
    fault = run("import", file, "--as", "predictions", "--labeller", "m", "-w", workspace).fault
    assert "over 14 characters in one JSON document; write the predictions as JSON lines" in fault
    monkeypatch.setattr(prediction_file, "MAX_DOCUMENT", 15)
    assert imported(workspace, file)["anchored"] == 1


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    workspace = make(tmp_path, index=False)
    file = jsonl(tmp_path / "p.jsonl", [{"id": "q1", "answer": "Arnen"}])
    given = ("import", file, "--as", "predictions", "-w", workspace)
    assert "--labeller NAME" in run(*given).err
    assert run(*given, "--labeller", "m").fault == "there is no retrieval index yet; run: labeler index"
    assert "1 to 64 printable characters" in run(*given, "--labeller", " ").fault
    assert "'current' means the reader" in run(*given, "--labeller", "current").fault
    assert run(*given, "--labeller", "m", "--seed", "1").code == 2
    named = jsonl(tmp_path / "named.jsonl", [{"id": "q1", "answer": "Arnen", "context": HARBOUR}])
    assert imported(workspace, named, "m")["anchored"] == 1  # an answer that names its passage needs no index


def test_a_labeller_is_evaluated_compared_and_named_in_status_and_history(tmp_path: Path) -> None:
    workspace = make(tmp_path)
    a = jsonl(tmp_path / "a.jsonl", [{"id": key, "answer": text, "score": score} for key, text, score in
              (("q1", "Arnen", 0.9), ("q2", "1921.", 0.8), ("q3", "Korr", 0.3), ("q4", "", 0.5))])  # fmt: skip
    b = tmp_path / "b.json"
    b.write_text(
        json.dumps({"q1": "Arnen", "q2": "1921", "q3": "nobody here", "q5": "412"}, indent=1), encoding="utf-8"
    )
    imported(workspace, a, "a")
    imported(workspace, b, "b")
    found = ok("evaluate", "--labeller", "a", "-w", workspace)
    assert (found["questions"], found["answered"], found["anchored"]) == (5, 4, 3)
    assert found["end_to_end"]["exact_match"] == pytest.approx(2 / 5)  # "1921." is equal once normalised
    assert found["of_answered"]["exact_match"] == pytest.approx(2 / 4)
    assert (found["scores"]["answers"], found["scores"]["auroc"]) == (3, 1.0)
    compared = ok("compare", "a", "b", "-w", workspace)
    agreement = compared["agreement"]
    assert (agreement["questions"], agreement["only_a"], agreement["only_b"]) == (3, 1, 1)
    assert agreement["exact_match"] == pytest.approx(2 / 3)
    assert agreement["same_passage"] == 1.0
    assert (compared["dev"]["questions"], compared["dev"]["a"], compared["dev"]["p_value"]) == (3, 2 / 3, 1.0)
    assert [(each["question_id"], each["a"], each["b"]) for each in compared["examples"]] == [
        ("q3", "Korr", "nobody here")
    ]
    listed = ok("status", "-w", workspace)["labellers"]
    assert [(each["name"], each["questions"], each["anchored"], each["abstained"]) for each in listed] == [
        ("a", 4, 3, 1),
        ("b", 4, 3, 0),
    ]
    events = ok("history", "q3", "-w", workspace)["events"]
    told = [each["detail"] for each in events if each["kind"] == "labeller_prediction"]
    assert [(each["labeller"], each["text"], each["fault"] is None) for each in told] == [
        ("a", "Korr", True),
        ("b", "nobody here", False),
    ]
    assert "a: 'Korr', score 0.300" in run("history", "q3", "-w", workspace).out
    assert "there is no labeller 'c' (there are: a, b)" in run("compare", "a", "c", "-w", workspace).fault
    assert "no predictions of the current reader" in run("compare", "a", "current", "-w", workspace).fault
    assert "40.0" in run("evaluate", "--labeller", "a", "-w", workspace).out
    assert "same passage 100.0 %" in run("compare", "a", "b", "-w", workspace).out
