"""A report as one HTML page that needs no network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from labeler import __version__
from labeler.core.console import at_most, storable
from labeler.core.files.outputs import output_file
from labeler.report.data import ErrorCause, Estimate, Report
from labeler.report.gather import gather

if TYPE_CHECKING:
    from db.engine import Database


def write_report(
    database: Database, path: Path, *, title: str, next_step: str | None = None, force: bool = False
) -> Path:
    """Write the page, whole or not at all, and return its path; `-` is standard output. Raises FileError, OSError.

    Args:
        database: that of the workspace.
        path: the file to write.
        title: of the page.
        next_step: the command that leads on, as `labeler status` names it.
        force: overwrite a file that this tool did not write.
    """
    page = build(database, title=title, next_step=next_step)
    with output_file(path, force=force, databases=[database.path] if database.path else []) as file:
        file.write(storable(page))
    return path


def build(database: Database, *, title: str, next_step: str | None = None) -> str:
    """The whole page. Equal databases give equal pages, apart from the line with the time."""
    with database.read() as session:
        report = gather(session, title=title, next_step=next_step)
    return render(report, made_at=datetime.now(UTC))


def render(report: Report, *, made_at: datetime) -> str:
    """The page of a report. Every text of the workspace is escaped."""
    from labeler.report import curves, plots  # they load matplotlib, which takes a second

    confidence = report.confidence
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            causes=list(ErrorCause),
            made=f"{made_at:%Y-%m-%d %H:%M} UTC",
            version=__version__,
            learning_curves=curves.learning_curves(report.rounds),
            label_bars=plots.label_bars(report.rounds),
            precision_plot=plots.precision_plot(report.precision),
            reliability=plots.reliability(confidence) if confidence else None,
            risk_coverage=plots.risk_coverage(confidence) if confidence else None,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("labeler.report", "templates"),
        autoescape=True,  # questions may contain <b> or </script>
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, at_most=at_most, interval=interval, points=points, count=count, minutes=minutes
    )
    return environment


def percent(rate: float | None) -> str:
    """A rate 0-1 in percent: `61.2%`; a dash for None."""
    return "–" if rate is None else f"{100 * rate:.1f}%"


def interval(estimate: Estimate) -> str:
    """The 95% interval in percent: `57.0–65.3`."""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def points(change: float) -> str:
    """A difference of rates in percentage points, with its sign: `+3.2`."""
    return f"{100 * change:+.1f}".replace("-", "−")


def count(number: int | None) -> str:
    """A number with thousands separators; a dash for None."""
    return "–" if number is None else f"{number:,}"


def minutes(time: float | None) -> str:
    """Minutes with one decimal: `12.5`; a dash for None."""
    return "–" if time is None else f"{time:,.1f}"
