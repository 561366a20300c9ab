"""Learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from labeler.report.data import Estimate, RoundSummary, SplitScores
from labeler.report.svg import BLUE, ORANGE, PAPER, drawing, integer_axis, percent_axis

MIN_ROUNDS = 3  # evaluated rounds, from which on several plots differ in more than their axis

_METRICS: dict[str, tuple[str, Callable[[SplitScores], Estimate]]] = {
    "exact_match": ("Exact match", lambda scores: scores.exact_match),
    "f1": ("F1", lambda scores: scores.f1),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """What a learning curve is drawn against."""

    name: str  # for ids
    label: str
    of: Callable[[RoundSummary], float | None]


ROUNDS = Axis("rounds", "Round", lambda each: each.number)
AXES = (
    ROUNDS,
    Axis("reviews", "Reviews so far", lambda each: each.reviews),
    Axis("minutes", "Reviewing time so far (minutes)", lambda each: each.review_minutes),
)


@dataclass(frozen=True, slots=True)
class _Series:
    """How a split is drawn. `side`: the direction of its horizontal offset."""

    split: str
    color: str
    marker: str
    dash: str
    side: int


_SERIES = (_Series("test", BLUE, "o", "-", 1), _Series("dev", ORANGE, "s", "--", -1))


def learning_curves(rounds: Sequence[RoundSummary]) -> list[Markup]:
    """Exact match by round; from MIN_ROUNDS evaluated rounds on, each metric by rounds, reviews and minutes.

    Reverted rounds are left out. A refused student is drawn hollow, because it never became the reader.
    """
    evaluated = [each for each in rounds if each.scores and each.outcome != "reverted"]
    if not evaluated:
        return []
    if len(evaluated) < MIN_ROUNDS:
        return [_learning_curve(evaluated, "exact_match", ROUNDS)]
    varying = [axis for axis in AXES if axis is ROUNDS or len({axis.of(each) for each in evaluated} - {None}) > 1]
    return [_learning_curve(evaluated, metric, axis) for metric in _METRICS for axis in varying]


def _learning_curve(rounds: Sequence[RoundSummary], metric: str, axis: Axis) -> Markup:
    name, pick = _METRICS[metric]
    values = [x for each in rounds if (x := axis.of(each)) is not None]
    offset = 0.012 * (max(values) - min(values))  # so that intervals of dev and test do not hide each other
    with drawing(4.2, 3.2) as canvas:
        axes = canvas.axes
        for series in _SERIES:
            points = [
                (x + series.side * offset, pick(each.scores[series.split]), each.outcome)
                for each in rounds
                if series.split in each.scores and (x := axis.of(each)) is not None
            ]
            if points:
                _draw(axes, series, points)
        axes.set(title=f"{name} by {axis.name}", xlabel=axis.label, ylabel=f"{name} (%)")
        axes.margins(x=0.08, y=0.12)
        percent_axis(axes.yaxis)
        integer_axis(axes.xaxis)
        canvas.figure.legend(loc="outside lower center", ncols=2)
        description = f"{name} on dev and test against {axis.label.lower()}; the numbers are in the table of rounds"
        return canvas.svg(f"{metric}-{axis.name}", description)


def _draw(axes: Any, series: _Series, points: Sequence[tuple[float, Estimate, str]]) -> None:
    """A line through `(x, estimate, outcome)`, with intervals as vertical lines and refused students hollow."""
    xs, ys = [x for x, _, _ in points], [estimate.value for _, estimate, _ in points]
    look = {"color": series.color, "marker": series.marker, "markersize": 6}
    axes.plot(xs, ys, linestyle=series.dash, linewidth=1.8, label=series.split, **look)
    for x, estimate, outcome in points:
        axes.vlines(x, estimate.low, estimate.high, color=series.color, linewidth=1.2, alpha=0.6)
        if outcome == "refused":
            axes.plot([x], [estimate.value], markerfacecolor=PAPER, **look)
