"""A report's facts laid out as one HTML page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from labeler import __version__
from labeler.core.files import atomic_write
from labeler.report.data import Measure, Reason, Report
from labeler.report.gather import gather

if TYPE_CHECKING:
    from db.engine import Database


def write_report(database: Database, path: Path, *, title: str) -> Path:
    """The path of the page, written whole or not at all. Raises OSError where it cannot be."""
    page = build(database, title=title)
    with atomic_write(path) as file:
        file.write(page)
    return path


def build(database: Database, *, title: str) -> str:
    """The whole page. Equal databases give equal pages, apart from the line that says when it was made."""
    with database.read() as session:
        report = gather(session, title=title)
    return render(report, made_at=datetime.now(UTC))


def render(report: Report, *, made_at: datetime) -> str:
    """The page of these facts. Every text of the workspace is escaped on its way in."""
    from labeler.report import plots  # draws with matplotlib, which takes a second to load

    confidence = report.confidence
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            reasons=list(Reason),
            made=f"{made_at:%Y-%m-%d %H:%M} UTC",
            version=__version__,
            learning_curves=plots.learning_curves(report.rounds),
            label_bars=plots.label_bars(report.rounds),
            precision_plot=plots.precision_plot(report.precision),
            reliability=plots.reliability(confidence) if confidence else None,
            risk_coverage=plots.risk_coverage(confidence) if confidence else None,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("labeler.report", "."),
        autoescape=True,  # questions may hold <b> or </script>
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=interval, points=points, count=count, minutes=minutes)
    return environment


def percent(rate: float | None) -> str:
    """A rate 0-1 for people: `61.2%`; a dash where there is none."""
    return "–" if rate is None else f"{100 * rate:.1f}%"


def interval(measure: Measure) -> str:
    """The 95% interval in percent: `57.0–65.3`."""
    return f"{100 * measure.low:.1f}–{100 * measure.high:.1f}"


def points(change: float) -> str:
    """A difference of rates in points of a percent, with its sign: `+3.2`."""
    return f"{100 * change:+.1f}".replace("-", "−")


def count(number: int | None) -> str:
    """A number with its thousands apart; a dash for none at all."""
    return f"{number:,}" if number else "–" if number is None else "0"


def minutes(seconds: float) -> str:
    """A time in minutes: `12.5`."""
    return f"{seconds / 60:,.1f}"
