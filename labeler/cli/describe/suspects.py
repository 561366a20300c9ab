"""Text of suspects: labels beside the answers that contradict them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labeler.core.console import clipped, percent, table

if TYPE_CHECKING:
    from labeler.review.suspects import Suspect

NONE = (
    "no label is contradicted with confidence by a reader that did not see it; with calibrate.folds = 2 or more "
    "readers judge all labels, not those of calibration questions alone"
)


def suspects_text(shown: Sequence[Suspect], *, total: int, queued: int | None) -> str:
    """The table, the best gain first, and what happens to them."""
    if not shown:
        return NONE
    rows = [
        (
            each.question_id,
            each.kind,
            clipped(each.question),
            clipped(each.gold),
            clipped(each.answer),
            percent(each.confidence),
            f"{each.gain:.2f}",
        )
        for each in shown
    ]
    lines = [table(("id", "kind", "question", "label", "answer", "conf %", "gain"), rows)]
    if total > len(shown):
        lines.append(f"{len(shown)} of {total}; --limit or --json lists more")
    if queued is not None:
        lines.append(f"{queued} labels wait to be reviewed again, blind, in the next round: labeler round")
    return "\n".join(lines)
