"""reviewed -> certified -> labelled: what may be released, and the one transaction that turns a round into labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from db import queries, store
from db.rows import NewLabel, PredictionRow, ReviewRow, RoundRow, SpanRow
from labeler.core.runtime import Runtime
from labeler.review.agreement import matcher_of
from labeler.rounds import adjudication
from labeler.rounds.steps import training
from labeler.rounds.steps.opening import held_out_reviews
from mrc.metrics import exact_match


def certify(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `certified`: the release rule, with what the blind random reviews say of it beside it."""
    matcher = matcher_of(runtime)
    with runtime.database.read() as session:
        blind = {task.id for task in queries.tasks(session, round_number=row.number) if task.blind}
        reviews = [each for each in adjudication.words(session, row.number, matcher) if each.task_id in blind]
        ids = [each.question_id for each in reviews]
        predictions = {entry.question_id: entry for entry in queries.predictions(session, row.number, question_ids=ids)}
    rule = dict(row.release or {})
    rule["audit"] = audit(runtime, reviews, predictions, threshold=rule.get("threshold"))
    with runtime.database.write() as session:
        return store.advance(session, row.number, "reviewed", "certified", release=rule)


def audit(
    runtime: Runtime, reviews: Iterable[ReviewRow], predictions: dict[str, PredictionRow], *, threshold: float | None
) -> dict[str, Any]:
    """How the predictions to blindly reviewed questions did: all of them, and those above the release threshold.

    `reviews`: at most one a question.

    A review without an answer counts against the prediction: the reviewer did not find it right.
    """
    judged = [
        (entry, each.answer is not None and exact_match(entry.answers[0].text, each.answer.text, runtime.metric) == 1)
        for each in reviews
        if (entry := predictions.get(each.question_id)) is not None and entry.answers
    ]
    above = [right for entry, right in judged if threshold is not None and (entry.confidence or 0) >= threshold]
    confidences = [entry.confidence for entry, _ in judged if entry.confidence is not None]
    return {
        "items": len(judged),
        "correct": sum(right for _, right in judged),
        "mean_confidence": sum(confidences) / len(confidences) if confidences else None,
        "released_items": len(above),
        "released_correct": sum(above),
    }


def label(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round at `labelled`: reviews are human labels, confident answers pseudo-labels, and what teaches is fixed."""
    threshold, matcher = (row.release or {}).get("threshold"), matcher_of(runtime)
    with runtime.database.read() as session:
        decided = (
            each for each in queries.iter_predictions(session, row.number) if each.decision in ("release", "train")
        )
        pseudo = [_pseudo(each, row, threshold) for each in decided]
    with runtime.database.write() as session:
        reviewed = adjudication.gather(session, matcher)
        if row.kind == "cold":
            held_out_reviews(session, runtime.config, reviewed.labels, row.number)
        recorded = store.record_labels(
            session,
            row.number,
            reviews=reviewed.considered,
            human=[_human(each) for each in reviewed.labels],
            bad_questions=reviewed.bad_questions,
            unsupported=reviewed.unsupported,
            waiting=reviewed.waiting,
            pseudo=pseudo,
            reason=f"replaced in round {row.number}",
        )
        released = store.release_snapshot(session, row.number, rule=dict(row.release or {}))
        training.freeze(session, row.number)
        store.add_event(
            session,
            "labelled",
            detail={
                "human": recorded.human,
                "pseudo": recorded.pseudo,
                "withdrawn": recorded.withdrawn,
                "released": released.count,
            },
            round_number=row.number,
        )
        return store.advance(session, row.number, row.stage, "labelled")


def _human(review: ReviewRow) -> NewLabel:
    """The label that a review makes; the store bars one from a held-out passage from teaching and leaving."""
    return NewLabel(
        review.question_id,
        answers=(review.answer,) if review.answer else (),
        no_answer=review.verdict == "no_answer",
        passages=review.passages if review.verdict == "no_answer" else None,
        reviewer=review.reviewer,
        review_id=review.id,
    )


def _pseudo(entry: PredictionRow, row: RoundRow, threshold: float | None) -> NewLabel:
    """The pseudo-label of a decided prediction, with all that it rests on."""
    best = entry.answers[0]
    return NewLabel(
        entry.question_id,
        answers=(SpanRow(best.text, best.passage_id, best.start, best.end),),
        train_weight=entry.train_weight or 0.0,
        released=entry.decision == "release",
        model_id=entry.model_id,
        index_fingerprint=entry.index_fingerprint,
        calibrator_id=row.calibrator_id,
        confidence=entry.confidence,
        threshold=threshold,
    )
