"""open -> predicted: the teacher answers pool and calibration questions in chunks, and scores are calibrated."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from db import queries, store
from db.engine import Session
from db.rows import LabelledQuestion, ModelRow, QuestionRow, RoundRow
from labeler.cluster.connection import note as cluster_note
from labeler.core import convert
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.labellers import answering as labeller_answering
from labeler.labellers import questions as labeller_questions
from labeler.reading import answering, folds, postprocessing
from labeler.reading.early_exit import fitted_rule
from labeler.reading.remote import remote_reader
from labeler.rounds.steps.calibrating import Calibration, calibrate, confidences
from mrc.calibration.selective import ReleaseRule
from mrc.types import Prediction


def predict(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Store a prediction for every question of the round, with its confidence where calibration is possible."""
    statistics = _predict_chunks(runtime, row)
    calibration = _calibration(runtime, row)
    if calibration is None:
        return _without_calibration(runtime, row, statistics)
    with runtime.database.read() as session:
        predictions = queries.iter_predictions(session, row.number)
        calibrated = {**dict(confidences(predictions, calibration.calibrator)), **calibration.out_of_fold}
    with runtime.database.write() as session:
        calibrator = calibration.calibrator
        calibrator_id = store.add_calibrator(
            session,
            hash=calibrator.hash,
            kind=calibrator.kind,
            state=calibrator.state(),
            metrics=asdict(calibrator.metrics),
        )
        store.set_confidences(session, row.number, calibrated)
        detail = {"questions": len(calibrated)} | statistics
        store.add_event(session, "predicted", detail=detail, round_number=row.number)
        return store.advance(
            session, row.number, "open", "predicted", calibrator_id=calibrator_id, release=asdict(calibration.rule)
        )


def _calibration(runtime: Runtime, row: RoundRow) -> Calibration | None:
    with runtime.database.read() as session:
        golds = calibrating(session, row)
        ids = [entry.question.id for entry in golds]
        predictions = queries.predictions(session, row.number, question_ids=ids)
    return calibrate(predictions, golds, runtime.config.calibrate, metric=runtime.metric, seed=row.seed)


def calibrating(session: Session, row: RoundRow) -> list[LabelledQuestion]:
    """The labelled questions that calibrate a round: its readers have not seen them."""
    if row.labeller_id is not None:
        return labeller_questions.calibrating(session, folds=row.config["calibrate"]["folds"])
    if row.teacher_id is None:
        return queries.labelled_questions(session, "calibration")
    return folds.calibrating(session, _readers(session, row))


def _readers(session: Session, row: RoundRow) -> folds.Readers:
    """The teacher of the round and its fold readers."""
    assert row.teacher_id is not None, "a loop round is opened with its teacher"
    return folds.readers_of(session, queries.model(session, row.teacher_id))


def _without_calibration(runtime: Runtime, row: RoundRow, statistics: dict[str, Any]) -> RoundRow:
    target = runtime.config.calibrate.target_precision
    rule = ReleaseRule(
        threshold=None, target=target, precision=None, items=0, why="no calibration questions: nothing can be released"
    )
    with runtime.database.write() as session:
        store.add_event(session, "predicted", detail=statistics, round_number=row.number)
        return store.advance(session, row.number, "open", "predicted", release=asdict(rule))


def _take_answers(runtime: Runtime, row: RoundRow, labeller_id: int) -> dict[str, Any]:
    """Store the answers of the round's labeller as predictions of the missing chunks."""
    with runtime.database.read() as session:
        chunks = queries.round_chunks(session, row.number, predicted=False)
    began = time.perf_counter()
    for ids in chunks:
        with runtime.database.read() as session:
            questions = queries.questions(session, ids=ids, active=False)
        found = labeller_answering.answers(runtime, labeller_id, questions, row.index_fingerprint)
        rows = [convert.new_prediction(prediction) for prediction in found]
        with runtime.database.write() as session:
            store.add_predictions(
                session, row.number, labeller_id=labeller_id, index_fingerprint=row.index_fingerprint, rows=rows
            )
    return {"sequences": 0, "seconds": time.perf_counter() - began, "tuned": None}


def _predict_chunks(runtime: Runtime, row: RoundRow) -> dict[str, Any]:
    """Predict and store the missing chunks of the round.

    Returns:
        `sequences`, the question-passage pairs that were read; `seconds` without loading the reader; `tuned`, what was
        tuned for the reader.
    """
    if row.labeller_id is not None:
        return _take_answers(runtime, row, row.labeller_id)
    with runtime.database.read() as session:
        chunks = queries.round_chunks(session, row.number, predicted=False)
        readers = _readers(session, row)
    teacher = readers.teacher
    stopping = fitted_rule(runtime, teacher, index=row.index_fingerprint) if chunks else None
    plan = postprocessing.plan_of(runtime, teacher)
    began, sequences = time.perf_counter(), 0
    compute = runtime.config.compute
    note = cluster_note(compute) if chunks else ""
    read = partial(_on_cluster if compute.on_ray else _here, runtime, row, readers, plan=plan, stopping=stopping)
    with bar("predict", total=sum(map(len, chunks)), unit="questions", note=note) as progress:
        for model, found in read(chunks):
            rows = [convert.new_prediction(prediction) for prediction in found]
            with runtime.database.write() as session:
                store.add_predictions(
                    session, row.number, model_id=model.id, index_fingerprint=row.index_fingerprint, rows=rows
                )
            sequences += sum(int(each.features.get("passages_read", len(each.hits))) for each in rows)
            progress.update(len(rows))
    tuned = postprocessing.identity_of(runtime, teacher)
    return {"sequences": sequences, "seconds": time.perf_counter() - began, "tuned": tuned}


def _here(
    runtime: Runtime, row: RoundRow, readers: folds.Readers, chunks: Sequence[Sequence[str]], **how: Any
) -> Iterator[tuple[ModelRow, Iterable[Prediction]]]:
    """The reader of each chunk and its predictions, one after the other."""
    for ids in chunks:
        questions = _questions(runtime, ids)
        model = readers.of(questions[0])  # a chunk has one reader
        found = answering.answers(runtime, questions, runtime.answerer(model), row.index_fingerprint, **how)
        yield model, found


def _on_cluster(
    runtime: Runtime, row: RoundRow, readers: folds.Readers, chunks: Sequence[Sequence[str]], **how: Any
) -> Iterator[tuple[ModelRow, Iterable[Prediction]]]:
    """The reader of each chunk and its predictions, as workers send them; one reader is done before the next begins."""
    by_reader: dict[int, tuple[ModelRow, list[Sequence[str]]]] = {}
    for ids in chunks:
        model = readers.of(_questions(runtime, ids[:1])[0])
        by_reader.setdefault(model.id, (model, []))[1].append(ids)
    for model, own in by_reader.values():
        reader = remote_reader(runtime, model)
        for _, found in answering.answers_of_chunks(runtime, own, reader, row.index_fingerprint, **how):
            yield model, found


def _questions(runtime: Runtime, ids: Sequence[str]) -> list[QuestionRow]:
    with runtime.database.read() as session:
        return queries.questions(session, ids=ids, active=False)
