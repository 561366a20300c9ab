"""The table of rounds: labels, scores, decisions and cost of each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from db import queries
from db.engine import Session
from db.rows import EvaluationRow, ModelRow, ReviewRow, RoundRow
from labeler.report.data import Audit, Estimate, RoundCost, RoundSummary, SplitScores, Training, TrainingLabels
from mrc.calibration.selective import ReleaseRule

SPLITS = ("dev", "test")

Newest = Mapping[tuple[int, str], EvaluationRow]  # by model id and split


def round_summaries(
    session: Session, rounds: Sequence[RoundRow], reviews: Sequence[ReviewRow], newest: Newest
) -> tuple[RoundSummary, ...]:
    """A summary of each round, in order. `newest`: the newest evaluation of each model on each split."""
    current = queries.best_model(session)
    models = queries.models(session)
    retrievers = {row.round_number: row.seconds for row in queries.retrievers(session)}
    by_id = {model.id: model for model in models}
    summaries = []
    for row in rounds:
        so_far = [review for review in reviews if review.round_number <= row.number]
        summary = RoundSummary(
            number=row.number,
            kind=row.kind,
            stage=row.stage,
            outcome=_outcome(row),
            is_current=current is not None and current.id == row.student_id,
            training=_training(by_id.get(row.student_id or 0)),
            labels=_training_labels(session, row.number),
            scores={split: _scores(newest[key]) for split in SPLITS if (key := (row.student_id or 0, split)) in newest},
            gate=row.gate["why"] if row.gate else None,
            release=_release_rule(row),
            audit=_audit(row),
            cost=_cost(row, reviews, models, retrievers),
            reviews=len(so_far),
            review_minutes=_minutes(so_far) if so_far else 0.0,
        )
        summaries.append(summary)
    return tuple(summaries)


def newest_evaluations(session: Session) -> dict[tuple[int, str], EvaluationRow]:
    """The newest evaluation of each model on each split: end to end, or on given passages where there is no other."""
    rows = sorted(queries.evaluations(session), key=lambda row: (row.summary["mode"] == "end_to_end", row.id))
    return {(row.model_id, row.split): row for row in rows}


def _outcome(row: RoundRow) -> str:
    if row.reverted_at is not None:
        return "reverted"
    if row.promoted is None:
        return "open"
    if row.kind == "audit":
        return "audited"
    return "promoted" if row.promoted else "refused"


def _training(model: ModelRow | None) -> Training | None:
    return None if model is None else Training(model.examples, model.seconds / 60, model.loss)


def _training_labels(session: Session, round_number: int) -> TrainingLabels:
    counts: Counter[str] = Counter()
    for (kind, _, _), count in queries.training_counts(session, round_number).items():
        counts[kind] += count
    return TrainingLabels(counts["gold"], counts["human"], counts["pseudo"])


def _cost(
    row: RoundRow, reviews: Iterable[ReviewRow], models: Iterable[ModelRow], retrievers: Mapping[int, float]
) -> RoundCost:
    training = [model.seconds for model in models if model.round_number == row.number]
    retriever = retrievers.get(row.number)
    return RoundCost(
        reviewing=_minutes([review for review in reviews if review.round_number == row.number]),
        training=sum(training) / 60 if training else None,
        retriever=None if retriever is None else retriever / 60,
        elapsed=(row.closed_at - row.opened_at).total_seconds() / 60 if row.closed_at else None,
    )


def _minutes(reviews: Iterable[ReviewRow]) -> float | None:
    """The time of these reviews; None where none has a time."""
    times = [review.seconds for review in reviews if review.seconds is not None]
    return sum(times) / 60 if times else None


def _release_rule(row: RoundRow) -> ReleaseRule | None:
    if not row.release:
        return None
    return ReleaseRule(**{field.name: row.release[field.name] for field in dataclasses.fields(ReleaseRule)})


def _audit(row: RoundRow) -> Audit | None:
    audit = row.release.get("audit") if row.release else None
    return Audit(audit["released_correct"], audit["released_items"]) if audit and audit["released_items"] else None


def _scores(row: EvaluationRow) -> SplitScores:
    return SplitScores(
        exact_match=Estimate(row.summary["exact_match"], *row.summary["intervals"]["exact_match"]),
        f1=Estimate(row.summary["f1"], *row.summary["intervals"]["f1"]),
        questions=row.summary["questions"],
        given=row.summary["mode"] != "end_to_end",
    )
