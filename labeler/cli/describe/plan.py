"""Text of a forecast: the verdict, what the target costs, the curve, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.planning.plan import PlanForecast, Range

_VERDICTS = {
    "reached": "the target is reached",
    "forecast": "forecast",
    "prior": "a range by assumption",
    "unreachable": "the target is out of reach",
    "insufficient": "nothing can be forecast yet",
}


def plan_text(found: PlanForecast) -> str:
    """The forecast for people; a dash is more than the pool can give."""
    lines = [f"{_VERDICTS[found.verdict]}: {found.why}"]
    if found.exact_match is None:
        return lines[0]
    lines.append(
        f"now: EM {percent(found.exact_match)} on {found.questions} dev questions, {found.trained_on} trusted labels, "
        f"{found.pool} pool questions without one"
    )
    lines += [f"{name:<8} {text}" for name, text in _costs(found)]
    return "\n".join([*lines, "", _curve(found), "", *(f"assumed: {each}" for each in found.assumptions)])


def _costs(found: PlanForecast) -> Iterator[tuple[str, str]]:
    if found.probability is not None:
        yield "chance", f"{100 * found.probability:.0f}% that the pool suffices"
    for name in ("labels", "reviews", "rounds", "minutes", "money"):
        cost: Range | None = getattr(found, name)
        if cost is not None:
            low, median, high = (_count(each) for each in (cost.low, cost.median, cost.high))
            yield name, f"{median} (80% range {low} to {high})"
        if name == "reviews" and found.audits:
            yield "audits", f"{found.audits}"


def _curve(found: PlanForecast) -> str:
    releases = any(point.released for point in found.curve)
    header = ("further labels", "EM %", "80% range", *(("released", "80% range") if releases else ()))
    rows = []
    for point in found.curve:
        row = [f"{point.labels}", percent(point.exact_match.median)]
        row.append(f"{percent(point.exact_match.low)} to {percent(point.exact_match.high)}")
        if point.released:
            row += [_count(point.released.median), f"{_count(point.released.low)} to {_count(point.released.high)}"]
        rows.append(tuple(row))
    return table(header, rows)


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
