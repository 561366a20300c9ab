"""Plots of labels, precision and confidence. They contain numbers and our own words, no text of the workspace.

Each series has a colour and also a marker, a dash or a hatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labeler.report.data import Confidence, Estimate, PrecisionRow, RoundSummary
from labeler.report.svg import (
    BLUE,
    INK,
    ORANGE,
    PAPER,
    RED,
    SKY,
    drawing,
    integer_axis,
    percent_axis,
)

POINTS = 500  # of a curve that are drawn


def label_bars(rounds: Sequence[RoundSummary]) -> Markup | None:
    """Labels trained on, stacked by kind, a bar for each round; None without labels."""
    shown = [each for each in rounds if each.labels.total]
    if not shown:
        return None
    names = [str(each.number) for each in shown]
    layers = (
        ("gold", BLUE, None, [each.labels.gold for each in shown]),
        ("human", ORANGE, None, [each.labels.human for each in shown]),
        ("pseudo", SKY, "///", [each.labels.pseudo for each in shown]),
    )
    with drawing(4.6, 3.4) as canvas:
        axes = canvas.axes
        bottom = [0] * len(shown)
        for name, color, hatch, heights in layers:
            if any(heights):
                style = {"color": color, "hatch": hatch, "edgecolor": PAPER, "linewidth": 0.8}
                axes.bar(names, heights, 0.6, bottom=bottom, label=name, **style)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        for x, total in enumerate(bottom):
            axes.annotate(f"{total:,}", (x, total), xytext=(0, 3), textcoords="offset points", ha="center", color=INK)
        axes.set(title="Labels trained on, by kind", xlabel="Round", ylabel="Labels")
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda labels, _: f"{labels:,.0f}"))
        axes.margins(y=0.12)
        canvas.figure.legend(loc="outside lower center", ncols=2)
        description = "Stacked bars of gold, human and pseudo-labels by round; the numbers are in the table of rounds"
        return canvas.svg("labels", description)


def precision_plot(rows: Sequence[PrecisionRow]) -> Markup | None:
    """Precision of the pseudo-labels trained on, by round, with intervals.

    None with fewer than two rounds to compare.
    """
    if len(rows) < 2:
        return None
    with drawing(4.6, 3.4) as canvas:
        axes = canvas.axes
        trained = [(row.round_number, row.trained_precision) for row in rows]
        lowest = _draw_estimates(axes, trained, "trained on", RED, "s")
        axes.set(title="Precision of pseudo-labels", xlabel="Round", ylabel="Correct (%)")
        axes.set_ylim(_lower_limit(lowest), 1.01)
        axes.margins(x=0.08)
        percent_axis(axes.yaxis)
        integer_axis(axes.xaxis)
        canvas.figure.legend(loc="outside lower center", ncols=2)
        description = "Precision of the pseudo-labels trained on, by round; the numbers are in the table"
        return canvas.svg("precision", description)


def _draw_estimates(
    axes: Any, points: Sequence[tuple[float, Estimate | None]], name: str, color: str, marker: str
) -> float:
    """Draw the known estimates with their intervals, and return the lowest end of an interval (1 without any)."""
    known = [(x, estimate) for x, estimate in points if estimate is not None]
    if not known:
        return 1.0
    xs, lows, highs = [x for x, _ in known], [each.low for _, each in known], [each.high for _, each in known]
    axes.vlines(xs, lows, highs, color=color, linewidth=1.2, alpha=0.6)
    ys = [each.value for _, each in known]
    axes.plot(xs, ys, color=color, marker=marker, markersize=6, linewidth=1.8, label=name)
    return min(lows)


def _lower_limit(lowest: float) -> float:
    """The lower end of a percent axis that ends at 100: a multiple of 10%, with room below the lowest value."""
    return max(floor(10 * (lowest - 0.02)) / 10, 0.0)


def reliability(confidence: Confidence) -> Markup:
    """Confidence against the share that was correct, in groups of equal size."""
    with drawing(4.2, 3.9) as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.2, label="perfectly calibrated")
        x = [bin_.confidence for bin_ in confidence.bins]
        y = [bin_.accuracy for bin_ in confidence.bins]
        axes.vlines(x, x, y, color=BLUE, linewidth=1.0, alpha=0.5)
        axes.plot(x, y, color=BLUE, marker="o", markersize=6, linewidth=1.8, label="this reader")
        axes.set(title="Reliability", xlabel="Mean confidence (%)", ylabel="Correct (%)")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        percent_axis(axes.xaxis, axes.yaxis)
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        groups = len(confidence.bins)
        description = f"Mean confidence against the share correct, in {groups} groups; the numbers are below"
        return canvas.svg("reliability", description)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a curve, or about `POINTS` of them at equal distances, with the first and the last one."""
    places: Sequence[int] = range(len(points))
    if len(points) > POINTS:
        places = sorted({round(place * (len(points) - 1) / (POINTS - 1)) for place in range(POINTS)})
    return [points[place] for place in places]


def risk_coverage(confidence: Confidence) -> Markup:
    """Share of wrong answers among the most confident questions, against the share of questions kept."""
    with drawing(4.2, 3.9) as canvas:
        axes = canvas.axes
        shown = thinned(confidence.curve)
        x, y = zip(*shown, strict=True)
        axes.plot(x, y, color=RED, linewidth=1.8, marker="o" if len(x) == 1 else "", label="most confident first")
        overall = 1 - confidence.accuracy
        axes.axhline(overall, color=INK, linestyle=":", linewidth=1.2, label="random order")
        axes.set(title="Risk and coverage", xlabel="Coverage: answers kept (%)", ylabel="Risk: wrong among them (%)")
        axes.set(xlim=(0, 1.02), ylim=(-0.03, max(1.0, *y) + 0.03))
        percent_axis(axes.xaxis, axes.yaxis)
        axes.legend(loc="upper left")
        questions, area = confidence.questions, confidence.aurc
        drawn = (
            f"; {len(shown)} of its {len(confidence.curve):,} points are drawn"
            if len(shown) < len(confidence.curve)
            else ""
        )
        description = f"Risk-coverage curve of {questions} questions; the area under it is {area:.3f}{drawn}"
        return canvas.svg("risk", description)
