"""Calibration of a round: scores of the calibration questions give the calibrator and the release threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.rows import LabelledQuestion, PredictionRow
from labeler.core.round_settings import CalibrateConfig
from mrc.calibration.calibrate import Calibrator, fit
from mrc.calibration.features import feature_rows, known_features
from mrc.calibration.selective import ReleaseRule, release_threshold
from mrc.metrics import Metric, score

BATCH = 5000  # predictions whose confidence is computed together


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted calibrator and what follows from it."""

    calibrator: Calibrator
    rule: ReleaseRule
    out_of_fold: Mapping[str, float]  # calibration question id -> confidence by calibrators that did not see it


def calibrate(
    predictions: Sequence[PredictionRow],
    golds: Iterable[LabelledQuestion],
    config: CalibrateConfig,
    *,
    metric: Metric,
    seed: int,
) -> Calibration | None:
    """The calibration by questions with known answers that trained nothing; None without any.

    Every answer to an impossible question is wrong, and so is one from a passage in which reviewers found none; where
    they found none in other passages, the question is left out. The release threshold is taken from out-of-fold
    confidences, because in-sample ones are too high.
    """
    labelled = {entry.question.id: entry for entry in golds}
    usable = [row for row in predictions if row.answers and _is_known(row, labelled.get(row.question_id))]
    if not usable:
        return None
    correct = np.array([is_correct(row, labelled[row.question_id], metric) for row in usable])
    split_groups = [labelled[row.question_id].question.split_group for row in usable]
    calibrator = fit(feature_rows(usable, known_features(usable)), correct, split_groups, seed=seed)
    rule = release_threshold(
        calibrator.out_of_fold, correct, target=config.target_precision, min_items=config.min_support
    )
    out_of_fold = {row.question_id: float(value) for row, value in zip(usable, calibrator.out_of_fold, strict=True)}
    return Calibration(calibrator, rule, out_of_fold)


def _is_known(prediction: PredictionRow, gold: LabelledQuestion | None) -> bool:
    """Whether the label says if the best answer is right."""
    if gold is None:
        return False
    return (
        bool(gold.label.gold_texts)
        or bool(gold.question.is_impossible)
        or (gold.label.no_answer and prediction.answers[0].passage_id in (gold.label.passages or ()))
    )


def is_correct(prediction: PredictionRow, gold: LabelledQuestion, metric: Metric) -> bool:
    """Whether the best answer equals a gold after normalisation, in whatever passage; without golds none is correct."""
    texts = gold.label.gold_texts
    return bool(texts) and score(prediction.answers[0].text, texts, metric).exact_match == 1


def confidences(predictions: Iterable[PredictionRow], calibrator: Calibrator) -> Iterator[tuple[str, float]]:
    """(question id, confidence) of every prediction that has an answer, in order."""
    batch: list[PredictionRow] = []
    for entry in predictions:
        if entry.answers:
            batch.append(entry)
        if len(batch) == BATCH:
            yield from _confidences(batch, calibrator)
            batch.clear()
    if batch:
        yield from _confidences(batch, calibrator)


def _confidences(batch: Sequence[PredictionRow], calibrator: Calibrator) -> Iterator[tuple[str, float]]:
    found = calibrator.confidence(feature_rows(batch, calibrator.features))
    return zip([entry.question_id for entry in batch], map(float, found), strict=True)
