"""The evaluation of the current reader and the current index on a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import queries
from db.rows import LabelledQuestion, ModelRow
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.evaluation.index_comparison import Comparison, compare_indexes
from labeler.evaluation.misses import Miss, count_reasons, find_misses
from labeler.evaluation.reach import reach_of_labels
from labeler.evaluation.reader_metrics import ReaderScores, reader_scores
from labeler.evaluation.retrieval_metrics import gold_passages, search, summarize
from labeler.reading import postprocessing

if TYPE_CHECKING:
    from mrc.postprocess.rules import RuleEffect
    from mrc.read.predict.reach import OutOfReach


@dataclass(frozen=True, slots=True)
class Unanchored:
    """A question with its golds that do not stand in its context; they are scored by their text."""

    id: str
    golds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `labeler evaluate`; a part that was not measured is None."""

    split: str
    questions: int
    retrieval: Mapping[str, float] | None
    reader: ReaderScores | None
    end_to_end: ReaderScores | None
    intervals: Mapping[str, tuple[float, float]]  # by "part.score"
    model: str | None  # hash
    comparison: Comparison | None = None
    misses: tuple[Miss, ...] | None = None
    reasons: Mapping[str, int] | None = None  # reason -> number of misses that have it
    rules: tuple[RuleEffect, ...] | None = None  # the effect of each post-processing rule on dev
    unanchored: tuple[Unanchored, ...] = ()  # questions with golds that do not stand in their context
    out_of_reach: OutOfReach | None = None  # questions whose golds are longer than the answers that are considered


def evaluate(
    runtime: Runtime, split: str, *, compare: str | None = None, misses: int | None = None, rules: bool = False
) -> Evaluation:
    """Evaluate the current reader and index on a split. Without a reader only retrieval is measured.

    Args:
        runtime: the workspace.
        split: dev or test.
        compare: another index to compare retrieval with, see `labeler.evaluation.index_comparison.other_index`.
        misses: list the questions whose gold passage is not among so many first ones.
        rules: include the effect of each post-processing rule, see `labeler.reading.postprocessing`.

    Raises:
        NotReady: the split has no labelled question, or `compare` or `misses` need an index that is not there.
    """
    entries = labelled(runtime, split)
    with runtime.database.read() as session:
        model = queries.best_model(session)
    fingerprint = runtime.current_index() if not runtime.given else None
    answerable = [entry for entry in entries if gold_passages(entry)]
    if (compare or misses) and not (fingerprint and answerable):
        raise NotReady(f"retrieval is not measured: no {split} question has an answer to find in retrieved passages")
    retrieval: Mapping[str, float] | None = None
    intervals: dict[str, tuple[float, float]] = {}
    comparison, missed = None, None
    if fingerprint and answerable:
        index = runtime.index(fingerprint)
        results = search(runtime, index, answerable)
        retrieval, intervals = summarize(results)
        comparison = compare_indexes(runtime, results, index, compare) if compare else None
        missed = find_misses(runtime, results, index, depth=misses) if misses else None
    reader = reader_scores(runtime, model, split, index=None) if model else None
    end_to_end = reader_scores(runtime, model, split, index=fingerprint) if model and retrieval else None
    for name, part in (("reader", reader), ("end_to_end", end_to_end)):
        intervals |= {f"{name}.{score}": bounds for score, bounds in (part.intervals if part else {}).items()}
    return Evaluation(
        split=split,
        questions=len(entries),
        retrieval=retrieval,
        reader=reader,
        end_to_end=end_to_end,
        intervals=intervals,
        model=model.hash if model else None,
        comparison=comparison,
        misses=missed,
        reasons=count_reasons(missed) if missed is not None else None,
        rules=postprocessing.rules_of(runtime, model).table if rules and model else None,
        unanchored=tuple(Unanchored(each.question.id, each.label.texts) for each in entries if each.label.texts),
        out_of_reach=_out_of_reach(runtime, model, entries) if model else None,
    )


def _out_of_reach(runtime: Runtime, model: ModelRow, entries: Sequence[LabelledQuestion]) -> OutOfReach | None:
    return reach_of_labels(runtime, [entry.label for entry in entries], runtime.workspace.folder / model.path)


def labelled(runtime: Runtime, split: str) -> list[LabelledQuestion]:
    """The questions of a split with their golds. Raises NotReady where there are none."""
    with runtime.database.read() as session:
        entries = queries.labelled_questions(session, split)
    if not entries:
        raise NotReady(f"there are no labelled {split} questions; add some with: labeler import FILE --as {split}")
    return entries
