"""Tasks as Label Studio imports them, and its annotations as reviews: JSON only, no server."""

from __future__ import annotations

import copy
import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.rows import AnswerRow, NewReview, PassageRow, SpanRow, TaskRow
from labeler.review.presentation import passage_order
from labeler.review.studio.annotations import read_annotation, reviewer_name, storable
from labeler.review.studio.payloads import MODEL_VERSION, task_key, task_payload
from mrc.text.graphemes import whole_graphemes

FIRST, SECOND = "서울에서 태어난 이순신은 조선의 무신이다.", "한산도에서 이겼다. 서울로 돌아왔다."
TEXTS = {"a": FIRST, "b": SECOND}
WHEN = datetime(2024, 5, 1, tzinfo=UTC)


def a_task(*passages: str, blind: bool = False, question_id: str = "q1", attempt: int = 0) -> TaskRow:
    return TaskRow(7, 1, question_id, "random", blind, 0, passages or ("a", "b"), attempt, 1, "open", WHEN, None)


def an_answer(passage: str, text: str, score: float = 0.5) -> AnswerRow:
    start = TEXTS[passage].index(text)
    return AnswerRow(text, passage, start, start + len(text), score, score)


def sent(task: TaskRow, *answers: AnswerRow, texts: dict[str, str] = TEXTS, slots: int = 2) -> dict[str, Any]:
    rows = {key: PassageRow(key, "d", 0, text, f"title of {key}") for key, text in texts.items()}
    return task_payload(
        task, round_uid="r" * 32, push_id="push", question="어디?", passages=rows, passage_slots=slots, answers=answers
    )


SUGGESTED = sent(a_task(), an_answer("a", "서울", 0.6), an_answer("b", "한산도", 0.3))


def prefilled() -> list[dict[str, Any]]:
    """What the server saves where a reviewer accepts the suggestion unchanged."""
    result = copy.deepcopy(SUGGESTED["predictions"][0]["result"])
    return [{**each, "origin": "prediction"} for each in result]


def region(start: Any, end: Any, place: int = 1, label: str = "Answer", **more: Any) -> dict[str, Any]:
    name, text = f"answer{place}", f"p{place}"
    value = {"start": start, "end": end, "text": "?", "labels": [label]}
    return {"from_name": name, "to_name": text, "type": "labels", "origin": "manual", "value": value, **more}


def verdict(*said: str) -> dict[str, Any]:
    return {"from_name": "verdict", "to_name": "p1", "type": "choices", "value": {"choices": list(said)}}


def comment(*said: str) -> dict[str, Any]:
    return {"from_name": "comment", "to_name": "p1", "type": "textarea", "value": {"text": list(said)}}


def typed(text: str) -> dict[str, Any]:
    return {"from_name": "typed", "to_name": "p1", "type": "textarea", "value": {"text": [text]}}


def read(*result: dict[str, Any], **annotation: Any) -> tuple[NewReview | None, str | None]:
    data = annotation.pop("data", SUGGESTED["data"])
    full = {"id": 3, "updated_at": "2024-05-01T00:00:00Z", "was_cancelled": False, "result": list(result)}
    pulled = read_annotation(
        {**full, **annotation}, task=a_task(), data=data, question="어디?", passages=TEXTS, reviewer="kim@x"
    )
    assert (pulled.review is None) == (pulled.problem is not None)
    return pulled.review, pulled.problem


# --- tasks out -----------------------------------------------------------------------------------


def test_a_task_has_its_passages_titles_and_ids_and_nothing_else() -> None:
    assert sent(a_task("b"), slots=2)["data"] == {
        "question": "어디?",
        "p1": SECOND,
        "p2": "",
        "t1": "title of b",
        "t2": "",
        "question_id": "q1",
        "task": task_key("r" * 32, "q1", 0),
        "push_id": "push",
    }


def test_the_best_answer_is_suggested_and_the_others_are_candidates_with_their_scores() -> None:
    (prediction,) = SUGGESTED["predictions"]
    first, second, said = prediction["result"]
    assert prediction["model_version"] == MODEL_VERSION
    assert prediction["score"] == 0.6
    assert (first["from_name"], first["to_name"], first["score"]) == ("answer1", "p1", 0.6)
    assert first["value"] == {"start": 0, "end": 2, "text": "서울", "labels": ["Answer"]}
    assert (second["from_name"], second["to_name"], second["score"]) == ("answer2", "p2", 0.3)
    assert second["value"] == {"start": 0, "end": 3, "text": "한산도", "labels": ["Candidate"]}
    assert (said["from_name"], said["value"]) == ("verdict", {"choices": ["answerable"]})


def test_only_answers_in_the_passages_shown_are_suggested_each_span_once_and_three_at_most() -> None:
    elsewhere = AnswerRow("x", "c", 0, 1, 0.9, 0.9)
    again = an_answer("a", "서울", 0.4)
    many = [AnswerRow(FIRST[at], "a", at, at + 1, 0.3 - at / 100, 0.1) for at in range(3, 10) if FIRST[at] != " "]
    task = sent(a_task(), elsewhere, again, again, an_answer("b", "서울로", 0.35), *many)
    regions = [each for each in task["predictions"][0]["result"] if each["type"] == "labels"]
    assert [each["score"] for each in regions[:2]] == [0.4, 0.35]
    assert [each["value"]["labels"] for each in regions] == [["Answer"], ["Candidate"], ["Candidate"]]
    assert [each["id"] for each in regions] == ["candidate1", "candidate2", "candidate3"]


def test_of_overlapping_candidates_the_best_is_shown() -> None:
    task = sent(
        a_task(),
        an_answer("a", "서울"),
        an_answer("a", "서울에서"),
        an_answer("a", "울에서 태"),
        an_answer("a", "에서"),
    )
    spans = [(each["value"]["start"], each["value"]["end"]) for each in task["predictions"][0]["result"][:-1]]
    assert spans == [(0, 2), (2, 4)]  # they touch, and do not overlap


def test_a_candidate_below_a_twentieth_of_the_best_score_is_not_shown() -> None:
    low, lower = an_answer("a", "이순신", 0.05), an_answer("b", "서울로", 0.6 / 20 - 1e-6)
    regions = sent(a_task(), an_answer("b", "한산도", 0.6), lower, low)["predictions"][0]["result"][:-1]
    assert [each["score"] for each in regions] == [0.6, 0.05]


def test_without_an_answer_in_its_passages_a_task_has_no_suggestion() -> None:
    assert set(sent(a_task())) == {"data"}
    assert set(sent(a_task(), AnswerRow("x", "c", 0, 1, 0.9, 0.9))) == {"data"}


def test_a_task_with_more_passages_than_the_page_has_room_for_is_refused() -> None:
    with pytest.raises(ValueError, match="task 7 has 2 passages, its review page has room for 1"):
        sent(a_task("a", "b"), slots=1)


def test_a_blind_task_carries_no_trace_of_a_prediction() -> None:
    task = sent(a_task(blind=True), an_answer("a", "서울", 0.987654))
    assert set(task) == {"data"}
    plain = sent(a_task())["data"]
    assert {**task["data"], "p1": "", "p2": "", "t1": "", "t2": ""} == {**plain, "p1": "", "p2": "", "t1": "", "t2": ""}
    assert "0.98" not in json.dumps(task)


def test_a_blind_page_shows_passages_in_an_order_that_does_not_depend_on_retrieval() -> None:
    ids = tuple("abcde")
    orders = {passage_order(a_task(*some, blind=True)) for some in (ids, ids[::-1], ("c", "a", "e", "b", "d"))}
    assert len(orders) == 1
    assert sorted(*orders) == list(ids)
    firsts = {passage_order(a_task(*ids, blind=True, question_id=f"q{number}"))[0] for number in range(60)}
    assert firsts == set(ids)
    assert passage_order(a_task(*ids[::-1])) == ids[::-1]


def test_task_keys_differ_by_round_question_and_attempt() -> None:
    keys = {task_key(uid, question, attempt) for uid in ("u", "v") for question in ("q", "0 q") for attempt in (0, 1)}
    assert len(keys) == 8
    assert task_key("u", "q", 1) == task_key("u", "q", 1)
    assert all(len(key) == 24 and set(key) <= set("0123456789abcdef") for key in keys)


# --- offsets both ways ---------------------------------------------------------------------------

PIECES = (
    "서울에서",
    unicodedata.normalize("NFD", "서울에서"),
    "👨‍👩‍👧‍👦",
    "👍🏽",
    "𠮷",
    "e\u0301",
    "ก็",
    "\n",
    "\r\n",
    "\r",
    "\u2028",
    "\x85",
    "\u00a0",
    "\u200b",
    "\t",
    "  ",
    "<b>",
    "</p>",
    "&amp;",
    "&#10;",
    "<script>",
    '"',
    "\\n",
    "$p1",
)
WILD = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
    min_size=1,
    max_size=12,
).map("".join)


@given(data=st.data(), texts=st.lists(WILD, min_size=1, max_size=5, unique=True), blind=st.booleans())
def test_a_span_survives_the_round_trip_in_any_text(data: st.DataObject, texts: list[str], blind: bool) -> None:
    passages = {f"id{number}": text for number, text in enumerate(texts)}
    key, text = data.draw(st.sampled_from([each for each in passages.items() if each[1].strip()] or [("", "")]))
    if not text:
        return
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    answer = AnswerRow(text[start:end], key, start, end, 0.5, 0.5)
    task = a_task(*passages, blind=blind)
    rows = {each: PassageRow(each, "d", 0, passages[each], "") for each in passages}
    out = task_payload(
        a_task(*passage_order(task)),  # a blind task takes no suggestion: its page as a suggested task
        round_uid="r",
        push_id="p",
        question="?",
        passages=rows,
        passage_slots=5,
        answers=[answer],
    )
    there = json.loads(json.dumps(out))  # through JSON, as over HTTP
    result = there["predictions"][0]["result"]
    for each in result:
        each["origin"] = "prediction"
        if each["type"] == "labels":
            each["value"]["text"] = each["value"]["text"].replace("\n", "\\n")  # as the page saves it
    pulled = read_annotation(
        {"id": 1, "updated_at": "t", "result": result},
        task=task,
        data=there["data"],
        question="?",
        passages=passages,
        reviewer="kim",
    )
    if text[start:end].strip():
        assert pulled.review is not None
        start, end = whole_graphemes(text, start, end)
        assert pulled.review.answer == SpanRow(text[start:end], key, start, end)
        assert pulled.review.origin == "accepted"
    else:
        assert pulled.problem is not None
        assert pulled.problem.startswith("only white space is marked")


# --- annotations in ------------------------------------------------------------------------------


def test_an_accepted_suggestion_is_a_review_with_time_and_comment() -> None:
    review, _ = read(*prefilled(), comment("맞음", "good"), lead_time=12.5)
    assert review == NewReview(
        task_id=7,
        reviewer="kim@x",
        verdict="answerable",
        answer=SpanRow("서울", "a", 0, 2),
        origin="accepted",
        seconds=12.5,
        comment="맞음\ngood",
        source="studio",
    )


def test_a_blind_answer_belongs_to_the_passage_shown_at_its_position() -> None:
    task = a_task(blind=True)
    order = passage_order(task)
    data = sent(task)["data"]
    annotation = {"id": 1, "updated_at": "t", "result": [region(0, 2, place=2), verdict("answerable")]}
    pulled = read_annotation(annotation, task=task, data=data, question="어디?", passages=TEXTS, reviewer="kim")
    assert pulled.review is not None
    assert pulled.review.answer == SpanRow(TEXTS[order[1]][:2], order[1], 0, 2)


@pytest.mark.parametrize(
    ("result", "span", "origin"),
    [
        ([region(0, 2), verdict("answerable")], (0, 2), "written"),
        ([region(0, 2, origin=None), verdict("answerable")], (0, 2), "written"),
        ([region(0, 4, origin="prediction-changed"), verdict("answerable")], (0, 4), "changed"),
        ([*prefilled(), region(0, 2)], (0, 2), "accepted"),
        ([region(0, 2), *prefilled()], (0, 2), "accepted"),
        ([*prefilled(), region(5, 7, label="Candidate")], (0, 2), "accepted"),
        ([region(5, 8), region(0, 2, label="Candidate"), verdict("answerable")], (5, 8), "written"),
    ],
    ids=["drawn", "no origin", "moved", "drawn again", "drawn before", "candidate drawn", "demoted"],
)
def test_the_origin_of_an_answer_is_accepted_changed_or_written(
    result: list[dict[str, Any]], span: tuple[int, int], origin: str
) -> None:
    review, problem = read(*result)
    assert problem is None
    assert review is not None
    assert review.answer == SpanRow(FIRST[slice(*span)], "a", *span)
    assert review.origin == origin


def test_a_candidate_made_the_answer_replaces_the_remaining_suggestion() -> None:
    result = prefilled()
    result[1]["value"]["labels"] = ["Answer"]
    result[1]["origin"] = "prediction-changed"
    review, _ = read(*result)
    assert review is not None
    assert review.answer == SpanRow("한산도", "b", 0, 3)
    assert review.origin == "changed"


@pytest.mark.parametrize(
    ("result", "answer", "origin"),
    [
        ([region(0, 2)], SpanRow("서울", "a", 0, 2), "written"),
        ([region(0, 2), verdict()], SpanRow("서울", "a", 0, 2), "written"),
        ([*prefilled()[:2]], SpanRow("서울", "a", 0, 2), "accepted"),
        ([*prefilled(), region(5, 7)], SpanRow("태어", "a", 5, 7), "written"),
        ([*prefilled(), region(0, 2)], SpanRow("서울", "a", 0, 2), "accepted"),  # drawn over the suggestion
        ([*prefilled()[:2], verdict("candidate1")], SpanRow("서울", "a", 0, 2), "accepted"),
        ([*prefilled()[:2], verdict("candidate2")], SpanRow("한산도", "b", 0, 3), "changed"),
        ([*prefilled()[:2], region(0, 3, place=2), verdict("candidate2")], SpanRow("한산도", "b", 0, 3), "changed"),
        ([*prefilled(), typed("이순신")], SpanRow("이순신", "a", 9, 12), "written"),
        ([typed(" 한산도 ")], SpanRow("한산도", "b", 0, 3), "written"),
        ([typed("태어난이순신")], SpanRow("태어난 이순신", "a", 5, 12), "written"),  # without its space
        ([typed("서울")], SpanRow("서울", "a", 0, 2), "written"),  # the first of two
        ([typed("서울"), region(11, 13, place=2)], SpanRow("서울", "b", 11, 13), "written"),  # the one that is marked
    ],
)
def test_what_the_reviewer_did_wins_over_an_untouched_suggestion(
    result: list[dict[str, Any]], answer: SpanRow, origin: str
) -> None:
    review, problem = read(*result)
    assert problem is None
    assert review is not None
    assert (review.verdict, review.answer, review.origin) == ("answerable", answer, origin)


def test_no_answer_wins_over_an_untouched_suggestion() -> None:
    review, problem = read(*prefilled()[:2], verdict("no_answer"))
    assert problem is None
    assert review is not None
    assert (review.verdict, review.answer) == ("no_answer", None)


def test_a_region_with_both_labels_is_the_answer() -> None:
    both = region(0, 2)
    both["value"]["labels"] = ["Candidate", "Answer"]
    review, _ = read(both, verdict("answerable"))
    assert review is not None
    assert review.answer == SpanRow("서울", "a", 0, 2)


RELABELLED = region(0, 3, place=2, origin="prediction-changed")
EDITED = {**SUGGESTED["data"], "p2": SECOND + " "}


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ([], "no verdict"),
        ([verdict()], "no verdict"),
        ([region(0, 2, label="Candidate")], "no verdict"),
        ([region(0, 2), verdict("answerable", "no_answer")], "several verdicts (answerable, no_answer)"),
        ([verdict("perhaps")], "unknown verdict 'perhaps'"),
        ([verdict("answerable")], "answerable without an answer marked"),
        ([region(0, 2, label="Candidate"), verdict("answerable")], "answerable without an answer marked"),
        ([region(0, 2), region(3, 5), verdict("answerable")], "two answers marked"),
        ([region(0, 2), region(0, 2, place=2), verdict("answerable")], "two answers marked"),
        ([*prefilled(), region(5, 7), region(0, 4)], "two answers marked"),
        ([*prefilled(), region(5, 7), RELABELLED], "two answers marked"),
        ([*prefilled(), region(5, 7), RELABELLED, region(0, 4)], "3 answers marked"),
        ([*prefilled()[:2], region(5, 7), verdict("candidate2")], "two answers marked"),
        ([verdict("candidate2")], "candidate 2 is chosen and not marked"),
        ([*prefilled()[:2], verdict("candidate3")], "candidate 3 is chosen and not marked"),
        ([verdict("candidate0")], "unknown verdict 'candidate0'"),
        ([typed("부산")], "the typed answer is in no passage ('부산')"),
        ([typed("서울"), region(5, 7)], "two answers marked"),
        ([typed("서울"), verdict("no_answer")], "no_answer but an answer is marked"),
        ([region(3, 5, origin="prediction-changed"), RELABELLED, verdict("answerable")], "two answers marked"),
        ([region(0, 2), verdict("no_answer")], "no_answer but an answer is marked"),
        ([*prefilled()[:2], region(5, 7), verdict("no_answer")], "no_answer but an answer is marked"),
        (
            [region(0, 9999), verdict("answerable")],
            f"answer outside the text (p1 has {len(FIRST)} characters, marked is 0-9999)",
        ),
        (
            [region(0, len(FIRST) + 1), verdict("answerable")],
            f"answer outside the text (p1 has {len(FIRST)} characters, marked is 0-{len(FIRST) + 1})",
        ),
        (
            [region(-1, 2), verdict("answerable")],
            f"answer outside the text (p1 has {len(FIRST)} characters, marked is -1-2)",
        ),
        (
            [region(2, 2), verdict("answerable")],
            f"answer outside the text (p1 has {len(FIRST)} characters, marked is 2-2)",
        ),
        ([region(None, 2), verdict("answerable")], "answer outside the text (p1: marked is None-2)"),
        ([region(0, True), verdict("answerable")], "answer outside the text (p1: marked is 0-True)"),
        ([region("x", 2.0), verdict("answerable")], "answer outside the text (p1: marked is 'x'-2.0)"),
        ([region(0, 2, place=5), verdict("answerable")], "answer outside the text (p5 is empty)"),
        ([region(4, 5), verdict("answerable")], "only white space is marked (p1: 4-5)"),
        (
            [region(0, 2, from_name="spans"), verdict("answerable")],
            "an answer is marked by 'spans', which is not on our page",
        ),
        (
            [region(0, 2, to_name="p2"), verdict("answerable")],
            "an answer is marked by 'answer1', which is not on our page",
        ),
    ],
)
def test_an_unreadable_annotation_has_a_reason(result: list[dict[str, Any]], problem: str) -> None:
    assert read(*result) == (None, problem)


@pytest.mark.parametrize("said", [[*prefilled()], [verdict("no_answer")]], ids=["answerable", "no_answer"])
def test_an_edited_passage_is_reported(said: list[dict[str, Any]]) -> None:
    without = {key: value for key, value in SUGGESTED["data"].items() if key != "p1"}
    assert read(*said, data=EDITED) == (None, "the passage was edited in Label Studio (p2)")
    assert read(*said, data=without) == (None, "the passage was edited in Label Studio (p1)")


def test_no_answer_and_bad_question_have_no_answer() -> None:
    review, _ = read(*prefilled()[1:2], verdict("no_answer"))
    assert review is not None
    assert (review.verdict, review.answer, review.origin) == ("no_answer", None, None)
    review, _ = read(*prefilled()[:2], region(0, 9999), verdict("bad_question"), data=EDITED)
    assert review is not None
    assert (review.verdict, review.answer, review.origin) == ("bad_question", None, None)


def test_a_skip_is_a_skip_whatever_it_contains() -> None:
    review, _ = read(*prefilled(), region(0, 9999), comment("?"), was_cancelled=True, data=EDITED)
    assert review is not None
    assert (review.verdict, review.answer, review.origin, review.comment) == ("skipped", None, None, "?")


@pytest.mark.parametrize("lead_time", [None, -1.0, float("nan"), float("inf"), "12"])
def test_an_invalid_time_is_left_out(lead_time: Any) -> None:
    review, _ = read(*prefilled(), lead_time=lead_time)
    assert review is not None
    assert review.seconds is None


@pytest.mark.parametrize("result", [{"a": 1}, ["x"], "Answer", 5, [None]])
def test_a_result_that_is_not_a_list_of_regions_is_a_problem(result: Any) -> None:
    assert read(result=result) == (None, "its result is not a list of regions")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["Answer", "answerable", "p1", "answer1", "\x00"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["value", "labels", "choices", "from_name", "start"]), inner, max_size=5)
        ),
        max_leaves=12,
    )
)
def test_any_json_is_either_a_review_or_a_problem(result: Any) -> None:
    read(result=result)


def test_characters_that_a_database_refuses_are_replaced() -> None:
    assert storable({"a\x00": ["b\ud83d", 1, None, ("👍",)]}) == {"a�": ["b�", 1, None, ["👍"]]}
    review, _ = read(*prefilled(), comment("zero \x00 half \ud800."))
    assert review is not None
    assert review.comment == "zero � half �."


@given(WILD)
def test_storable_text_stays_unchanged(text: str) -> None:
    assert storable(text) == text.replace("\x00", "�")


@pytest.mark.parametrize(
    ("completed_by", "name"),
    [
        (1, "kim@example.com"),
        (7, "user 7"),
        (None, "unknown user"),
        ({"id": 1, "email": "new@example.com"}, "new@example.com"),
        ({"id": 1}, "kim@example.com"),
        ({"id": 2, "email": "x" * 300}, "x" * 255),
    ],
)
def test_a_reviewer_has_one_stable_name(completed_by: Any, name: str) -> None:
    assert reviewer_name(completed_by, {1: "kim@example.com"}) == name
