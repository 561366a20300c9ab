"""Precision of pseudo-labels against hidden answers, with intervals."""

from __future__ import annotations

from collections.abc import Iterable

from db.engine import Session
from db.rows import RoundRow
from labeler.evaluation.pseudo_precision import Checked, pseudo_precision
from labeler.report.data import Estimate, PrecisionRow
from mrc.calibration.intervals import wilson_interval
from mrc.metrics import Metric


def precision_rows(session: Session, rounds: Iterable[RoundRow], metric: Metric) -> tuple[PrecisionRow, ...]:
    """A row for each round whose pseudo-labels have hidden answers."""
    rows = []
    for row in rounds:
        found = pseudo_precision(session, row.number, metric=metric)
        if found is not None:
            rows.append(PrecisionRow(row.number, found.trained, _estimate(found.trained)))
    return tuple(rows)


def _estimate(checked: Checked) -> Estimate | None:
    return wilson(checked.correct, checked.items) if checked.items else None


def wilson(correct: int, items: int) -> Estimate:
    """A proportion with its 95% score interval."""
    return Estimate(correct / items, *wilson_interval(correct, items))
