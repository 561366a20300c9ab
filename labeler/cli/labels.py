"""labels, label, history."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, runtime, show
from labeler.cli.describe import answer_text, clipped
from labeler.cli.describe.events import told
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.labels.edit import Correction, StoredLabel


@click.group("labels")
def labels_command() -> None:
    """List labels with their provenance.

    \b
    Example:  labeler labels list --kind pseudo
    """


@labels_command.command("list")
@click.option("--kind", type=click.Choice(["gold", "human", "pseudo"]), help="Only of this kind.")
@click.option("--round", "round_number", type=int, help="Only answers that came from this round.")
@click.option("--question", metavar="ID", help="Only of this question.")
@click.option("--all", "withdrawn", is_flag=True, help="Withdrawn labels too.")
@in_workspace
def labels_list(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    kind: str | None,
    round_number: int | None,
    question: str | None,
    withdrawn: bool,
) -> None:
    """List labels.

    \b
    Example:  labeler labels list --kind pseudo --round 2
              labeler labels list --question q17 --all --json
    """
    from labeler.labels.edit import find_labels

    with runtime(workspace, sets) as at:
        found = find_labels(
            at.database, kind=kind, round_number=round_number, question_id=question, withdrawn=withdrawn
        )
    show({"labels": found}, as_json=as_json, text=lambda: _labels_text(found) if found else "no label")


def _labels_text(found: Sequence[StoredLabel]) -> str:
    header = ("label", "question id", "question", "answer", "kind", "round", "confidence %", "state")
    rows = [
        (
            each.id,
            each.question_id,
            clipped(each.question),
            answer_text(answer.text for answer in each.answers),
            each.kind,
            _number(each.round),
            percent(each.confidence),
            _state(each),
        )
        for each in found
    ]
    return table(header, rows)


def _number(round_number: int | None) -> str:
    return "-" if round_number is None else str(round_number)


def _state(label: StoredLabel) -> str:
    if label.withdrawn_at is not None:
        return f"withdrawn: {label.withdrawal_reason}"
    return ", ".join(word for word, true in (("released", label.released), ("teaches", label.train_weight > 0)) if true)


@click.group("label")
def label_command() -> None:
    """Set or withdraw a label by hand.

    \b
    Example:  labeler label set q17 --text "1921"
              labeler label withdraw q17 --why "asks about another year"
    """


def login() -> str:
    """The name that a correction is signed with where none is given."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


_signed = click.option("--reviewer", metavar="NAME", default=login, show_default="your login", help="Who says so.")


@label_command.command("set")
@click.argument("question_id")
@click.option("--text", help="The answer, exactly as it stands in the passage.")
@click.option("--passage", "passages", metavar="ID", multiple=True, help="Where; default: as shown last.")
@click.option("--start", type=click.IntRange(min=0), help="Offset of its first character in the passage.")
@click.option("--end", type=click.IntRange(min=1), help="Offset after its last character.")
@click.option("--no-answer", is_flag=True, help="These passages do not answer it.")
@_signed
@in_workspace
def label_set(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    question_id: str,
    text: str | None,
    passages: tuple[str, ...],
    start: int | None,
    end: int | None,
    no_answer: bool,
    reviewer: str,
) -> None:
    """Set a question's label by hand.

    It becomes a human label and replaces the one before. A text is looked for in the passages that the question was
    shown with: its own, those of its label, or those that were read for it last.

    \b
    Example:  labeler label set q17 --text "1921"
              labeler label set q17 --passage 4f0c… --start 11 --end 15
              labeler label set q17 --no-answer
    """
    from labeler.labels.edit import set_label

    correction = _correction(text, passages, start, end, no_answer)
    with runtime(workspace, sets, write=True) as at:
        label = set_label(at.database, question_id, correction, reviewer=reviewer)
    replaced = "" if label.parent is None else f", instead of label {label.parent}"
    show(
        {"labels": [label]},
        as_json=as_json,
        text=lambda: f"label {label.id} of {label.question_id}: {answer_text(x.text for x in label.answers)}{replaced}",
    )


def _correction(
    text: str | None, passages: tuple[str, ...], start: int | None, end: int | None, no_answer: bool
) -> Correction:
    from labeler.labels.edit import Correction

    if (start is None) != (end is None) or (start is not None and len(passages) != 1):
        raise click.UsageError("--start and --end go together, with one --passage.")
    if sum((text is not None, start is not None, no_answer)) != 1:
        raise click.UsageError("Say one of: --text, --passage with --start and --end, --no-answer.")
    return Correction(text=text, start=start, end=end, passages=passages)


@label_command.command("withdraw")
@click.argument("question_id")
@click.option("--why", required=True, help="The reason; it stays in the history.")
@_signed
@in_workspace
def label_withdraw(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, question_id: str, why: str, reviewer: str
) -> None:
    """Withdraw a question's label by hand.

    After a pseudo-label no model labels the question again; `label set` lifts that.

    \b
    Example:  labeler label withdraw q17 --why "asks about another year"
    """
    from labeler.labels.edit import withdraw_label

    with runtime(workspace, sets, write=True) as at:
        label = withdraw_label(at.database, question_id, reviewer=reviewer, why=why)
    show(
        {"labels": [label]},
        as_json=as_json,
        text=lambda: f"{label.kind} label {label.id} of {label.question_id} withdrawn: {label.withdrawal_reason}",
    )


@click.command("history")
@click.argument("question_id")
@in_workspace
def history_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question_id: str) -> None:
    """Tell everything that happened to one question.

    Imports, predictions, tasks, reviews, and labels made and withdrawn, each with what it rests on.

    \b
    Example:  labeler history q17
    """
    from labeler.labels.edit import question_history

    with runtime(workspace, sets) as at:
        question, events = question_history(at.database, question_id)
    rows = [(f"{each.at:%Y-%m-%d %H:%M:%S}", _number(each.round_number), each.kind, told(each)) for each in events]
    show(
        {"question": question, "events": events},
        as_json=as_json,
        text=lambda: (
            f"{question.text}\n({question.role} question {question.id})\n\n"
            + table(("when (UTC)", "round", "what", "detail"), rows)
        ),
    )
