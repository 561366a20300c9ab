"""Text of an export: what was written, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labeler.cli.describe import alarm_lines, counted
from labeler.core.console import percent

if TYPE_CHECKING:
    from labeler.certificates.uncertified import EstimatedPrecision
    from labeler.labels.export import ExportReport

CONFLICTS_SHOWN = 5


def export_text(report: ExportReport) -> str:
    """Counts of the labels written and left out, and the first labels that would stand on two sides of a split."""
    lines = [
        f"{report.labels} labels ({counted(report.kinds)}) written to {report.path}",
        *alarm_lines(report.alarms),
        *_vouched(report),
        *(f"left out: {count} {why}" for why, count in report.left_out.items()),
        *(f"  {one.question_id}: {one.why}, {one.conflict}" for one in report.conflicts[:CONFLICTS_SHOWN]),
    ]
    more = len(report.conflicts) - CONFLICTS_SHOWN
    return "\n".join([*lines, f"  ... and {more} more; --json lists all"] if more > 0 else lines)


def _vouched(report: ExportReport) -> Iterator[str]:
    """Which certificate vouches for the pseudo-labels."""
    if report.certificate is not None and report.kinds.get("pseudo"):
        yield f"certificate {report.certificate.certificate} ({report.certificate.why})"


def uncertified_text(found: EstimatedPrecision) -> str:
    """The warning that goes with pseudo-labels that nobody vouches for."""
    head = f"nobody vouches for {found.labels} of the pseudo-labels written (vouched_by: nobody)"
    if found.precision is None:
        return f"{head}; their precision is unknown: no random question as confident was reviewed blind"
    estimate = f"{percent(found.precision)} % (95% interval {percent(found.low)} to {percent(found.high)} %)"
    return f"{head}; their precision is estimated to be {estimate} by {found.reviewed} blind reviews"
