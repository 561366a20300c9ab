"""The commands labels, label, history, questions and passages."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import queries, store
from db.rows import AnswerRow, Decision, NewLabel, NewPrediction, NewReview, NewTask, SpanRow
from labeler.core.console import clipped
from labeler.core.workspace import open_workspace
from labeler.labels.edit import Correction, set_label
from mrc.text import passage_id
from tests.commands import BRIDGE, HARBOUR, TOWER, gold_file, new_workspace, ok, run, squad

TOWER_ID = passage_id(TOWER)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = new_workspace(tmp_path / "ws")
    ok("import", gold_file(tmp_path), "--as", "gold", "-w", folder)
    return folder


@pytest.fixture
def predicted(workspace: Path, tmp_path: Path) -> Path:
    """The workspace after one round by hand: question p1 is predicted and pseudo-labelled, p2 is reviewed."""
    pool = {"Oren keeps the mill of Tarn.": [("p1", "Who keeps the mill?", "Oren"), ("p2", "Whose mill?", "Tarn")]}
    ok("import", squad(tmp_path / "pool.json", pool), "--as", "pool", "-w", workspace)
    mill = passage_id("Oren keeps the mill of Tarn.")
    oren = SpanRow("Oren", mill, 0, 4)
    best = AnswerRow("Oren", mill, 0, 4, score=0.8, probability=0.7)
    database = open_workspace(workspace).database()
    with database.write() as session:
        store.open_round(session, "loop", config={}, seed=0, code_version="1", reviewer="simulated")
        model = store.add_model(
            session,
            0,
            hash="m" * 64,
            training_sha256="t" * 64,
            path="models/round-0",
            start="builtin",
            config={},
            examples=4,
            seconds=1.0,
            loss=0.5,
        )
        made = NewPrediction("p1", (best,), score=0.8, null_score=0.1, hits=((mill, 3.0),), confidence=0.93)
        store.add_predictions(session, 0, model_id=model, index_fingerprint="i" * 64, rows=[made])
        store.set_decisions(session, 0, [Decision("p1", "train", 0.6)])
        store.add_tasks(session, 0, [NewTask("p2", "random", blind=True, position=0, passages=(mill,))])
        (task,) = queries.tasks(session)
        review = store.record_review(
            session, NewReview(task.id, "eunji", "answerable", SpanRow("Tarn", mill, 23, 27), origin="written")
        )
        pseudo = NewLabel("p1", (oren,), train_weight=0.6, model_id=model, index_fingerprint="i" * 64)
        human = NewLabel("p2", (SpanRow("Tarn", mill, 23, 27),), reviewer="eunji", review_id=review)
        store.record_labels(session, 0, human=[human], pseudo=[pseudo], reason="round 0", reviews=[review])
    database.close()
    return workspace


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def labels(workspace: Path, *arguments: str) -> dict[str, tuple[str, str | None]]:
    """Question id -> (kind, first answer)."""
    found = ok("labels", "list", *arguments, "-w", workspace)["labels"]
    return {
        each["question_id"]: (each["kind"], each["answers"][0]["text"] if each["answers"] else None) for each in found
    }


def test_labels_are_listed_by_kind_round_and_question(predicted: Path) -> None:
    assert labels(predicted, "--kind", "pseudo") == {"p1": ("pseudo", "Oren")}
    assert labels(predicted, "--kind", "human") == {"p2": ("human", "Tarn")}
    assert labels(predicted, "--round", "0") == {"p1": ("pseudo", "Oren"), "p2": ("human", "Tarn")}
    assert labels(predicted, "--question", "q3") == {"q3": ("gold", "Ilvane")}
    assert sorted(labels(predicted)) == ["p1", "p2", "q1", "q2", "q3", "q4"]


def test_a_pseudo_label_has_its_provenance(predicted: Path) -> None:
    (label,) = ok("labels", "list", "--kind", "pseudo", "-w", predicted)["labels"]
    told = {name: label[name] for name in ("round", "model", "index", "train_weight", "released", "reviewer")}
    assert told == {
        "round": 0,
        "model": "m" * 64,
        "index": "i" * 64,
        "train_weight": 0.6,
        "released": False,
        "reviewer": None,
    }


@given(st.text(alphabet="ab 가나\n", max_size=60))
def test_a_text_in_a_table_is_cut_only_where_it_would_pass_40_columns(text: str) -> None:
    line = " ".join(text.split())
    cut = clipped(text)
    assert columns(cut) <= 40
    assert cut == line if columns(line) <= 40 else cut.endswith("…") and line.startswith(cut[:-1])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 40, "a" * 40),
        ("a" * 41, "a" * 39 + "…"),
        ("가" * 20, "가" * 20),  # 20 * 2 = 40 columns
        ("가" * 21, "가" * 19 + "…"),
    ],
)
def test_a_text_of_exactly_40_columns_is_shown_whole(text: str, shown: str) -> None:
    assert clipped(text) == shown


def test_listing_labels_of_an_unknown_question_or_round_is_refused(workspace: Path) -> None:
    assert "'q9' is not stored" in run("labels", "list", "--question", "q9", "-w", workspace).fault
    assert "no round 7" in run("labels", "list", "--round", "7", "-w", workspace).fault


def test_columns_are_aligned_in_korean_too(workspace: Path) -> None:
    header, *rows = run("labels", "list", "-w", workspace).out.splitlines()
    assert len(rows) == 4
    assert {columns(row[: row.rindex("  gold  ")]) for row in rows} == {columns(header[: header.index("  kind")])}


def test_a_text_becomes_the_label_at_its_offset_in_the_passage(workspace: Path) -> None:
    (label,) = ok("label", "set", "q3", "--text", "1840", "--reviewer-name", "eunji", "-w", workspace)["labels"]
    assert label["answers"] == [{"text": "1840", "passage_id": TOWER_ID, "start": 42, "end": 46}]
    assert (label["kind"], label["origin"], label["reviewer"]) == ("human", "manual", "eunji")
    assert TOWER[42:46] == "1840"


def test_a_label_set_by_hand_replaces_the_label_before_which_stays_in_the_list_of_all(workspace: Path) -> None:
    (before,) = ok("labels", "list", "--question", "q3", "-w", workspace)["labels"]
    (after,) = ok("label", "set", "q3", "--text", "1840", "-w", workspace)["labels"]
    assert after["parent"] == before["id"]
    assert labels(workspace, "--question", "q3") == {"q3": ("human", "1840")}
    both = ok("labels", "list", "--question", "q3", "--all", "-w", workspace)["labels"]
    assert [(each["kind"], each["withdrawn_at"] is None) for each in both] == [("gold", False), ("human", True)]


def test_a_text_that_occurs_twice_is_refused_with_both_offsets(workspace: Path) -> None:
    fault = run("label", "set", "q1", "--text", "항구", "-w", workspace).fault
    assert "occurs 2 times" in fault
    assert "--start 4 --end 6" in fault  # 벨모라 항구는
    assert "--start 25 --end 27" in fault
    assert (HARBOUR[4:6], HARBOUR[25:27]) == ("항구", "항구")
    assert labels(workspace, "--question", "q1") == {"q1": ("gold", "아르넨")}


@pytest.mark.parametrize(("start", "end"), [(25, 27), (0, 1), (0, len(HARBOUR)), (len(HARBOUR) - 1, len(HARBOUR))])
def test_offsets_name_a_span_exactly(workspace: Path, start: int, end: int) -> None:
    span = ("--passage", passage_id(HARBOUR), "--start", str(start), "--end", str(end))
    (label,) = ok("label", "set", "q1", *span, "-w", workspace)["labels"]
    assert label["answers"][0]["text"] == HARBOUR[start:end]


@pytest.mark.parametrize("arguments", [("--start", "5", "--end", "5"), ("--start", "40", "--end", "48")])
def test_offsets_outside_of_the_passage_are_refused(workspace: Path, arguments: tuple[str, ...]) -> None:
    assert len(TOWER) == 47
    fault = run("label", "set", "q3", "--passage", TOWER_ID, *arguments, "-w", workspace).fault
    assert "47 characters" in fault


@pytest.mark.parametrize(
    ("question", "arguments", "said"),
    [
        ("q3", ("--text", "Arnen"), "is not in passage"),
        ("q3", ("--text", ""), "is not in passage"),
        ("q3", ("--text", "Ilvane", "--passage", "nowhere"), "'nowhere' is not stored"),
        ("q9", ("--text", "Ilvane"), "'q9' is not stored"),
    ],
)
def test_what_cannot_be_a_label_is_refused(
    workspace: Path, question: str, arguments: tuple[str, ...], said: str
) -> None:
    before = labels(workspace)
    assert said in run("label", "set", question, *arguments, "-w", workspace).fault
    assert labels(workspace) == before


def test_a_question_whose_import_was_undone_gets_no_label(workspace: Path) -> None:
    ok("import", "--undo", "1", "-w", workspace)
    assert "import it again" in run("label", "set", "q3", "--text", "1840", "-w", workspace).fault
    assert labels(workspace) == {}


def test_a_duplicate_question_is_labelled_through_its_original(workspace: Path, tmp_path: Path) -> None:
    again = squad(tmp_path / "again.json", {TOWER: [("z9", "Who raised the tower of Korr?", "Ilvane")]})
    assert ok("import", again, "--as", "gold", "-w", workspace)["duplicates"] == 1
    assert "'q3'" in run("label", "set", "z9", "--text", "1840", "-w", workspace).fault


def test_another_passage_than_its_own_may_hold_the_answer(workspace: Path) -> None:
    other = passage_id(BRIDGE)
    (label,) = ok("label", "set", "q3", "--text", "Ilvane", "--passage", other, "-w", workspace)["labels"]
    assert label["answers"][0]["passage_id"] == other


def test_no_answer_keeps_the_passages_that_were_shown(workspace: Path) -> None:
    (label,) = ok("label", "set", "q3", "--no-answer", "-w", workspace)["labels"]
    assert (label["no_answer"], label["answers"], label["passages"]) == (True, [], [TOWER_ID])


def test_without_a_context_the_text_is_searched_in_the_passages_labelled_or_read_last(
    workspace: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"id": "b1", "question": "Who raised it?"}\n', encoding="utf-8")
    ok("import", bare, "--as", "pool", "-w", workspace)
    assert "--passage" in run("label", "set", "b1", "--text", "Ilvane", "-w", workspace).fault
    ok("label", "set", "b1", "--text", "Ilvane", "--passage", TOWER_ID, "-w", workspace)
    ok("label", "set", "b1", "--text", "1840", "-w", workspace)  # in the passage of the label before
    assert labels(workspace, "--question", "b1") == {"b1": ("human", "1840")}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--text", "x", "--no-answer"),
        ("--text", "x", "--passage", "p", "--start", "1", "--end", "2"),
        ("--start", "1", "--end", "2"),
        ("--passage", "p", "--start", "1"),
        ("--passage", "p", "--passage", "r", "--start", "1", "--end", "2"),
        ("--passage", "p"),
    ],
)
def test_an_answer_is_given_in_one_way_only(workspace: Path, arguments: tuple[str, ...]) -> None:
    assert run("label", "set", "q3", *arguments, "-w", workspace).code == 2


def test_a_withdrawn_label_is_gone_and_the_reason_stays(workspace: Path) -> None:
    (label,) = ok("label", "withdraw", "q3", "--reason", "wrong tower", "--reviewer-name", "eunji", "-w", workspace)[
        "labels"
    ]
    assert label["withdrawal_reason"] == "wrong tower (eunji)"
    assert "q3" not in labels(workspace)
    assert "no live label" in run("label", "withdraw", "q3", "--reason", "again", "-w", workspace).fault
    assert run("label", "withdraw", "q3", "-w", workspace).code == 2  # without a reason


def test_after_a_withdrawn_pseudo_label_no_model_labels_the_question_until_a_person_does(predicted: Path) -> None:
    database = open_workspace(predicted).database()
    ok("label", "withdraw", "p1", "--reason", "no mill", "-w", predicted)
    with database.read() as session:
        assert queries.pool_to_predict(session) == []
        assert "no mill" in str(queries.question(session, "p1").exclusion_reason)
    label = set_label(database, "p1", Correction(text="Oren"), reviewer="eunji")
    with database.read() as session:
        assert queries.question(session, "p1").exclusion_reason is None
    database.close()
    assert label.kind == "human"


def test_a_correction_is_refused_while_another_process_works_here(workspace: Path) -> None:
    with open_workspace(workspace).lock("labeler round"):
        assert "labeler round" in run("label", "set", "q3", "--text", "1840", "-w", workspace).fault
        assert "labeler round" in run("label", "withdraw", "q3", "--reason", "x", "-w", workspace).fault
    assert labels(workspace, "--question", "q3") == {"q3": ("gold", "Ilvane")}


def test_history_lists_the_events_of_a_question_in_order(predicted: Path) -> None:
    ok("label", "set", "p1", "--text", "Tarn", "--reviewer-name", "eunji", "-w", predicted)
    told = ok("history", "p1", "-w", predicted)
    assert told["question"]["text"] == "Who keeps the mill?"
    kinds = [event["kind"] for event in told["events"]]
    assert kinds[:2] == ["import", "prediction"]
    assert kinds.index("label") < kinds.index("label_withdrawn")
    made = [event["detail"] for event in told["events"] if event["kind"] == "label"]
    assert [each["label_kind"] for each in made] == ["pseudo", "human"]
    assert made[1]["parent_id"] == made[0]["label_id"]
    assert made[0]["model_hash"] == "m" * 64


def test_history_reads_as_sentences_for_people(predicted: Path) -> None:
    ok("label", "set", "p1", "--text", "Tarn", "--reviewer-name", "eunji", "-w", predicted)
    told = run("history", "p1", "-w", predicted).out
    assert "'Oren', confidence 93.0 %, decision: train, model mmmmmmmmmmmm" in told
    assert "'Oren', not exportable, training weight 0.6, model mmmmmmmmmmmm" in told
    assert "replaced by hand (eunji)" in told
    reviewed = run("history", "p2", "-w", predicted).out
    assert "random, blind, 1 passages, done" in reviewed
    assert "eunji: answerable 'Tarn' (written)" in reviewed


def test_history_never_shows_a_hidden_answer(workspace: Path, tmp_path: Path) -> None:
    file = squad(tmp_path / "pool.json", {"Oren keeps the mill.": [("p1", "Who keeps the mill?", "Oren")]})
    ok("import", file, "--as", "pool", "-w", workspace)
    assert "Oren" not in run("history", "p1", "--json", "-w", workspace).out


def test_the_history_of_no_question_is_refused(workspace: Path) -> None:
    assert "'q9' is not stored" in run("history", "q9", "-w", workspace).fault
