"""SQuAD-style files: read, anchored, rejected, written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.errors import DataError
from mrc.squad import Rejected, SquadVersion, parse_squad, read_contexts, read_squad, write_squad
from mrc.text import passage_id, question_id
from mrc.types import Example, Span

CONTEXT = "Ada met Bo. Bo met Cy in 1999."


def file_of(*qas: dict[str, Any], context: str = CONTEXT) -> dict[str, Any]:
    return {"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": context, "qas": list(qas)}]}]}


def qa(*answers: tuple[str, int], id_: str = "q1", **more: Any) -> dict[str, Any]:
    found = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": id_, "question": "Who?", "answers": found, **more}


def one(question: dict[str, Any]) -> Example:
    examples, rejected = read_squad(file_of(question), where="f.json")
    assert rejected == []
    return examples[0]


def test_an_answer_at_its_offset_becomes_a_span() -> None:
    example = one(qa(("Cy", 19)))
    assert example == Example("q1", "Who?", CONTEXT, (Span(passage_id(CONTEXT), 19, 21, "Cy"),), "T", None)
    assert CONTEXT[19:21] == "Cy"


def test_offsets_count_code_points() -> None:
    examples, _ = read_squad(file_of(qa(("답", 2)), context="😀 답이다"), where="f.json")
    assert (examples[0].answers[0].start, examples[0].answers[0].end) == (2, 3)


@pytest.mark.parametrize("start", [-1, -5, 0, 20, 10**12])  # CONTEXT[-5:-1] is "1999" too
def test_an_answer_elsewhere_moves_to_the_only_place_where_it_occurs(start: int) -> None:
    assert one(qa(("1999", start))).answers[0].start == CONTEXT.index("1999")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (("Bo", 1), "more than once"),
        (("Dee", 0), "does not occur"),
        (("", 3), "empty"),
        ((" ", 3), "empty"),
        (("cy", 19), "does not occur"),
    ],
)
def test_an_answer_that_cannot_be_placed_rejects_its_question(answer: tuple[str, int], why: str) -> None:
    examples, rejected = read_squad(file_of(qa(answer)), where="f.json")
    assert examples == []
    assert rejected[0].where == "f.json: data[0].paragraphs[0].qas[0] (id q1)"
    assert why in rejected[0].why


def test_overlapping_occurrences_count_separately() -> None:
    _, rejected = read_squad(file_of(qa(("aba", 5)), context="x ababa"), where="f.json")
    assert "more than once" in rejected[0].why


def test_a_question_keeps_its_good_answers_and_lists_the_bad() -> None:
    examples, rejected = read_squad(file_of(qa(("Cy", 19), ("Dee", 0))), where="f.json")
    assert [span.text for span in examples[0].answers] == ["Cy"]
    assert len(rejected) == 1


def test_equal_gold_spans_are_merged_the_most_frequent_first_then_the_earliest() -> None:
    example = one(qa(("1999", 25), ("Bo", 12), ("Bo", 8), ("Cy", 19), ("Cy", 19)))
    assert [(span.text, span.start) for span in example.answers] == [("Cy", 19), ("Bo", 8), ("Bo", 12), ("1999", 25)]


def test_klue_ids_are_guids_and_plausible_answers_are_ignored() -> None:
    question = {
        "guid": "klue-1",
        "question": "Who?",
        "question_type": 3,
        "is_impossible": True,
        "answers": [],
        "plausible_answers": [{"text": "Cy", "answer_start": 19}],
    }
    data = file_of(question)
    data["data"][0] |= {"news_category": None, "source": "wiki"}
    examples, rejected = read_squad(data, where="f.json")
    assert rejected == []
    assert (examples[0].id, examples[0].answers, examples[0].is_impossible) == ("klue-1", (), True)


def test_a_question_without_id_gets_the_hash_of_question_and_context() -> None:
    assert one({"question": "Who?"}).id == question_id("Who?", CONTEXT)


def test_an_unlabelled_question_is_not_impossible() -> None:
    assert one({"id": "q", "question": "Who?"}).is_impossible is None
    assert one(qa(is_impossible=False)).is_impossible is False


def test_an_impossible_question_with_answers_is_rejected() -> None:
    examples, rejected = read_squad(file_of(qa(("Cy", 19), is_impossible=True)), where="f.json")
    assert examples == []
    assert "is_impossible" in rejected[0].why


@pytest.mark.parametrize(("question", "why"), [("  ", "empty"), ("\ud83d who?", "surrogate")])
def test_a_question_without_text_is_rejected(question: str, why: str) -> None:
    examples, rejected = read_squad(file_of(qa(("Cy", 19)) | {"question": question}), where="f.json")
    assert examples == []
    assert why in rejected[0].why


def test_an_empty_context_is_listed_once_with_the_number_of_its_questions() -> None:
    examples, rejected = read_squad(file_of(qa(), qa(), context=""), where="f.json")
    assert examples == []
    assert rejected == [Rejected("f.json: data[0].paragraphs[0]", "the context is empty; its 2 questions are left out")]


def _with(path: str, value: Any) -> dict[str, Any]:
    """A good file in which the place named holds something else; ... removes it."""
    data: Any = file_of(qa(("Cy", 19)))
    node = data
    *parents, last = path.replace("[", ".[").split(".")
    for part in parents:
        node = node[int(part[1:-1])] if part.startswith("[") else node[part]
    key: Any = int(last[1:-1]) if last.startswith("[") else last
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize("value", [..., None, 3])
@pytest.mark.parametrize(
    "path",
    [
        "data",
        "data[0].paragraphs",
        "data[0].paragraphs[0].context",
        "data[0].paragraphs[0].qas",
        "data[0].paragraphs[0].qas[0].question",
        "data[0].paragraphs[0].qas[0].answers[0].text",
    ],
)
def test_a_missing_or_wrong_field_is_named_with_its_path(path: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        read_squad(_with(path, value), where="f.json")
    assert str(caught.value).startswith(f"f.json: {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data[0]", "x"),
        ("data[0].title", 3),
        ("data[0].paragraphs[0]", []),
        ("data[0].paragraphs[0].qas[0]", "x"),
        ("data[0].paragraphs[0].qas[0].id", 7),
        ("data[0].paragraphs[0].qas[0].is_impossible", "no"),
        ("data[0].paragraphs[0].qas[0].answers", {"text": ["Cy"]}),
        ("data[0].paragraphs[0].qas[0].answers[0]", "Cy"),
        ("data[0].paragraphs[0].qas[0].answers[0].answer_start", "19"),
        ("data[0].paragraphs[0].qas[0].answers[0].answer_start", True),
        ("data[0].paragraphs[0].qas[0].answers[0].answer_start", 19.0),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_path(path: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        read_squad(_with(path, value), where="f.json")
    assert str(caught.value).startswith(f"f.json: {path}: it must be ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [}', "f.json: line 1 column 11: not JSON"),
        ("", "f.json: line 1 column 1: not JSON"),
        ("[1]", "f.json: the file must be an object, not list"),
        ("[" * 100_000, "f.json: not SQuAD JSON: nested too deeply"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_refused_with_its_position(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_squad(text, where="f.json")
    assert str(caught.value).startswith(message)


def test_contexts_are_read_once_each_even_without_questions() -> None:
    data = file_of()
    data["data"][0]["paragraphs"] += [{"context": CONTEXT, "qas": []}, {"context": "x", "qas": []}]
    passages, rejected = read_contexts(data, where="f.json")
    assert [(p.id, p.text, p.title) for p in passages] == [
        (passage_id(CONTEXT), CONTEXT, "T"),
        (passage_id("x"), "x", "T"),
    ]
    assert rejected == []


# Contexts of distinct letters: every slice occurs once, so that a slice and its offset determine each other.
contexts = st.permutations("abcdef 가나다라마").map("".join).filter(str.strip)


@st.composite
def examples_of(draw: st.DrawFn) -> list[Example]:
    examples = []
    for number in range(draw(st.integers(0, 5))):
        context, title = draw(contexts), draw(st.sampled_from(["", "T", "제목"]))
        starts = draw(st.lists(st.integers(0, 9), max_size=3, unique=True))
        spans = tuple(Span(passage_id(context), s, s + 2, context[s : s + 2]) for s in sorted(starts))
        examples.append(Example(f"q{number}", f"Q {number}?", context, spans, title, not spans))
    return examples


@given(examples_of())
def test_written_examples_are_read_back_grouped_by_title(examples: list[Example]) -> None:
    data = json.loads(json.dumps(write_squad(examples, version="squad_v2")))
    back, rejected = read_squad(data, where="f.json")
    assert rejected == []
    assert sorted(back, key=lambda e: e.id) == examples


def test_a_squad_file_has_the_shape_that_the_official_scripts_load() -> None:
    spans = (Span(passage_id(CONTEXT), 19, 21, "Cy"),)
    examples = [Example(f"q{n}", "Who?", CONTEXT, spans, "T") for n in range(2)]
    data = write_squad(examples, version="squad")
    assert data["version"] == "1.1"
    assert [len(article["paragraphs"]) for article in data["data"]] == [1]
    qas = [question for article in data["data"] for paragraph in article["paragraphs"] for question in paragraph["qas"]]
    assert [question["id"] for question in qas] == ["q0", "q1"]
    assert [answer["text"] for question in qas for answer in question["answers"]] == ["Cy", "Cy"]
    assert all("is_impossible" not in question for question in qas)


@pytest.mark.parametrize(
    ("impossible", "version", "why"),
    [
        (True, "squad", "squad_v2"),
        (None, "squad", "no label"),
        (None, "squad_v2", "no label"),
        (False, "squad_v2", "no label"),
    ],
)
def test_what_a_format_cannot_express_is_refused_with_the_id(
    impossible: bool | None, version: SquadVersion, why: str
) -> None:
    with pytest.raises(DataError, match=f"q7.*{why}"):
        write_squad([Example("q7", "Who?", CONTEXT, (), "T", impossible)], version=version)


def test_a_repeated_id_is_refused() -> None:
    example = Example("q7", "Who?", CONTEXT, (), "T", True)
    with pytest.raises(DataError, match="q7 occurs twice"):
        write_squad([example, example], version="squad_v2")


@pytest.mark.skipif(not os.environ.get("LABELER_DATA"), reason="LABELER_DATA is not set")
@pytest.mark.parametrize(("name", "count"), [("KorQuAD_v1.0_dev.json", 5774), ("new_wiki_v1.0.json", 7938)])
def test_real_files_are_read_completely_and_every_span_is_in_its_context(name: str, count: int) -> None:
    text = Path(os.environ["LABELER_DATA"], name).read_text(encoding="utf-8")
    examples, rejected = read_squad(parse_squad(text, where=name), where=name)
    assert (len(examples), rejected) == (count, [])
    assert all(e.answers and e.context[s.start : s.end] == s.text for e in examples for s in e.answers)
    back, _ = read_squad(write_squad(examples, version="squad"), where=name)
    assert {e.id: e for e in back}.keys() == {e.id for e in examples}
