"""index, search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import in_workspace, on_device, plain, runtime, show
from labeler.core.console import percent, table

if TYPE_CHECKING:
    from labeler.retrieval.indexing import Built
    from labeler.retrieval.tuning import TunedIndex

METHODS = ("atire", "okapi", "bm25l", "bm25plus")


@click.command("index")
@click.option("--method", type=click.Choice(METHODS), help="Ranking formula; default: the setting, atire.")
@click.option("--analyzer", help="Terms of a text: auto, bigram, kiwi+bigram, english+4gram, ..., wordpiece:FOLDER.")
@click.option(
    "--tune/--no-tune",
    default=None,
    help="Choose k1, b and title weight on gold and calibration questions; or forget it.",
)
@click.option("--dense", metavar="MODEL", help="Find passages by meaning too: checkpoint folder, hub name, or none.")
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

    Run it after passages were added or removed; what was cut into terms before is not cut again. What --tune chose
    is used by every later index of the same method and analyzer, as long as the settings k1, b and title_weight are
    left at their defaults.

    The model that --dense named is used by every later index, until --dense names another one or none. The weight of
    what it finds beside what BM25 finds is tuned on gold and calibration questions, where there are at least 30; that
    of a model that a round trained, on calibration questions alone.

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
    text = f"{built.passages} passages indexed by {built.method}, terms by {built.analyzer}"
    text += _dense_text(built) + _rerank_text(built)
    show(
        {**plain(built), "tuned": tuned},
        as_json=as_json,
        text=lambda: f"{_tuned_text(tuned)}\n{text}" if tuned else text,
    )


def _dense_text(built: Built) -> str:
    if built.dense is None or built.weight is None:
        return ""
    weight = built.weight
    if weight.questions:
        how = f"tuned on {weight.questions} questions of {weight.documents} documents, 95% interval "
        how += f"{weight.low:g} to {weight.high:g}"
    else:
        how = (
            "as set" if weight.low == weight.high else "not tuned: too few labelled questions, or of too few documents"
        )
    return f"\nand by meaning with {built.dense}, weight {weight.value:g} ({how})"


def _rerank_text(built: Built) -> str:
    return f"\nthe first ones of a question re-ranked by {built.rerank}" if built.rerank else ""


def _tuned_text(tuned: TunedIndex) -> str:
    low, high = (f"{100 * bound:+.1f}" for bound in tuned.gain[1:])
    return (
        f"tuned on {tuned.questions} questions: k1 {tuned.k1:g}, b {tuned.b:g}, title weight {tuned.title_weight}\n"
        f"MRR {percent(tuned.mrr_before[0])} -> {percent(tuned.mrr_after[0])} "
        f"(95% interval {percent(tuned.mrr_after[1])} to {percent(tuned.mrr_after[2])}), "
        f"top-3 {percent(tuned.top_3_before)} -> {percent(tuned.top_3_after)}\n"
        f"gain in MRR on documents that did not choose it: {100 * tuned.gain[0]:+.1f} (95% interval {low} to {high})"
    )


@dataclass(frozen=True, slots=True)
class Found:
    passage_id: str
    rank: int
    score: float
    bm25: float | None
    dense: float | None
    rerank: float | None
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
    with runtime(workspace, sets) as at:
        hits = at.index().retrieve([question], k)[0]
        passages = at.fetch([hit.passage_id for hit in hits])
    found = [
        Found(
            hit.passage_id,
            hit.rank,
            hit.score,
            hit.bm25,
            hit.dense,
            hit.rerank,
            passages[hit.passage_id].title,
            passages[hit.passage_id].text,
        )
        for hit in hits
    ]
    show({"hits": found}, as_json=as_json, text=lambda: _found_text(found))


def _found_text(found: list[Found]) -> str:
    if not found:
        return "no passage shares a term with it"
    by_meaning = any(each.dense is not None for each in found)
    reread = any(each.rerank is not None for each in found)
    header = ("rank", "score", *(("bm25", "dense") if by_meaning else ()), *(("rerank",) if reread else ()))
    rows = []
    for each in found:
        parts = [_score(each.bm25), _score(each.dense)] if by_meaning else []
        parts += [_score(each.rerank)] if reread else []
        rows.append((each.rank + 1, _score(each.score), *parts, each.title, " ".join(each.text.split())[:80]))
    return table((*header, "title", "passage"), rows)


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"
