"""Text of leaks: what was compared, how many pairs were found, and the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from labeler.cli.describe import counted
from labeler.core.console import clipped, table

if TYPE_CHECKING:
    from labeler.leaks.find import LeakReport
    from labeler.leaks.search import Leak


def leaks_text(report: LeakReport, shown: Sequence[Leak], texts: Mapping[tuple[str, str], str]) -> str:
    """The pairs with the beginning of both texts, and what they were found among."""
    from mrc.text.contained import CONTAINED

    compared = [f"compared {kind}s: {counted(sides) or 'none'}" for kind, sides in report.compared.items()]
    dense = report.thresholds["dense"]
    how = "no vectors: the index has no encoder" if dense is None else f"vectors from a cosine of {dense:.3f}"
    lexical = ", ".join(f"{kind}s from {report.thresholds[kind]}" for kind in ("question", "passage", "document"))
    held = f"contained: passages from {CONTAINED} of the shorter one's"
    lines = [*compared, f"near: {lexical} of shared shingles; {held}; {how}"]
    if not report.pairs:
        return "\n".join([*lines, "no leak: no text stands on two sides"])
    rows = [
        (
            each.kind,
            each.how,
            f"{each.similarity:.2f}",
            f"{each.sides[0]}: {clipped(texts[each.kind, each.a])}",
            f"{each.sides[1]}: {clipped(texts[each.kind, each.b])}",
        )
        for each in shown
    ]
    lines += [f"{len(report.pairs)} pairs: {counted(report.counts)}", table(("kind", "how", "like", "", ""), rows)]
    more = len(report.pairs) - len(shown)
    return "\n".join([*lines, f"... and {more} more; --limit or --json lists them"] if more else lines)
