"""Predictions with their n-best lists, and what selection decided."""

from __future__ import annotations

from dataclasses import dataclass, field

from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A candidate of a prediction's n-best list."""

    text: str
    passage_id: str
    start: int
    end: int
    score: float  # mass of the answer's merged spans
    probability: float  # of its best single span


@dataclass(frozen=True, slots=True)
class NewPrediction:
    """A prediction to store."""

    question_id: str
    answers: tuple[AnswerRow, ...]  # best first; empty when no passage was found
    score: float | None  # of the best answer; None without answers
    null_score: float | None
    hits: tuple[tuple[str, float], ...]  # (passage id, retrieval score) in rank order: what was read
    features: Json = field(default_factory=dict)
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A stored prediction."""

    id: int
    round_number: int
    question_id: str
    question_role: str  # when it was predicted: pool or calibration
    model_id: int | None  # None: a labeller's
    index_fingerprint: str | None
    answers: tuple[AnswerRow, ...]
    score: float | None
    null_score: float | None
    confidence: float | None
    hits: tuple[tuple[str, float], ...]
    features: Json
    decision: str | None
    train_weight: float | None
    labeller_id: int | None = None
    reviewed_by: int | None = None  # the labeller whose answer is trained on instead


@dataclass(frozen=True, slots=True)
class Decision:
    """Selection's decision on one predicted question; `train_weight` is None unless it is trained on."""

    question_id: str
    decision: str  # train, review, leave
    train_weight: float | None = None
    reviewed_by: int | None = None  # the labeller that answered it in review
