"""Every question of a file is read, and scored by the texts of its golds as the official scripts do."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from db import queries
from labeler.cli import cli
from labeler.core.runtime import Runtime
from labeler.core.settings import ReadSection
from labeler.evaluation.evaluate import evaluate
from labeler.evaluation.reader_metrics import question_scores
from labeler.importing.ingest import import_files
from labeler.labels.export import export_labels
from labeler.reading.answer_file import FileAnswers, answer_file
from labeler.reading.question_file import read_questions
from labeler.reading.reader_spec import ReaderSpec
from labeler.retrieval.indexing import build_index
from mrc.errors import BadCheckpoint, DataError
from mrc.text.graphemes import graphemes
from tests import official
from tests.mrc import tiny
from tests.worlds import at

CONFIG = ReadSection(max_seq_length=96, doc_stride=24, max_answer_length=12)
Script = Callable[[official.Data, Mapping[str, str]], tuple[float, float]]

CITY = 'The city of New\nYork lies  on the Hudson. It was called NEW AMSTERDAM\u00a0once, by an (odd) "rule".'
MILL = "Mira Oland founded the mill of Tarn in 1893. The mill stands in Tarn; it is a mill."
SCHOOL = "한빛 학당은 1921년에 문을 열었다. 가람 선생이 《한빛》을 세웠다."


def qa(id_: Any, question: str, *golds: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {"id": id_, "question": question, "answers": [{"text": t, "answer_start": s} for t, s in golds], **more}


def squad_file(*paragraphs: tuple[str, list[dict[str, Any]]], flags: bool = False) -> dict[str, Any]:
    """A file; `flags`: SQuAD 2.0, where every question says whether it is impossible."""
    data = [{"context": context, "qas": list(qas)} for context, qas in paragraphs]
    for each in data if flags else ():
        each["qas"] = [{"is_impossible": not one["answers"], **one} for one in each["qas"]]
    return {"version": "v2.0" if flags else "1.1", "data": [{"title": "T", "paragraphs": data}]}


def english(*, flags: bool) -> dict[str, Any]:
    """Golds that stand nowhere, at another place, in other letters or spaces, twice, and that are empty or normalise to
    nothing; the same question twice, and once more under another id; questions without gold."""
    founder = qa("q1", "Who founded the mill?", ("Mira Oland", 0), ("Mira", 0), ("Mira Oland", 0))
    mill = [
        founder,
        founder,
        qa("q2", "Who founded the mill?", ("Oland", 5)),
        qa("q3", "When?", ("1894", 38)),
        qa("q4", "What stands there?", ("the", 19), ("A mill", 78)),
        qa("q5", "What is it?", ("", 0)),
        qa("q6", "Where?", ("Tarn", 99)),
        qa("q7", "Where was it sunk?"),
        qa("q8", "Who sank the mill of Tarn?", is_impossible=True) if flags else qa("q8", "Who sank it?", ("the", 19)),
    ]
    city = [
        qa("c1", "Which city?", ("New York", 12)),
        qa("c2", "What was it called?", ("New Amsterdam", 56)),
        qa("c3", "What was it called once?", ("NEW AMSTERDAM once", 56)),
        qa("c4", "Where?", (" on the Hudson ", 26)),
        qa("c5", "By what?", ("an odd rule", 90), ("rule", 0)),
    ]
    return squad_file((MILL, mill), (CITY, city), flags=flags)


def korean() -> dict[str, Any]:
    school = [
        qa("k1", "누가 세웠는가?", ("가람 선생", 21)),
        qa("k2", "언제 문을 열었는가?", ("1921 년", 7), ("1921", 0)),
        qa("k3", "무엇을 세웠는가?", ("'한빛'", 0)),
        qa("k4", "어디인가?", ("", 0)),
        qa("k5", "누가 세웠는가?", ("선생", 0)),
    ]
    return squad_file((SCHOOL, school))


FILES: list[Any] = [
    pytest.param(english(flags=False), "squad", official.squad, id="squad 1.1"),
    pytest.param(english(flags=True), "squad", official.squad_v2, id="squad 2.0"),
    pytest.param(korean(), "korquad", official.korquad, id="korquad"),
    pytest.param(english(flags=False), "korquad", official.korquad, id="korquad on English"),
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.bert(tmp_path_factory.mktemp("reader") / "tiny", seed=3))


def answered(data: Any, folder: Path, reader: str, *, metric: str = "auto", **changes: Any) -> FileAnswers:
    file = folder / "file.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    config = ReadSection(**{"max_seq_length": 96, "doc_stride": 24, "max_answer_length": 12, **changes})
    return answer_file(
        file,
        readers=ReaderSpec((reader,)),
        folder=folder / "out",
        config=config,
        metric=metric,
        device="cpu",
        precision="fp32",
    )


def predictions(found: FileAnswers) -> dict[str, str]:
    loaded: dict[str, str] = json.loads(found.predictions.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("threshold", [-50.0, 0.0, 50.0])
@pytest.mark.parametrize(("data", "metric", "script"), FILES)
def test_every_question_is_answered_and_scored_as_by_the_official_script(
    data: dict[str, Any], metric: str, script: Script, threshold: float, tmp_path: Path, reader: str
) -> None:
    found = answered(data, tmp_path, reader, metric=metric, null_score_diff_threshold=threshold)
    texts = predictions(found)
    asked = official.questions(data["data"])
    assert set(texts) == {each["id"] for each in asked}
    assert found.questions == len(asked)
    assert (found.exact_match, found.f1) == pytest.approx(script(data["data"], texts), abs=1e-12)


@pytest.mark.parametrize(("data", "metric", "script"), FILES)
def test_right_and_nearly_right_answers_are_scored_as_by_the_official_script(
    data: dict[str, Any], metric: str, script: Script, tmp_path: Path
) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    asked = read_questions(file)
    for change in (lambda text: text, lambda text: f"the {text}!", lambda text: text[:4], lambda _: "", str.upper):
        texts = {each.id: change(each.golds[0] if each.golds else "") for each in asked}
        counted = {each.id: each for each in asked}.values() if script is official.squad_v2 else asked
        of_metric: Any = "squad_v2" if script is official.squad_v2 else metric
        scores = [each.score(texts[each.id], of_metric) for each in counted]
        expected = script(data["data"], texts)
        assert sum(each.exact_match for each in scores) / len(scores) == pytest.approx(expected[0], abs=1e-12)
        assert sum(each.f1 for each in scores) / len(scores) == pytest.approx(expected[1], abs=1e-12)


def test_what_could_not_be_anchored_is_counted_and_listed(tmp_path: Path, reader: str) -> None:
    found = answered(english(flags=False), tmp_path, reader)
    listed = [where.rpartition("(id ")[2].rstrip(")") for where, _ in found.rejected]
    assert listed == ["q3", "q4", "q5", "q6", "c1", "c2", "c4", "c5"]
    assert [why for _, why in found.rejected][:4] == [
        "the answer '1894' does not occur in the context",
        "the answer 'A mill' does not occur in the context",
        "the answer is empty",
        "the answer 'Tarn' is not at offset 99 and occurs more than once",
    ]
    assert found.unanchored == 8


def run(*words: Any) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


SIZES = tuple(word for size in ("max_seq_length=96", "doc_stride=24", "max_answer_length=12")
              for word in ("--set", f"read.{size}"))  # fmt: skip


def test_the_command_says_what_could_not_be_anchored(tmp_path: Path, reader: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(squad_file((CITY, [qa("c1", "Which city?", ("New York", 12))]))), encoding="utf-8")
    words = ("answer", file, "--model", reader, "-o", tmp_path / "out", *SIZES)
    done = run(*words)
    assert "1 questions have golds that do not stand in their context, scored by their text:" in done.output
    assert "data[0].paragraphs[0].qas[0] (id c1): the answer 'New York' does not occur in the context" in done.output
    found = json.loads(run(*words, "--json").stdout)
    assert (found["questions"], found["unanchored"], len(found["rejected"])) == (1, 1, 1)


@pytest.mark.parametrize(
    "change",
    [{"question": "What?"}, {"answers": [{"text": "1893", "answer_start": 39}]}, {"is_impossible": False}],
)
def test_two_questions_of_one_id_are_refused_before_anything_is_read(
    change: dict[str, Any], tmp_path: Path, reader: str
) -> None:
    first = qa("a", "Who?", ("Mira Oland", 0))
    with pytest.raises(DataError) as caught:
        answered(squad_file((MILL, [first]), (MILL, [first | change])), tmp_path, reader)
    place = f"{tmp_path / 'file.json'}: data[0].paragraphs[1].qas[0] (id a): the id a occurs twice"
    assert str(caught.value).startswith(place)
    assert "first at data[0].paragraphs[0].qas[0]" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_context_in_another_paragraph_makes_another_question(tmp_path: Path, reader: str) -> None:
    one = qa("a", "Who?", ("Mira", 0))
    with pytest.raises(DataError, match="occurs twice"):
        answered(squad_file((MILL, [one]), (f"{MILL} Again.", [one])), tmp_path, reader)


def test_shapes_that_people_have_are_read(tmp_path: Path, reader: str) -> None:
    context = MILL
    answer = {"text": "Mira Oland", "answer_start": 0}
    qas = [
        {"id": 7, "question": "Who?", "answers": answer},
        {"question_id": "x", "question": "Who?", "answer": answer},
        {"guid": "g", "question": "Who?", "answers": {"text": ["Mira Oland"], "answer_start": [0]}},
        {"question": "Who?", "answer": "Mira Oland", "answer_start": 0.0},
    ]
    data = {
        "data": [{"paragraphs": [{"context": context, "qas": qas}]}, {"context": context, "qas": [qa("k", "Who?")]}]
    }
    found = answered(data, tmp_path, reader)
    assert (found.questions, found.unanchored) == (5, 0)
    assert {"7", "x", "g", "k"} < set(predictions(found))
    records = [{"id": 1, "question": "Who?", "context": context, **answer}, {"question": "When?", "context": context}]
    assert answered(records, tmp_path, reader).questions == 2
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    assert read_questions(lines)[0].where == f"{lines}: line 1 (id 1)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "data[0].paragraphs[0].context: missing"),
        ({"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}, "data[0].paragraphs[0].context: it must be text"),
        ({"data": [{"paragraphs": {"a": 1}}]}, "data[0].paragraphs: it must be a list"),
        ({"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "a"}]}]}]}, "qas[0].question: missing"),
        ({"data": [{"paragraphs": [{"context": "x", "qas": ["a"]}]}]}, "qas[0]: it must be an object"),
        ({"data": []}, "no question can be read"),
        ({"rows": 1}, "data: missing"),
        (3, "it must be an object"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_its_place(data: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_questions(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_empty_texts_and_halves_of_characters_are_read_too(tmp_path: Path, reader: str) -> None:
    qas = [qa("a", "", ("Mira", 0)), qa("b\ud800", "Who \ud83d?", ("Mira \ud800", 0))]
    found = answered(squad_file(("", [qa("e", "Who?", ("Mira", 0))]), ("Mira \ud800 Tarn", qas)), tmp_path, reader)
    assert set(predictions(found)) == {"a", "b\ud800", "e"}
    assert predictions(found)["e"] == ""


def test_a_gold_in_another_normal_form_is_right_and_anchored(tmp_path: Path, reader: str) -> None:
    decomposed = unicodedata.normalize("NFD", SCHOOL)
    data = squad_file((decomposed, [qa("k", "언제?", ("1921년", SCHOOL.index("1921")))]))
    found = answered(data, tmp_path, reader)
    (asked,) = read_questions(tmp_path / "file.json")
    (start, end), = asked.spans  # fmt: skip
    assert decomposed[start:end] == unicodedata.normalize("NFD", "1921년")
    assert found.unanchored == 0
    assert (
        asked.score(decomposed[start:end], "korquad").exact_match == asked.score("1921년", "korquad").exact_match == 1
    )


@pytest.mark.parametrize("rules", [(), ("units", "brackets")])
def test_no_candidate_starts_or_ends_inside_a_grapheme(rules: tuple[str, ...], tmp_path: Path, reader: str) -> None:
    text = unicodedata.normalize("NFD", f"{SCHOOL} 👩‍🚀 5 m\u0302 🇰🇷 été (한빛")
    found = answered(squad_file((text, [qa("k", "How far in m?")])), tmp_path, reader, rules=rules, n_best_size=500)
    edges = {0, *accumulate(map(len, graphemes(text)))}
    nbest = json.loads(found.nbest.read_text(encoding="utf-8"))["k"]
    assert len(nbest) > 50
    assert {each[side] for each in nbest for side in ("start", "end")} <= edges


# --- golds that are too long --------------------------------------------------------------------------


def long_golds() -> dict[str, Any]:
    text = " ".join(["mill"] * 14 + ["Tarn"] * 40)
    return squad_file((text, [
        qa("short", "What?", ("mill", 0)),
        qa("long", "What?", (" ".join(["mill"] * 14), 0)),
        qa("either", "What?", (" ".join(["mill"] * 14), 0), ("mill mill", 0)),
        qa("beyond", "What?", (text[:-5], 0)),
    ]))  # fmt: skip


def test_golds_out_of_reach_are_counted_with_the_setting_that_reaches_them(tmp_path: Path, reader: str) -> None:
    out = answered(long_golds(), tmp_path, reader).out_of_reach
    assert out is not None
    assert (out.questions, out.ids, out.beyond) == (2, ("long",), ("beyond",))
    assert out.max_answer_length == 14
    assert out.longest == (130 // 2 - 9) // 2  # two windows of half their tokens, less the special ones
    words = ("answer", tmp_path / "file.json", "--model", reader, "-o", tmp_path / "out")
    done = run(*words, *SIZES)
    assert "2 questions have no gold that is short enough to be answered" in done.output
    assert "--set read.max_answer_length=14 reaches 1 of them: long" in done.output
    raised = run(*words, "--set", "read.max_answer_length=14", "--json")
    assert json.loads(raised.stdout)["out_of_reach"]["beyond"] == ["beyond"]
    assert json.loads(raised.stdout)["out_of_reach"]["ids"] == []


def test_a_longer_answer_than_the_model_has_windows_for_is_shortened_with_a_warning(
    tmp_path: Path, reader: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(long_golds()), encoding="utf-8")
    words = ("answer", file, "--model", reader, "-o", tmp_path / "out", "--set", "read.max_answer_length=100")
    assert run(*words).exit_code == 0
    assert "answers of at most 28 tokens instead of 100" in caplog.text


# --- in a workspace -----------------------------------------------------------------------------------


@pytest.fixture
def runtime(baseline: Path, tmp_path: Path) -> Iterator[Runtime]:
    with at(shutil.copytree(baseline, tmp_path / "ws")) as found:
        yield found


@pytest.mark.parametrize("flags", [False, True])
def test_evaluation_scores_every_question_as_the_official_script_does(
    flags: bool, runtime: Runtime, baseline: Path, tmp_path: Path
) -> None:
    data = english(flags=flags)
    for paragraph in data["data"][0]["paragraphs"]:  # a workspace holds a question once
        distinct = {each["id"]: each for each in paragraph["qas"]}
        paragraph["qas"] = [each for each in distinct.values() if flags or any(a["text"] for a in each["answers"])]
    file = tmp_path / "more.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    report = import_files(runtime.database, [str(file)], role="test")
    assert report.questions == len(official.questions(data["data"]))
    unanchored = {"q3", "q4", "q6", "c1", "c2", "c4", "c5", *(["q5"] if flags else [])}
    assert report.unanchored == len(unanchored)
    build_index(runtime)
    found = evaluate(runtime, "test")
    assert {each.id for each in found.unanchored} == unanchored
    world = json.loads(baseline.with_suffix(".json").read_text(encoding="utf-8"))
    every = {each["id"]: each for each in official.questions([*world["data"], *data["data"]])}
    with runtime.database.read() as session:
        model = queries.best_model(session)
    assert model is not None
    scores = question_scores(runtime, model, "test", index=None)
    texts = {each.question_id: each.answer for each in scores}
    assert set(texts) >= {each["id"] for each in official.questions(data["data"])}
    asked: Any = [{"paragraphs": [{"qas": [every[key] for key in texts]}]}]
    expected = (official.squad_v2 if flags else official.squad)(asked, texts)
    assert found.reader is not None
    assert (found.reader.exact_match, found.reader.f1) == pytest.approx(expected, abs=1e-12)
    assert found.questions == len(texts)
    assert found.end_to_end is not None


def test_a_gold_question_whose_answers_stand_nowhere_is_not_trained_on(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    qas = [qa("c1", "Which city?", ("New York", 12)), qa("c5", "By what?", ("an odd rule", 90), ("rule", 0))]
    file.write_text(json.dumps(squad_file((CITY, qas))), encoding="utf-8")
    report = import_files(runtime.database, [str(file)], role="gold")
    assert (report.questions, report.unanchored, len(report.rejected)) == (1, 1, 2)
    with runtime.database.read() as session:
        (label,) = queries.live_labels(session, question_ids=["c1", "c5"])
        assert (label.question_id, label.gold_texts) == ("c5", ("rule", "an odd rule"))
        taught = {row.question.id: row.label.answers for row in queries.training_labels(session)}
    assert [span.text for span in taught["c5"]] == ["rule"]


def test_a_pool_question_is_read_whatever_its_golds_are(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    file.write_text(json.dumps(squad_file((CITY, [qa("c1", "Which city?", ("New York", 12))]))), encoding="utf-8")
    report = import_files(runtime.database, [str(file)], role="pool")
    assert (report.questions, report.hidden, len(report.rejected)) == (1, 0, 1)


def test_retrieval_is_measured_by_the_context_of_golds_that_stand_nowhere(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    context = "Zyx qwv kjh. The city of New\nYork."
    file.write_text(json.dumps(squad_file((context, [qa("z", "Zyx qwv kjh?", ("York New", 3))]))), encoding="utf-8")
    import_files(runtime.database, [str(file)], role="calibration")
    build_index(runtime)
    with runtime.database.read() as session:
        others = {row.question.id for row in queries.labelled_questions(session, "calibration")} - {"z"}
    found = evaluate(runtime, "calibration", misses=1)
    assert found.misses is not None
    assert "z" not in {each.id for each in found.misses}
    assert found.questions == len(others) + 1
    assert found.unanchored[0].golds == ("York New",)


def test_exports_count_golds_that_stand_nowhere(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    qas = [qa("c1", "Which city?", ("New York", 12)), qa("c5", "By what?", ("an odd rule", 90), ("rule", 0))]
    file.write_text(json.dumps(squad_file((CITY, qas))), encoding="utf-8")
    import_files(runtime.database, [str(file)], role="test")
    report = export_labels(runtime.database, tmp_path / "out.json", format="squad", roles=["test"])
    assert report.left_out["labels whose golds do not stand in their context"] == 1
    assert report.left_out["golds that do not stand in their context"] == 1
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    golds = {each["id"]: [answer["text"] for answer in each["answers"]] for each in official.questions(written["data"])}
    assert golds["c5"] == ["rule"]
    assert "c1" not in golds


def test_of_a_file_with_impossible_questions_the_others_are_stored_as_possible(
    runtime: Runtime, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": "a", "context": CITY, "question": "Which city?", "answers": {"text": ["York"], "answer_start": [16]}},
        {"id": "b", "context": CITY, "question": "Who sank it?", "answers": {"text": [], "answer_start": []}},
    ]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    import_files(runtime.database, [str(file)], role="test")
    with runtime.database.read() as session:
        flags = {row.id: row.is_impossible for row in queries.questions(session, ids=["a", "b"])}
    assert flags == {"a": False, "b": True}


def test_labels_list_and_history_show_golds_that_stand_nowhere(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    file.write_text(json.dumps(squad_file((CITY, [qa("c1", "Which city?", ("New York", 12))]))), encoding="utf-8")
    done = run("import", file, "--as", "test", "-w", runtime.workspace.folder)
    assert "1 questions have answers that do not stand in their context, listed below" in done.output
    assert "'New York'" in run("history", "c1", "-w", runtime.workspace.folder).output
    listed = json.loads(run("labels", "list", "--role", "test", "--json", "-w", runtime.workspace.folder).stdout)
    assert [each["texts"] for each in listed["labels"] if each["question_id"] == "c1"] == [["New York"]]
    again = import_files(runtime.database, [str(file)], role="test")
    assert again.questions == 0


def test_import_and_evaluation_count_golds_that_the_reader_cannot_reach(runtime: Runtime, tmp_path: Path) -> None:
    text = "The mill of Tarn was " + "old and " * 30 + "grey."
    long = "old and " * 20 + "old"
    file = tmp_path / "long.json"
    file.write_text(json.dumps(squad_file((text, [qa("long", "How was it?", (long, 21))]))), encoding="utf-8")
    folder = runtime.workspace.folder
    done = run("import", file, "--as", "dev", "--json", "-w", folder)
    out = json.loads(done.stdout)["out_of_reach"]
    assert (out["questions"], out["beyond"]) == (1, ["long"])
    build_index(runtime)
    found = evaluate(runtime, "dev")
    assert found.out_of_reach is not None
    assert found.out_of_reach.beyond == ("long",)
    assert "questions have no gold that is short enough" in run("evaluate", "--split", "dev", "-w", folder).output


def test_an_answer_length_that_no_window_takes_names_the_longest(reader: str) -> None:
    from mrc.read.model.reader import Reader

    loaded = Reader.load(reader, precision="fp32")
    with pytest.raises(BadCheckpoint, match=r"= 130 or less, max_answer_length = 28 or less$"):
        loaded.answer([("Who?", MILL)], ReadSection(max_answer_length=100, doc_stride=200, max_seq_length=418))


def test_an_import_counts_golds_out_of_reach_of_the_checkpoint_that_training_starts_from(
    reader: str, tmp_path: Path
) -> None:
    file = tmp_path / "long.json"
    file.write_text(json.dumps(long_golds()), encoding="utf-8")
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--language", "en").exit_code == 0
    words = ("import", file, "--as", "gold", "--json", "-w", workspace, *SIZES)
    assert json.loads(run(*words).stdout)["out_of_reach"] is None  # no reader is known
    assert run("import", "--undo", 1, "-w", workspace).exit_code == 0
    known = json.loads(run(*words, "--set", f"train.start={reader}").stdout)["out_of_reach"]
    assert (known["questions"], known["ids"], known["max_answer_length"]) == (2, ["long"], 14)
    file.write_text(json.dumps(long_golds() | {"version": "2"}), encoding="utf-8")
    gone = run(*words, "--set", f"train.start={tmp_path / 'gone'}")
    assert gone.exit_code == 0
