"""Reads of labels with their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, exists, func, select, text

from db.engine import Session
from db.queries import corpus
from db.rows import LabelledQuestion, LabelRow, QuestionRow, SpanRow
from db.sql import AnyRow, columns, in_chunks
from db.tables import LABEL_ANSWERS, LABELS, QUESTIONS

_LIVE = LABELS.c.withdrawn_at.is_(None)


def live_labels(
    session: Session,
    *,
    kinds: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    question_ids: Iterable[str] | None = None,
    released: bool | None = None,
    imports: Iterable[int] | None = None,
) -> list[LabelRow]:
    """Live labels of active questions with their answers, in question id order."""
    active = exists().where(QUESTIONS.c.id == LABELS.c.question_id, QUESTIONS.c.active)  # looked up, not listed
    where: list[ColumnElement[bool]] = [_LIVE, active]
    if roles is not None:
        where.append(LABELS.c.question_role.in_(roles))
    if released is not None:
        where.append(LABELS.c.released == released)
    if imports is not None:
        where.append(LABELS.c.import_id.in_(list(imports)))
    if question_ids is None:
        found = fetch(session, *where, *(() if kinds is None else (LABELS.c.kind.in_(kinds),)))
    else:  # SQLite would take the index by kind for the better one
        chunks = in_chunks(question_ids)
        listed = (label for ids in chunks for label in fetch(session, *where, LABELS.c.question_id.in_(ids)))
        found = [label for label in listed if kinds is None or label.kind in kinds]
    return sorted(found, key=lambda label: label.question_id)


def labels(
    session: Session,
    *,
    question_id: str | None = None,
    round_number: int | None = None,
    kinds: Sequence[str] | None = None,
) -> list[LabelRow]:
    """Live and withdrawn labels, oldest first; `round_number` is the round that their answers came from."""
    where: list[ColumnElement[bool]] = []
    if question_id is not None:
        where.append(LABELS.c.question_id == question_id)
    if round_number is not None:
        where.append(LABELS.c.round_number == round_number)
    if kinds is not None:
        where.append(LABELS.c.kind.in_(kinds))
    return fetch(session, *where)


def certified_labels(session: Session, certificate_id: int) -> list[LabelRow]:
    """The pseudo-labels that a certificate released, as it released them, replaced since or not; by question id."""
    mine = (LABELS.c.certificate_id == certificate_id, LABELS.c.origin == "certificate")
    return sorted(fetch(session, *mine), key=lambda label: label.question_id)


def written_counts(session: Session, round_number: int) -> dict[str, int]:
    """How many labels a round wrote, withdrawn since or not: human, pseudo; of the pseudo-labels trained_on.

    Labels that the round restored do not count.
    """
    made = (LABELS.c.written_by == round_number, LABELS.c.origin != "restored")
    pseudo = (*made, LABELS.c.kind == "pseudo")
    wanted = {
        "human": (*made, LABELS.c.kind == "human"),
        "pseudo": pseudo,
        "trained_on": (*pseudo, LABELS.c.train_weight > 0),
    }
    counting = select(func.count()).select_from(LABELS)
    return {name: session.execute(counting.where(*where)).scalar_one() for name, where in wanted.items()}


def live_counts(session: Session) -> Counter[tuple[str, str]]:
    """How many live labels of active questions there are, by kind and role: by an index alone, but for labels of
    inactive questions, which are subtracted.
    """
    live = select(LABELS.c.kind, LABELS.c.question_role, func.count()).where(_LIVE)
    live = live.group_by(LABELS.c.kind, LABELS.c.question_role)
    inactive = select(QUESTIONS.c.id).where(text("NOT questions.active"))
    found: Counter[tuple[str, str]] = Counter()
    for sign, statement in ((1, live), (-1, live.where(LABELS.c.question_id.in_(inactive)))):
        for kind, role, count in session.execute(statement):
            found[kind, role] += sign * count
    return found


def rounds_of_live_pseudo(session: Session) -> set[int]:
    """The rounds that the answers of live pseudo-labels came from."""
    found = select(LABELS.c.round_number).where(_LIVE, LABELS.c.kind == "pseudo").distinct()
    return {number for number in session.execute(found).scalars() if number is not None}


def labelled_questions(session: Session, role: str, *, ids: Iterable[str] | None = None) -> list[LabelledQuestion]:
    """Active questions of a role, and with these ids, that have a live label, with all golds, in question id order.

    Evaluations run on these; duplicates are among them, for metrics count all. Excluded questions are left out.
    """
    asked = None if ids is None else list(ids)
    every = corpus.questions(session, roles=[role], ids=asked)
    questions = {question.id: question for question in every if question.exclusion_reason is None}
    found = [
        label for label in live_labels(session, roles=[role], question_ids=asked) if label.question_id in questions
    ]
    passage_ids = {label.question_id: _passage_id(questions[label.question_id], label) for label in found}
    documents = corpus.documents_of(session, {key for key in passage_ids.values() if key is not None})
    return [
        LabelledQuestion(questions[label.question_id], label, documents.get(passage_ids[label.question_id] or ""))
        for label in found
    ]


def _passage_id(question: QuestionRow, label: LabelRow) -> str | None:
    """The question's context, else the passage of the first answer."""
    if question.context_id is not None:
        return question.context_id
    return label.answers[0].passage_id if label.answers else None


def fetch(session: Session, *where: ColumnElement[bool]) -> list[LabelRow]:
    """Labels with their answers, oldest first, in two statements."""
    answers: dict[int, list[SpanRow]] = {}
    given: dict[int, list[tuple[int, SpanRow]]] = {}
    spans = (
        select(LABEL_ANSWERS.c.label_id, LABEL_ANSWERS.c.places, *columns(LABEL_ANSWERS, SpanRow))
        .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
        .where(*where)
        .order_by(LABEL_ANSWERS.c.label_id, LABEL_ANSWERS.c.ordinal)
    )
    for label_id, places, *values in session.execute(spans):
        span = SpanRow(*values)
        answers.setdefault(label_id, []).append(span)
        given.setdefault(label_id, []).extend((place, span) for place in places or ())
    rows = session.execute(select(LABELS).where(*where).order_by(LABELS.c.id))
    return [_label(row, answers.get(row.id, ()), given.get(row.id, ())) for row in rows]


def _label(row: AnyRow, answers: Sequence[SpanRow], given: Iterable[tuple[int, SpanRow]]) -> LabelRow:
    in_order = sorted(given, key=lambda placed: placed[0])
    return LabelRow(**row._mapping, answers=tuple(answers), all_answers=tuple(span for _, span in in_order))
