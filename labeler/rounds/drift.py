"""Measurements of drift of a round's pseudo-labels, from the database."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from db import queries
from db.engine import Session
from db.rows import LabelRow, RoundRow
from labeler.core.runtime import Runtime
from labeler.evaluation.pseudo_precision import own_pseudo
from labeler.rounds.alarms import Drift, churn
from mrc.metrics import normalize_answer
from mrc.text.question_types import question_type


def measure_drift(runtime: Runtime, session: Session, row: RoundRow) -> Drift:
    """The drift of a labelled round."""
    audit = (row.release or {}).get("audit") or {}
    written = own_pseudo(session, row.number)
    trained_on = [label for label in written if label.train_weight > 0]
    human = [
        label
        for label in queries.live_labels(session, kinds=["gold", "human"], roles=["gold", "pool"])
        if label.answers
    ]
    pool = {entry.id: entry.text for entry in queries.questions(session, roles=["pool"])}
    return Drift(
        mean_confidence=audit.get("mean_confidence"),
        review_accuracy=audit["correct"] / audit["items"] if audit.get("items") else None,
        pool_types=Counter(map(question_type, pool.values())),
        pseudo_types=Counter(question_type(pool[each.question_id]) for each in trained_on if each.question_id in pool),
        human_length=_mean_length(human),
        pseudo_length=_mean_length(trained_on),
        churn=_churn(runtime, session, row, written),
    )


def _mean_length(labels: list[LabelRow]) -> float | None:
    return fmean(len(label.answers[0].text) for label in labels) if labels else None


def _churn(runtime: Runtime, session: Session, row: RoundRow, written: list[LabelRow]) -> float | None:
    """The churn against the last round before this one that wrote pseudo-labels."""
    earlier = [each.number for each in queries.rounds(session, reverted=False) if each.number < row.number]
    previous = next((found for number in reversed(earlier) if (found := own_pseudo(session, number))), [])
    texts = [
        {label.question_id: normalize_answer(label.answers[0].text, runtime.metric) for label in labels}
        for labels in (previous, written)
    ]
    return churn(*texts)
