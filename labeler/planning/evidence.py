"""What a workspace has shown so far: readers by trusted labels, confidences, reviews and their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db import queries
from db.engine import Session
from db.rows import EvaluationRow, ReviewRow
from labeler.core.config import Config
from labeler.rounds.simulated_reviewer import SECONDS

TRUSTED: Final = ("gold", "human")
ENOUGH_REVIEWS: Final = 20  # from which their own time and yield replace the assumption


@dataclass(frozen=True, slots=True)
class ReaderSeen:
    """A round's reader: the trusted labels it was trained on and its dev scores by question id."""

    round: int
    labels: int
    exact_match: Mapping[str, float]
    documents: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Reviewing:
    """Seconds and labels of a review; `measured` on so many, else assumed."""

    seconds: float
    labels: float
    measured: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a forecast rests on. `readers` in the order of rounds, scored on the same dev questions."""

    readers: Sequence[ReaderSeen]
    current: int | None  # round of the current reader
    pool: int  # questions without a gold or human label
    confidences: Sequence[float]  # calibrated, out of fold, of the newest round that predicted
    reviewing: Reviewing


def gather(session: Session, config: Config) -> Evidence:
    """The evidence of rounds that are not reverted."""
    current = queries.best_model(session)
    rounds = queries.rounds(session, reverted=False)
    scored = _newest(queries.evaluations(session, split="dev"))
    labels = {row.number: trusted_labels(session, row.number) for row in rounds}
    readers = [
        ReaderSeen(row.number, labels[row.number], *_scores(scored[row.student_id]))
        for row in rounds
        if row.student_id in scored and labels[row.number]
    ]
    calibrated = [row.calibrator_id for row in rounds if row.calibrator_id is not None]
    state = queries.calibrator(session, calibrated[-1]).state if calibrated else {}
    numbers = {row.number for row in rounds}
    reviews = [row for row in queries.reviews(session) if row.round_number in numbers]
    return Evidence(
        readers=_on_the_same_questions(readers),
        current=current.round_number if current else None,
        pool=len(queries.pool_to_predict(session)),
        confidences=state.get("out_of_fold", ()),
        reviewing=_reviewing(reviews, config),
    )


def _newest(rows: Sequence[EvaluationRow]) -> dict[int | None, EvaluationRow]:
    """The newest evaluation of each model: end to end, or on given passages where there is no other."""
    ordered = sorted(rows, key=lambda row: (row.summary["mode"] == "end_to_end", row.id))
    return {row.model_id: row for row in ordered}


def trusted_labels(session: Session, number: int) -> int:
    """The gold and human labels that a round trains on."""
    counts = queries.training_counts(session, number)
    return sum(count for (kind, _, _), count in counts.items() if kind in TRUSTED)


def _scores(row: EvaluationRow) -> tuple[dict[str, float], dict[str, str | None]]:
    scores = {question: float(exact) for question, _, exact, *_ in row.results}
    return scores, {question: document for question, document, *_ in row.results}


def _on_the_same_questions(readers: Sequence[ReaderSeen]) -> list[ReaderSeen]:
    """The readers with the scores of the questions that the newest of them answered too; others are left out."""
    if not readers:
        return []
    shared = set(readers[-1].exact_match)
    kept = [each for each in readers if len(shared & each.exact_match.keys()) * 2 >= len(shared)]
    for each in kept:
        shared &= each.exact_match.keys()
    return [
        ReaderSeen(each.round, each.labels, {key: each.exact_match[key] for key in sorted(shared)}, each.documents)
        for each in kept
    ]


def _reviewing(reviews: Sequence[ReviewRow], config: Config) -> Reviewing:
    """The mean time of a review and the labels it makes, by the reviews so far; else by the cost model."""
    timed = [row.seconds for row in reviews if row.seconds is not None]
    if len(timed) < ENOUGH_REVIEWS:
        blind = config.review.random_share
        return Reviewing(blind * SECONDS["written"] + (1 - blind) * SECONDS["changed"], 1.0, 0)
    made = sum(row.verdict in ("answerable", "no_answer") for row in reviews)
    return Reviewing(sum(timed) / len(timed), max(made, 1) / len(reviews), len(timed))
