"""A study as a table, as a plot and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.ablation import BASE, Line, Measured
from labeler.core.console import percent, table
from labeler.core.files import atomic_write
from mrc.metrics import Interval

if TYPE_CHECKING:
    from labeler.ablation import Study

_HEADER = ("arm", "stage", "seeds", "EM", "F1", f"EM against {BASE}", "95% interval", "p", "end to end", "CPU s", "MiB")


def as_json(lines: Sequence[Line]) -> dict[str, Any]:
    """Arm -> its marks on dev, given passages; with everything else that a line holds."""
    found = {}
    for line in lines:
        held = asdict(line)
        found[held.pop("arm")] = held.pop("dev") | held
    return found


def text_of(study: Study) -> str:
    """The tables for people: dev, and test once it was read."""
    parts = [f"dev, {_questions(study.lines)}", table(_HEADER, [_row(line, line.dev) for line in study.lines])]
    tested = [(line, line.test) for line in study.lines if line.test]
    if study.choice:
        parts += ["", f"chosen on dev: {study.choice.arm} (EM {percent(study.choice.exact_match)}), {study.choice.at}"]
    if tested:
        count = tested[0][1].questions
        rows = [_row(line, test, retrieved=line.test_retrieved) for line, test in tested]
        parts += ["", f"test, {count} questions", table(_HEADER, rows)]
    return "\n".join(parts)


def _questions(lines: Sequence[Line]) -> str:
    counts = sorted({line.dev.questions for line in lines})
    return " or ".join(str(count) for count in counts) + " questions"


def _row(line: Line, found: Measured, *, retrieved: Measured | None = None) -> tuple[Any, ...]:
    end_to_end = retrieved if retrieved else line.dev_retrieved if found is line.dev else None
    return (
        line.arm,
        line.stage,
        found.seeds,
        percent(found.exact_match),
        percent(found.f1),
        f"{100 * found.change.mean:+.1f}" if found.change else "-",
        _bounds(found.change),
        f"{found.p:.3f}" if found.p is not None else "-",
        percent(end_to_end.exact_match) if end_to_end else "-",
        f"{line.cpu_seconds + line.start_seconds:.0f}",
        f"{line.peak_mib:.0f}",
    )


def _bounds(interval: Interval | None) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}" if interval else ""


def write_page(study: Study) -> None:
    """Writes `table.txt` and `plot.svg` into the study's folder."""
    with atomic_write(study.folder / "table.txt") as file:
        file.write(text_of(study) + "\n")
    drawn(study.lines, study.folder / "plot.svg")


def drawn(lines: Sequence[Line], path: Path) -> None:
    """The arms' changes of exact match against the plain reader, with their intervals, as an SVG file."""
    from labeler.report.svg import BLUE, INK, ORANGE, drawing

    shown: list[tuple[str, Mapping[str, Measured | None]]] = [
        (line.arm, {"dev": line.dev, "test": line.test}) for line in lines if line.dev.change
    ]
    if not shown:
        return
    with drawing(7.4, 1.2 + 0.42 * len(shown)) as canvas:
        axes = canvas.axes
        axes.axvline(0, color=INK, linewidth=1.2)
        for name, color, marker, side in (("dev", BLUE, "o", 0.12), ("test", ORANGE, "s", -0.12)):
            points = [(each.change, y + side) for y, (_, by) in enumerate(shown) if (each := by[name]) and each.change]
            if points:
                axes.hlines(
                    [y for _, y in points],
                    [100 * change.low for change, _ in points],
                    [100 * change.high for change, _ in points],
                    color=color,
                    linewidth=1.6,
                )
                places = [100 * change.mean for change, _ in points]
                axes.plot(places, [y for _, y in points], marker, color=color, markersize=6, label=name)
        axes.set_yticks(range(len(shown)), [name for name, _ in shown])
        axes.invert_yaxis()
        axes.set(title=f"Exact match against {BASE}, points, 95% intervals", xlabel="points")
        axes.legend(loc="best")
        canvas.figure.savefig(path, format="svg", metadata={"Date": None})
