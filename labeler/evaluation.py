"""How well retrieval and a reader do on a split: on the gold passage, and end to end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from db import queries, store
from db.rows import EvaluationRow, LabelledQuestion, ModelRow, QuestionRow
from labeler.desk import Desk
from labeler.errors import NotReady
from labeler.gate import QuestionResult
from labeler.progress import bar
from labeler.rounds import predicting
from mrc.metrics import Interval, bootstrap_interval, mrr, recall_at, score
from mrc.types import Prediction

if TYPE_CHECKING:
    from mrc.read.model import Reader

Mode = Literal["reader", "end_to_end"]  # the gold passage is given; passages are retrieved

DEPTHS = (1, 3, 5, 10)
SEARCHED = 100  # passages that MRR looks at
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


def evaluate(desk: Desk, split: str) -> Evaluation:
    """The best reader and the current index on a split. Without a reader only retrieval is measured.

    Raises: NotReady for a split without labelled questions.
    """
    entries = labelled(desk, split)
    with desk.database.read() as session:
        model = queries.best_model(session)
    fingerprint = desk.current_index() if not desk.given else None
    retrieval, intervals = _retrieval(desk, entries, fingerprint) if fingerprint else (None, {})
    reader = read(desk, model, split, "reader") if model else None
    end_to_end = read(desk, model, split, "end_to_end") if model and fingerprint else None
    for name, part in (("reader", reader), ("end_to_end", end_to_end)):
        intervals |= {f"{name}.{mark}": bounds for mark, bounds in (part.intervals if part else {}).items()}
    return Evaluation(split, len(entries), retrieval, reader, end_to_end, intervals, model.hash if model else None)


def labelled(desk: Desk, split: str) -> list[LabelledQuestion]:
    """The questions of a split with their golds. Raises NotReady where there are none."""
    with desk.database.read() as session:
        entries = queries.labelled_questions(session, split)
    if not entries:
        raise NotReady(f"there are no labelled {split} questions; add some with: labeler import FILE --as {split}")
    return entries


def _retrieval(
    desk: Desk, entries: Sequence[LabelledQuestion], fingerprint: str
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """top-k, MRR and answer-in-passage accuracy over the questions that have an answer somewhere."""
    asked = [entry for entry in entries if entry.label.answers]
    found = desk.index(fingerprint).retrieve([entry.question.text for entry in asked], SEARCHED)
    ranks = [
        next((hit.rank for hit in hits if hit.passage_id in _gold_passages(entry)), -1)
        for entry, hits in zip(asked, found, strict=True)
    ]
    numbers = {f"top_{depth}": recall_at(ranks, k=depth) for depth in DEPTHS} | {"mrr": mrr(ranks)}
    clusters = [entry.document_id for entry in asked]
    intervals = {}
    for depth in DEPTHS:
        hits_at = [float(0 <= rank < depth) for rank in ranks]
        intervals[f"retrieval.top_{depth}"] = _bounds(_interval(hits_at, clusters))
    return numbers, intervals


def _gold_passages(entry: LabelledQuestion) -> set[str]:
    return {answer.passage_id for answer in entry.label.answers}


def read(desk: Desk, model: ModelRow, split: str, mode: Mode) -> Reading:
    """A reader's marks on a split; computed once for each model, split and setting."""
    row = evaluated(desk, model, split, mode)
    summary = dict(row.summary)
    intervals = {name: (low, high) for name, (low, high) in summary["intervals"].items()}
    return Reading(summary["exact_match"], summary["f1"], summary["passage_correct"], intervals)


def results(desk: Desk, model: ModelRow, split: str, mode: Mode) -> list[QuestionResult]:
    """Each question's marks, for paired comparisons."""
    return [
        QuestionResult(question_id, document_id, exact, f1)
        for question_id, document_id, exact, f1, *_ in evaluated(desk, model, split, mode).results
    ]


def evaluated(desk: Desk, model: ModelRow, split: str, mode: Mode) -> EvaluationRow:
    """The stored evaluation, made now if it is not there yet under exactly these settings."""
    entries = labelled(desk, split)
    if mode == "end_to_end":
        entries = [entry for entry in entries if not entry.question.is_impossible]
    key = _key(desk, entries, mode)
    with desk.database.read() as session:
        stored = queries.evaluation(session, model.id, split=split, key=key)
    if stored is not None:
        return stored
    rows = marks(desk, desk.reader(model), entries, mode)
    with desk.database.write() as session:
        store.add_evaluation(session, model.id, split=split, key=key, summary=summary(rows, mode), results=rows)
        found = queries.evaluation(session, model.id, split=split, key=key)
    assert found is not None
    return found


def _key(desk: Desk, entries: Sequence[LabelledQuestion], mode: Mode) -> str:
    """Hash of all that the numbers depend on beside model and split."""
    golds = [[entry.question.id, [asdict(answer) for answer in entry.label.answers]] for entry in entries]
    index = desk.current_index() if mode == "end_to_end" else None
    parts = [mode, asdict(desk.config.read), desk.metric, index, golds]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def marks(desk: Desk, reader: Reader, entries: Sequence[LabelledQuestion], mode: Mode) -> list[list[Any]]:
    """[question id, document id, exact match, F1, answer, its passage, whether that is a gold one] per question."""
    index = desk.current_index() if mode == "end_to_end" else None
    questions = [entry.question if index else _in_gold_passage(entry) for entry in entries]
    rows = []
    with bar(f"evaluate {mode.replace('_', ' ')}", total=len(entries), unit="questions") as shown:
        found = predicting.answers(desk, questions, reader, index)
        for entry, prediction in zip(entries, found, strict=True):
            rows.append(_mark(desk, entry, prediction))
            shown.update()
    return rows


def _in_gold_passage(entry: LabelledQuestion) -> QuestionRow:
    """The question, to be read in the passage that answers it; an impossible one in the context it came with."""
    passage = entry.label.answers[0].passage_id if entry.label.answers else entry.question.context_id
    return replace(entry.question, context_id=passage)


def _mark(desk: Desk, entry: LabelledQuestion, prediction: Prediction) -> list[Any]:
    text, passage = best_text(prediction, may_abstain=entry.question.is_impossible is not None)
    found = score(text, [answer.text for answer in entry.label.answers], desk.metric)
    right = passage in _gold_passages(entry)
    return [entry.question.id, entry.document_id, found.exact_match, found.f1, text, passage, right]


def best_text(prediction: Prediction, *, may_abstain: bool) -> tuple[str, str | None]:
    """The answer given and its passage; empty where there is none, or where "no answer" weighs more and is allowed."""
    if not prediction.answers or (may_abstain and prediction.null_score > prediction.answers[0].score):
        return "", None
    return prediction.answers[0].text, prediction.answers[0].passage_id


def summary(rows: Sequence[Sequence[Any]], mode: Mode) -> dict[str, Any]:
    clusters = [row[1] for row in rows]
    exact = _interval([row[2] for row in rows], clusters)
    f1 = _interval([row[3] for row in rows], clusters)
    return {
        "mode": mode,
        "questions": len(rows),
        "exact_match": exact.mean,
        "f1": f1.mean,
        "passage_correct": sum(row[6] for row in rows) / len(rows),
        "intervals": {"exact_match": _bounds(exact), "f1": _bounds(f1)},
    }


def _interval(values: Sequence[float], clusters: Sequence[str | None]) -> Interval:
    return bootstrap_interval(values, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
