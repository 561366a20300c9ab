"""Text of an evaluation: tables of scores, missed questions and post-processing rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labeler.cli.describe import SHOWN, answer_text, reach_lines
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.evaluation.evaluate import Evaluation, Unanchored
    from labeler.evaluation.index_comparison import Comparison
    from labeler.evaluation.misses import Miss
    from mrc.postprocess.rules import RuleEffect


def evaluation_text(found: Evaluation) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, value in (found.retrieval or {}).items():
        rows.append(("retrieval", name, percent(value), _bounds(found, f"retrieval.{name}")))
    for part, reading in (("reader, gold passage", found.reader), ("end to end", found.end_to_end)):
        if reading is not None:
            key = "reader" if part.startswith("reader") else "end_to_end"
            rows.append((part, "exact match", percent(reading.exact_match), _bounds(found, f"{key}.exact_match")))
            rows.append((part, "F1", percent(reading.f1), _bounds(found, f"{key}.f1")))
    parts = [f"{found.questions} {found.split} questions", table(("what", "measure", "%", "95% interval"), rows)]
    parts += [*_unanchored_lines(found.unanchored), *reach_lines(found.out_of_reach)]
    if found.comparison is not None:
        parts += ["", _comparison_text(found.comparison)]
    if found.misses is not None:
        parts += ["", _misses_text(found.misses, found.reasons or {})]
    if found.rules is not None:
        parts += ["", _rules_text(found.rules)]
    return "\n".join(parts)


def _unanchored_lines(found: Sequence[Unanchored]) -> list[str]:
    """The questions whose golds are scored by their text alone."""
    if not found:
        return []
    shown = [f"  {each.id}: {answer_text(each.golds)}" for each in found[:SHOWN]]
    more = [f"  ... and {len(found) - SHOWN} more; --json lists all"] if len(found) > SHOWN else []
    return [
        f"{len(found)} questions have golds that do not stand in their context, scored by their text:",
        *shown,
        *more,
    ]


def _comparison_text(found: Comparison) -> str:
    rows = [
        (name, f"{100 * each.mean:+.1f}", f"{100 * each.low:+.1f} to {100 * each.high:+.1f}")
        for name, each in found.differences.items()
    ]
    title = f"index {found.index[:12]} against {found.other[:12]}: {found.better} questions better, {found.worse} worse"
    return f"{title}\n" + table(("measure", "difference", "95% interval"), rows)


def _misses_text(misses: Sequence[Miss], reasons: Mapping[str, int]) -> str:
    rows = [
        ("-" if each.rank is None else str(each.rank + 1), each.id, each.question[:60], "; ".join(each.reasons))
        for each in misses
    ]
    counts = ", ".join(f"{name} {count}" for name, count in reasons.items())
    return f"{len(misses)} not found ({counts})\n" + table(("rank", "id", "question", "why"), rows)


def _rules_text(found: Sequence[RuleEffect]) -> str:
    """What each rule changed on dev, with examples."""
    from mrc.postprocess.rules import chosen_rules

    if not found:
        return "no rule was evaluated: no round has closed with this reader and dev questions"
    on = chosen_rules(found)
    rows = [
        (
            each.rule,
            "on" if each.rule in on else "off",
            each.changed,
            each.fixed,
            each.broken,
            f"{100 * each.exact_match_change:+.1f}",
        )
        for each in found
    ]
    outcomes = {(False, True): "fixed", (True, False): "broken"}
    examples = [
        (each.rule, outcomes.get((case.was_right, case.is_right), "unchanged"), case.before, case.after)
        for each in found
        for case in each.examples
    ]
    parts = ["post-processing rules on dev", table(("rule", "", "changed", "fixed", "broken", "exact match"), rows)]
    if examples:
        parts += ["", table(("rule", "case", "answer", "with the rule"), examples)]
    return "\n".join(parts)


def _bounds(found: Evaluation, key: str) -> str:
    bounds = found.intervals.get(key)
    return f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else ""
