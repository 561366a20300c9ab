"""The audit of a release threshold by blind reviews."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from db.rows import AnswerRow, PredictionRow, ReviewRow, SpanRow
from labeler.rounds.steps.labelling import audit


def prediction(question_id: str, text: str | None, confidence: float | None) -> PredictionRow:
    answers = (
        () if text is None else (AnswerRow(text, "p", 0, len(text), 0.5, 0.5), AnswerRow("x", "p", 0, 1, 0.1, 0.1))
    )
    given: dict[str, Any] = {field.name: None for field in dataclasses.fields(PredictionRow)}
    return PredictionRow(**given | {"question_id": question_id, "answers": answers, "confidence": confidence})


def review(question_id: str, answer: str | None) -> ReviewRow:
    span = None if answer is None else SpanRow(answer, "p", 0, len(answer))
    given: dict[str, Any] = {field.name: None for field in dataclasses.fields(ReviewRow)}
    return ReviewRow(**given | {"question_id": question_id, "answer": span})


PREDICTIONS = {
    "right": prediction("right", "1921", 0.9),
    "wrong": prediction("wrong", "1921", 0.75),
    "at": prediction("at", "the tower", 0.8),
    "below": prediction("below", "Ilvane", 0.25),
    "none": prediction("none", None, None),
}
REVIEWS = [
    review("right", "1921"),
    review("wrong", "1922"),
    review("at", "Tower"),  # equal after normalisation
    review("below", None),  # no answer found: the prediction counts as wrong
    review("none", "1921"),  # nothing was predicted
    review("unknown", "1921"),
]


def test_an_audit_counts_the_predictions_that_reviewers_confirm() -> None:
    assert audit(REVIEWS, PREDICTIONS, metric="squad", threshold=0.8) == {
        "items": 4,
        "correct": 2,
        "mean_confidence": pytest.approx((0.9 + 0.75 + 0.8 + 0.25) / 4),
        "confident_items": 4,
        "confident_correct": 2,
        "released_items": 2,  # the threshold itself is released
        "released_correct": 2,
    }
    found = audit(REVIEWS, PREDICTIONS, metric="squad", threshold=0.75)
    assert (found["released_items"], found["released_correct"]) == (3, 2)


def test_without_a_threshold_nothing_of_an_audit_is_released() -> None:
    found = audit(REVIEWS, PREDICTIONS, metric="squad", threshold=None)
    assert (found["items"], found["released_items"], found["released_correct"]) == (4, 0, 0)


def test_an_audit_without_calibrated_predictions_has_no_mean_confidence() -> None:
    uncalibrated = {"right": prediction("right", "1921", None)}
    assert audit(REVIEWS, uncalibrated, metric="squad", threshold=0.5) == {
        "items": 1,
        "correct": 1,
        "mean_confidence": None,
        "confident_items": 0,
        "confident_correct": 0,
        "released_items": 0,
        "released_correct": 0,
    }
    assert audit([], {}, metric="squad", threshold=0.5)["items"] == 0
