"""Measurements of drift of a round's pseudo-labels, from the database."""

from __future__ import annotations

from collections import Counter

from db import queries
from db.engine import Session
from db.rows import LabelRow, RoundRow
from labeler.core.runtime import Runtime
from labeler.evaluation.alarms import Drift, Measured, measure_churn, measure_lengths, measure_types
from labeler.evaluation.pseudo_precision import own_pseudo
from labeler.evaluation.standing_alarms import overconfidence_of
from mrc.metrics import normalize_answer
from mrc.text.question_types import question_type


def measure_drift(runtime: Runtime, session: Session, row: RoundRow) -> Drift:
    """The drift of a labelled round."""
    written = own_pseudo(session, row.number)
    trained_on = [label for label in written if label.train_weight > 0]
    human = [
        label
        for label in queries.live_labels(session, kinds=["gold", "human"], roles=["gold", "pool"])
        if label.answers
    ]
    pool = {entry.id: entry.text for entry in queries.questions(session, roles=["pool"])}
    types = Counter(question_type(pool[each.question_id]) for each in trained_on if each.question_id in pool)
    return Drift(
        overconfidence=overconfidence_of(row),
        type_divergence=measure_types(types, Counter(map(question_type, pool.values()))),
        length_change=measure_lengths(_lengths(trained_on), _lengths(human)),
        churn=_churn(runtime, session, row, written),
    )


def _lengths(labels: list[LabelRow]) -> list[int]:
    return [len(label.answers[0].text) for label in labels]


def _churn(runtime: Runtime, session: Session, row: RoundRow, written: list[LabelRow]) -> Measured | None:
    """The churn against the last round before this one that wrote pseudo-labels."""
    earlier = [each.number for each in queries.rounds(session, reverted=False) if each.number < row.number]
    previous = next((found for number in reversed(earlier) if (found := own_pseudo(session, number))), [])
    texts = [
        {label.question_id: normalize_answer(label.answers[0].text, runtime.metric) for label in labels}
        for labels in (previous, written)
    ]
    return measure_churn(*texts)
