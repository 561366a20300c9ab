"""The evaluation of a labeller's answers on a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db import queries
from db.rows import LabelledQuestion, LabellerPredictionRow
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.evaluation.evaluate import labelled
from labeler.evaluation.reader_metrics import ReaderScores, metric_of, summarize
from labeler.evaluation.retrieval_metrics import gold_passages
from labeler.evaluation.scoring import QuestionScore
from mrc.calibration.quality import measures
from mrc.metrics import Metric, score


@dataclass(frozen=True, slots=True)
class LabellerEvaluation:
    """The result of `labeler evaluate --labeller`. A question without an answer of the labeller counts as wrong."""

    labeller: str
    split: str
    questions: int
    answered: int
    anchored: int  # of them, answers that are spans of passages
    end_to_end: ReaderScores  # over all questions
    of_answered: Mapping[str, float] | None  # exact_match and f1 over the answered questions alone
    intervals: Mapping[str, tuple[float, float]]  # by "end_to_end.score"
    scores: Mapping[str, float] | None  # how well its own scores rank and fit; None where it gives none
    retrieval: None = None  # a labeller retrieves nothing here; the fields are those of `Evaluation`
    reader: None = None


def evaluate_labeller(runtime: Runtime, name: str, split: str) -> LabellerEvaluation:
    """Evaluate the stored answers of a labeller on a split. Raises NotFound, NotReady."""
    entries = [each for each in labelled(runtime, split) if each.label.gold_texts or each.question.is_impossible]
    with runtime.database.read() as session:
        row = queries.labeller(session, name)
        ids = [entry.question.id for entry in entries]
        found = {each.question_id: each for each in queries.labeller_predictions(session, row.id, ids)}
    if not found:
        raise NotReady(
            f"the labeller {name!r} has answered no labelled {split} question; import its answers to them, or evaluate "
            "another split"
        )
    metric = metric_of(runtime, entries)
    scored = [question_score(entry, found.get(entry.question.id), metric) for entry in entries]
    summary = summarize(scored, index=name)
    bounds = {key: (low, high) for key, (low, high) in summary["intervals"].items()}
    answered = [each for each in scored if each.question_id in found]
    return LabellerEvaluation(
        labeller=name,
        split=split,
        questions=len(entries),
        answered=len(found),
        anchored=sum(each.anchored for each in found.values()),
        end_to_end=ReaderScores(summary["exact_match"], summary["f1"], summary["passage_correct"], bounds),
        of_answered={
            "exact_match": sum(each.exact_match for each in answered) / len(answered),
            "f1": sum(each.f1 for each in answered) / len(answered),
        },
        intervals={f"end_to_end.{key}": each for key, each in bounds.items()},
        scores=_measures(answered, found),
    )


def question_score(entry: LabelledQuestion, found: LabellerPredictionRow | None, metric: Metric) -> QuestionScore:
    """The score of a labeller's answer to a question; of none that of an empty one, which is never right here."""
    text = found.text if found is not None else ""
    passage_id = found.answers[0].passage_id if found is not None and found.anchored else None
    result = score(text, entry.label.gold_texts, metric)
    exact, part = (result.exact_match, result.f1) if found is not None else (0.0, 0.0)
    right_place = passage_id in gold_passages(entry)
    return QuestionScore(entry.question.id, entry.document_id, exact, part, text, passage_id, right_place)


def _measures(
    scored: Sequence[QuestionScore], found: Mapping[str, LabellerPredictionRow]
) -> Mapping[str, float] | None:
    """Quality of the labeller's own scores, not calibrated, of the answers that have one."""
    pairs = [
        (found[each.question_id].answers[0].score, each.exact_match == 1)
        for each in scored
        if found[each.question_id].text
    ]
    known = [(value, right) for value, right in pairs if value is not None]
    if not known:
        return None
    confidence = np.array([value for value, _ in known], dtype=np.float64)
    return {"answers": len(known)} | measures(confidence, np.array([right for _, right in known], dtype=np.bool_))
