"""A reader's score on one question: what evaluation stores, the gate compares and an ablation tabulates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from labeler.reading.answering import best_text
from mrc.metrics import Metric, score
from mrc.types import Prediction


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """Exact match (0 or 1) and F1 (0-1) of the answer given; `cluster` is the document that the bootstrap draws."""

    question_id: str
    cluster: str | None
    exact_match: float
    f1: float
    answer: str = ""
    passage_id: str | None = None  # of the answer
    passage_correct: bool = False  # the answer comes from a gold passage


def score_prediction(
    prediction: Prediction,
    *,
    golds: Sequence[str],
    gold_passages: Collection[str],
    cluster: str | None,
    metric: Metric,
    may_abstain: bool,
    null_threshold: float = 0.0,
) -> QuestionScore:
    """The score of a prediction; `may_abstain` and `null_threshold`: see `best_text`."""
    text, passage_id = best_text(prediction, may_abstain=may_abstain, null_threshold=null_threshold)
    found = score(text, golds, metric)
    correct = passage_id in gold_passages
    return QuestionScore(prediction.question_id, cluster, found.exact_match, found.f1, text, passage_id, correct)
