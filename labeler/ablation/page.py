"""A study as a table, as a plot and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.ablation import ArmResult, ArmScores, Study
from labeler.core.console import percent, table
from labeler.core.files import atomic_write
from mrc.metrics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES = (("dev", "o", 0.12), ("test", "s", -0.12))  # name, marker, shift up


def as_json(results: Sequence[ArmResult]) -> dict[str, Any]:
    """Arm -> its scores on dev, given passages, with the other fields of its result."""
    found = {}
    for result in results:
        fields = asdict(result)
        found[fields.pop("arm")] = fields.pop("dev") | fields
    return found


def format_study(study: Study) -> str:
    """The tables for people: dev, and test once it was read."""
    header = _header(study.base)
    rows = [_row(each, each.dev, each.dev_retrieved) for each in study.results]
    parts = [f"dev, {_questions(study.results)}", table(header, rows)]
    if study.choice:
        parts += ["", f"chosen on dev: {study.choice.arm} (EM {percent(study.choice.exact_match)}), {study.choice.at}"]
    tested = [(each, each.test) for each in study.results if each.test]
    if tested:
        rows = [_row(each, test, each.test_retrieved) for each, test in tested]
        parts += ["", f"test, {tested[0][1].questions} questions", table(header, rows)]
    return "\n".join(parts)


def _header(base: str) -> tuple[str, ...]:
    change = (f"EM against {base}", "95% interval", "p")
    return ("arm", "stage", "seeds", "EM", "F1", *change, "EM end to end", "CPU s", "MiB")


def _questions(results: Sequence[ArmResult]) -> str:
    counts = sorted({each.dev.questions for each in results})
    return " or ".join(str(count) for count in counts) + " questions"


def _row(result: ArmResult, given: ArmScores, retrieved: ArmScores | None) -> tuple[Any, ...]:
    return (
        result.arm,
        result.stage,
        given.seeds,
        percent(given.exact_match),
        percent(given.f1),
        f"{100 * given.change.mean:+.1f}" if given.change else "-",
        _bounds(given.change),
        f"{given.p:.3f}" if given.p is not None else "-",
        percent(retrieved.exact_match) if retrieved else "-",
        f"{result.cpu_seconds + result.start_seconds:.0f}",
        f"{result.peak_mib:.0f}",
    )


def _bounds(interval: Interval | None) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}" if interval else ""


def write_page(study: Study) -> None:
    """Write `table.txt` and `plot.svg` into the study's folder."""
    with atomic_write(study.folder / "table.txt") as file:
        file.write(format_study(study) + "\n")
    write_plot(study, study.folder / "plot.svg")


def write_plot(study: Study, path: Path) -> None:
    """Plot the arms' changes of exact match against the base arm, with intervals, as an SVG file."""
    from labeler.report.svg import BLUE, INK, ORANGE, drawing

    shown = [each for each in study.results if each.dev.change]
    if not shown:
        return
    with drawing(7.4, 1.2 + 0.42 * len(shown)) as canvas:
        axes = canvas.axes
        axes.axvline(0, color=INK, linewidth=1.2)
        for (name, marker, shift), color in zip(_SERIES, (BLUE, ORANGE), strict=True):
            scores = [(y + shift, each.dev if name == "dev" else each.test) for y, each in enumerate(shown)]
            _plot_changes(axes, [(y, found.change) for y, found in scores if found], name, marker, color)
        axes.set_yticks(range(len(shown)), [each.arm for each in shown])
        axes.invert_yaxis()
        axes.set(title=f"Exact match against {study.base}, points, 95% intervals", xlabel="points")
        axes.legend(loc="best")
        canvas.figure.savefig(path, format="svg", metadata={"Date": None})


def _plot_changes(
    axes: Axes, changes: Sequence[tuple[float, Interval | None]], name: str, marker: str, color: str
) -> None:
    """One point with its interval for each change, at the height given."""
    known = [(y, change) for y, change in changes if change]
    if known:
        heights = [y for y, _ in known]
        low, high = ([100 * getattr(change, end) for _, change in known] for end in ("low", "high"))
        axes.hlines(heights, low, high, color=color, linewidth=1.6)
        means = [100 * change.mean for _, change in known]
        axes.plot(means, heights, marker, color=color, markersize=6, label=name)
