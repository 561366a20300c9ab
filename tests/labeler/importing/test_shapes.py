"""Files as people have them: each shape gives the question, the span and the title that its tool means."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labeler.core.errors import FileError, ImportRefused
from labeler.importing.formats import Content, ReadOptions, StudioMap, parse_studio_map, read_content
from mrc.errors import DataError

EN = "The harbour of Velmora was founded in 1213 by Oda Brin. It was rebuilt in 1377 after the great flood."
KO = "벨모라 항구는 1213년에 오다 브린이 세웠다. 대홍수 뒤 1377년에 다시 지어졌다."
ASKED = "Who founded the harbour?"
START = EN.index("Oda Brin")
QA = {"id": "q1", "question": ASKED, "answers": [{"text": "Oda Brin", "answer_start": START}]}


def written(folder: Path, name: str, content: Any) -> str:
    """A file with a text, bytes, or the JSON of any other value."""
    data = content if isinstance(content, bytes | str) else json.dumps(content, ensure_ascii=False)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return str(folder / name)


def lines(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def article(*qas: Mapping[str, Any], context: str = EN, **more: Any) -> dict[str, Any]:
    return {"data": [{"title": "Velmora", "paragraphs": [{"context": context, "qas": list(qas)}], **more}]}


def table(*rows: Mapping[str, Any], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def answers(content: Content) -> dict[str, Any]:
    """Question id -> answers as (text, start), or True where it is known to have none; None where nothing is known."""
    found: dict[str, Any] = {}
    for question in content.questions:
        spans = [(span.text, span.start) for span in question.answers]
        found[question.id] = spans or question.is_impossible or None
        assert all(question.context and question.context.text[s : s + len(t)] == t for t, s in spans)
    return found


ODA = [("Oda Brin", START)]

# --- SQuAD-shaped files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "qa",
    [
        {"id": "q1", "answers": {"text": "Oda Brin", "answer_start": START, "clue_text": "x", "clue_start": 3}},
        {"id": "q1", "answers": {"text": ["Oda Brin"], "answer_start": [START]}},
        {"id": "q1", "answer": {"text": "Oda Brin", "answer_start": START, "html_answer_start": 99}},
        {"id": "q1", "answer": "Oda Brin", "answer_start": START},
        {"id": "q1", "answer": "Oda Brin", "answer_start": float(START)},
        {"id": "q1", "answers": ["Oda Brin"]},
        {"id": "q1", "answers": "Oda Brin"},
        {"question_id": "q1", "answers": [{"text": "Oda Brin", "answer_start": str(START)}]},
        {"qid": "q1", "detected_answers": [{"text": "Oda Brin", "char_spans": [[START, START + 7]]}]},
        {"guid": "q1", "answers": [{"text": "Oda Brin", "answer_start": START}], "is_impossible": False},
        {"questionId": "q1", "answers": [{"text": "Oda Brin", "answer_start": START}], "isImpossible": "False"},
    ],
)  # fmt: skip
def test_every_way_to_write_one_answer_is_the_same_answer(tmp_path: Path, qa: dict[str, Any]) -> None:
    content = read_content(written(tmp_path, "a.json", article({"question": ASKED, **qa})))
    assert (answers(content), content.rejected, content.format) == ({"q1": ODA}, (), "squad")
    flat = {"question": ASKED, "context": EN, "title": "Velmora", **qa}
    for name, text in (("b.jsonl", lines(flat)), ("c.json", [flat]), ("d.json", {"data": [flat]})):
        again = read_content(written(tmp_path, name, text))
        assert [(q.answers, q.context) for q in again.questions] == [(q.answers, q.context) for q in content.questions]


@pytest.mark.parametrize(("given", "kept"), [(262, "262"), (262.0, "262"), ("262", "262"), (0, "0"), (-5, "-5")])
def test_ids_may_be_whole_numbers(tmp_path: Path, given: Any, kept: str) -> None:
    file = written(tmp_path, "a.json", article({**QA, "id": given}))
    assert list(answers(read_content(file))) == [kept]
    flat = written(tmp_path, "a.jsonl", lines({**QA, "id": given, "context": EN}))
    assert list(answers(read_content(flat))) == [kept]


@pytest.mark.parametrize(
    "empty",
    [
        {"answers": [{"text": "", "answer_start": 0, "answer_category": None}]},
        {"answers": [{"text": "", "answer_start": -1}]},
        {"answers": None},
        {"answers": []},
        {"answers": [""]},
        {"answers": {"text": [], "answer_start": []}},
        {"answers": {"text": [""], "answer_start": [-1]}},
        {"answer": ""},
        {},
    ],
)
@pytest.mark.parametrize("flag", [True, "True", "true", 1, 1.0, "1"])
def test_an_unanswerable_question_may_have_any_kind_of_empty_answer(tmp_path: Path, empty: Any, flag: Any) -> None:
    qa = {"id": "q2", "question": "Who sank it?", "is_impossible": flag, **empty}
    for name, content in (("a.json", article(qa)), ("a.jsonl", lines({**qa, "context": EN}))):
        found = read_content(written(tmp_path, name, content))
        assert (answers(found), found.rejected) == ({"q2": True}, ())


@pytest.mark.parametrize(
    "empty", [{"answers": []}, {"answers": [""]}, {"answers": {"text": [], "answer_start": []}}, {"answer": ""}]
)
def test_an_empty_answer_without_a_flag_is_no_answer_or_rejected_as_the_user_says(tmp_path: Path, empty: Any) -> None:
    qa = {"id": "q2", "question": "Who sank it?", **empty}
    for name, content in (("a.json", article(qa)), ("a.jsonl", lines({**qa, "context": EN}))):
        file = written(tmp_path, name, content)
        taken = read_content(file)
        assert answers(taken) == {"q2": True}
        assert "1 questions with an empty answer and without is_impossible" in taken.notes[0]
        refused = read_content(file, options=ReadOptions(empty="reject"))
        assert (refused.questions, len(refused.rejected)) == ((), 1)
        assert "--empty none" in refused.rejected[0].why
        assert answers(read_content(file, options=ReadOptions(empty="unlabelled"))) == {"q2": None}


def test_a_question_without_any_field_for_answers_is_not_labelled(tmp_path: Path) -> None:
    for empty in ({}, {"answers": None}, {"is_impossible": False, "answers": []}):
        file = written(tmp_path, "a.jsonl", lines({"id": "q", "question": "Who?", "context": EN, **empty}))
        assert answers(read_content(file)) == {"q": None}


def test_is_impossible_with_a_real_answer_is_a_contradiction(tmp_path: Path) -> None:
    found = read_content(written(tmp_path, "a.json", article({**QA, "is_impossible": True}, {**QA, "id": "q2"})))
    assert [row.why for row in found.rejected] == ["is_impossible is true, but it has answers"]
    assert list(answers(found)) == ["q2"]


def test_a_page_of_korquad_2_is_stored_as_given_with_exact_offsets(tmp_path: Path) -> None:
    page = (
        f"<html><body>\n<h1>벨모라</h1>\n<p>{KO}</p>\n<table><tr><td>1213</td></tr></table></body></html>"
        + " " * 50_000
    )
    start = page.index("오다 브린")
    answer = {"text": "오다 브린", "answer_start": start, "html_answer_start": 42, "html_answer_text": "오다 브린"}
    cell = {"text": "<td>1213</td>", "answer_start": page.index("<td>1213</td>"), "html_answer_start": 7}
    qas = [{"id": "1", "question": "누가?", "answer": answer}, {"id": 2, "question": "언제?", "answer": cell}]
    data = {"title": "벨모라", "url": "https://ko.example/x", "raw_html": "<html>", "context": page, "qas": qas}
    found = read_content(written(tmp_path, "a.json", {"version": "KorQuAD_2.1_train", "data": [data]}))
    assert answers(found) == {"1": [("오다 브린", start)], "2": [("<td>1213</td>", page.index("<td>1213</td>"))]}
    assert [(passage.text, passage.title) for passage in found.passages] == [(page, "벨모라")]
    assert found.rejected == ()


def test_spans_of_ai_hub_are_imported_and_other_kinds_are_counted_by_name(tmp_path: Path) -> None:
    def asked(number: int, text: str, start: int | None = None, **more: Any) -> dict[str, Any]:
        qa = {"question_id": f"m{number}", "question": f"질문 {number}?", "is_impossible": False}
        inner = {"text": text, "answer_start": start, "clue_text": "x", "clue_start": 3, **more.pop("inner", {})}
        return {**qa, "answers": inner, **more}

    span, year = KO.index("오다 브린"), KO.index("1377년")
    qas = [
        asked(1, "오다 브린", span),
        asked(2, "예", None),
        asked(3, "Yes", -1),
        asked(4, "없는 보기", None, inner={"options": ["없는 보기", "다른 보기"]}),
        asked(5, "1377년", year, inner={"options": ["1377년", "1213년"]}),
        asked(6, "먼저 세우고 다시 지었다", 3, question_type="절차형"),
        {"question_id": "m7", "question": "왜?", "answers": {"text": "", "clue_text": ""}, "is_impossible": True},
    ]
    paragraphs = [{"context_id": 1, "context": KO, "qas": qas}]
    data = {"Dataset": {"version": "1"}, "data": [{"doc_id": 1, "doc_title": "벨모라", "paragraphs": paragraphs}]}
    found = read_content(written(tmp_path, "a.json", data))
    assert answers(found) == {"m1": [("오다 브린", span)], "m5": [("1377년", year)], "m7": True}
    assert {q.context.title for q in found.questions if q.context} == {"벨모라"}
    assert [row.where.rpartition("qas")[2] for row in found.rejected] == [
        "[1] (id m2)", "[2] (id m3)", "[3] (id m4)", "[5] (id m6)"
    ]  # fmt: skip
    kinds = next(note for note in found.notes if "left out" in note)
    assert "2 yes/no, 1 multiple-choice, 1 question_type 절차형" in kinds
    assert any("doc_id, context_id" in note for note in found.notes)


def test_klue_mrc_of_the_hub_has_plausible_answers_that_are_none(tmp_path: Path) -> None:
    columns = {"text": ["Oda Brin"], "answer_start": [START]}
    row = {"guid": "klue-mrc-v1_train_1", "title": "T", "context": EN, "question": ASKED, "answers": columns}
    known = {**row, "question_type": 1, "is_impossible": False}
    none = {**row, "guid": "klue-mrc-v1_train_2", "question": "Who?", "question_type": 3, "is_impossible": True}
    lost = {**known, "guid": "klue-mrc-v1_dev_3", "answers": {"text": ["nobody"], "answer_start": [0]}}
    bare = {**none, "guid": "klue-mrc-v1_train_4", "question": "When?", "answers": []}
    found = read_content(written(tmp_path, "a.jsonl", lines(known, none, lost, bare)))
    assert answers(found) == {known["guid"]: ODA, none["guid"]: True, lost["guid"]: None, bare["guid"]: True}
    assert found.questions[2].texts == ("nobody",)
    assert "1 unanswerable questions of KLUE-MRC have plausible answers" in found.notes[0]
    assert "1 question_type 1" in found.notes[1]


def test_the_first_ai_hub_files_have_one_paragraph_an_article(tmp_path: Path) -> None:
    answer = {"text": "오다 브린", "answer_start": KO.index("오다 브린")}
    qas = [{"id": "9_f2_wiki_2822-1", "question": "누가?", "answers": [answer], "classtype": "work_who"}]
    data = {"creator": "x", "version": 1, "data": [{"paragraphs": [{"qas": qas, "context": KO}], "title": "벨모라"}]}
    assert list(answers(read_content(written(tmp_path, "a.json", data)))) == ["9_f2_wiki_2822-1"]


def test_files_of_farm_and_of_haystacks_annotation_tool(tmp_path: Path) -> None:
    gold = {"answer_id": 5, "document_id": 3, "question_id": 4, "text": "Oda Brin", "answer_start": START}
    none = {"answer_id": 6, "document_id": 3, "text": "", "answer_start": 0, "answer_category": None}
    qas = [
        {"question": ASKED, "id": 11001, "answers": [{**gold, "answer_end": 54}], "is_impossible": False},
        {"question": "Who sank it?", "id": 11002, "answers": [none], "is_impossible": True},
    ]
    data = {"data": [{"paragraphs": [{"qas": qas, "context": EN, "document_id": 3}]}]}
    found = read_content(written(tmp_path, "a.json", data))
    assert answers(found) == {"11001": ODA, "11002": True}
    row = {"document_identifier": "a.txt", "document_id": 3, "question": ASKED, "answer_start": START}
    row |= {"text": "Oda Brin", "answer_category": "SHORT", "file_name": "a.txt", "context": EN}
    (question,) = read_content(written(tmp_path, "a.csv", table(row))).questions
    assert [(span.text, span.start) for span in question.answers] == ODA
    assert question.context
    assert (question.context.text, question.context.title) == (EN, "a.txt")


def test_labels_and_documents_of_haystack(tmp_path: Path) -> None:
    document = {"id": "d", "content": EN, "content_type": "text", "meta": {"name": "harbour.txt"}}
    answer = {"answer": "Oda Brin", "type": "extractive", "offsets_in_document": [{"start": START, "end": 54}]}
    label = {"id": "l1", "query": ASKED, "document": document, "answer": answer, "no_answer": False}
    wrong = {**label, "id": "l2", "is_correct_answer": False}
    none = {**label, "id": "l3", "answer": None, "no_answer": True}
    found = read_content(written(tmp_path, "a.json", [{**label, "is_correct_answer": True}, wrong, none]))
    assert answers(found) == {"l1": ODA, "l3": True}
    assert "not correct" in found.rejected[0].why
    assert [(p.text, p.title) for p in read_content(written(tmp_path, "b.json", [document])).passages] == [
        (EN, "harbour.txt")
    ]


# --- tables, datasets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "{'text': ['Oda Brin'], 'answer_start': [46]}",
        "{'text': array(['Oda Brin'], dtype=object), 'answer_start': array([46], dtype=int32)}",
        "{'answer_start': array([46]), 'text': array(['Oda Brin'], dtype='<U8')}",
        "[{'text': \"Oda Brin\", 'answer_start': np.int64(46)}]",
        "{'text': ['Oda Brin'], 'answer_start': [46.0]}",
        '{"text": ["Oda Brin"], "answer_start": [46]}',
        "['Oda Brin']",
        "['Oda Brin' 'Oda Brin']",
        "Oda Brin",
    ],
)
def test_a_cell_may_hold_what_python_prints(tmp_path: Path, cell: str) -> None:
    row = {"": 0, "id": "a1", "title": "v", "context": EN, "question": ASKED, "answers": cell}
    found = read_content(written(tmp_path, "a.csv", table(row)))
    assert (answers(found), found.rejected, found.notes) == ({"a1": ODA}, (), ())


def test_numbers_of_pandas(tmp_path: Path) -> None:
    rows = [
        {"id": "a1", "context": EN, "question": ASKED, "answer": "Oda Brin", "answer_start": "46.0"},
        {"id": "a2", "context": EN, "question": "Who sank it?", "answer": "", "answer_start": ""},
    ]
    assert answers(read_content(written(tmp_path, "a.csv", table(*rows)))) == {"a1": ODA, "a2": True}
    text = json.dumps({**rows[0], "title": float("nan"), "answer_start": 46.0}) + "\n"
    (question,) = read_content(written(tmp_path, "a.jsonl", text)).questions
    assert question.context
    assert question.context.title == ""
    assert question.answers[0].start == 46


def test_a_cell_with_a_shortened_or_broken_array_says_what_is_wrong(tmp_path: Path) -> None:
    for cell, why in (
        ("{'text': array(['Oda', ..., 'Brin'], dtype=object)}", "numpy shortened it"),
        ("{'text': ['Oda Brin'", "it ends too early"),
        ("[__import__('os').system('x')]", "nor a list as Python prints it"),
    ):
        row = {"id": "a1", "context": EN, "question": ASKED, "answers": cell}
        (rejected,) = read_content(written(tmp_path, "a.csv", table(row))).rejected
        assert why in rejected.why


def test_answers_nested_in_answers_are_refused_at_any_depth(tmp_path: Path) -> None:
    value: Any = "Oda Brin"
    for depth in range(400):
        value = {"text": [value]} if depth % 2 else {"text": value}
    for answer in (value, [value], {"text": [[value]]}, [[[[1]]]]):
        record = {"id": "q", "question": ASKED, "context": EN, "answers": answer, "answer_start": value}
        found = read_content(written(tmp_path, "a.jsonl", lines(record)))
        assert (len(found.questions), len(found.rejected)) == (0, 1)


SQUAD_ROW = {
    "id": "h1",
    "title": "V",
    "context": EN,
    "question": ASKED,
    "answers": {"text": ["Oda Brin"], "answer_start": [START]},
    "document_id": 630,
    "__index_level_0__": 42,
}


def test_a_folder_with_one_split_is_read_and_one_with_several_asks(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list([SQUAD_ROW])
    bare = datasets.Dataset.from_list([{"question": ASKED, "id": "mrc-0-1"}])
    datasets.DatasetDict({"validation": bare}).save_to_disk(str(tmp_path / "test"))
    datasets.DatasetDict({"train": one, "validation": one}).save_to_disk(str(tmp_path / "train"))
    assert answers(read_content(str(tmp_path / "test"))) == {"mrc-0-1": None}
    with pytest.raises(ImportRefused, match="has the splits train, validation; name one"):
        read_content(str(tmp_path / "train"))
    found = read_content(str(tmp_path / "train" / "train"))
    assert answers(found) == {"h1": ODA}
    assert "document_id" in found.notes[0]
    assert "__index_level_0__" not in found.notes[0]


def test_a_dataset_of_squad_v2_has_empty_answers_and_no_flag(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    empty = {**SQUAD_ROW, "id": "h2", "answers": {"text": [], "answer_start": []}}
    datasets.Dataset.from_list([SQUAD_ROW, empty]).save_to_disk(str(tmp_path / "v2"))
    assert answers(read_content(str(tmp_path / "v2"))) == {"h1": ODA, "h2": True}


def test_a_dataset_of_mrqa_has_its_spans_in_columns(tmp_path: Path) -> None:
    spans = {"text": ["Oda Brin"], "char_spans": [{"start": [START], "end": [START + 7]}]}
    row = {"qid": "x", "context": EN, "question": ASKED, "detected_answers": spans, "answers": ["Oda Brin"]}
    assert answers(read_content(written(tmp_path, "a.jsonl", lines(row)))) == {"x": ODA}


def test_a_parquet_file(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow.Table.from_pylist([SQUAD_ROW]), tmp_path / "a.parquet")
    found = read_content(str(tmp_path / "a.parquet"))
    assert (answers(found), found.format) == ({"h1": ODA}, "parquet")
    assert "document_id" in found.notes[0]
    pyarrow.parquet.write_table(arrow.Table.from_pylist([{"x": 1}]), tmp_path / "b.parquet")
    with pytest.raises(ImportRefused, match="none of its columns is a question"):
        read_content(str(tmp_path / "b.parquet"))
    for broken in (b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", (tmp_path / "a.parquet").read_bytes()[:-9], b""):
        with pytest.raises((ImportRefused, FileError)) as caught:
            read_content(written(tmp_path, "c.parquet", broken))
        assert "c.parquet" in str(caught.value)
        assert "\n" not in str(caught.value)


# --- corpora, open questions ----------------------------------------------------------------------------------------


def test_a_corpus_as_one_object(tmp_path: Path) -> None:
    document = {
        "text": KO,
        "corpus_source": "위키피디아",
        "url": "TODO",
        "domain": None,
        "title": "벨모라",
        "html": None,
    }
    data = {"0": {**document, "document_id": 0}, "1": {**document, "text": EN, "title": "Velmora", "document_id": 1}}
    found = read_content(written(tmp_path, "wikipedia_documents.json", data))
    assert [(passage.text, passage.title) for passage in found.passages] == [(KO, "벨모라"), (EN, "Velmora")]
    assert "url, document_id" in found.notes[0]


def test_corpus_and_queries_of_beir(tmp_path: Path) -> None:
    corpus = lines(
        {"_id": "d1", "title": "Velmora", "text": EN, "metadata": {}}, {"_id": "d2", "title": "", "text": KO}
    )
    assert [p.title for p in read_content(written(tmp_path, "corpus.jsonl", corpus)).passages] == ["Velmora", ""]
    queries = written(tmp_path, "queries.jsonl", lines({"_id": "q1", "text": ASKED, "metadata": {}}))
    assert [(q.id, q.text) for q in read_content(queries).questions] == [("q1", ASKED)]
    assert len(read_content(queries, options=ReadOptions(texts_are_passages=True)).passages) == 1
    qrels = written(tmp_path, "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    with pytest.raises(ImportRefused, match="line 1: the first row must name the fields"):
        read_content(qrels)


def test_passages_and_questions_of_dpr(tmp_path: Path) -> None:
    tsv = table({"id": 1, "text": EN, "title": "Velmora"}, {"id": 2, "text": KO, "title": "벨모라"}, delimiter="\t")
    assert [p.title for p in read_content(written(tmp_path, "psgs.tsv", tsv)).passages] == ["Velmora", "벨모라"]
    other = "Nothing of that kind is here."
    record = {
        "dataset": "nq",
        "question": "who founded the harbour",
        "answers": ["oda brin"],
        "positive_ctxs": [{"title": "Velmora", "text": EN, "score": 1000, "passage_id": "1"}],
        "negative_ctxs": [],
        "hard_negative_ctxs": [{"title": "Other", "text": other, "passage_id": "2"}],
    }
    found = read_content(written(tmp_path, "dev.json", [record]))
    assert list(answers(found).values()) == [ODA]
    assert [passage.title for passage in found.passages] == ["Velmora", "Other"]
    retrieved = {"question": "who", "answers": ["Oda Brin"], "ctxs": [{"title": "a", "text": other}, {"text": EN}]}
    assert list(answers(read_content(written(tmp_path, "r.json", [retrieved]))).values()) == [ODA]
    nowhere = {**retrieved, "answers": ["nobody"]}
    (question,) = read_content(written(tmp_path, "n.json", [nowhere])).questions
    assert (question.context, question.texts) == (None, ("nobody",))
    qa = written(tmp_path, "nq-test.qa.csv", "who founded it\t['Oda Brin', \"Brin\"]\nwhen\t['1213']\n")
    assert [(q.text, q.texts) for q in read_content(qa, format="csv").questions] == [
        ("who founded it", ("Oda Brin", "Brin")), ("when", ("1213",))
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [["Oda Brin", "Brin"], {"value": "Oda Brin", "aliases": ["Brin"], "type": "x"},
                                    {"Value": "Oda Brin", "Aliases": ["Brin"]}])  # fmt: skip
def test_open_questions_have_answers_as_text(tmp_path: Path, answer: Any) -> None:
    file = written(tmp_path, "NQ-open.dev.jsonl", lines({"question": "who founded the harbour", "answer": answer}))
    (question,) = read_content(file).questions
    assert (question.context, question.answers, question.texts) == (None, (), ("Oda Brin", "Brin"))


def test_mrqa_has_a_header_and_passages_with_questions(tmp_path: Path) -> None:
    header = {"header": {"dataset": "SQuAD", "split": "dev"}}
    found_spans = [{"text": "Oda Brin", "char_spans": [[START, START + 7]], "token_spans": [[9, 10]]}]
    qas = [{"qid": "x", "id": "y", "question": ASKED, "answers": ["Oda Brin"], "detected_answers": found_spans}]
    packed = gzip.compress(lines(header, {"id": "", "context": EN, "qas": qas}).encode())
    found = read_content(written(tmp_path, "SQuAD.jsonl.gz", packed))
    assert (answers(found), found.rejected, found.format) == ({"y": ODA}, (), "jsonl")


# --- annotation tools -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spans",
    [
        {"label": [[START, START + 8, "Answer"], [0, 3, "Other"]]},
        {"labels": [[START, START + 8, "answer"]]},
        {"label": [[START, START + 8, "WHO"]]},
        {"entities": [{"id": 1, "label": "정답", "start_offset": START, "end_offset": START + 8}], "relations": []},
        {"annotations": [{"label": 1, "start_offset": START, "end_offset": START + 8, "user": 1}]},
    ],
)
def test_spans_of_doccano_answer_the_question_that_was_uploaded_with_the_text(tmp_path: Path, spans: Any) -> None:
    record = {"id": 7, "text": EN, "question": ASKED, "Comments": [], **spans}
    assert answers(read_content(written(tmp_path, "all.jsonl", lines(record)))) == {"7": ODA}
    nested = {"id": 7, "text": EN, "meta": {"question": ASKED}, **spans}
    assert answers(read_content(written(tmp_path, "all.jsonl", lines(nested)))) == {"7": ODA}
    bare = read_content(written(tmp_path, "all.jsonl", lines({"id": 7, "text": EN, **spans})))
    assert "a field named question" in bare.rejected[0].why


def region(start: int, end: int, *labels: str, text: str | None = None, to: str = "text") -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text if text is not None else EN[start:end], "labels": list(labels)}
    return {"id": "r", "from_name": "answer", "to_name": to, "type": "labels", "value": value}


def task(*results: dict[str, Any], data: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "result": list(results), "was_cancelled": False, **more}
    return {"id": 12, "data": data or {"text": EN, "question": ASKED}, "annotations": [annotation], "predictions": []}


ANSWER = region(START, START + 8, "Answer")


def test_the_question_answering_template_of_label_studio(tmp_path: Path) -> None:
    assert answers(read_content(written(tmp_path, "a.json", [task(ANSWER)]))) == {"12": ODA}
    row = {"id": 12, "text": EN, "question": ASKED, "answer": [ANSWER["value"]], "annotator": 1, "annotation_id": 3}
    assert answers(read_content(written(tmp_path, "m.json", [row]))) == {"12": ODA}
    old = {"id": 12, "data": {"text": EN, "question": ASKED}, "completions": [{"result": [ANSWER]}]}
    assert answers(read_content(written(tmp_path, "o.json", [old]))) == {"12": ODA}


def test_other_pages_with_text_and_labels_are_mapped_by_their_regions_or_by_name(tmp_path: Path) -> None:
    data = {"source": "a book", "frage": ASKED, "absatz": EN, "key": "k9"}
    marked = [region(START, START + 8, "Found", to="t"), region(0, 3, "Other", to="t")]
    file = written(tmp_path, "a.json", [task(*marked, data=data)])
    assert "--label-studio-map question=FIELD" in read_content(file).rejected[0].why
    given = parse_studio_map("question=frage, label=Found, id=key, title=source")
    found = read_content(file, options=ReadOptions(studio=given))
    assert answers(found) == {"k9": ODA}
    assert found.questions[0].context
    assert found.questions[0].context.title == "a book"
    assert any("other labels" in note for note in found.notes)
    wrong = read_content(file, options=ReadOptions(studio=StudioMap(question="frage", context="nope")))
    assert "no text 'nope' in the data" in wrong.rejected[0].why


@pytest.mark.parametrize("text", ["question", "question=", "what=x", "question=a,question=b", ""])
def test_a_map_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not NAME=FIELD|named twice"):
        parse_studio_map(text)


def test_a_typed_question_newlines_skips_and_empty_annotations(tmp_path: Path) -> None:
    typed = {"from_name": "question", "to_name": "text", "type": "textarea", "value": {"text": [ASKED]}}
    assert answers(read_content(written(tmp_path, "a.json", [task(typed, ANSWER, data={"text": EN})]))) == {"12": ODA}
    two = "one\ntwo three"
    lined = region(0, 7, "Answer", text="one\\ntwo")
    found = read_content(written(tmp_path, "b.json", [task(lined, data={"text": two, "question": "What?"})]))
    assert answers(found) == {"12": [("one\ntwo", 0)]}
    assert answers(read_content(written(tmp_path, "c.json", [task()]))) == {"12": True}
    skipped = read_content(written(tmp_path, "d.json", [task(ANSWER, was_cancelled=True)]))
    assert answers(skipped) == {"12": None}
    assert "1 tasks were skipped" in skipped.notes[0]
    none = {"from_name": "v", "to_name": "text", "type": "choices", "value": {"choices": ["No answer"]}}
    flagged = read_content(written(tmp_path, "e.json", [task(none)]), options=ReadOptions(empty="reject"))
    assert answers(flagged) == {"12": True}


def test_a_region_on_an_html_page_is_placed_by_its_text(tmp_path: Path) -> None:
    page = "<p>The harbour was founded by <b>Oda Brin</b>.</p>"
    value = {"start": "/p[1]/b[1]/text()[1]", "end": "/p[1]/b[1]/text()[1]", "startOffset": 0, "endOffset": 8}
    region = {
        "to_name": "page",
        "type": "hypertextlabels",
        "value": {**value, "text": "Oda Brin", "hypertextlabels": ["Answer"]},
    }
    found = read_content(written(tmp_path, "a.json", [task(region, data={"page": page, "question": ASKED})]))
    assert answers(found) == {"12": [("Oda Brin", page.index("Oda Brin"))]}


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 5), (9, 3), (0, 10_000), (10**30, 10**30 + 1)])
def test_a_region_outside_of_its_text_is_rejected_and_the_other_tasks_are_read(
    tmp_path: Path, start: int, end: int
) -> None:
    bad = {**ANSWER, "value": {"start": start, "end": end, "labels": ["Answer"]}}
    found = read_content(written(tmp_path, "a.json", [{**task(bad), "id": 1}, task(ANSWER)]))
    assert (answers(found), len(found.rejected)) == ({"12": ODA}, 1)


def test_tasks_of_this_tool_belong_to_as_reviews(tmp_path: Path) -> None:
    data = {"task": "k", "push_id": "file", "question_id": "q", "question": ASKED, "p1": EN}
    found = read_content(written(tmp_path, "a.json", [task(ANSWER, data=data)]))
    assert "--as reviews" in found.rejected[0].why


# --- names, packing, folders ----------------------------------------------------------------------------------------


def test_fields_that_look_like_ids_or_documents_are_named_once(tmp_path: Path) -> None:
    record = {**QA, "context": EN, "paragraph_id": 4, "DocID": 7, "wiki-id": "x", "level": "hard", "title": "V"}
    found = read_content(written(tmp_path, "a.jsonl", lines(record, {**record, "id": "q2"})))
    (note,) = found.notes
    assert "paragraph_id, DocID, wiki-id;" in note
    assert "level" not in note


def test_a_prefix_keeps_files_that_share_ids_apart(tmp_path: Path) -> None:
    file = written(tmp_path, "a.json", article(QA, {**QA, "id": 7}))
    assert list(answers(read_content(file, options=ReadOptions(id_prefix="kq-")))) == ["kq-q1", "kq-7"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(article(QA))),
        ("a.json", json.dumps(article(QA), indent=2)),
        ("a.json", lines({**QA, "context": EN}, {**QA, "id": "q2", "context": EN})),
        ("a.jsonl", json.dumps([{**QA, "context": EN}])),
        ("a.jsonl", json.dumps([{**QA, "context": EN}], indent=1)),
        ("a.json", json.dumps({**QA, "context": EN})),
        ("a.json", json.dumps({"q1": {**QA, "context": EN}})),
        ("a.json", json.dumps({"rows": [{"row_idx": 0, "row": {**QA, "context": EN}}]})),
        ("a.csv", table({"id": "q1", "question": ASKED, "context": EN, "answers": "Oda Brin"})),
        ("a.tsv", table({"id": "q1", "question": ASKED, "context": EN, "answers": "Oda Brin"}, delimiter="\t")),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_json_lines_arrays_and_tables_are_told_apart_packed_or_not(
    tmp_path: Path, name: str, content: str, packed: bool, encoding: str
) -> None:
    data = content.encode(encoding)
    file = written(tmp_path, name + ".gz" * packed, gzip.compress(data) if packed else data)
    assert answers(read_content(file))["q1"] == ODA


def test_lists_of_records_under_names_of_splits(tmp_path: Path) -> None:
    record = {**QA, "context": EN}
    splits = {"version": 1, "train": [record], "dev": [{**record, "id": "q2"}], "test": []}
    found = read_content(written(tmp_path, "a.json", splits))
    assert [(question.id, question.split) for question in found.questions] == [("q1", "train"), ("q2", "dev")]
    assert found.rejected == ()
    one = {**record, "answers": [{"text": "Oda Brin", "answer_start": START}, {"text": "Oda"}]}
    assert answers(read_content(written(tmp_path, "b.json", one))) == {"q1": [("Oda", START), *ODA]}


def test_a_record_with_a_list_of_other_records_keeps_its_question(tmp_path: Path) -> None:
    record = {**QA, "context": EN, "similar": [{"id": "s1", "question": "Who built it?"}]}
    assert answers(read_content(written(tmp_path, "a.json", record))) == {"s1": None, "q1": ODA}


def test_a_packed_file_is_the_same_import_as_the_plain_one(tmp_path: Path) -> None:
    text = json.dumps(article(QA)).encode()
    plain, packed = written(tmp_path, "a.json", text), written(tmp_path, "a.json.gz", gzip.compress(text))
    assert read_content(plain).sha256 == read_content(packed).sha256


def test_a_folder_names_the_files_that_it_does_not_take(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    written(folder, "a.txt", "A text.")
    written(folder, "b.md.gz", gzip.compress(b"# A title\n\nAnother."))
    written(folder / "sub", "c.pdf", b"%PDF")
    written(folder, "d.jsonl", lines({"text": "x"}))
    written(folder, ".hidden", "x")
    found = read_content(str(folder))
    assert [passage.title for passage in found.passages] == ["a", "A title"]
    assert [row.where for row in found.rejected] == [str(folder / "d.jsonl"), str(folder / "sub" / "c.pdf")]
    (folder / "a.txt").unlink()
    (folder / "b.md.gz").unlink()
    with pytest.raises(ImportRefused, match=r"no \.txt or \.md file in it; it has d.jsonl, sub/c.pdf"):
        read_content(str(folder))


# --- broken in the middle -------------------------------------------------------------------------------------------


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a value with another one at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize(
    ("path", "new", "words"),
    [
        (("data",), 7, "data: it must be a list, not a number"),
        (("data", 0), "x", "data[0]: it must be an object, not text"),
        (("data", 0), {"title": "x"}, "data[0].paragraphs: missing; a list"),
        (("data", 0, "title"), ["x"], "data[0]: title must be text, not a list"),
        (("data", 0, "paragraphs"), 7, "data[0].paragraphs: it must be a list, not a number"),
        (("data", 0, "paragraphs", 0), [], "data[0].paragraphs[0]: it must be an object, not a list"),
        (("data", 0, "paragraphs", 0, "context"), None, "data[0].paragraphs[0].context: missing; a text is needed"),
        (("data", 0, "paragraphs", 0, "context"), 7, "data[0].paragraphs[0]: context must be text, not a number"),
        (("data", 0, "paragraphs", 0, "qas"), {}, "data[0].paragraphs[0].qas: it must be a list, not an object"),
        (("data", 0, "paragraphs", 0, "qas", 1), 1, "data[0].paragraphs[0].qas[1]: it must be an object"),
        (("data", 0, "paragraphs", 0, "qas", 1, "question"), None, "qas[1].question: missing; a text is needed"),
        (("data", 0, "paragraphs", 0, "qas", 1, "question"), {}, "qas[1] (id q2): question must be text"),
        (("data", 0, "paragraphs", 0, "qas", 1, "id"), [1], "qas[1]: id must be text, not a list"),
        (("data", 0, "paragraphs", 0, "qas", 1, "answers"), 5, "qas[1] (id q2): answers must be a list or an object"),
        (("data", 0, "paragraphs", 0, "qas", 1, "answers", 0), 5, "qas[1] (id q2): an answer must be a text or"),
        (("data", 0, "paragraphs", 0, "qas", 1, "answers", 0, "answer_start"), 1.5, "must be a whole number, not 1.5"),
    ],
)
def test_a_broken_place_of_a_squad_file_is_named(tmp_path: Path, path: tuple[Any, ...], new: Any, words: str) -> None:
    file = written(tmp_path, "a.json", changed(article(QA, {**QA, "id": "q2"}), path, new))
    with pytest.raises(DataError) as caught:
        read_content(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


WHOLE: dict[str, Callable[[], str]] = {
    "a.json": lambda: json.dumps(article(QA, {**QA, "id": "q2"})),
    "b.json": lambda: json.dumps([{**QA, "context": EN}] * 2),
    "c.json": lambda: json.dumps({"1": {"text": EN}, "2": {"text": KO}}),
    "d.jsonl": lambda: lines({**QA, "context": EN}, {**QA, "id": "q2", "context": EN}),
    "e.json": lambda: json.dumps([task(ANSWER)] * 2),
}


@pytest.mark.parametrize("name", list(WHOLE))
@pytest.mark.parametrize("share", [0.1, 0.45, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused_with_line_and_column(tmp_path: Path, name: str, share: float) -> None:
    text = WHOLE[name]()
    file = written(tmp_path, name, text[: int(len(text) * share)])
    with pytest.raises((DataError, ImportRefused)) as caught:
        read_content(file)
    assert str(caught.value).startswith(f"{file}: line ")
    assert "column" in str(caught.value)
    assert "not JSON" in str(caught.value)


def test_gzip_that_is_cut_off_broken_or_too_small_for_its_content(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(article(QA)).encode())
    damaged = packed[:30] + bytes([packed[30] ^ 255]) + packed[31:]
    bomb = gzip.compress(b'[{"question": "' + b"x" * (40 << 20) + b'"}]')
    for content, words in (
        (packed[:-12], "broken or cut off gzip data"),
        (damaged, "broken or cut off gzip data"),
        (bomb, "unpacks to over 100 times its size"),
    ):
        with pytest.raises(FileError, match=words):
            read_content(written(tmp_path, "a.json.gz", content))


def test_an_archive_is_to_be_unpacked_first(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a zip archive; unpack it"):
        read_content(written(tmp_path, "a.json", b"PK\x03\x04" + b"x" * 50))


@pytest.mark.parametrize("content", [{"version": "1"}, {"answers": [1, 2]}, {}, {"data": {"a": 1}}])
def test_an_object_that_is_no_known_shape_says_what_is_needed(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match=r"data.*missing; a list"):
        read_content(written(tmp_path, "a.json", content))


# --- documentation --------------------------------------------------------------------------------------------------


def documented() -> list[tuple[str, str]]:
    """File name and content of every example in the table of docs/formats.md."""
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "`" in line]
    return [(name.strip(" `"), example.strip(" |`").replace("⏎", "\n").replace("⇥", "\t")) for _, name, example in rows]


@pytest.mark.parametrize(("name", "example"), documented(), ids=[name for name, _ in documented()])
def test_every_example_of_the_documentation_is_read(tmp_path: Path, name: str, example: str) -> None:
    found = read_content(written(tmp_path, name, example))
    assert found.rejected == ()
    assert len(found.questions) + len(found.passages) >= 1
    if "Oda" in example and found.questions and found.questions[0].context:
        assert [span.text for span in found.questions[0].answers] == ["Oda"]


def test_the_documentation_has_an_example_of_every_shape() -> None:
    assert len(documented()) == 20
