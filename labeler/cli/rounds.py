"""rounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.core.console import percent, table


@click.group("rounds")
def rounds_command() -> None:
    """List, show, compare and revert rounds.

    \b
    Example:  labeler rounds list
              labeler rounds diff 1 2
              labeler rounds revert 2
    """


@rounds_command.command("list")
@in_workspace
def rounds_list(workspace: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """List all rounds.

    \b
    Example:  labeler rounds list
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.all_rounds(at)
    header = ("round", "kind", "stage", "human", "pseudo", "released", "EM %", "F1 %", "verdict")
    rows = [
        (
            each["round"],
            each["kind"],
            each["stage"],
            each["written"]["human"],
            each["written"]["pseudo"],
            each["written"]["released"],
            percent((each["gate"] or {}).get("exact_match")),
            percent((each["gate"] or {}).get("f1")),
            each["verdict"],
        )
        for each in told
    ]
    show(
        {"rounds": told},
        as_json=as_json,
        text=lambda: table(header, rows) if rows else "no round yet; run: labeler round",
    )


@rounds_command.command("show")
@click.argument("number", type=int)
@in_workspace
def rounds_show(workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int) -> None:
    """Show all that is known of one round.

    \b
    Example:  labeler rounds show 1
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.one_round(at, number)
    show(told, as_json=as_json, text=lambda: _fields(told))


@rounds_command.command("diff")
@click.argument("before", type=int)
@click.argument("after", type=int)
@in_workspace
def rounds_diff(workspace: Path | None, sets: tuple[str, ...], as_json: bool, before: int, after: int) -> None:
    """Compare two rounds: settings, marks, and pseudo-labels that came, went or changed.

    \b
    Example:  labeler rounds diff 1 2 --json
    """
    from labeler.rounds import history

    with runtime(workspace, sets) as at:
        told = history.difference(at, before, after)
    show(told, as_json=as_json, text=lambda: _fields(told))


@rounds_command.command("revert")
@click.argument("number", type=int)
@click.option("--with-reviews", is_flag=True, help="Withdraw the human labels of these rounds too.")
@in_workspace
def rounds_revert(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, number: int, with_reviews: bool
) -> None:
    """Undo the newest rounds down to this one.

    Their pseudo-labels are withdrawn, those that were live before are restored, and the reader before them is the
    current one again. So is the index before them, where it is that of a retriever that they trained. People's labels
    stay unless you say otherwise. History is kept.

    \b
    Example:  labeler rounds revert 2
    """
    from labeler.rounds import history

    with runtime(workspace, sets, write=True) as at:
        told = history.revert(at, number, with_reviews=with_reviews)
    show(
        told,
        as_json=as_json,
        text=lambda: (
            f"reverted rounds {', '.join(map(str, told['reverted']))}: "
            f"{told['withdrawn']} labels withdrawn, {told['restored']} restored; now: {told['reader']}"
            + (f", and the index {told['index'][:12]}" if told["retrievers"] and not told["next"] else "")
            + (f"\nthe index of before is gone or older; run: {told['next']}" if told["next"] else "")
        ),
    )


def _fields(told: dict[str, Any]) -> str:
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
