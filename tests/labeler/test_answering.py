"""Batch reading of a SQuAD-format file: every question answered in its own paragraph, marked as the scripts do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labeler.answering import FileAnswers, answer_file, fitting
from labeler.config import ReadSection
from labeler.demo.world import make_world
from mrc.metrics import Metric, normalize_answer
from tests.mrc import tiny
from tests.published import Published

CONFIG = ReadSection(max_seq_length=96, doc_stride=24, max_answer_length=12)
data = pytest.mark.skipif(not os.environ.get("LABELER_DATA"), reason="LABELER_DATA is not set")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.bert(tmp_path_factory.mktemp("reader") / "tiny", seed=1))


def answered(file: Path, folder: Path, reader: str, *, metric: str = "auto") -> FileAnswers:
    return answer_file(file, model=reader, folder=folder, config=CONFIG, metric=metric, device="cpu", precision="fp32")


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
def test_marks_equal_an_independent_computation(language: Any, metric: Metric, tmp_path: Path, reader: str) -> None:
    squad = make_world(language, seed=1, documents=20).squad()
    file = tmp_path / "world.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    found = answered(file, tmp_path / "out", reader)
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert (found.exact_match, found.f1) == pytest.approx(published(squad, predictions, metric), abs=1e-12)
    assert found.f1
    assert 0 < found.f1 < 1


@data
@pytest.mark.parametrize(("name", "metric"), [("KorQuAD_v1.0_dev.json", "korquad"), ("new_wiki_v1.0.json", "squad")])
def test_real_questions_are_marked_as_the_published_rules_say(
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


def test_every_candidate_stands_in_its_own_paragraph(tmp_path: Path, reader: str) -> None:
    squad = make_world("ko", seed=2, documents=6).squad()
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


def test_a_question_without_golds_is_answered_and_not_marked(tmp_path: Path, reader: str) -> None:
    context = "한빛 학당은 1921년에 문을 열었다."
    squad = {"data": [{"paragraphs": [{"context": context, "qas": [{"id": "q", "question": "언제?", "answers": []}]}]}]}
    file = tmp_path / "open.json"
    file.write_text(json.dumps(squad, ensure_ascii=False), encoding="utf-8")
    found = answered(file, tmp_path / "out", reader)
    assert (found.questions, found.exact_match, found.f1) == (1, None, None)


def test_windows_are_cut_to_the_positions_that_a_small_reader_has() -> None:
    found = fitting(ReadSection(), positions=128)
    assert (found.max_seq_length, found.doc_stride, found.max_answer_length) == (128, 42, 21)
    assert fitting(ReadSection(), positions=512) == ReadSection()
