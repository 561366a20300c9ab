"""What is known of pseudo-labels that no certificate covers: an estimate of their precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import LabelRow
from mrc.calibration.intervals import wilson_interval
from mrc.metrics import Metric, exact_match


@dataclass(frozen=True, slots=True)
class EstimatedPrecision:
    """The precision of uncertified labels by blind reviews of random questions as confident as they are."""

    labels: int
    precision: float | None  # None: no such question was reviewed
    low: float | None  # of the 95% interval
    high: float | None
    reviewed: int


def estimated_precision(session: Session, labels: Sequence[LabelRow], metric: Metric) -> EstimatedPrecision:
    """Compare the answers of the labels' rounds with blind reviews of random questions.

    Only answers count that are at least as confident as the least confident label of their round. A review without an
    answer is an error.
    """
    lowest: dict[int, float] = {}
    for label in labels:
        if label.round_number is not None:
            known = lowest.get(label.round_number, 1.0)
            lowest[label.round_number] = min(known, label.confidence if label.confidence is not None else 0.0)
    judged = [right for number, least in sorted(lowest.items()) for right in _judged(session, number, least, metric)]
    if not judged:
        return EstimatedPrecision(len(labels), None, None, None, 0)
    low, high = wilson_interval(sum(judged), len(judged))
    return EstimatedPrecision(len(labels), sum(judged) / len(judged), low, high, len(judged))


def _judged(session: Session, round_number: int, least: float, metric: Metric) -> Iterable[bool]:
    """Whether answers of a round equal a blind review of a random question."""
    random = {task.id for task in queries.tasks(session, round_number=round_number) if task.kind == "random"}
    given: dict[str, list[str]] = {}
    for review in queries.reviews(session, round_number=round_number):
        if review.task_id in random and review.verdict != "skipped":
            texts = given.setdefault(review.question_id, [])
            texts += [review.answer.text] if review.answer else []
    for entry in queries.predictions(session, round_number, question_ids=given):
        if entry.answers and (entry.confidence or 0.0) >= least:
            best = entry.answers[0].text
            yield any(exact_match(best, text, metric) == 1 for text in given[entry.question_id])
