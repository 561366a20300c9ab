"""index, search, passages, questions."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from labeler.cli.common import (
    PAGE,
    ROLES,
    F,
    after_option,
    in_workspace,
    limit_option,
    on_device,
    plain,
    row_limit,
    runtime,
    show,
    show_page,
    show_pages,
)
from labeler.cli.describe import passage_text, questions_table
from labeler.cli.describe.retrieval import hits_text, index_text

METHODS = ("atire", "okapi", "bm25l", "bm25plus")


@click.command("index")
@click.option("--method", type=click.Choice(METHODS), help="BM25 variant; default: the setting, atire.")
@click.option("--analyzer", help="auto, bigram, kiwi+bigram, english+4gram, german, ..., wordpiece:FOLDER.")
@click.option(
    "--tune/--no-tune",
    default=None,
    help="Tune k1, b and title weight on gold and calibration questions; or drop the tuned values.",
)
@click.option("--dense", metavar="MODEL", help="Add dense retrieval: checkpoint folder, hub name, or none.")
@on_device
@in_workspace
def index_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    method: str | None,
    analyzer: str | None,
    tune: bool | None,
    dense: str | None,
) -> None:
    """Build or extend the retrieval index.

    Run it after passages were added or removed; passages analyzed before are not analyzed again. Later indexes of the
    same method and analyzer keep the tuned values while the settings k1, b and title_weight have their defaults.

    Later indexes keep the model of --dense until --dense names another one or none. The weight of dense against BM25
    scores is tuned on gold and calibration questions, if there are at least 30; for a model that a round trained, on
    calibration questions alone.

    \b
    Example:  labeler index
              labeler index --method okapi --analyzer bigram
              labeler index --tune
              labeler index --dense sentence-transformers/all-MiniLM-L6-v2
    """
    from labeler.retrieval.indexing import build_index
    from labeler.retrieval.tuning import forget_tuning, tune_index

    given = (("method", method), ("analyzer", analyzer))
    sets = (*sets, *(f"index.{name}={value}" for name, value in given if value))
    with runtime(workspace, sets, write=True) as at:
        if tune is False:
            forget_tuning(at)
        tuned = tune_index(at) if tune else None
        built = build_index(at, dense=dense)
    show({**plain(built), "tuned": tuned}, as_json=as_json, text=lambda: index_text(built, tuned))


@click.command("search")
@click.argument("question")
@click.option("-k", "k", default=5, show_default=True, type=click.IntRange(min=1), help="Passages to show.")
@in_workspace
def search_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question: str, k: int) -> None:
    """Find passages for a question.

    Matching words are bold on a terminal and in « » elsewhere.

    \b
    Example:  labeler search "Who founded the harbour of Velmora?" -k 3
    """
    if not question.strip():
        raise click.UsageError("QUESTION is empty.")
    from labeler.reading.question_answering import QuestionAnswering

    with runtime(workspace, sets) as at:
        answering = QuestionAnswering(at)
        found, analyzer = answering.search(question, k), answering.index.bm25.analyzer
    show({"hits": found}, as_json=as_json, text=lambda: hits_text(found, question, analyzer))


@click.group("passages")
def passages_command() -> None:
    """Show passages.

    \b
    Example:  labeler passages show 3f0c1d2e4b5a
    """


@passages_command.command("show")
@click.argument("passage_id")
@in_workspace
def passages_show(workspace: Path | None, sets: tuple[str, ...], as_json: bool, passage_id: str) -> None:
    """Show a passage and the questions about it.

    PASSAGE_ID is its id or the first characters of it, as `labeler search` and `labeler ask` print them.

    \b
    Example:  labeler passages show 3f0c1d2e4b5a
    """
    from labeler.labels.browse import find_passage

    with runtime(workspace, sets) as at:
        found = find_passage(at.database, passage_id)
    show(found, as_json=as_json, text=lambda: passage_text(found))


@click.group("questions")
def questions_command() -> None:
    """List and search questions.

    \b
    Example:  labeler questions list --role pool --unlabelled
              labeler questions search harbour
    """


def _filtered(command: F) -> F:
    """Add the options that choose questions."""
    options = (
        click.option("--role", type=click.Choice(ROLES), help="Only questions with this role."),
        click.option("--labelled/--unlabelled", default=None, help="Only questions with, or without, a live label."),
        after_option,
        limit_option,
        in_workspace,
    )
    return functools.reduce(lambda found, option: option(found), reversed(options), command)


@questions_command.command("list")
@_filtered
def questions_list(**options: Any) -> None:
    """List questions with their labels.

    \b
    Example:  labeler questions list --role pool --unlabelled --limit 20
    """
    _list_questions(text=None, **options)


@questions_command.command("search")
@click.argument("text")
@_filtered
def questions_search(**options: Any) -> None:
    """List questions whose text or id holds TEXT, in any case.

    \b
    Example:  labeler questions search harbour --role dev
    """
    _list_questions(**options)


def _list_questions(
    *,
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    role: str | None,
    labelled: bool | None,
    text: str | None,
    after: str | None,
    limit: int | None,
) -> None:
    from labeler.labels.browse import find_questions

    with runtime(workspace, sets) as at:
        find = functools.partial(find_questions, at.database, role=role, labelled=labelled, text=text)
        if as_json and limit is None:
            show_pages("questions", lambda place: find(after=place or after, limit=PAGE))
            return
        found = find(after=after, limit=row_limit(limit, as_json=as_json))
    show_page(found, as_json=as_json, text=lambda: questions_table(found))
