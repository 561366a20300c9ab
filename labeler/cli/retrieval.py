"""index, search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from labeler.cli.common import desk, in_workspace, show, table

METHODS = ("atire", "okapi", "bm25l", "bm25plus")


@click.command("index")
@click.option("--method", type=click.Choice(METHODS), help="Ranking formula; default: the setting, atire.")
@click.option("--analyzer", help="Terms of a text: auto, bigram, kiwi, english, whitespace.")
@in_workspace
def index_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, method: str | None, analyzer: str | None
) -> None:
    """Build or extend the retrieval index.

    Run it after passages were added or removed; what was cut into terms before is not cut again.

    \b
    Example:  labeler index
              labeler index --method okapi --analyzer bigram
    """
    from labeler.indexing import build_index

    given = (("method", method), ("analyzer", analyzer))
    sets = (*sets, *(f"index.{name}={value}" for name, value in given if value))
    with desk(workspace, sets, write=True) as at:
        built = build_index(at)
    show(
        built,
        as_json=as_json,
        text=lambda: f"{built.passages} passages indexed by {built.method}, terms by {built.analyzer}",
    )


@dataclass(frozen=True, slots=True)
class Found:
    passage_id: str
    rank: int
    score: float
    bm25: float | None
    dense: float | None
    title: str
    text: str


@click.command("search")
@click.argument("question")
@click.option("-k", "k", default=5, show_default=True, type=click.IntRange(min=1), help="Passages to show.")
@in_workspace
def search_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question: str, k: int) -> None:
    """Find passages for a question.

    \b
    Example:  labeler search "Who founded the harbour of Velmora?" -k 3
    """
    if not question.strip():
        raise click.UsageError("QUESTION is empty.")
    with desk(workspace, sets) as at:
        hits = at.index().retrieve([question], k)[0]
        passages = at.fetch([hit.passage_id for hit in hits])
    found = [
        Found(
            hit.passage_id,
            hit.rank,
            hit.score,
            hit.bm25,
            hit.dense,
            passages[hit.passage_id].title,
            passages[hit.passage_id].text,
        )
        for hit in hits
    ]
    rows = [(each.rank + 1, f"{each.score:.2f}", each.title, " ".join(each.text.split())[:80]) for each in found]
    show(
        {"hits": found},
        as_json=as_json,
        text=lambda: table(("rank", "score", "title", "passage"), rows) if rows else "no passage shares a term with it",
    )
