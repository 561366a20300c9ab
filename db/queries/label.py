"""Reads of labels with their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db import models
from db.models import Label, LabelAnswer, Passage, Question
from db.queries import corpus
from db.rows import LabelledQuestion, LabelRow, PassageRow, QuestionRow, SpanRow, TrainingRow
from db.spans import check_span
from db.sql import AnyRow, in_chunks, table

_LIVE = Label.withdrawn_at.is_(None)


def live_labels(
    session: Session,
    *,
    kinds: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    question_ids: Iterable[str] | None = None,
    released: bool | None = None,
) -> list[LabelRow]:
    """Live labels of active questions with their answers, in question id order."""
    where: list[ColumnElement[bool]] = [_LIVE, Label.question_id.in_(select(Question.id).where(Question.active))]
    if kinds is not None:
        where.append(Label.kind.in_(kinds))
    if roles is not None:
        where.append(Label.question_role.in_(roles))
    if released is not None:
        where.append(Label.released == released)
    if question_ids is None:
        found = fetch(session, *where)
    else:
        chunks = in_chunks(question_ids)
        found = [label for ids in chunks for label in fetch(session, *where, Label.question_id.in_(ids))]
    return sorted(found, key=lambda label: label.question_id)


def labels(
    session: Session,
    *,
    question_id: str | None = None,
    round_number: int | None = None,
    kinds: Sequence[str] | None = None,
) -> list[LabelRow]:
    """Labels live and withdrawn, oldest first; `round_number` is the round that their answers came from."""
    where: list[ColumnElement[bool]] = []
    if question_id is not None:
        where.append(Label.question_id == question_id)
    if round_number is not None:
        where.append(Label.round_number == round_number)
    if kinds is not None:
        where.append(Label.kind.in_(kinds))
    return fetch(session, *where)


def written_counts(session: Session, round_number: int) -> dict[str, int]:
    """How many labels a round made, whatever became of them since: human, pseudo; of the pseudo-labels, how many were
    released and how many are trained on. Labels that it gave back do not count."""
    made = (Label.written_by == round_number, Label.origin != "restored")
    pseudo = (*made, Label.kind == "pseudo")
    wanted = {
        "human": (*made, Label.kind == "human"),
        "pseudo": pseudo,
        "released": (*pseudo, Label.released),
        "trained_on": (*pseudo, Label.train_weight > 0),
    }
    counting = select(func.count()).select_from(Label)
    return {name: session.execute(counting.where(*where)).scalar_one() for name, where in wanted.items()}


def labelled_questions(session: Session, role: str) -> list[LabelledQuestion]:
    """Active questions of a role that have a live label, with all golds, in question id order: what a split is
    evaluated on. Duplicates are among them: metrics count all."""
    found = live_labels(session, roles=[role])
    questions = {question.id: question for question in corpus.questions(session, roles=[role])}
    places = {place for label in found if (place := _place(questions[label.question_id], label)) is not None}
    documents = _documents(session, places)
    return [
        LabelledQuestion(question, label, documents.get(_place(question, label) or ""))
        for label in found
        if (question := questions[label.question_id])
    ]


def training_labels(session: Session) -> list[TrainingRow]:
    """What may teach now, in question id order: live labels with weight above 0 of active, canonical gold and pool
    questions.

    Left out: labels with an answer in a guarded or inactive passage; of a no_answer's shown passages, those.
    Raises SpanConflict where a stored passage does not read `answer` at its offset.
    """
    rows = [label for label in live_labels(session, roles=["gold", "pool"]) if label.train_weight > 0]
    return _usable(session, [(label, label.train_weight) for label in rows], canonical=True)


def training_rows(session: Session, round_number: int) -> list[TrainingRow]:
    """What teaches in a round, as `store.freeze_training` fixed it, in question id order; also labels that were
    withdrawn since. Raises SpanConflict."""
    frozen = table(models.TrainingRow)
    mine = frozen.c.round_number == round_number
    weights = dict(session.execute(select(frozen.c.label_id, frozen.c.weight).where(mine)).all())
    found = fetch(session, Label.id.in_(select(frozen.c.label_id).where(mine)))
    found.sort(key=lambda label: (label.question_id, label.id))
    return _joined(session, [(label, weights[label.id]) for label in found])


def training_counts(session: Session, round_number: int) -> dict[tuple[str, bool, bool], int]:
    """How many labels teach in a round, by (kind, released, no answer): `training_rows` counted, not read."""
    by = (Label.kind, Label.released, Label.no_answer)
    mine = models.TrainingRow.round_number == round_number
    counting = select(*by, func.count()).join(models.TrainingRow, models.TrainingRow.label_id == Label.id).where(mine)
    return {(kind, released, no): count for kind, released, no, count in session.execute(counting.group_by(*by))}


def training_sha256(rows: Iterable[TrainingRow]) -> str:
    """The hash of what teaches: texts, spans and weights, but no surrogate keys."""
    digest = hashlib.sha256()
    for row in rows:
        spans = [[span.text, span.passage_id, span.start, span.end] for span in row.label.answers]
        line = [row.question.id, row.question.text, row.label.kind, row.weight, spans, sorted(row.passages)]
        digest.update(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def exportable_labels(session: Session, *, kinds: Sequence[str]) -> list[TrainingRow]:
    """What may leave, in question id order: live, released labels of active gold and pool questions.

    Labels with an answer in a guarded passage are left out. Raises SpanConflict as `training_labels` does.
    """
    rows = live_labels(session, kinds=kinds, roles=["gold", "pool"], released=True)
    return _usable(session, [(label, label.train_weight) for label in rows], canonical=False)


def _usable(session: Session, weighted: Sequence[tuple[LabelRow, float]], *, canonical: bool) -> list[TrainingRow]:
    barred = corpus.held_out_passages(session) | corpus.inactive_passages(session)
    joined = _joined(session, [pair for pair in weighted if not _answers_from(pair[0], barred)], barred=barred)
    return [row for row in joined if not canonical or row.question.duplicate_of is None]


def _joined(
    session: Session, weighted: Sequence[tuple[LabelRow, float]], *, barred: AbstractSet[str] = frozenset()
) -> list[TrainingRow]:
    """Labels with questions and passages, spans checked; of the passages of a no_answer, barred ones are left out."""
    questions = {
        row.id: row for row in corpus.questions(session, ids=[label.question_id for label, _ in weighted], active=False)
    }
    places = {label.id: _shown(label, questions[label.question_id]) - barred for label, _ in weighted}
    texts = corpus.passages(session, {place for some in places.values() for place in some})
    for label, _ in weighted:
        for span in label.answers:
            check_span(span, texts[span.passage_id].text, where=f"question {label.question_id!r}")
    return [
        TrainingRow(questions[label.question_id], label, weight, _pick(texts, places[label.id]))
        for label, weight in weighted
    ]


def _pick(texts: Mapping[str, PassageRow], places: AbstractSet[str]) -> dict[str, PassageRow]:
    return {place: texts[place] for place in sorted(places) if place in texts}


def _answers_from(label: LabelRow, barred: AbstractSet[str]) -> bool:
    return any(span.passage_id in barred for span in label.answers)


def _shown(label: LabelRow, question: QuestionRow) -> set[str]:
    """The passages a label speaks about: its answers', those shown with a no_answer, an impossible one's context."""
    if not label.no_answer:
        return {span.passage_id for span in label.answers}
    if label.passages is not None:
        return set(label.passages)
    return {question.context_id} if question.context_id is not None else set()


def _place(question: QuestionRow, label: LabelRow) -> str | None:
    if question.context_id is not None:
        return question.context_id
    return label.answers[0].passage_id if label.answers else None


def _documents(session: Session, passage_ids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ids in in_chunks(passage_ids):
        statement = select(Passage.id, Passage.document_id).where(Passage.id.in_(ids))
        found.update(session.execute(statement).all())
    return found


def fetch(session: Session, *where: ColumnElement[bool]) -> list[LabelRow]:
    """Labels, oldest first, with their answers: two statements, however many labels."""
    answers: dict[int, list[SpanRow]] = {}
    spans = (
        select(LabelAnswer.label_id, LabelAnswer.text, LabelAnswer.passage_id, LabelAnswer.start, LabelAnswer.end)
        .join(Label, Label.id == LabelAnswer.label_id)
        .where(*where)
        .order_by(LabelAnswer.label_id, LabelAnswer.ordinal)
    )
    for row in session.execute(spans):
        answers.setdefault(row.label_id, []).append(SpanRow(row.text, row.passage_id, row.start, row.end))
    labels_ = session.execute(select(table(Label)).where(*where).order_by(Label.id))
    return [_label(row, answers.get(row.id, [])) for row in labels_]


def _label(row: AnyRow, answers: Sequence[SpanRow]) -> LabelRow:
    fields = dict(row._mapping)
    shown = fields.pop("passages")
    return LabelRow(**fields, answers=tuple(answers), passages=None if shown is None else tuple(shown))
