"""Text of imports: what one added or undid, and the list of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labeler.cli.describe import reach_lines, rejected_lines
from labeler.core.console import table

if TYPE_CHECKING:
    from db.rows import ImportRow, Undone
    from labeler.importing.ingest import ImportReport
    from labeler.importing.near import NearPair

NEAR_SHOWN = 5


def report_text(report: ImportReport) -> str:
    """Counts of what an import added, the split, and the first rejected rows."""
    lines = [
        *report.notes,
        f"added {report.passages} passages, {report.questions} questions, {report.labels} labels; "
        f"{report.duplicates} duplicates, {len(report.rejected)} rejected",
    ]
    if report.splits:
        lines.append(table(("split", "questions"), list(report.splits.items())))
    if report.hidden:
        lines.append(f"hidden answers: {report.hidden} pool questions")
    if report.shared_documents:
        lines.append(
            f"{report.shared_documents} documents have paragraphs in more than one split; to keep documents whole, "
            "import into a new workspace with --split-by document"
        )
    lines += near_lines(report.near_duplicates, report.near_remedy)
    if report.unanchored:
        lines.append(
            f"{report.unanchored} questions have answers that do not stand in their context, listed below: they are "
            "scored by their text and never trained on"
        )
    lines += reach_lines(report.out_of_reach)
    lines += rejected_lines(report.rejected)
    if report.imports:
        lines.append(f"undo: labeler import --undo {report.imports[-1]}")
    return "\n".join(lines)


def near_lines(pairs: Sequence[NearPair], remedy: str) -> list[str]:
    """The most similar pairs across the split, and how many there are."""
    if not pairs:
        return []
    shown = [
        f"  {pair.kind} {pair.a} ({pair.sides[0]}) ~ {pair.b} ({pair.sides[1]}), similarity {pair.similarity:.2f}"
        for pair in pairs[:NEAR_SHOWN]
    ]
    more = [f"  ... and {len(pairs) - NEAR_SHOWN} more; --json lists all"] if len(pairs) > NEAR_SHOWN else []
    return [f"{len(pairs)} near-duplicates are on two sides of the split; {remedy}", *shown, *more]


def undone_text(undone: Undone) -> str:
    """Counts of what undoing an import deactivated and restored."""
    text = (
        f"import {undone.import_id} undone: {undone.passages} passages and {undone.questions} questions inactive, "
        f"{undone.labels} labels withdrawn"
    )
    if undone.predictions:
        text += f", the answers of a labeller to {undone.predictions} questions withdrawn"
    if undone.restored:
        text += f", {undone.restored} labels of another import restored"
    if not (undone.passages or undone.questions or undone.labels or undone.predictions):
        text += "\nother imports hold the same rows, which stay active: labeler import --list"
    return text


def imports_text(found: Sequence[ImportRow]) -> str:
    """A table of all imports."""
    if not found:
        return "no import yet"
    header = ("id", "as", "passages", "questions", "labels", "rejected", "when (UTC)", "undone", "file")
    rows = [
        (
            row.id,
            row.role,
            *(row.counts[name] for name in ("passages", "questions", "labels", "rejected")),
            f"{row.created_at:%Y-%m-%d %H:%M}",
            "" if row.undone_at is None else "undone",
            row.path,
        )
        for row in found
    ]
    return table(header, rows)
