"""A replay as a table and as one HTML page with plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.core.console import percent, table
from labeler.core.files import atomic_write
from labeler.replay import ORACLE, SUPERVISED, ArmResult, Replay
from labeler.replay.tables import forecast_lines, further_tables
from mrc.metrics import Interval

if TYPE_CHECKING:
    from markupsafe import Markup

PAGE = "simulation.html"
_HEADER = (
    "arm", "seeds", "labels", "minutes", "EM", "F1", "EM gained", "95% interval", "sd of seeds", "lowest seed",
    "of the gap", "taught", "right", "minutes of computing",
)  # fmt: skip


def format_replay(replay: Replay) -> str:
    """The table for people: every arm after its last round."""
    title = f"{replay.questions:,} test questions of all seeds, end to end; gained: against the seed reader"
    found = f"{title}\n{table(_HEADER, [_row(each) for each in replay.results.values()])}"
    tables = [line for each in further_tables(replay) for line in ("", each.caption, table(each.header, each.rows))]
    return "\n".join([found, *forecast_lines(replay), *tables])


def _row(result: ArmResult) -> tuple[Any, ...]:
    last = result.points[-1]
    return (
        result.arm,
        result.seeds,
        f"{last.labels:.0f}",
        f"{last.minutes:.0f}",
        percent(last.exact_match),
        percent(last.f1),
        f"{100 * last.change.mean:+.1f}",
        _bounds(last.change),
        "-" if result.spread is None else f"{100 * result.spread:.1f}",
        f"{100 * result.lowest_change:+.1f}",
        "-" if result.gap_closed is None else f"{100 * result.gap_closed:.0f}%",
        f"{last.taught:.0f}",
        "-" if last.precision is None else percent(last.precision),
        f"{result.seconds / 60:.0f}",
    )


def _bounds(interval: Interval) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"


def write_page(replay: Replay) -> Path:
    """Write `table.txt` and the page into the replay's folder; returns the page."""
    with atomic_write(replay.folder / "table.txt") as file:
        file.write(format_replay(replay) + "\n")
    path = replay.folder / PAGE
    with atomic_write(path) as file:
        file.write(_page(replay))
    return path


def _page(replay: Replay) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("labeler.report", "templates"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("simulation.html").render(
        replay=replay,
        header=_HEADER,
        rows=[_row(each) for each in replay.results.values()],
        forecasts=forecast_lines(replay),
        tables=further_tables(replay),
        curves=[(name, _curve_rows(each), _ranking_rows(each)) for name, each in replay.results.items()],
        plots=[_plot(replay, "labels", "Human labels"), _plot(replay, "minutes", "Minutes of reviewing (assumed)")],
    )


def _curve_rows(result: ArmResult) -> list[tuple[str, ...]]:
    return [
        (
            str(point.round),
            f"{point.labels:.0f}",
            f"{point.minutes:.0f}",
            percent(point.exact_match),
            percent(point.f1),
            f"{100 * point.change.mean:+.1f} ({_bounds(point.change)})",
            f"{point.promoted} of {result.seeds}" if point.round else "-",
        )
        for point in result.points
    ]


def _ranking_rows(result: ArmResult) -> list[tuple[str, ...]]:
    """How well the predictions that each round began with ranked the pool; empty where no pool was predicted."""
    return [
        (str(point.round), *(percent(point.ranking[name]) for name in point.ranking))
        for point in result.points
        if point.ranking
    ]


def _plot(replay: Replay, name: str, label: str) -> Markup:
    """Exact match against labels or minutes, a line for each arm; the two limits are horizontal."""
    from labeler.report.svg import BLUE, GREEN, INK, ORANGE, RED, SKY, drawing, percent_axis

    colors, markers = (BLUE, ORANGE, GREEN, RED, SKY, INK), "osD^vP"
    with drawing(4.6, 4.2) as canvas:
        axes = canvas.axes
        lines = [each for key, each in replay.results.items() if key not in (SUPERVISED, ORACLE)]
        for number, each in enumerate(lines):
            style = {"color": colors[number % 6], "marker": markers[number % 6], "linewidth": 1.8, "markersize": 5}
            xs, ys = [getattr(point, name) for point in each.points], [point.exact_match for point in each.points]
            axes.plot(xs, ys, label=each.arm, linestyle="-" if number < 6 else "--", **style)
        for key, dashes in ((SUPERVISED, ":"), (ORACLE, "--")):
            if key in replay.results:
                height = replay.results[key].points[-1].exact_match
                axes.axhline(height, color=INK, linestyle=dashes, linewidth=1.2, label=key)
        axes.set(title=f"Exact match by {name}", xlabel=label, ylabel="Exact match (%)")
        percent_axis(axes.yaxis)
        canvas.figure.legend(loc="outside lower center", ncols=3)
        return canvas.svg(f"by-{name}", f"Exact match of each arm by {label.lower()}; the numbers are in the tables")
