"""Text of rounds: their summaries, forecasts, lists and differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labeler.rounds.forecast import Forecast


def predicted_text(number: int, predicted: int, before: int, seconds: float) -> str:
    if before == predicted:
        told = f"round {number}: all {predicted} questions were predicted before"
    else:
        already = f", {before} were before" if before else ""
        told = f"round {number}: {predicted - before} questions predicted in {seconds:.0f} s{already}"
    return f"{told} (pool and calibration)\nnext: labeler round"


def forecast_text(found: Forecast) -> str:
    def minutes(value: float | None) -> str:
        return "not known before a first time" if value is None else f"{value:.1f} minutes"

    def size(value: int | None) -> str:
        return "not known before a first reader" if value is None else f"{value / 2**20:,.0f} MiB"

    where = f"goes on from {found.stage}" if found.stage else "would be opened"
    facts = (
        ("round", f"{found.round} ({found.kind}) {where}; nothing was changed"),
        ("reading", f"{found.questions} questions, {found.sequences} sequences: {minutes(found.reading_minutes)}"),
        ("training", minutes(found.training_minutes)),
        ("reviews", f"{found.reviews} of {found.tasks} questions at most, by: {found.reviewer}"),
        ("disk", f"{size(found.disk.kept)} kept, {size(found.disk.peak)} while training, {size(found.disk.free)} free"),
    )
    return "\n".join(f"{name:<10} {value}" for name, value in facts)


def summary_text(told: dict[str, Any]) -> str:
    labels = ", ".join(f"{count} {kind}" for kind, count in told["labels"].items())
    lines = [f"round {told['round']} ({told['kind']}): {told['stage']}; labels: {labels}"]
    release = told["release"] or {}
    if told["stage"] == "closed" and release and release.get("threshold") is None:
        lines.append(f"  no pseudo-label released: {release['why']}")
    if told["gate"]:
        lines.append(f"  {told['gate']['why']}")
    if told["retriever"] and told["retriever"]["gate"]:
        lines.append(f"  retriever {told['retriever']['gate']['why']}")
    if told["waiting_for"]:
        lines.append(f"  waiting for {told['waiting_for']}")
    return "\n".join(lines)


def fields(told: dict[str, Any]) -> str:
    """One `name: value` a line, nested mappings indented, lists of mappings one line each."""
    lines: list[str] = []

    def add(value: Any, indent: int) -> None:
        for name, item in value.items():
            start = f"{'  ' * indent}{name}:"
            if isinstance(item, dict) and item:
                lines.append(start)
                add(item, indent + 1)
            elif isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
                lines.append(start)
                lines.extend(f"{'  ' * indent}  {_in_line(each)}" for each in item)
            else:
                lines.append(f"{start} {_word(item)}")

    add(told, 0)
    return "\n".join(lines)


def _in_line(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in entry.items())


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or "none"
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
