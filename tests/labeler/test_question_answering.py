"""A workspace in Python: it searches and answers as the command line does, and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import labeler
from labeler.core.errors import ConfigError, NotReady, WorkspaceError
from labeler.core.workspace import create_workspace
from labeler.reading.question_answering import QuestionAnswering
from labeler.rounds import machine
from tests.commands import run
from tests.state import state
from tests.worlds import at

QUESTIONS = ["Who founded the harbour?", "Where was the bridge built?", "qqq zzz", "Who built the bridge?"]


@pytest.fixture(scope="module")
def predicted(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose round 1 has calibrated the reader."""
    folder = shutil.copytree(baseline, tmp_path_factory.mktemp("answering") / "ws")
    with at(folder) as runtime:
        machine.run(runtime, reviewer="none", until="predicted")
    return folder


@pytest.fixture
def answering(predicted: Path) -> Iterator[QuestionAnswering]:
    with QuestionAnswering.load(predicted) as opened:
        yield opened


def test_many_questions_are_answered_as_one_by_one_with_the_confidence_of_the_command(
    answering: QuestionAnswering, predicted: Path
) -> None:
    found = answering.ask_many(QUESTIONS)
    assert [each[0] for each in found if each] == [answering.ask(text)[0] for text in QUESTIONS if text != "qqq zzz"]
    assert found[2] == []
    assert all(answers[0].confidence is not None for answers in found if answers)
    assert {each.confidence for answers in found for each in answers[1:]} == {None}
    shown = run("ask", QUESTIONS[0], "-w", predicted, "--json").json["answers"]
    assert [(each.text, each.confidence) for each in found[0]] == [(each["text"], each["confidence"]) for each in shown]
    for each in found[0]:
        assert answering[each.passage_id].text[each.start : each.end] == each.text


def test_another_number_of_passages_than_rounds_read_has_no_confidence(answering: QuestionAnswering) -> None:
    assert answering.ask(QUESTIONS[0], k=1)[0].confidence is None
    assert answering.ask_many(QUESTIONS, k=1)[0][0].confidence is None


def test_a_search_finds_what_the_command_finds(answering: QuestionAnswering, predicted: Path) -> None:
    found = answering.search(QUESTIONS[0], k=3)
    shown = run("search", QUESTIONS[0], "-k", "3", "-w", predicted, "--json").json["hits"]
    assert [(each.passage_id, each.rank, each.title, each.text) for each in found] == [
        (each["passage_id"], each["rank"], each["title"], each["text"]) for each in shown
    ]
    assert [len(results) for results in answering.search_many(QUESTIONS, k=3)] == [3, 3, 0, 3]


def test_it_shows_its_folder_passages_and_reader_in_one_line(answering: QuestionAnswering, predicted: Path) -> None:
    assert repr(answering) == f"QuestionAnswering({str(predicted)!r}, 80 passages, reader of round 0)"
    assert len(answering) == len(answering.index) == 80
    assert answering.reader.fingerprint


def test_answering_changes_nothing(predicted: Path) -> None:
    with at(predicted) as runtime, runtime.database.read() as session:
        before = state(session)
    with QuestionAnswering.load(str(predicted)) as opened:
        opened.ask_many(QUESTIONS)
    with at(predicted) as runtime, runtime.database.read() as session:
        assert state(session) == before


def test_the_folder_is_found_as_the_command_line_finds_it(predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(predicted / "models")
    with QuestionAnswering.load() as opened:
        assert len(opened) == 80
    monkeypatch.chdir("/")
    with pytest.raises(WorkspaceError, match="create a workspace"):
        QuestionAnswering.load()


def test_settings_are_laid_over_those_of_the_workspace(predicted: Path) -> None:
    with QuestionAnswering.load(predicted, settings=["read.n_best_size=2"]) as opened:
        assert len(opened.ask(QUESTIONS[0])) == 2
    with pytest.raises(ConfigError, match=r"no setting read\.n_bets_size"):
        QuestionAnswering.load(predicted, settings=["read.n_bets_size=2"])
    with pytest.raises(TypeError, match="settings must be a list of strings, not one string"):
        QuestionAnswering.load(predicted, settings="read.n_best_size=2")


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    create_workspace(tmp_path / "ws", language="en", settings={}, environ={})
    with QuestionAnswering.load(tmp_path / "ws") as opened:
        assert repr(opened).endswith("0 passages, no reader)")
        with pytest.raises(NotReady, match="there is no retrieval index yet"):
            opened.search("mill")
        with pytest.raises(NotReady, match="there is no reader yet"):
            opened.ask("mill")


def test_wrong_use_is_refused(answering: QuestionAnswering) -> None:
    for wrong in (answering.ask, answering.search):
        with pytest.raises(TypeError, match="question must be one string, not list; for a list use"):
            wrong(["mill"])  # type: ignore[operator]
    for many in (answering.ask_many, answering.search_many):
        with pytest.raises(TypeError, match="questions must be a list of strings, not one string"):
            many("mill")
    with pytest.raises(KeyError):
        answering["nowhere"]
    with pytest.raises(AttributeError, match="module 'labeler' has no attribute 'QuestionAnsering'"):
        labeler.QuestionAnsering  # noqa: B018
    assert labeler.QuestionAnswering is QuestionAnswering
    assert "QuestionAnswering" in dir(labeler)
