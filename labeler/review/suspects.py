"""Suspects: gold and human labels that a reader which did not see them contradicts with confidence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db import queries, store
from db.engine import Session
from db.rows import LabelRow, ModelRow, NewTask, PredictionRow, QuestionRow, RoundRow
from labeler.reading.folds import is_fold_reader
from mrc.metrics import Metric, score

QUEUE_KEY: Final = "suspects"  # in meta: ids of questions whose label is to be reviewed again, as JSON
WRONG: Final = 0.05  # share of trusted labels assumed to be wrong before a reader contradicts them
KIND: Final = "suspect"  # of their tasks; blind ones of this kind are suspect labels, the others suspect answers
_ROLES: Final = ("gold", "calibration", "pool")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label, and the answer that contradicts it. `gain`: right labels expected of one review, 0-1."""

    question_id: str
    question: str
    role: str
    kind: str  # gold or human
    gold: str  # the first of `golds`
    golds: tuple[str, ...]
    answer: str
    passage_id: str
    confidence: float
    gain: float
    round: int  # that predicted it
    reader: str  # name of the model, with its round: `student of round 2`, `fold-1-of-3 of round 2`


def find_suspects(session: Session, *, metric: Metric, least: float) -> list[Suspect]:
    """The labels contradicted with a confidence of at least `least`, the largest gain first, then by id.

    For each question the newest prediction counts of a reader that was not taught any label of its split group: a fold
    reader, or one that the group was held out of. Labels that were reviewed again are left out.
    """
    labels = {row.question_id: row for row in queries.live_labels(session, kinds=["gold", "human"], roles=_ROLES)}
    labels = {key: row for key, row in labels.items() if row.answers}
    for key in _reviewed_again(session):
        labels.pop(key, None)
    questions = {row.id: row for row in queries.questions(session, ids=labels)}
    models = {row.id: row for row in queries.models(session)}
    seen: set[str] = set()
    found = []
    for row in reversed([each for each in queries.rounds(session, reverted=False) if each.kind == "loop"]):
        for entry in _unseen(session, row, questions, models, skip=seen):
            seen.add(entry.question_id)
            suspect = _suspect(entry, questions[entry.question_id], labels[entry.question_id], row, models, metric)
            if suspect is not None and suspect.confidence >= least:
                found.append(suspect)
    return sorted(found, key=lambda each: (-each.gain, -each.confidence, each.question_id))


def _unseen(
    session: Session,
    row: RoundRow,
    questions: Mapping[str, QuestionRow],
    models: Mapping[int, ModelRow],
    *,
    skip: set[str],
) -> Iterable[PredictionRow]:
    """The predictions of a round by readers that were not taught the split group of the question."""
    wanted = [key for key in queries.predicted_ids(session, row.number) if key in questions and key not in skip]
    taught: dict[int, set[str]] = {}
    for entry in queries.iter_predictions(session, row.number, question_ids=wanted):
        model = models.get(entry.model_id) if entry.model_id is not None else None
        if model is None or not entry.answers or entry.confidence is None:
            continue
        if model.round_number not in taught:
            taught[model.round_number] = queries.taught_split_groups(session, model.round_number)
        group = questions[entry.question_id].split_group
        if is_fold_reader(model) or group not in taught[model.round_number]:
            yield entry


def _suspect(
    entry: PredictionRow,
    question: QuestionRow,
    label: LabelRow,
    row: RoundRow,
    models: Mapping[int, ModelRow],
    metric: Metric,
) -> Suspect | None:
    answer, golds = entry.answers[0], label.gold_texts
    overlap = score(answer.text, golds, metric)
    if overlap.exact_match == 1:
        return None
    confidence = float(entry.confidence or 0.0)
    assert entry.model_id is not None, "answers of labellers are not asked here"
    model = models[entry.model_id]
    return Suspect(
        question_id=question.id,
        question=question.text,
        role=question.role,
        kind=label.kind,
        gold=golds[0],
        golds=tuple(dict.fromkeys(golds)),
        answer=answer.text,
        passage_id=answer.passage_id,
        confidence=confidence,
        gain=expected_gain(confidence, overlap.f1),
        round=row.number,
        reader=f"{model.name} of round {model.round_number}",
    )


def expected_gain(confidence: float, f1: float) -> float:
    """The chance that the label is wrong, given that a reader of this confidence contradicts it, times what is wrong.

    Either the label is wrong (`WRONG` of them are) and the reader right, or the reader is wrong and the label right.
    An answer that overlaps the gold corrects less: 1 - F1 of it.
    """
    wrong = WRONG * confidence
    right = (1 - WRONG) * (1 - confidence)
    return (1 - f1) * wrong / (wrong + right)


def _reviewed_again(session: Session) -> set[str]:
    """Questions with a vote on a blind task of a suspect label."""
    reviews = queries.reviews(session)
    tasks = queries.tasks_by_id(session, {row.task_id for row in reviews if row.verdict != "skipped"})
    return {task.question_id for task in tasks.values() if task.kind == KIND and task.blind}


def queue(session: Session, question_ids: Sequence[str]) -> int:
    """Have these labels reviewed again in the next round that selects questions; return how many are queued now."""
    kept = list(dict.fromkeys([*queued(session), *question_ids]))
    store.set_meta(session, QUEUE_KEY, json.dumps(kept))
    return len(kept)


def queued(session: Session) -> list[str]:
    """The questions whose labels wait for a review, in the order of the queue."""
    found: list[str] = json.loads(queries.get_meta(session, QUEUE_KEY) or "[]")
    return found


def take_queue(session: Session) -> None:
    """Empty the queue: its tasks were made."""
    store.set_meta(session, QUEUE_KEY, "[]")


def review_tasks(
    question_ids: Sequence[str],
    labels: Mapping[str, LabelRow],
    pages: Mapping[str, Sequence[str]],
    *,
    places: int,
    position: int,
) -> list[NewTask]:
    """A blind task for each of these questions that still has a trusted label, from a position on.

    The passages of its answers come first: nobody can confirm a label without its passage. Then those retrieved.
    """
    tasks: list[NewTask] = []
    for key in question_ids:
        if key not in labels:
            continue
        own = [answer.passage_id for answer in labels[key].answers]
        shown = tuple(dict.fromkeys([*own, *pages.get(key, ())]))[: max(places, 1)]
        tasks.append(NewTask(key, KIND, True, position + len(tasks), shown))
    return tasks
