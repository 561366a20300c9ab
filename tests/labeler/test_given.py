"""Questions that came with their passage, some of them impossible (SQuAD 2.0): read where they stand, and retrieved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from db import hidden_answers, queries
from db.rows import QuestionRow, ReviewRow
from labeler.core import convert
from labeler.core.runtime import Runtime
from labeler.evaluation import reader_metrics
from labeler.evaluation.evaluate import evaluate
from labeler.importing.ingest import import_files
from labeler.reading import answering
from labeler.reading.answering import UNTUNED
from labeler.retrieval.indexing import build_index
from labeler.rounds import machine
from labeler.rounds.steps import calibrating
from mrc.types import Answer, Prediction
from tests.worlds import at, make_workspace, squad_v2


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A workspace whose questions are read in their own passage, after one round."""
    folder = make_workspace(tmp_path_factory.mktemp("given") / "ws", squad=squad_v2(), read__passages="given")
    with at(folder) as runtime:
        machine.train(runtime)
        machine.run(runtime, reviewer="simulated")
        yield runtime


@pytest.fixture(scope="module")
def retrieved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The same questions answered from retrieved passages, after one round."""
    with at(make_workspace(tmp_path_factory.mktemp("retrieved") / "ws", squad=squad_v2())) as runtime:
        machine.train(runtime)
        machine.run(runtime, reviewer="simulated")
        yield runtime


def reviews(runtime: Runtime) -> list[ReviewRow]:
    with runtime.database.read() as session:
        return queries.reviews(session, round_number=1)


def test_each_question_is_read_and_reviewed_in_its_own_passage(given: Runtime) -> None:
    with given.database.read() as session:
        contexts = {row.id: row.context_id for row in queries.questions(session)}
        predictions = queries.predictions(session, 1)
        tasks = queries.tasks(session, round_number=1)
        assert queries.round_(session, 1).index_fingerprint is None
    assert predictions
    for row in predictions:
        assert [passage for passage, _ in row.hits] == [contexts[row.question_id]]
        assert row.index_fingerprint is None
    assert all(task.passages == (contexts[task.question_id],) for task in tasks)


def test_a_question_without_an_answer_in_its_passage_is_reviewed_and_trained_on_as_no_answer(given: Runtime) -> None:
    found = reviews(given)
    with given.database.read() as session:
        known = hidden_answers.answers(session, [row.question_id for row in found])
        taught = queries.training_rows(session, 1)
    verdicts = {row.question_id: row.verdict for row in found}
    assert {key for key, verdict in verdicts.items() if verdict == "no_answer"} == {
        key for key, row in known.items() if row.is_impossible
    }
    assert set(verdicts.values()) == {"answerable", "no_answer"}
    examples = {example.id: example for example in convert.training_examples(taught)}
    assert {examples[key].start for key, verdict in verdicts.items() if verdict == "no_answer"} == {-1}


def test_whether_a_pool_question_is_impossible_stays_hidden(given: Runtime) -> None:
    with given.database.read() as session:
        assert all(row.is_impossible is None for row in queries.questions(session, roles=["pool"]))


def test_only_the_reader_is_measured_where_passages_are_given(given: Runtime) -> None:
    found = evaluate(given, "test")
    assert found.retrieval is None
    assert found.end_to_end is None
    assert found.reader is not None
    with given.database.read() as session:
        gate = queries.round_(session, 1).gate
        dev = queries.labelled_questions(session, "dev")
    assert gate is not None
    assert gate["questions"] == len(dev), "impossible ones too"


def test_any_answer_to_an_impossible_question_counts_as_wrong_in_calibration(given: Runtime) -> None:
    with given.database.read() as session:
        golds = queries.labelled_questions(session, "calibration")
        predictions = queries.predictions(session, 1, question_ids=[entry.question.id for entry in golds])
    impossible = {entry.question.id: entry for entry in golds if entry.question.is_impossible}
    assert impossible
    fitted = calibrating.calibrate(predictions, golds, given.config.calibrate, metric=given.metric, seed=0)
    assert fitted is not None
    assert impossible.keys() <= fitted.out_of_fold.keys()
    answered = [row for row in predictions if row.question_id in impossible]
    assert not any(calibrating.is_correct(row, impossible[row.question_id], given.metric) for row in answered)


def test_impossible_questions_are_not_evaluated_end_to_end(retrieved: Runtime) -> None:
    with retrieved.database.read() as session:
        dev = queries.labelled_questions(session, "dev")
        gate = queries.round_(session, 1).gate
    answerable = [entry for entry in dev if entry.label.answers]
    assert gate is not None
    assert gate["questions"] == len(answerable) < len(dev)


@pytest.mark.parametrize("retrieving", [True, False])
def test_no_answer_is_predicted_for_given_passages_only(
    retrieving: bool, retrieved: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubtful(runtime: Runtime, questions: Sequence[QuestionRow], *_: object, **__: object) -> Iterator[Prediction]:
        for row in questions:
            yield Prediction(row.id, (Answer("a mill", "p", 0, 6, 0.2, 0.1),), 0.7, ())

    monkeypatch.setattr(answering, "answers", doubtful)
    index = retrieved.current_index() if retrieving else None
    entries = reader_metrics.scorable(retrieved, "dev", index=index)
    scores = reader_metrics.compute_scores(
        retrieved, retrieved.reader(retrieved.best_model()), entries, index=index, plan=UNTUNED
    )
    assert {each.answer for each in scores} == {"a mill" if retrieving else ""}


def test_a_split_of_impossible_questions_alone_has_nothing_to_retrieve(tmp_path: Path) -> None:
    qas = [{"id": "never", "question": "Who closed the mill?", "answers": [], "is_impossible": True}]
    file = tmp_path / "impossible.json"
    paragraphs = [{"context": "The mill of Orrin was built in 1712.", "qas": qas}]
    file.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    with at(make_workspace(tmp_path / "ws", division="gold=60,dev=30,pool=60")) as runtime:
        machine.train(runtime)
        import_files(runtime.database, [str(file)], role="test")
        build_index(runtime)
        found = evaluate(runtime, "test")
    assert (found.questions, found.retrieval, found.end_to_end) == (1, None, None)
    assert found.reader is not None
