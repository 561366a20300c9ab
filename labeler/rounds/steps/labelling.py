"""reviewed -> labelled: audit of the release threshold, then one transaction that writes all labels of the round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from db import queries, store
from db.engine import Session
from db.rows import NewLabel, PredictionRow, Recorded, ReviewRow, RoundRow, SpanRow
from labeler.core.runtime import Runtime
from labeler.review.agreement import matcher_of
from labeler.rounds.adjudication import adjudicate, consensus_of_round, without_confirmed
from labeler.rounds.holdout import hold_out_reviewed
from labeler.rounds.steps import training
from labeler.rounds.steps.model_review import label_span
from mrc.metrics import Metric, exact_match


def label(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Write human labels from reviews and pseudo-labels from predictions, fix the training set, advance the round."""
    release = dict(row.release or {})
    if row.kind == "loop":
        release["audit"] = _audit_of_round(runtime, row, threshold=release.get("threshold"))
    pseudo = _pseudo_labels(runtime, row)
    with runtime.database.write() as session:
        recorded = _record(runtime, session, row, pseudo)
        training.freeze(session, row.number)
        detail = {
            "human": recorded.human,
            "pseudo": recorded.pseudo,
            "withdrawn": recorded.withdrawn,
        }
        store.add_event(session, "labelled", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "reviewed", "labelled", release=release or None)


def audit(
    reviews: Iterable[ReviewRow], predictions: Mapping[str, PredictionRow], *, metric: Metric, threshold: float | None
) -> dict[str, Any]:
    """Accuracy of the predictions to blindly reviewed questions: of all, and of those at or above the threshold.

    A review without an answer counts as an error of the prediction.

    Args:
        reviews: at most one per question; questions without a predicted answer are left out.
        predictions: by question id.
        threshold: the release threshold (inclusive); None where the round has none.
    """
    judged = [
        (entry, each.answer is not None and exact_match(entry.answers[0].text, each.answer.text, metric) == 1)
        for each in reviews
        if (entry := predictions.get(each.question_id)) is not None and entry.answers
    ]
    released = [right for entry, right in judged if threshold is not None and (entry.confidence or 0) >= threshold]
    confident = [(entry.confidence, right) for entry, right in judged if entry.confidence is not None]
    return {
        "items": len(judged),
        "correct": sum(right for _, right in judged),
        "mean_confidence": sum(one for one, _ in confident) / len(confident) if confident else None,
        "confident_items": len(confident),
        "confident_correct": sum(right for _, right in confident),
        "released_items": len(released),
        "released_correct": sum(released),
    }


def _audit_of_round(runtime: Runtime, row: RoundRow, *, threshold: float | None) -> dict[str, Any]:
    """The audit of the round's blind random tasks: others are no fair sample, or their reviewers saw the suggestion."""
    with runtime.database.read() as session:
        tasks = queries.tasks(session, round_number=row.number)
        blind = {task.question_id for task in tasks if task.blind and task.kind == "random"}
        agreed = consensus_of_round(session, row.number, matcher_of(runtime))
        reviews = [each for each in agreed if each.question_id in blind]
        ids = [each.question_id for each in reviews]
        predictions = {entry.question_id: entry for entry in queries.predictions(session, row.number, question_ids=ids)}
    return audit(reviews, predictions, metric=runtime.metric, threshold=threshold)


def _pseudo_labels(runtime: Runtime, row: RoundRow) -> list[NewLabel]:
    """The pseudo-labels of all predictions that the round selected for training. None is released: see `certify`.

    Where a labeller answered in review, its answer is the label, with its name.
    """
    with runtime.database.read() as session:
        found = queries.iter_predictions(session, row.number)
        taught = [entry for entry in found if entry.decision == "train"]
        said = _reviewed(session, taught)
    return [_pseudo_label(entry, row, said.get(entry.question_id)) for entry in taught]


def _reviewed(session: Session, entries: Iterable[PredictionRow]) -> dict[str, SpanRow]:
    """The answers of labellers that reviewed questions, by question."""
    by_labeller: dict[int, list[str]] = {}
    for entry in entries:
        if entry.reviewed_by is not None:
            by_labeller.setdefault(entry.reviewed_by, []).append(entry.question_id)
    return {
        row.question_id: label_span(row)
        for labeller_id, ids in by_labeller.items()
        for row in queries.labeller_predictions(session, labeller_id, ids)
    }


def _record(runtime: Runtime, session: Session, row: RoundRow, pseudo: list[NewLabel]) -> Recorded:
    """Write the labels that follow from all new reviews, and the pseudo-labels."""
    matcher = matcher_of(runtime)
    found = adjudicate(session, matcher)
    new, confirmed = without_confirmed(session, found.labels, matcher)
    for review in confirmed:
        detail = {"reviewer": review.reviewer, "verdict": review.verdict}
        store.add_event(session, "label_kept", detail=detail, question_id=review.question_id)
    if row.kind == "cold":
        hold_out_reviewed(session, runtime.config, found.labels, row.number)
    return store.record_labels(
        session,
        row.number,
        reviews=found.considered,
        human=[human_label(each) for each in new],
        bad_questions=found.bad_questions,
        unsupported=found.unsupported,
        waiting=found.waiting,
        pseudo=pseudo,
        reason=f"replaced in round {row.number}",
    )


def human_label(review: ReviewRow) -> NewLabel:
    """The label that a review makes; the store keeps one from a held-out passage out of training and export."""
    return NewLabel(
        review.question_id,
        answers=(review.answer,) if review.answer else (),
        no_answer=review.verdict == "no_answer",
        passages=review.passages if review.verdict == "no_answer" else None,
        reviewer=review.reviewer,
        review_id=review.id,
    )


def _pseudo_label(entry: PredictionRow, row: RoundRow, reviewed: SpanRow | None) -> NewLabel:
    """The pseudo-label of a prediction, or of what a labeller answered in its review, with its provenance."""
    if reviewed is not None:
        return NewLabel(
            entry.question_id,
            answers=(reviewed,),
            train_weight=entry.train_weight or 0.0,
            labeller_id=entry.reviewed_by,
            index_fingerprint=entry.index_fingerprint,
            confidence=entry.train_weight,
        )
    best = entry.answers[0]
    return NewLabel(
        entry.question_id,
        answers=(SpanRow(best.text, best.passage_id, best.start, best.end),),
        train_weight=entry.train_weight or 0.0,
        model_id=entry.model_id,
        labeller_id=entry.labeller_id,
        index_fingerprint=entry.index_fingerprint,
        calibrator_id=row.calibrator_id,
        confidence=entry.confidence,
    )
