"""Precision of pseudo-labels against hidden answers, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from db.engine import Session
from db.rows import RoundRow
from labeler.evaluation.pseudo_precision import Checked, pseudo_precision
from labeler.report.data import Estimate, PrecisionRow
from labeler.report.rounds import release_target
from mrc.metrics import Metric

Z = 1.959964  # standard normal quantile of a two-sided 95% interval


def precision_rows(session: Session, rounds: Iterable[RoundRow], metric: Metric) -> tuple[PrecisionRow, ...]:
    """A row for each round whose pseudo-labels have hidden answers."""
    rows = []
    for row in rounds:
        found = pseudo_precision(session, row.number, metric=metric)
        if found is not None:
            estimates = _estimate(found.released), _estimate(found.trained)
            rows.append(PrecisionRow(row.number, found.released, found.trained, *estimates, release_target(row)))
    return tuple(rows)


def _estimate(checked: Checked) -> Estimate | None:
    return wilson(checked.correct, checked.items) if checked.items else None


def wilson(correct: int, items: int) -> Estimate:
    """A proportion with its 95% score interval.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    share, spread = correct / items, Z**2 / items
    centre = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / items + spread / (4 * items)) / (1 + spread)
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0))
