"""open -> predicted: the teacher answers pool and calibration questions, chunk by chunk; scores are calibrated."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from db import queries, store
from db.rows import LabelledQuestion, PredictionRow, RoundRow
from labeler.core import convert
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.reading import answering, postprocessing
from labeler.reading.early_exit import fitted_rule
from mrc.calibration.calibrate import Calibrator, fit
from mrc.calibration.features import feature_rows, known_features
from mrc.calibration.selective import ReleaseRule, release_threshold
from mrc.metrics import score

CONFIDENCE_BATCH = 5000  # predictions whose confidence is computed together


def predict(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `predicted`: every question of the round has a prediction, and a confidence if that can be had."""
    took = _predict_chunks(runtime, row)
    with runtime.database.read() as session:
        golds = queries.labelled_questions(session, "calibration")
        ids = [entry.question.id for entry in golds]
        predictions = queries.predictions(session, row.number, question_ids=ids)
    fitted = calibrate(runtime, predictions, golds, seed=row.seed)
    if fitted is None:
        return _without_confidence(runtime, row, took)
    calibrator, rule, held = fitted
    confidences = dict(_confidences(runtime, row, calibrator)) | held
    with runtime.database.write() as session:
        calibrator_id = store.add_calibrator(
            session,
            hash=calibrator.hash,
            kind=calibrator.kind,
            state=calibrator.state(),
            metrics=asdict(calibrator.metrics),
        )
        store.set_confidences(session, row.number, confidences)
        detail = {"questions": len(confidences)} | took
        store.add_event(session, "predicted", detail=detail, round_number=row.number)
        return store.advance(
            session, row.number, "open", "predicted", calibrator_id=calibrator_id, release=asdict(rule)
        )


def _without_confidence(runtime: Runtime, row: RoundRow, took: dict[str, Any]) -> RoundRow:
    target = runtime.config.calibrate.target_precision
    rule = ReleaseRule(
        threshold=None, target=target, precision=None, items=0, why="no calibration questions: nothing can be released"
    )
    with runtime.database.write() as session:
        store.add_event(session, "predicted", detail=took, round_number=row.number)
        return store.advance(session, row.number, "open", "predicted", release=asdict(rule))


def _predict_chunks(runtime: Runtime, row: RoundRow) -> dict[str, Any]:
    """How many question-passage pairs were read in how many seconds, by this call, the reader's loading left out; and
    by which rules on answers."""
    with runtime.database.read() as session:
        chunks = queries.round_chunks(session, row.number, predicted=False)
        teacher = queries.model(session, _teacher(row))
    reader = runtime.answerer(teacher)
    refine = postprocessing.refine_of(runtime, teacher)
    stopping = fitted_rule(runtime, teacher, index=row.index_fingerprint) if chunks else None
    began, sequences = time.perf_counter(), 0
    with bar("predict", total=sum(map(len, chunks)), unit="questions") as shown:
        for ids in chunks:
            with runtime.database.read() as session:
                questions = queries.questions(session, ids=ids, active=False)
            found = answering.answers(
                runtime, questions, reader, row.index_fingerprint, refine=refine, stopping=stopping
            )
            rows = [convert.new_prediction(prediction) for prediction in found]
            with runtime.database.write() as session:
                store.add_predictions(
                    session, row.number, model_id=teacher.id, index_fingerprint=row.index_fingerprint, rows=rows
                )
            sequences += sum(int(each.features.get("passages_read", len(each.hits))) for each in rows)
            shown.update(len(ids))
    rules = list(postprocessing.names_of(runtime, teacher))
    return {"sequences": sequences, "seconds": time.perf_counter() - began, "rules": rules}


def _teacher(row: RoundRow) -> int:
    assert row.teacher_id is not None, "a loop round is opened with its teacher"
    return row.teacher_id


def calibrate(
    runtime: Runtime, predictions: Sequence[PredictionRow], golds: Iterable[LabelledQuestion], *, seed: int
) -> tuple[Calibrator, ReleaseRule, dict[str, float]] | None:
    """The calibrator, the release rule, and the calibration questions' out-of-fold confidences; None without any.

    Any answer to an impossible question is wrong. A question that people found no answer to in the passages shown says
    nothing of other passages and does not count. The rule and the reliability plots see out-of-fold confidences only:
    in-sample ones flatter.
    """
    labelled = {entry.question.id: entry for entry in golds if entry.label.answers or entry.question.is_impossible}
    usable = [row for row in predictions if row.answers and row.question_id in labelled]
    if not usable:
        return None
    correct = np.array([is_correct(runtime, row, labelled[row.question_id]) for row in usable])
    split_groups = [labelled[row.question_id].question.split_group for row in usable]
    calibrator = fit(feature_rows(usable, known_features(usable)), correct, split_groups, seed=seed)
    settings = runtime.config.calibrate
    rule = release_threshold(
        calibrator.out_of_fold, correct, target=settings.target_precision, min_items=settings.min_support
    )
    held = {row.question_id: float(value) for row, value in zip(usable, calibrator.out_of_fold, strict=True)}
    return calibrator, rule, held


def is_correct(runtime: Runtime, prediction: PredictionRow, gold: LabelledQuestion) -> bool:
    """Whether the best answer's normalised text equals that of any gold, whatever passage it came from; without golds
    no answer is right."""
    texts = [answer.text for answer in gold.label.answers]
    return bool(texts) and score(prediction.answers[0].text, texts, runtime.metric).exact_match == 1


def _confidences(runtime: Runtime, row: RoundRow, calibrator: Calibrator) -> Iterator[tuple[str, float]]:
    """(question id, confidence) of every prediction that has an answer."""
    batch: list[PredictionRow] = []

    def flush() -> Iterator[tuple[str, float]]:
        found = calibrator.confidence(feature_rows(batch, calibrator.features))
        yield from zip([entry.question_id for entry in batch], map(float, found), strict=True)
        batch.clear()

    with runtime.database.read() as session:
        for entry in queries.iter_predictions(session, row.number):
            if entry.answers:
                batch.append(entry)
            if len(batch) == CONFIDENCE_BATCH:
                yield from flush()
    if batch:
        yield from flush()
