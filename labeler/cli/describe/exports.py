"""Text of an export: what was written, and what was left out and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labeler.cli.describe import counted

if TYPE_CHECKING:
    from labeler.labels.export import ExportReport

CONFLICTS_SHOWN = 5


def export_text(report: ExportReport) -> str:
    """Counts of the labels written and left out, and the first labels that would stand on two sides of a split."""
    lines = [
        f"{report.labels} labels ({counted(report.kinds)}) written to {report.path}",
        *(f"alarm of round {each.round}: {each.alarm.message}" for each in report.alarms),
        *(f"left out: {count} {why}" for why, count in report.left_out.items()),
        *(f"  {one.question_id}: {one.why}, {one.conflict}" for one in report.conflicts[:CONFLICTS_SHOWN]),
    ]
    more = len(report.conflicts) - CONFLICTS_SHOWN
    return "\n".join([*lines, f"  ... and {more} more; --json lists all"] if more > 0 else lines)
