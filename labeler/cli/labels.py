"""labels, with the short forms label and history; leaks, suspects."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import (
    PAGE,
    ROLES,
    Number,
    after_option,
    in_workspace,
    limit_option,
    reason_option,
    reviewer_option,
    row_limit,
    runtime,
    show,
    show_page,
    show_pages,
)
from labeler.cli.describe import answer_text, labels_table
from labeler.cli.describe.events import history_text
from labeler.cli.describe.leaks import leaks_text
from labeler.cli.describe.suspects import suspects_text

if TYPE_CHECKING:
    from labeler.labels.edit import Correction


@click.group("labels")
def labels_command() -> None:
    """List, set and withdraw labels, and show a question's history.

    \b
    Example:  labeler labels list --kind pseudo
              labeler labels set q17 --text "1921"
    """


@labels_command.command("list")
@click.option("--kind", type=click.Choice(["gold", "human", "pseudo"]), help="Only labels of this kind.")
@click.option("--role", type=click.Choice(ROLES), help="Only labels of questions with this role.")
@click.option("--round", "round_number", type=int, help="Only labels whose answers came from this round.")
@click.option("--question", metavar="ID", help="Only labels of this question.")
@click.option("--search", "text", metavar="TEXT", help="Only labels with this text in question, id or answer.")
@click.option("--all", "withdrawn", is_flag=True, help="Include withdrawn labels.")
@after_option
@limit_option
@in_workspace
def labels_list(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    kind: str | None,
    role: str | None,
    round_number: int | None,
    question: str | None,
    text: str | None,
    withdrawn: bool,
    after: str | None,
    limit: int | None,
) -> None:
    """List labels.

    Labels of calibration, dev and test questions are used neither in training nor, by default, in exports. A full page
    says how many labels match in all, and how to list the next page.

    \b
    Example:  labeler labels list --kind pseudo --round 2
              labeler labels list --role dev --search harbour --limit 20
              labeler labels list --question q17 --all --json
    """
    from labeler.labels.browse import find_labels

    with runtime(workspace, sets) as at:
        find = functools.partial(
            find_labels,
            at.database,
            kind=kind,
            role=role,
            round_number=round_number,
            question_id=question,
            text=text,
            withdrawn=withdrawn,
        )
        if as_json and limit is None:
            show_pages("labels", lambda place: find(after=place or after, limit=PAGE))
            return
        found = find(after=after, limit=row_limit(limit, as_json=as_json))
    show_page(found, as_json=as_json, text=lambda: labels_table(found))


@labels_command.command("set")
@click.argument("question_id")
@click.option("--text", help="The answer, exactly as the passage has it.")
@click.option("--passage", "passages", metavar="ID", multiple=True, help="Passage; default: those last shown.")
@click.option("--start", type=click.IntRange(min=0), help="Offset of its first character in the passage.")
@click.option("--end", type=click.IntRange(min=1), help="Offset after its last character.")
@click.option("--no-answer", is_flag=True, help="These passages do not answer it.")
@reviewer_option(help="Reviewer recorded with the label.")
@in_workspace
def labels_set(
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

    The human label replaces the label before it. --text is searched in the passages that the question was shown
    with: its own context, the passages of its label, or those last read for it.

    \b
    Example:  labeler labels set q17 --text "1921"
              labeler labels set q17 --passage 4f0c… --start 11 --end 15
              labeler label set q17 --no-answer
    """
    from labeler.labels.edit import set_label

    correction = _correction(text, passages, start, end, no_answer)
    with runtime(workspace, sets, write=True) as at:
        label = set_label(at.database, question_id, correction, reviewer=reviewer)
    replaced = "" if label.parent is None else f"; replaces label {label.parent}"
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
        raise click.UsageError("Give --start and --end together, with one --passage.")
    if sum((text is not None, start is not None, no_answer)) != 1:
        raise click.UsageError("Give one of --text, --passage with --start and --end, or --no-answer.")
    return Correction(text=text, start=start, end=end, passages=passages)


@labels_command.command("withdraw")
@click.argument("question_id")
@reason_option
@reviewer_option(help="Reviewer recorded with the withdrawal.")
@in_workspace
def labels_withdraw(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, question_id: str, reason: str, reviewer: str
) -> None:
    """Withdraw a question's label by hand.

    No model labels a question again whose pseudo-label was withdrawn; `labels set` lifts that.

    \b
    Example:  labeler labels withdraw q17 --reason "asks about another year"
              labeler label withdraw q17 --reason "ambiguous"
    """
    from labeler.labels.edit import withdraw_label

    with runtime(workspace, sets, write=True) as at:
        label = withdraw_label(at.database, question_id, reviewer=reviewer, reason=reason)
    show(
        {"labels": [label]},
        as_json=as_json,
        text=lambda: f"{label.kind} label {label.id} of {label.question_id} withdrawn: {label.withdrawal_reason}",
    )


@labels_command.command("history")
@click.argument("question_id")
@in_workspace
def history_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question_id: str) -> None:
    """Show a question's audit trail.

    Imports, predictions, tasks, reviews, and labels set and withdrawn, with their provenance.

    \b
    Example:  labeler labels history q17
              labeler history q17
    """
    from labeler.labels.browse import question_history

    with runtime(workspace, sets) as at:
        question, events = question_history(at.database, question_id)
    show({"question": question, "events": events}, as_json=as_json, text=lambda: history_text(question, events))


@click.group("label")
def label_command() -> None:
    """Set or withdraw a label: short for `labels`.

    \b
    Example:  labeler label set q17 --text "1921"
              labeler label withdraw q17 --reason "asks about another year"
    """


label_command.add_command(labels_set)
label_command.add_command(labels_withdraw)


@click.command("leaks")
@limit_option
@in_workspace
def leaks_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, limit: int | None) -> None:
    """List equal and near-equal texts on two sides of the split.

    Compares the questions, passages and documents of gold, human and pseudo-labels with each other's held-out sides
    calibration, dev and test: the same, equal but for spacing, case and the like, near by character shingles, and
    close by the vectors of the index where it has an encoder. Labels that leak into dev or test are not exported
    unless `labeler export --with-leaks`.

    \b
    Example:  labeler leaks
              labeler leaks --json
    """
    from labeler.leaks.find import find_leaks, texts_of, vectors_of

    with runtime(workspace, sets) as at:
        vectors = vectors_of(at)
        with at.database.read() as session:
            found = find_leaks(session, vectors)
            shown = found.pairs[: row_limit(limit, as_json=as_json)]
            texts = {} if as_json else texts_of(session, shown)
    result = {"pairs": shown, "counts": found.counts, "compared": found.compared, "thresholds": found.thresholds}
    show(result, as_json=as_json, text=lambda: leaks_text(found, shown, texts))


@click.command("suspects")
@click.option(
    "--min-confidence",
    type=Number(0, 1),
    default=0.5,
    show_default=True,
    help="Confidence, 0-1, from which an answer contradicts a label.",
)
@click.option("--review", "--push", "again", is_flag=True, help="Have them, or the first --limit, reviewed again.")
@limit_option
@in_workspace
def suspects_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    min_confidence: float,
    again: bool,
    limit: int | None,
) -> None:
    """List labels that readers contradict with confidence.

    The readers were taught no label of the question's paragraph: fold readers (calibrate.folds), or those that
    calibration questions were held out of. Ranked by the right labels that a review is expected to bring. With
    --review the next round asks people again, blind; a label they confirm stays, a corrected one keeps its history.

    \b
    Example:  labeler suspects
              labeler suspects --review --limit 30
    """
    from labeler.review.suspects import find_suspects, queue

    with runtime(workspace, sets, write=again) as at:
        with at.database.read() as session:
            found = find_suspects(session, metric=at.metric, least=min_confidence)
        shown = found[:limit] if again else found[: row_limit(limit, as_json=as_json)]
        waiting = None
        if again and shown:
            with at.database.write() as session:
                waiting = queue(session, [each.question_id for each in shown])
    result = {"suspects": shown, "total": len(found), "queued": waiting}
    show(result, as_json=as_json, text=lambda: suspects_text(shown, total=len(found), queued=waiting))
