"""Batch reading of a SQuAD-format file: every question answered in its own paragraph, marked as the scripts do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labeler.cli import cli
from labeler.core.settings import ReadSection
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.reading.answer_file import FileAnswers, answer_file
from labeler.reading.reader_spec import ReaderSpec
from mrc.errors import MembersDisagree
from mrc.metrics import Metric, normalize_answer
from mrc.read.model.reader import Reader
from tests.mrc import tiny
from tests.published import Published

CONFIG = ReadSection(max_seq_length=96, doc_stride=24, max_answer_length=12)
data = pytest.mark.skipif(not os.environ.get("LABELER_DATA"), reason="LABELER_DATA is not set")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.bert(tmp_path_factory.mktemp("reader") / "tiny", seed=1))


def answered(file: Path, folder: Path, reader: str, *, metric: str = "auto") -> FileAnswers:
    return answer_file(
        file, readers=ReaderSpec((reader,)), folder=folder, config=CONFIG, metric=metric, device="cpu", precision="fp32"
    )


def questions(squad: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for article in squad["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                yield qa, paragraph["context"]


def published(squad: dict[str, Any], predictions: dict[str, str], metric: Metric) -> tuple[float, float]:
    """Mean EM and F1 by the published rules."""
    golds = {qa["id"]: [answer["text"] for answer in qa["answers"]] for qa, _ in questions(squad)}
    marks = [Published.score(predictions[key], texts, metric) for key, texts in golds.items()]
    return sum(mark[0] for mark in marks) / len(marks), sum(mark[1] for mark in marks) / len(marks)


@pytest.mark.parametrize(("language", "metric"), [("en", "squad"), ("ko", "korquad")])
def test_scores_equal_an_independent_computation(language: Any, metric: Metric, tmp_path: Path, reader: str) -> None:
    squad = make_encyclopaedia(language, seed=1, documents=20).squad()
    file = tmp_path / "world.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    found = answered(file, tmp_path / "out", reader)
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert (found.exact_match, found.f1) == pytest.approx(published(squad, predictions, metric), abs=1e-12)
    assert found.f1
    assert 0 < found.f1 < 1


@data
@pytest.mark.parametrize(("name", "metric"), [("KorQuAD_v1.0_dev.json", "korquad"), ("new_wiki_v1.0.json", "squad")])
def test_real_questions_are_scored_as_the_official_scripts_do(
    name: str, metric: Metric, tmp_path: Path, reader: str
) -> None:
    whole = json.loads(Path(os.environ["LABELER_DATA"], name).read_text(encoding="utf-8"))
    squad = {"data": [{**article, "paragraphs": article["paragraphs"][:2]} for article in whole["data"][:10]]}
    file = tmp_path / "part.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    found = answered(file, tmp_path / "out", reader)
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert found.questions == len(predictions) > 50
    assert (found.exact_match, found.f1) == pytest.approx(published(squad, predictions, metric), abs=1e-12)


def test_every_answer_comes_from_its_own_paragraph(tmp_path: Path, reader: str) -> None:
    squad = make_encyclopaedia("ko", seed=2, documents=6).squad()
    file = tmp_path / "world.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    answered(file, tmp_path / "out", reader)
    nbest = json.loads((tmp_path / "out" / "nbest_predictions.json").read_text(encoding="utf-8"))
    for qa, context in questions(squad):
        assert nbest[qa["id"]]
        assert all(context[each["start"] : each["end"]] == each["text"] for each in nbest[qa["id"]])


def test_candidates_that_the_metric_takes_for_equal_are_one(tmp_path: Path, reader: str) -> None:
    context = "《별의 바다》 (1921) 《별의 바다》 (1921)"
    qas = [{"id": "q", "question": "언제?", "answers": [{"text": "1921", "answer_start": context.index("1921")}]}]
    file = tmp_path / "brackets.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}), encoding="utf-8")
    answered(file, tmp_path / "out", reader)
    nbest = json.loads((tmp_path / "out" / "nbest_predictions.json").read_text(encoding="utf-8"))
    # A text of brackets alone normalises to nothing; such texts are not taken for one another.
    texts = [normal for each in nbest["q"] if (normal := normalize_answer(each["text"], "korquad"))]
    assert len(texts) == len(set(texts)) > 1


def test_a_question_without_golds_is_answered_and_not_scored(tmp_path: Path, reader: str) -> None:
    context = "한빛 학당은 1921년에 문을 열었다."
    squad = {"data": [{"paragraphs": [{"context": context, "qas": [{"id": "q", "question": "언제?", "answers": []}]}]}]}
    file = tmp_path / "open.json"
    file.write_text(json.dumps(squad, ensure_ascii=False), encoding="utf-8")
    found = answered(file, tmp_path / "out", reader)
    assert (found.questions, found.exact_match, found.f1) == (1, None, None)


def test_windows_are_cut_to_the_positions_that_a_small_reader_has() -> None:
    found = ReadSection().fitted(128)
    assert (found.max_seq_length, found.doc_stride, found.max_answer_length) == (128, 42, 21)
    assert ReadSection().fitted(512) == ReadSection()


# --- several readers --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.roberta(tmp_path_factory.mktemp("other") / "tiny", seed=2))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("world") / "world.json"
    file.write_text(json.dumps(make_encyclopaedia("en", seed=1, documents=8).squad()), encoding="utf-8")
    return file


def texts(world: Path, tmp_path: Path, *models: str, config: ReadSection = CONFIG, **more: Any) -> dict[str, str]:
    readers = ReaderSpec(models, **more)
    answer_file(world, readers=readers, folder=tmp_path, config=config, metric="auto", device="cpu", precision="fp32")
    found: dict[str, str] = json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("vote", ["characters", "logits", "hard"])
def test_a_reader_that_votes_with_its_copy_answers_as_it_does_alone(
    vote: str, world: Path, tmp_path: Path, reader: str
) -> None:
    assert texts(world, tmp_path, reader, reader, vote=vote) == texts(world, tmp_path, reader)


def test_readers_of_different_tokenizers_vote_on_characters_and_not_on_logits(
    world: Path, tmp_path: Path, reader: str, other: str
) -> None:
    voted = texts(world, tmp_path, reader, other)
    assert voted != texts(world, tmp_path, reader)
    assert voted != texts(world, tmp_path, other)
    with pytest.raises(MembersDisagree, match="vote on characters"):
        texts(world, tmp_path, reader, other, vote="logits")


def test_the_larger_reader_is_asked_where_the_score_lies_in_the_band(
    world: Path, tmp_path: Path, reader: str, other: str
) -> None:
    small, large = texts(world, tmp_path, reader), texts(world, tmp_path, other)
    assert small != large
    assert texts(world, tmp_path, reader, large=other, band=(0.0, 1.0)) == large
    assert texts(world, tmp_path, reader, large=other, band=(1.0, 1.0)) == small


def test_rules_on_answers_are_those_named_and_none_by_themselves(
    world: Path, tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cutting(names: Sequence[str], language: str) -> Any:
        return (lambda question, passage, start, end: (start, start + 1)) if tuple(names) == ("brackets",) else None

    plain = texts(world, tmp_path, reader)
    monkeypatch.setattr("labeler.reading.answer_file.refiner", cutting)
    assert texts(world, tmp_path, reader) == plain
    ruled = texts(world, tmp_path, reader, config=replace(CONFIG, rules=("brackets",)))
    assert {len(text) for text in ruled.values()} == {1}


def test_no_answer_must_win_by_the_threshold(tmp_path: Path, reader: str) -> None:
    context = "Mira Oland founded the mill of Tarn in 1893."
    qas = [{"id": "q", "question": "Who founded it?", "answers": [], "is_impossible": True}]
    file = tmp_path / "impossible.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}), encoding="utf-8")
    assert texts(file, tmp_path / "out", reader, config=replace(CONFIG, null_score_diff_threshold=-50.0)) == {"q": ""}
    assert texts(file, tmp_path / "out", reader, config=replace(CONFIG, null_score_diff_threshold=50.0))["q"]


def test_the_command_takes_several_readers_a_larger_one_and_a_band(
    world: Path, tmp_path: Path, reader: str, other: str
) -> None:
    words = ["answer", str(world), "--model", reader, "--model", reader, "--vote", "hard", "--large", other]
    sizes = ["max_seq_length=96", "doc_stride=24", "max_answer_length=12"]
    words += [word for size in sizes for word in ("--set", f"read.{size}")]
    out = ["-o", str(tmp_path), "--precision", "fp32", "--device", "cpu", "--json"]
    done = CliRunner().invoke(cli, [*words, "--band", "0", "1", *out], catch_exceptions=False)
    assert json.loads(done.stdout)["questions"]
    found = json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))
    assert found == texts(world, tmp_path, other)
    assert CliRunner().invoke(cli, [*words, "--band", "0.7", "0.2", *out]).exit_code == 2


def test_the_command_logs_unused_settings_and_reads_in_the_configured_precision(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[dict[str, Any]] = []

    def answer_file(file: Path, **keywords: Any) -> FileAnswers:
        asked.append(keywords)
        return FileAnswers(1, 1.0, 1.0, 1.0, None, None, file, file, [])

    monkeypatch.setattr("labeler.reading.answer_file.answer_file", answer_file)
    words = ["answer", str(world), "--model", "m", "-o", str(tmp_path)]
    for more, told in (
        (["--set", "compute.precision=fp32"], None),
        (["--set", "compute.precision=fp32", "--precision", "bf16"], None),
        (["--set", "experimental.adaptive=calibrated"], "experimental.adaptive is not used"),
        (["--set", 'ensemble.members=["x"]'], "ensemble.members is not used by labeler answer: name the readers"),
        (["--set", "cascade.large=x"], "cascade.large is not used by labeler answer: name it with --large"),
    ):
        caplog.clear()
        CliRunner().invoke(cli, [*words, *more], catch_exceptions=False)
        assert [record.message for record in caplog.records if "not used" in record.message] == [
            each for each in caplog.messages if told and told in each
        ]
        assert not told or told in caplog.text
    assert [each["precision"] for each in asked] == ["fp32", "bf16", "auto", "auto", "auto"]
    assert {each["readers"] for each in asked} == {ReaderSpec(("m",))}
    for more, why in (
        (["--vote", "hard"], "--vote needs several --model"),
        (["--band", "0", "1"], "--band needs --large"),
    ):
        done = CliRunner().invoke(cli, [*words, *more])
        assert (done.exit_code, why in done.output) == (2, True)


def test_the_backend_is_that_of_the_settings(
    world: Path, tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    honest = Reader.load

    def load(source: str, *, device: str, precision: str, backend: str) -> Reader:
        asked.append(backend)
        return honest(source, device=device, precision=precision)

    monkeypatch.setattr(Reader, "load", load)
    texts(world, tmp_path, reader, large=reader, config=replace(CONFIG, backend="onnx"))
    assert asked == ["onnx", "onnx"]
