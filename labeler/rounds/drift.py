"""What a round shows beside dev EM: the numbers that alarms are made of."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from db import queries
from db.engine import Session
from db.rows import LabelRow, RoundRow
from labeler.core.runtime import Runtime
from labeler.evaluation.pseudo_precision import own_pseudo
from labeler.rounds.gate import Signs, churn
from mrc.metrics import normalize_answer
from mrc.question_types import question_type


def signs(runtime: Runtime, session: Session, row: RoundRow) -> Signs:
    """The signs of a round whose labels are written; what cannot be known is None."""
    audit = (row.release or {}).get("audit") or {}
    made = own_pseudo(session, row.number)
    taught = [label for label in made if label.train_weight > 0]
    people = [
        label
        for label in queries.live_labels(session, kinds=["gold", "human"], roles=["gold", "pool"])
        if label.answers
    ]
    pool = {entry.id: entry.text for entry in queries.questions(session, roles=["pool"])}
    return Signs(
        mean_confidence=audit.get("mean_confidence"),
        review_accuracy=audit["correct"] / audit["items"] if audit.get("items") else None,
        pool_types=Counter(map(question_type, pool.values())),
        taught_types=Counter(question_type(pool[label.question_id]) for label in taught if label.question_id in pool),
        human_length=_mean_length(people),
        taught_length=_mean_length(taught),
        churn=_churn(runtime, session, row, made),
    )


def _mean_length(labels: list[LabelRow]) -> float | None:
    return fmean(len(label.answers[0].text) for label in labels) if labels else None


def _churn(runtime: Runtime, session: Session, row: RoundRow, made: list[LabelRow]) -> float | None:
    """Share of the pseudo-labels made in this round whose answer changed since the last round that made any."""
    earlier = [each.number for each in queries.rounds(session, reverted=False) if each.number < row.number]
    previous = next((found for number in reversed(earlier) if (found := own_pseudo(session, number))), [])
    texts = [
        {label.question_id: normalize_answer(label.answers[0].text, runtime.metric) for label in labels}
        for labels in (previous, made)
    ]
    return churn(*texts)
