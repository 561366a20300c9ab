"""Writes of labels: withdraw, replace, restore. One live label a question, history kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from db.errors import Conflict, NotFound
from db.models import Event, Label, Question, Review, TrainingRow
from db.queries import corpus
from db.queries import label as label_queries
from db.rows import LabelRow, NewLabel, QuestionRow, Recorded, SpanRow, Withdrawn
from db.spans import check_spans
from db.sql import in_chunks, table
from db.store import writing
from db.store.writing import Origin
from db.vocabulary import BAD_QUESTION

AnyLabel = TypeVar("AnyLabel", NewLabel, LabelRow)


def record_labels(
    session: Session,
    round_number: int,
    *,
    human: Sequence[NewLabel],
    pseudo: Sequence[NewLabel],
    reason: str,
    reviews: Iterable[int] = (),
    bad_questions: Iterable[str] = (),
    unsupported: Mapping[str, str] | None = None,
    waiting: Iterable[int] = (),
) -> Recorded:
    """What a round's labelling did. Withdraws before it inserts; the label replaced is the parent of the new one.

    All live pseudo-labels are withdrawn. A human label replaces whatever is live. A pseudo-label never replaces a
    gold or human one and never goes to an excluded question or into a guarded passage: it is skipped and counted.
    `reviews` are the ids that were considered: they count as recorded in this round; those `waiting` count as not
    recorded any more, so that a later labelling considers them again. `bad_questions` are excluded;
    one that a review excluded before is no longer where it gets a human label or is `unsupported`: question id ->
    reason that no review supports what was recorded of it. Such a label is withdrawn for good: no undoing of a round
    brings it back.

    Raises:
        SpanConflict: an answer that does not stand at its offset in the stored passage.
        Conflict: two human or two pseudo-labels for one question; a question that is not stored or is a duplicate.
    """
    _check_new(session, human)
    _check_new(session, pseudo)
    unsupported = unsupported or {}
    _consider(session, reviews, by=round_number)
    _consider(session, waiting, by=None)
    _lift_exclusions(session, [*_ids(human), *unsupported])
    _exclude(session, bad_questions, reason=f"{BAD_QUESTION} in round {round_number}")
    stale = _live_pseudo(session)
    withdrawn = writing.withdraw(session, stale.values(), reason=reason, by=round_number)
    replaced = {key: found[0] for key, found in writing.live_ids(session, _ids(human)).items()}
    withdrawn += writing.withdraw(session, replaced.values(), reason=f"{reason}: reviewed", by=round_number)
    for question_id, label_id in _live_reviewed(session, unsupported).items():
        withdrawn += writing.withdraw(session, [label_id], reason=unsupported[question_id], by=None)
    parents = stale | replaced
    human = _without_guarded(session, human)
    reviewed = Origin("human", "review", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, human, reviewed, parents=parents)
    kept = _eligible(session, pseudo)
    predicted = Origin("pseudo", "round", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, kept, predicted, parents=parents)
    return Recorded(withdrawn, len(human), len(kept), len(pseudo) - len(kept))


def freeze_training(session: Session, round_number: int) -> int:
    """How many labels teach in this round: what `queries.training_labels` gives now, fixed before training starts.

    Raises Conflict if they are fixed already.
    """
    mine = select(func.count()).select_from(TrainingRow).where(TrainingRow.round_number == round_number)
    if session.execute(mine).scalar_one():
        raise Conflict(f"what teaches in round {round_number} is fixed already: run `labeler round` to go on")
    rows = [
        {"round_number": round_number, "label_id": row.label.id, "weight": row.weight}
        for row in label_queries.training_labels(session)
    ]
    if rows:
        session.execute(insert(table(TrainingRow)), rows)
    return len(rows)


def take_back(session: Session, number: int, *, reason: str, with_reviews: bool) -> Withdrawn:
    """Withdraws what round `number` and later ones wrote, and restores what was live before: pseudo-labels, and
    human labels too if `with_reviews`.

    Restored labels are new rows, origin "restored", parent the old one. A question that has a live label keeps it;
    a pseudo-label comes back only where a fresh one could be written.
    """
    kinds = ("pseudo", "human") if with_reviews else ("pseudo",)
    theirs = select(Label.id).where(Label.withdrawn_at.is_(None), Label.kind.in_(kinds), Label.written_by >= number)
    gone = writing.withdraw(session, session.execute(theirs).scalars().all(), reason=reason, by=number)
    before = _live_before(session, number)
    pseudo = [label for label in before if label.kind == "pseudo"]
    others = [label for label in before if label.kind != "pseudo"]
    kept = [*_without_live(session, others), *_eligible(session, pseudo)]
    writing.insert_copies(session, kept, written_by=number)
    return Withdrawn(gone, len(kept))


def set_label(
    session: Session,
    question_id: str,
    answers: Sequence[SpanRow],
    *,
    reviewer: str,
    passages: Sequence[str] | None = None,
) -> int:
    """The id of a human label set by hand; it replaces what is live and lifts an exclusion.

    No answers: a no_answer for `passages`. Raises NotFound; Conflict for a duplicate question; SpanConflict.
    """
    _canonical(corpus.question(session, question_id))
    shown = None if answers else tuple(passages or ())
    label = NewLabel(question_id, tuple(answers), no_answer=not answers, passages=shown, reviewer=reviewer)
    _check_new(session, [label])
    parents = {key: found[0] for key, found in writing.live_ids(session, [question_id]).items()}
    writing.withdraw(session, parents.values(), reason=f"replaced by hand ({reviewer})", by=None)
    (label_id,) = writing.insert_labels(
        session, _without_guarded(session, [label]), Origin("human", "manual"), parents=parents
    )
    _exclude(session, [question_id], reason=None)
    _note(session, "label_set", question_id, label_id, reviewer=reviewer, reason=None)
    return label_id


def withdraw_label(session: Session, question_id: str, *, reviewer: str, reason: str) -> int:
    """The id of the live label that was withdrawn by hand. After a pseudo-label no model labels the question again.

    Raises NotFound if the question has no live label.
    """
    corpus.question(session, question_id)
    live = writing.live_ids(session, [question_id])
    if question_id not in live:
        raise NotFound(f"question {question_id!r} has no live label: `labeler history` shows what it had")
    label_id, kind = live[question_id]
    writing.withdraw(session, [label_id], reason=f"{reason} ({reviewer})", by=None)
    if kind == "pseudo":
        _exclude(session, [question_id], reason=f"pseudo-label withdrawn by hand: {reason} ({reviewer})")
    _note(session, "label_withdrawn_by_hand", question_id, label_id, reviewer=reviewer, reason=reason)
    return label_id


def _ids(labels: Iterable[NewLabel]) -> list[str]:
    return [label.question_id for label in labels]


def _check_new(session: Session, labels: Sequence[NewLabel]) -> None:
    ids = _ids(labels)
    twice = [question_id for question_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise Conflict(f"question {twice[0]!r} would get two labels at once: give one")
    empty = [label for label in labels if bool(label.answers) == label.no_answer]
    if empty:
        raise ValueError(f"question {empty[0].question_id!r}: a label has answers or is a no_answer")
    known = {row.id: row for row in corpus.questions(session, ids=ids, active=False)}
    for question_id in ids:
        if question_id not in known:
            raise Conflict(f"question {question_id!r} is not stored: import it first")
        _canonical(known[question_id])
    check_spans(session, ((f"question {row.question_id!r}", span) for row in labels for span in row.answers))


def _canonical(question: QuestionRow) -> None:
    if question.duplicate_of is not None:
        raise Conflict(f"question {question.id!r} is a duplicate of {question.duplicate_of!r}: label that one")


def _consider(session: Session, reviews: Iterable[int], *, by: int | None) -> None:
    for ids in in_chunks(reviews):
        session.execute(update(table(Review)).where(Review.id.in_(ids)).values(recorded_in=by))


def _lift_exclusions(session: Session, question_ids: Iterable[str]) -> None:
    """Takes back what reviews excluded; what was excluded by hand stays so."""
    for ids in in_chunks(question_ids):
        reviewed = (Question.id.in_(ids), Question.exclusion_reason.startswith(BAD_QUESTION))
        session.execute(update(table(Question)).where(*reviewed).values(exclusion_reason=None))


def _exclude(session: Session, question_ids: Iterable[str], *, reason: str | None) -> None:
    for ids in in_chunks(question_ids):
        session.execute(update(table(Question)).where(Question.id.in_(ids)).values(exclusion_reason=reason))


def _live_pseudo(session: Session) -> dict[str, int]:
    live = select(Label.question_id, Label.id).where(Label.withdrawn_at.is_(None), Label.kind == "pseudo")
    return dict(session.execute(live).all())


def _live_reviewed(session: Session, question_ids: Iterable[str]) -> dict[str, int]:
    """Question id -> its live label, of those whose label was made of a review."""
    found: dict[str, int] = {}
    for ids in in_chunks(question_ids):
        mine = (Label.question_id.in_(ids), Label.withdrawn_at.is_(None), Label.review_id.is_not(None))
        found.update(session.execute(select(Label.question_id, Label.id).where(*mine)).all())
    return found


def _live_before(session: Session, number: int) -> list[LabelRow]:
    """The labels that were live just before round `number` wrote any, and were withdrawn by it or a later one.

    Several of one question can only differ by changes made by hand in between: the newest counts.
    """
    lived = select(func.max(Label.id)).where(
        func.coalesce(Label.written_by, -1) < number, Label.withdrawn_by >= number, Label.origin != "spare"
    )
    return label_queries.fetch(session, Label.id.in_(lived.group_by(Label.question_id)))


def _without_live(session: Session, labels: Sequence[LabelRow]) -> list[LabelRow]:
    taken = writing.live_ids(session, [label.question_id for label in labels])
    return [label for label in labels if label.question_id not in taken]


def _without_guarded(session: Session, human: Sequence[NewLabel]) -> list[NewLabel]:
    """The same labels; one that answers from a guarded passage neither teaches nor leaves."""
    held_out = corpus.held_out_passages(session) if human else set()
    return [
        replace(label, train_weight=0.0, released=False)
        if any(span.passage_id in held_out for span in label.answers)
        else label
        for label in human
    ]


def _eligible(session: Session, pseudo: Sequence[AnyLabel]) -> list[AnyLabel]:
    """Those that may be written as pseudo-labels, fresh or restored: an active, canonical, not excluded pool question
    without a live label, answered from active passages that no held-out question guards."""
    if not pseudo:
        return []
    questions = {row.id: row for row in corpus.questions(session, ids=[label.question_id for label in pseudo])}
    taken = writing.live_ids(session, questions)
    barred = corpus.held_out_passages(session) | corpus.inactive_passages(session)
    return [
        label
        for label in pseudo
        if label.question_id not in taken
        and _may_be_pseudo(questions.get(label.question_id))
        and not any(span.passage_id in barred for span in label.answers)
    ]


def _may_be_pseudo(question: QuestionRow | None) -> bool:
    if question is None or question.duplicate_of is not None or question.exclusion_reason is not None:
        return False
    return question.role == "pool"


def _note(session: Session, kind: str, question_id: str, label_id: int, *, reviewer: str, reason: str | None) -> None:
    detail = {"reviewer": reviewer} if reason is None else {"reviewer": reviewer, "reason": reason}
    row = {"kind": kind, "question_id": question_id, "label_id": label_id, "detail": detail}
    session.execute(insert(table(Event)), [row])
