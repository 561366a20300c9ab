"""labels, label, history."""

from __future__ import annotations

import getpass
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import desk, in_workspace, percent, show, table

if TYPE_CHECKING:
    from db.rows import EventRow
    from labeler.correcting import Correction, StoredLabel

COLUMNS = 40  # of a question or an answer in a table


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
    from labeler.correcting import find_labels

    with desk(workspace, sets) as at:
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
            _clipped(each.question),
            _answer(answer.text for answer in each.answers),
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
        return f"withdrawn: {label.withdrawn_why}"
    return ", ".join(word for word, true in (("released", label.released), ("teaches", label.train_weight > 0)) if true)


@click.group("label")
def label_command() -> None:
    """Set or withdraw a label by hand.

    \b
    Example:  labeler label set q17 --text "1921"
              labeler label withdraw q17 --why "asks about another year"
    """


def _user() -> str:
    """The name that a correction is signed with where none is given."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


_signed = click.option("--reviewer", metavar="NAME", default=_user, show_default="your login", help="Who says so.")


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
    from labeler.correcting import set_label

    correction = _correction(text, passages, start, end, no_answer)
    with desk(workspace, sets, write=True) as at:
        label = set_label(at.database, question_id, correction, reviewer=reviewer)
    replaced = "" if label.parent is None else f", instead of label {label.parent}"
    show(
        {"labels": [label]},
        as_json=as_json,
        text=lambda: f"label {label.id} of {label.question_id}: {_answer(x.text for x in label.answers)}{replaced}",
    )


def _correction(
    text: str | None, passages: tuple[str, ...], start: int | None, end: int | None, no_answer: bool
) -> Correction:
    from labeler.correcting import Correction

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
    from labeler.correcting import withdraw_label

    with desk(workspace, sets, write=True) as at:
        label = withdraw_label(at.database, question_id, reviewer=reviewer, why=why)
    show(
        {"labels": [label]},
        as_json=as_json,
        text=lambda: f"{label.kind} label {label.id} of {label.question_id} withdrawn: {label.withdrawn_why}",
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
    from labeler.correcting import question_history

    with desk(workspace, sets) as at:
        question, events = question_history(at.database, question_id)
    rows = [(f"{each.at:%Y-%m-%d %H:%M:%S}", _number(each.round_number), each.kind, _told(each)) for each in events]
    show(
        {"question": question, "events": events},
        as_json=as_json,
        text=lambda: (
            f"{question.text}\n({question.role} question {question.id})\n\n"
            + table(("when (UTC)", "round", "what", "detail"), rows)
        ),
    )


def _told(event: EventRow) -> str:
    """An event's detail in words; the journal's own entries as they are."""
    detail = event.detail
    tell = _TELLERS.get(event.kind)
    return tell(detail) if tell else ", ".join(f"{name} {value}" for name, value in detail.items())


def _told_import(detail: Mapping[str, Any]) -> str:
    return f"import {detail['import_id']}: {detail['path']} as {detail['role']}"


def _told_prediction(detail: Mapping[str, Any]) -> str:
    answer = _answer([detail["text"]] if detail["text"] is not None else [])
    decision = f", decided: {detail['decision']}" if detail["decision"] else ""
    return f"{answer}, confidence {percent(detail['confidence'])} %{decision}, model {detail['model_hash'][:12]}"


def _told_task(detail: Mapping[str, Any]) -> str:
    blind = "blind, " if detail["blind"] else ""
    return f"{detail['kind']}, {blind}{len(detail['passages'])} passages, {detail['state']}"


def _told_review(detail: Mapping[str, Any]) -> str:
    answer = f" {_answer([detail['text']])} ({detail['origin']})" if detail["text"] is not None else ""
    return f"{detail['reviewer']}: {detail['verdict']}{answer}"


def _told_label(detail: Mapping[str, Any]) -> str:
    parts = [
        f"{detail['label_kind']} label {detail['label_id']}: {_answer(answer[0] for answer in detail['answers'])}",
        f"by {detail['reviewer']}" if detail["reviewer"] else "",
        f"confidence {percent(detail['confidence'])} %" if detail["confidence"] is not None else "",
        f"threshold {percent(detail['threshold'])} %" if detail["threshold"] is not None else "",
        "released" if detail["released"] else "not released",
        f"weight {detail['train_weight']:g}",
        f"model {detail['model_hash'][:12]}" if detail["model_hash"] else "",
        f"in place of label {detail['parent_id']}" if detail["parent_id"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _told_withdrawal(detail: Mapping[str, Any]) -> str:
    return f"{detail['label_kind']} label {detail['label_id']}: {detail['why']}"


_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "import": _told_import,
    "import_undone": _told_import,
    "prediction": _told_prediction,
    "task": _told_task,
    "review": _told_review,
    "label": _told_label,
    "label_withdrawn": _told_withdrawal,
}


def _answer(texts: Iterable[str]) -> str:
    """The different golds of a label in quotes; words where it has none."""
    different = list(dict.fromkeys(texts))
    return _clipped(" | ".join(f"'{text}'" for text in different)) if different else "no answer"


def _clipped(text: str, columns: int = COLUMNS) -> str:
    """The text on one line of at most `columns` columns; a wide (Korean) character takes two."""
    line, used = " ".join(text.split()), 0
    for position, character in enumerate(line):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > columns:
            return line[: max(position - 1, 0)] + "…"
    return line
