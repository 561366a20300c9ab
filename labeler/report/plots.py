"""The report's plots. No text of the workspace is drawn in them, only numbers and our own words.

Each series has a colour and also a marker, a dash, a hatch or a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labeler.evaluation.pseudo_precision import PseudoPrecision
from labeler.report.data import Confidence, Measure, RoundLine, Score
from labeler.report.svg import BLUE, GREEN, INK, ORANGE, PAPER, RED, SKY, drawing

_METRICS: dict[str, tuple[str, Callable[[Score], Measure]]] = {
    "exact_match": ("Exact match", lambda score: score.exact_match),
    "f1": ("F1", lambda score: score.f1),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """What a learning curve is drawn against."""

    name: str  # for ids
    label: str
    of: Callable[[RoundLine], float | None]


@dataclass(frozen=True, slots=True)
class _Series:
    """How a split is drawn, and on which side of its place."""

    split: str
    color: str
    marker: str
    dash: str
    side: int


_SERIES = (_Series("test", BLUE, "o", "-", 1), _Series("dev", ORANGE, "s", "--", -1))

AXES = (
    Axis("rounds", "Round", lambda line: line.number),
    Axis("reviews", "Reviews so far", lambda line: line.reviews),
    Axis("minutes", "Reviewing time so far (minutes)", lambda line: line.minutes),
)


def learning_curves(rounds: Sequence[RoundLine]) -> list[Markup]:
    """One plot for each metric and axis along which the judged rounds differ; none without a score.

    A reverted round is left out; a refused student is drawn hollow, for it never became the reader.
    """
    judged = [line for line in rounds if line.scores and line.outcome != "reverted"]
    if not judged:
        return []
    telling = [axis for axis in AXES if axis.name == "rounds" or len({axis.of(line) for line in judged} - {None}) > 1]
    return [_learning_curve(judged, metric, axis) for metric in _METRICS for axis in telling]


def _learning_curve(rounds: Sequence[RoundLine], metric: str, axis: Axis) -> Markup:
    name, pick = _METRICS[metric]
    places = [x for line in rounds if (x := axis.of(line)) is not None]
    apart = 0.012 * (max(places) - min(places))  # sideways, so that intervals at one place do not hide each other
    with drawing(3.7, 2.9) as canvas:
        axes = canvas.axes
        for series in _SERIES:
            points = [(axis.of(line), line) for line in rounds if series.split in line.scores]
            known = [
                (x + series.side * apart, pick(line.scores[series.split]), line.outcome)
                for x, line in points
                if x is not None
            ]
            if known:
                _draw(axes, series, known)
        axes.set(title=f"{name} by {axis.name}", xlabel=axis.label, ylabel=f"{name} (%)")
        axes.margins(y=0.12)
        _percent(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.legend(loc="lower right")
        described = f"{name} on dev and test against {axis.label.lower()}; the numbers are in the table of rounds"
        return canvas.svg(f"{metric}-{axis.name}", described)


def _draw(axes: Any, series: _Series, points: Sequence[tuple[float, Measure, str]]) -> None:
    """A line through `(x, measure, outcome)`, with intervals as vertical lines and refused students hollow."""
    color = series.color
    places, values = [x for x, _, _ in points], [measure.value for _, measure, _ in points]
    look = {"color": color, "marker": series.marker, "markersize": 6}
    axes.plot(places, values, linestyle=series.dash, linewidth=1.8, label=series.split, **look)
    for x, measure, outcome in points:
        axes.vlines(x, measure.low, measure.high, color=color, linewidth=1.2, alpha=0.6)
        if outcome == "refused":
            axes.plot([x], [measure.value], markerfacecolor=PAPER, **look)


def label_bars(rounds: Sequence[RoundLine]) -> Markup | None:
    """Labels that may teach, stacked by kind, a bar for each round; None without labels."""
    shown = [line for line in rounds if line.taught.total]
    if not shown:
        return None
    names = [str(line.number) for line in shown]
    layers = (
        ("gold", BLUE, None, [line.taught.gold for line in shown]),
        ("human", ORANGE, None, [line.taught.human for line in shown]),
        ("pseudo, released", GREEN, None, [line.taught.pseudo_released for line in shown]),
        ("pseudo, teaching only", SKY, "///", [line.taught.pseudo_kept for line in shown]),
    )
    with drawing(7.4, 3.2) as canvas:
        axes = canvas.axes
        floor = [0] * len(shown)
        for name, color, hatch, heights in layers:
            if any(heights):
                axes.bar(
                    names,
                    heights,
                    0.6,
                    bottom=floor,
                    color=color,
                    label=name,
                    hatch=hatch,
                    edgecolor=PAPER,
                    linewidth=0.8,
                )
            floor = [low + height for low, height in zip(floor, heights, strict=True)]
        for x, total in enumerate(floor):
            axes.annotate(f"{total:,}", (x, total), xytext=(0, 3), textcoords="offset points", ha="center", color=INK)
        axes.set(title="Labels that may teach, by kind", xlabel="Round", ylabel="Labels")
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda labels, _: f"{labels:,.0f}"))
        axes.margins(y=0.12)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        described = "Stacked bars of gold, human and pseudo-labels by round; the numbers are in the table of rounds"
        return canvas.svg("labels", described)


def precision_plot(rows: Sequence[PseudoPrecision]) -> Markup | None:
    """Precision of pseudo-labels by round, released and trained-on; None with fewer than two rounds to compare."""
    if len(rows) < 2:
        return None
    with drawing(4.6, 3.0) as canvas:
        axes = canvas.axes
        for name, color, marker, rates in (
            ("released", GREEN, "o", [(row.round_number, row.released.rate) for row in rows]),
            ("trained on", RED, "s", [(row.round_number, row.trained.rate) for row in rows]),
        ):
            known = [(x, y) for x, y in rates if y is not None]
            if known:
                axes.plot(
                    *zip(*known, strict=True), color=color, marker=marker, markersize=6, linewidth=1.8, label=name
                )
        axes.set(title="Precision of pseudo-labels", xlabel="Round", ylabel="Correct (%)")
        axes.margins(y=0.12)
        _percent(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.legend(loc="best")
        described = "Precision of released and of trained-on pseudo-labels by round; the numbers are in the table"
        return canvas.svg("precision", described)


def reliability(confidence: Confidence) -> Markup:
    """Confidence against the share that was correct, in groups of equal size."""
    with drawing(4.2, 3.9) as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.2, label="as good as its word")
        x = [bin_.confidence for bin_ in confidence.bins]
        y = [bin_.accuracy for bin_ in confidence.bins]
        axes.vlines(x, x, y, color=BLUE, linewidth=1.0, alpha=0.5)
        axes.plot(x, y, color=BLUE, marker="o", markersize=6, linewidth=1.8, label="this reader")
        axes.set(
            title="Reliability",
            xlabel="Mean confidence (%)",
            ylabel="Correct (%)",
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
        )
        _percent(axes.xaxis, axes.yaxis)
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        described = (
            f"Mean confidence against the share correct, in {len(confidence.bins)} groups; the numbers are below"
        )
        return canvas.svg("reliability", described)


def risk_coverage(confidence: Confidence) -> Markup:
    """Share of wrong answers among the most confident part of the questions, against the size of that part."""
    with drawing(4.2, 3.9) as canvas:
        axes = canvas.axes
        x, y = zip(*confidence.curve, strict=True)
        axes.plot(x, y, color=RED, linewidth=1.8, marker="o" if len(x) == 1 else "", label="most confident first")
        overall = 1 - confidence.accuracy
        axes.axhline(overall, color=INK, linestyle=":", linewidth=1.2, label="in any order")
        axes.set(title="Risk and coverage", xlabel="Coverage: answers kept (%)", ylabel="Risk: wrong among them (%)")
        axes.set(xlim=(0, 1.02), ylim=(-0.03, max(1.0, *y) + 0.03))
        _percent(axes.xaxis, axes.yaxis)
        axes.legend(loc="upper left")
        described = (
            f"Risk-coverage curve of {confidence.questions} questions; the area under it is {confidence.aurc:.3f}"
        )
        return canvas.svg("risk", described)


def _percent(*axes: Any) -> None:
    """Rates 0-1 on these axes read as percent."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{round(100 * rate, 1):g}"))
