"""Reads of the labels that are trained on or exported, with the passages they need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import func, select

from db.engine import Session
from db.queries import corpus, splits
from db.queries.label import fetch, live_labels
from db.rows import LabelRow, QuestionRow, TrainingRow
from db.spans import check_span
from db.tables import LABELS, QUESTIONS, REVIEWS, TASKS, TRAINING_LABELS


def training_labels(session: Session) -> list[TrainingRow]:
    """Labels that may be trained on now: live, weight above 0, of active canonical gold and pool questions, by id.

    Labels with an answer in a held-out or inactive passage, and of excluded questions, are left out; of the passages
    shown with a no_answer, those passages. Raises SpanConflict where a stored passage lacks an answer at its offset.
    """
    rows = [label for label in live_labels(session, roles=["gold", "pool"]) if label.train_weight > 0]
    usable = _usable(session, [(label, label.train_weight) for label in rows])
    return [row for row in usable if row.question.duplicate_of is None]


def training_rows(session: Session, round_number: int) -> list[TrainingRow]:
    """Labels that a round trains on, as `store.freeze_training` fixed them, also those withdrawn since, by question.

    Raises SpanConflict.
    """
    mine = TRAINING_LABELS.c.round_number == round_number
    frozen = select(TRAINING_LABELS.c.label_id, TRAINING_LABELS.c.weight).where(mine)
    weights = {row.label_id: row.weight for row in session.execute(frozen)}
    found = fetch(session, LABELS.c.id.in_(select(TRAINING_LABELS.c.label_id).where(mine)))
    found.sort(key=lambda label: (label.question_id, label.id))
    return _joined(session, [(label, weights[label.id]) for label in found])


def training_counts(session: Session, round_number: int) -> dict[tuple[str, bool, bool], int]:
    """How many labels a round trains on, by (kind, released, no_answer)."""
    by = (LABELS.c.kind, LABELS.c.released, LABELS.c.no_answer)
    counting = (
        select(*by, func.count())
        .join(TRAINING_LABELS, TRAINING_LABELS.c.label_id == LABELS.c.id)
        .where(TRAINING_LABELS.c.round_number == round_number)
        .group_by(*by)
    )
    return {(kind, released, no_answer): count for kind, released, no_answer, count in session.execute(counting)}


def taught_split_groups(session: Session, round_number: int) -> set[str]:
    """The split groups of the questions whose labels a round trains on."""
    statement = (
        select(QUESTIONS.c.split_group)
        .join(LABELS, LABELS.c.question_id == QUESTIONS.c.id)
        .join(TRAINING_LABELS, TRAINING_LABELS.c.label_id == LABELS.c.id)
        .where(TRAINING_LABELS.c.round_number == round_number)
    )
    return set(session.execute(statement.distinct()).scalars())


def fairly_labelled(session: Session, round_number: int) -> set[int]:
    """Ids of labels that a round trains on and that are a fair sample of answers: gold ones, and human ones from
    blind tasks at random."""
    at_random = (
        select(REVIEWS.c.id).join(TASKS, TASKS.c.id == REVIEWS.c.task_id).where(TASKS.c.kind == "random", TASKS.c.blind)
    )
    statement = (
        select(LABELS.c.id)
        .join(TRAINING_LABELS, TRAINING_LABELS.c.label_id == LABELS.c.id)
        .where(
            TRAINING_LABELS.c.round_number == round_number,
            (LABELS.c.kind == "gold") | LABELS.c.review_id.in_(at_random),
        )
    )
    return set(session.execute(statement).scalars())


def training_sha256(rows: Iterable[TrainingRow]) -> str:
    """The hash of texts, spans and weights of a training set, without surrogate keys."""
    digest = hashlib.sha256()
    for row in rows:
        spans = [[span.text, span.passage_id, span.start, span.end] for span in row.label.answers]
        line = [row.question.id, row.question.text, row.label.kind, row.weight, spans, sorted(row.passages)]
        digest.update(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def exportable_labels(session: Session, *, kinds: Sequence[str]) -> list[TrainingRow]:
    """Labels that may be exported: live, released, of active gold and pool questions, in question id order.

    Labels with an answer in a held-out or inactive passage, and of excluded questions, are left out.

    Raises SpanConflict as `training_labels`.
    """
    return usable_labels(session, live_labels(session, kinds=kinds, roles=["gold", "pool"], released=True))


def usable_labels(session: Session, labels: Iterable[LabelRow]) -> list[TrainingRow]:
    """The labels with questions and passages, without those in a held-out or inactive passage or of excluded questions.

    Raises SpanConflict as `training_labels`.
    """
    return _usable(session, [(label, label.train_weight) for label in labels])


def _usable(session: Session, weighted: Sequence[tuple[LabelRow, float]]) -> list[TrainingRow]:
    """The labels without an answer in a held-out or inactive passage, of questions that are not excluded, joined."""
    barred = splits.held_out_passages(session) | splits.inactive_passages(session)
    usable = [pair for pair in weighted if not any(span.passage_id in barred for span in pair[0].answers)]
    joined = _joined(session, usable, barred=barred)
    return [row for row in joined if row.question.exclusion_reason is None]


def _joined(
    session: Session, weighted: Sequence[tuple[LabelRow, float]], *, barred: AbstractSet[str] = frozenset()
) -> list[TrainingRow]:
    """Labels with questions and passages, spans checked; barred passages of a no_answer are left out."""
    ids = [label.question_id for label, _ in weighted]
    questions = {row.id: row for row in corpus.questions(session, ids=ids, active=False)}
    needed = {label.id: _passage_ids(label, questions[label.question_id]) - barred for label, _ in weighted}
    passages = corpus.passages(session, set().union(*needed.values()))
    for label, _ in weighted:
        for span in label.answers:
            check_span(span, passages[span.passage_id].text, where=f"question {label.question_id!r}")
    return [
        TrainingRow(
            questions[label.question_id],
            label,
            weight,
            {key: passages[key] for key in sorted(needed[label.id]) if key in passages},
        )
        for label, weight in weighted
    ]


def _passage_ids(label: LabelRow, question: QuestionRow) -> set[str]:
    """The passages of the answers; of a no_answer those shown, else the context of an impossible question."""
    if not label.no_answer:
        return {span.passage_id for span in label.answers}
    if label.passages is not None:
        return set(label.passages)
    return {question.context_id} if question.context_id is not None else set()
