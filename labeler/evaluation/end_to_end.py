"""How well retrieval and a reader do on a split: on the gold passage, and end to end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from db import queries, store
from db.rows import EvaluationRow, LabelledQuestion, ModelRow
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.evaluation import retrieval_metrics
from labeler.evaluation.retrieval_metrics import Comparison, Miss, gold_passages
from labeler.evaluation.scoring import QuestionScore, score_prediction
from labeler.reading import answering, postprocessing
from mrc.metrics import Interval, bootstrap_interval

if TYPE_CHECKING:
    from mrc.postprocess.rules import Refine, RuleEffect
    from mrc.read.predict.groups import Answerer

BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's marks, 0-1, with 95% intervals of the bootstrap by document."""

    exact_match: float
    f1: float
    passage_correct: float  # the answer stands in the gold passage
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that `labeler evaluate` says; a part that could not be measured is None."""

    split: str
    questions: int
    retrieval: Mapping[str, float] | None
    reader: Reading | None
    end_to_end: Reading | None
    intervals: Mapping[str, tuple[float, float]]
    model: str | None  # hash
    comparison: Comparison | None = None
    misses: tuple[Miss, ...] | None = None
    reasons: Mapping[str, int] | None = None  # how many misses have each
    rules: tuple[RuleEffect, ...] | None = None  # what each rule on answers does on dev, as the round saw it


def evaluate(
    runtime: Runtime, split: str, *, compare: str | None = None, misses: int | None = None, rules: bool = False
) -> Evaluation:
    """The best reader and the current index on a split. Without a reader only retrieval is measured.

    Args:
        compare: another index to measure retrieval against, see `labeler.evaluation.retrieval_metrics.other_index`.
        misses: list the questions whose gold passage is not among so many first ones.
        rules: tell what each rule on answers does, see `labeler.reading.postprocessing`.

    Raises: NotReady for a split without labelled questions, or without the index that `compare` and `misses` need.
    """
    entries = labelled(runtime, split)
    with runtime.database.read() as session:
        model = queries.best_model(session)
    fingerprint = runtime.current_index() if not runtime.given else None
    findable = [entry for entry in entries if entry.label.answers]
    if (compare or misses) and not (fingerprint and findable):
        raise NotReady(f"retrieval is not measured: no {split} question has an answer to find in retrieved passages")
    index = runtime.index(fingerprint) if fingerprint and findable else None
    searched = retrieval_metrics.search(runtime, index, findable) if index else None
    retrieval, intervals = retrieval_metrics.measured(searched) if searched else (None, {})
    comparison = (
        retrieval_metrics.compared(runtime, searched, index, compare) if index and searched and compare else None
    )
    missed = retrieval_metrics.missed(runtime, searched, index, depth=misses) if index and searched and misses else None
    reader = read(runtime, model, split, index=None) if model else None
    end_to_end = read(runtime, model, split, index=fingerprint) if model and retrieval else None
    for name, part in (("reader", reader), ("end_to_end", end_to_end)):
        intervals |= {f"{name}.{mark}": bounds for mark, bounds in (part.intervals if part else {}).items()}
    found = Evaluation(split, len(entries), retrieval, reader, end_to_end, intervals, model.hash if model else None)
    reasons = retrieval_metrics.counted(missed) if missed is not None else None
    effects = postprocessing.rules_of(runtime, model).table if rules and model else None
    return replace(found, comparison=comparison, misses=missed, reasons=reasons, rules=effects)


def labelled(runtime: Runtime, split: str) -> list[LabelledQuestion]:
    """The questions of a split with their golds. Raises NotReady where there are none."""
    with runtime.database.read() as session:
        entries = queries.labelled_questions(session, split)
    if not entries:
        raise NotReady(f"there are no labelled {split} questions; add some with: labeler import FILE --as {split}")
    return entries


def read(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> Reading:
    """A reader's marks on a split; computed once for each model, split and setting. `index`: see `evaluated`."""
    row = evaluated(runtime, model, split, index=index)
    summary = dict(row.summary)
    intervals = {name: (low, high) for name, (low, high) in summary["intervals"].items()}
    return Reading(summary["exact_match"], summary["f1"], summary["passage_correct"], intervals)


def results(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> list[QuestionScore]:
    """The score of each question, for paired comparisons. `index`: see `evaluated`."""
    return [QuestionScore(*row) for row in evaluated(runtime, model, split, index=index).results]


def evaluated(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> EvaluationRow:
    """The stored evaluation, made now if it is not there yet under exactly these settings.

    With the fingerprint of an index it is end to end, from what that index finds; without, each question is read in
    its gold passage. Raises NotReady for a split without questions to mark.
    """
    entries = scorable(runtime, split, index=index)
    if not entries:
        raise NotReady(f"no {split} question has an answer; add some with: labeler import FILE --as {split}")
    key = _key(runtime, model, entries, index)
    with runtime.database.read() as session:
        stored = queries.evaluation(session, model.id, split=split, key=key)
    if stored is not None:
        return stored
    scores = scored(
        runtime,
        runtime.answerer(model),
        entries,
        index=index,
        refine=postprocessing.refine_of(runtime, model),
        null_threshold=postprocessing.null_threshold_of(runtime, model),
    )
    about, rows = summary(scores, index=index), [list(astuple(each)) for each in scores]
    with runtime.database.write() as session:
        store.add_evaluation(session, model.id, split=split, key=key, summary=about, results=rows)
        found = queries.evaluation(session, model.id, split=split, key=key)
    assert found is not None
    return found


def scorable(runtime: Runtime, split: str, *, index: str | None) -> list[LabelledQuestion]:
    """The questions of a split that a reader can be marked on: those with golds, in their own passage also impossible
    ones. Where people found no answer in the passages shown, there may be one elsewhere."""
    with runtime.database.read() as session:
        entries = queries.labelled_questions(session, split)
    return [entry for entry in entries if entry.label.answers or (index is None and entry.question.is_impossible)]


def _key(runtime: Runtime, model: ModelRow, entries: Sequence[LabelledQuestion], index: str | None) -> str:
    """Hash of all that the numbers depend on beside model and split."""
    asked = [
        [entry.question.id, entry.question.is_impossible, [asdict(answer) for answer in entry.label.answers]]
        for entry in entries
    ]
    parts: list[Any] = [index, asdict(runtime.config.read), runtime.metric, runtime.language, runtime.device]
    parts += [runtime.config.compute.precision, asked, list(postprocessing.names_of(runtime, model))]
    parts += [postprocessing.null_threshold_of(runtime, model), *runtime.other_readers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def scored(
    runtime: Runtime,
    reader: Answerer,
    entries: Sequence[LabelledQuestion],
    *,
    index: str | None,
    refine: Refine | None = None,
    null_threshold: float = 0.0,
) -> list[QuestionScore]:
    """The score of each question, in order. `refine`: post-processing rules; `null_threshold`: see `best_text`."""
    questions = [entry.question if index else postprocessing.in_gold_passage(entry) for entry in entries]
    scores = []
    with bar(f"evaluate {_mode(index).replace('_', ' ')}", total=len(entries), unit="questions") as shown:
        found = answering.answers(runtime, questions, reader, index, refine=refine)
        for entry, prediction in zip(entries, found, strict=True):
            each = score_prediction(
                prediction,
                golds=[answer.text for answer in entry.label.answers],
                gold_passages=gold_passages(entry),
                cluster=entry.document_id,
                metric=runtime.metric,
                # End to end only answerable questions are scored, so a reader always has to answer.
                may_abstain=not index and entry.question.is_impossible is not None,
                null_threshold=null_threshold,
            )
            scores.append(each)
            shown.update()
    return scores


def _mode(index: str | None) -> str:
    return "end_to_end" if index else "reader"


def summary(scores: Sequence[QuestionScore], *, index: str | None) -> dict[str, Any]:
    """Means and intervals over the questions; not empty."""
    clusters = [each.cluster for each in scores]
    exact = _interval([each.exact_match for each in scores], clusters)
    f1 = _interval([each.f1 for each in scores], clusters)
    return {
        "mode": _mode(index),
        "questions": len(scores),
        "exact_match": exact.mean,
        "f1": f1.mean,
        "passage_correct": sum(each.passage_correct for each in scores) / len(scores),
        "intervals": {"exact_match": _bounds(exact), "f1": _bounds(f1)},
    }


def _interval(values: Sequence[float], clusters: Sequence[str | None]) -> Interval:
    return bootstrap_interval(values, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
