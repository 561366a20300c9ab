"""Scores of a reader on a split, on the gold passages or end to end; computed once and stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from db import queries, store
from db.rows import EvaluationRow, LabelledQuestion, ModelRow
from labeler.cluster.connection import note as cluster_note
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.evaluation.retrieval_metrics import gold_passages
from labeler.evaluation.scoring import QuestionScore, score_prediction
from labeler.reading import answering, postprocessing
from mrc.metrics import Interval, Metric, bootstrap_interval, resolve_metric

if TYPE_CHECKING:
    from labeler.reading.answering import ReadingPlan
    from labeler.reading.remote import RemoteReader
    from mrc.read.predict.groups import Answerer

BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """Mean scores of a reader, 0-1, with 95% intervals (low, high) of the bootstrap by document."""

    exact_match: float
    f1: float
    passage_correct: float  # share of answers from a gold passage
    intervals: Mapping[str, tuple[float, float]]


def reader_scores(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> ReaderScores:
    """The mean scores of a reader on a split; see `stored_evaluation`."""
    summary = dict(stored_evaluation(runtime, model, split, index=index).summary)
    intervals = {name: (low, high) for name, (low, high) in summary["intervals"].items()}
    return ReaderScores(summary["exact_match"], summary["f1"], summary["passage_correct"], intervals)


def question_scores(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> list[QuestionScore]:
    """The score of each question of a split, for paired comparisons; see `stored_evaluation`."""
    return [QuestionScore(*row) for row in stored_evaluation(runtime, model, split, index=index).results]


def stored_evaluation(runtime: Runtime, model: ModelRow, split: str, *, index: str | None) -> EvaluationRow:
    """The stored evaluation of a reader on a split under the current settings; computed and stored if missing.

    Args:
        runtime: with the settings.
        model: the reader.
        split: dev or test.
        index: fingerprint of the index to retrieve from; None: each question is read in its gold passage.

    Raises:
        NotReady: the split has no question to score.
    """
    entries = scorable(runtime, split, index=index)
    if not entries:
        raise NotReady(f"no {split} question has an answer; add some with: labeler import FILE --as {split}")
    key = _key(runtime, model, entries, index)
    with runtime.database.read() as session:
        stored = queries.evaluation(session, model.id, split=split, key=key)
    if stored is not None:
        return stored
    scores = compute_scores(
        runtime,
        answering.answerer(runtime, model),
        entries,
        index=index,
        plan=postprocessing.plan_of(runtime, model),
        null_threshold=postprocessing.null_threshold_of(runtime, model),
    )
    summary, rows = summarize(scores, index=index), [list(astuple(each)) for each in scores]
    with runtime.database.write() as session:
        store.add_evaluation(session, model.id, split=split, key=key, summary=summary, results=rows)
        found = queries.evaluation(session, model.id, split=split, key=key)
    assert found is not None
    return found


def scorable(runtime: Runtime, split: str, *, index: str | None) -> list[LabelledQuestion]:
    """The questions of a split that can be scored: those with golds, and on the gold passage also impossible ones.

    End to end, a question without an answer in the passages that reviewers saw may have one elsewhere. A question of
    which no passage is known has no gold passage to be read in.
    """
    with runtime.database.read() as session:
        entries = queries.labelled_questions(session, split)
    if index is not None:
        return [entry for entry in entries if entry.label.gold_texts]
    read = (entry for entry in entries if postprocessing.in_gold_passage(entry).context_id)
    return [entry for entry in read if entry.label.gold_texts or entry.question.is_impossible]


def compute_scores(
    runtime: Runtime,
    reader: Answerer | RemoteReader,
    entries: Sequence[LabelledQuestion],
    *,
    index: str | None,
    plan: ReadingPlan,
    null_threshold: float = 0.0,
) -> list[QuestionScore]:
    """The score of each question, in order. `plan`: how the reader reads; `null_threshold`: see `best_text`."""
    questions = [entry.question if index else postprocessing.in_gold_passage(entry) for entry in entries]
    scores, metric = [], metric_of(runtime, entries)
    label, note = f"evaluate {_mode(index).replace('_', ' ')}", cluster_note(runtime.config.compute)
    with bar(label, total=len(entries), unit="questions", note=note) as progress:
        found = answering.answers(runtime, questions, reader, index, plan=plan)
        for entry, prediction in zip(entries, found, strict=True):
            each = score_prediction(
                prediction,
                golds=entry.label.gold_texts,
                gold_passages=gold_passages(entry),
                cluster=entry.document_id,
                metric=metric,
                # End to end only answerable questions are scored, so a reader always has to answer.
                may_abstain=not index and entry.question.is_impossible is not None,
                null_threshold=null_threshold,
            )
            scores.append(each)
            progress.update()
    return scores


def metric_of(runtime: Runtime, entries: Sequence[LabelledQuestion]) -> Metric:
    """The workspace's metric, in the version that its questions call for: SQuAD 2.0 where some may be unanswerable."""
    impossible = any(entry.question.is_impossible is not None for entry in entries)
    return resolve_metric(runtime.config.workspace.metric, language=runtime.language, impossible=impossible)


def summarize(scores: Sequence[QuestionScore], *, index: str | None) -> dict[str, Any]:
    """Means and intervals over at least one question, as stored JSON."""
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


def _key(runtime: Runtime, model: ModelRow, entries: Sequence[LabelledQuestion], index: str | None) -> str:
    """Hash of everything that the scores depend on, apart from model and split."""
    questions = [
        [
            entry.question.id,
            entry.question.is_impossible,
            [asdict(answer) for answer in entry.label.answers],
            entry.label.texts,
        ]
        for entry in entries
    ]
    parts: list[Any] = [index, asdict(runtime.config.read), runtime.metric, runtime.language, runtime.reading_device]
    parts += [runtime.config.compute.precision, questions, postprocessing.identity_of(runtime, model)]
    parts += [postprocessing.null_threshold_of(runtime, model), *runtime.other_readers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _mode(index: str | None) -> str:
    return "end_to_end" if index else "reader"


def _interval(values: Sequence[float], clusters: Sequence[str | None]) -> Interval:
    return bootstrap_interval(values, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
