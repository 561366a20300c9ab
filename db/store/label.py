"""Writes of labels: withdraw, replace, restore. A question has at most one live label, and history is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Exists, exists, func, select

from db.engine import Session
from db.errors import Conflict, NotFound
from db.queries import corpus, splits
from db.queries import label as label_queries
from db.rows import LabelRow, NewLabel, QuestionRow, Recorded, SpanRow, Withdrawn
from db.spans import check_spans
from db.sql import select_in, update_in
from db.store import writing
from db.store.question import exclude, lift_exclusions
from db.store.undo import restore_gold
from db.store.writing import Origin, add_event
from db.tables import LABELS, REVIEWS, ROUNDS
from db.vocabulary import BAD_QUESTION

AnyLabel = TypeVar("AnyLabel", NewLabel, LabelRow)

_LIVE = LABELS.c.withdrawn_at.is_(None)


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
    """Write a round's labels; withdrawn labels become the parents of those that replace them.

    All live pseudo-labels are withdrawn. A human label replaces whatever is live. A pseudo-label never replaces a gold
    or human one, and is skipped and counted for an excluded question or an answer in a held-out passage.

    Args:
        reason: stored with the labels withdrawn.
        reviews: ids of reviews that were considered; they count as recorded in this round.
        bad_questions: questions that reviewers rejected; no model labels them again.
        unsupported: question id -> why no review supports its label or exclusion any more. The label is withdrawn for
            good (no revert restores it), the exclusion lifted.
        waiting: ids of reviews that count as not recorded any more, so that a later labelling considers them again.

    Raises:
        SpanConflict: a stored passage does not contain an answer at its offset.
        Conflict: two human or two pseudo-labels for one question; a question that is not stored or is a duplicate.
    """
    _check_new(session, human)
    _check_new(session, pseudo)
    unsupported = unsupported or {}
    update_in(session, REVIEWS.c.id, reviews, recorded_in=round_number)
    update_in(session, REVIEWS.c.id, waiting, recorded_in=None)
    lift_exclusions(session, [*_ids(human), *unsupported])
    exclude(session, bad_questions, reason=f"{BAD_QUESTION} in round {round_number}")
    parents = _live_pseudo(session)
    withdrawn = writing.withdraw(session, parents.values(), reason=reason, by=round_number)
    replaced = {key: label_id for key, (label_id, _) in writing.live_ids(session, _ids(human)).items()}
    withdrawn += writing.withdraw(session, replaced.values(), reason=f"{reason}: reviewed", by=round_number)
    for question_id, label_id in _live_reviewed(session, unsupported).items():
        withdrawn += writing.withdraw(session, [label_id], reason=unsupported[question_id], by=None)
    kept = _insert_of_round(session, round_number, human, pseudo, parents=parents | replaced)
    return Recorded(withdrawn, len(human), kept, len(pseudo) - kept)


def record_audit(
    session: Session,
    round_number: int,
    *,
    human: Sequence[NewLabel],
    certified: Sequence[NewLabel],
    reviews: Iterable[int],
    bad_questions: Iterable[str],
    reason: str,
) -> Recorded:
    """Write the human labels of an audit, and the pseudo-labels that its certificate releases.

    A human label replaces whatever is live, such as one that was set by hand while the audit was open. A certified one
    replaces the pseudo-label of its question; it keeps the training weight of an equal one, and trains nothing
    otherwise. It is skipped and counted where no pseudo-label may be (`record_labels`).

    Raises: as `record_labels`.
    """
    _check_new(session, human)
    _check_new(session, certified)
    update_in(session, REVIEWS.c.id, reviews, recorded_in=round_number)
    lift_exclusions(session, _ids(human))
    exclude(session, bad_questions, reason=f"{BAD_QUESTION} in round {round_number}")
    before = {row.question_id: row for row in label_queries.live_labels(session, kinds=["pseudo"])}
    replaced = {key: before[key].id for key in _ids(certified) if key in before}
    replaced |= {key: label_id for key, (label_id, _) in writing.live_ids(session, _ids(human)).items()}
    withdrawn = writing.withdraw(session, replaced.values(), reason=reason, by=round_number)
    reviewed = Origin("human", "review", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, _restricted(session, human), reviewed, parents=replaced)
    eligible = [_with_weight_of(before.get(label.question_id), label) for label in _eligible(session, certified)]
    released = Origin("pseudo", "certificate", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, eligible, released, parents=replaced)
    return Recorded(withdrawn, len(human), len(eligible), len(certified) - len(eligible))


def _with_weight_of(before: LabelRow | None, label: NewLabel) -> NewLabel:
    same = before is not None and before.answers == label.answers
    return replace(label, train_weight=before.train_weight if before is not None and same else 0.0)


def _insert_of_round(
    session: Session,
    round_number: int,
    human: Sequence[NewLabel],
    pseudo: Sequence[NewLabel],
    *,
    parents: Mapping[str, int],
) -> int:
    """Insert a round's labels and return how many pseudo-labels were eligible."""
    reviewed = Origin("human", "review", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, _restricted(session, human), reviewed, parents=parents)
    eligible = _eligible(session, pseudo)
    predicted = Origin("pseudo", "round", round_number=round_number, written_by=round_number)
    writing.insert_labels(session, eligible, predicted, parents=parents)
    return len(eligible)


def withdraw_written(session: Session, number: int, *, reason: str, reviewed_in: Iterable[int] = ()) -> Withdrawn:
    """Withdraw the labels that round `number` and later ones wrote, and restore what was live before.

    Pseudo-labels, and human ones of the rounds `reviewed_in`. A question that has a live label keeps it; a pseudo-label
    is restored only where a new one could be written, a gold label only where a live import brought it.
    """
    reviewed_in = list(reviewed_in)
    written = select(LABELS.c.id, LABELS.c.question_id, LABELS.c.kind)
    pseudo_written = (LABELS.c.kind == "pseudo") & (LABELS.c.written_by >= number)
    human_written = (LABELS.c.kind == "human") & LABELS.c.round_number.in_(reviewed_in)
    rows = session.execute(written.where(_LIVE, pseudo_written | human_written)).all()
    withdrawn = writing.withdraw(session, [row.id for row in rows], reason=reason, by=number)
    lost = [row.question_id for row in rows if row.kind == "human"]
    before = _live_before(session, number, reviewed_in=reviewed_in)
    pseudo = [label for label in before if label.kind == "pseudo"]
    others = [label for label in before if label.kind == "human"]  # gold: below, if its import is not undone
    taken = writing.live_ids(session, [label.question_id for label in others])
    kept = [*(label for label in others if label.question_id not in taken), *_eligible(session, pseudo)]
    writing.insert_restored(session, kept, written_by=number)
    spares = restore_gold(session, lost, written_by=number)
    return Withdrawn(withdrawn, len(kept) + len(spares))


def set_label(
    session: Session,
    question_id: str,
    answers: Sequence[SpanRow],
    *,
    reviewer: str,
    passages: Sequence[str] | None = None,
) -> int:
    """Set a human label by hand and return its id; it replaces the live label and lifts an exclusion.

    Without answers it is a no_answer for `passages`. Where this person set the same label last, it stays as it is.

    Raises:
        NotFound: no such question.
        Conflict: the question is a duplicate.
        SpanConflict: a stored passage does not contain an answer at its offset.
    """
    question = corpus.question(session, question_id)
    _refuse_duplicate(question)
    shown = None if answers else tuple(passages or ())
    label = NewLabel(question_id, tuple(answers), no_answer=not answers, passages=shown, reviewer=reviewer)
    _check_new(session, [label])
    if question.exclusion_reason is None and (same := _set_before(session, label)) is not None:
        return same
    parents = {key: live_id for key, (live_id, _) in writing.live_ids(session, [question_id]).items()}
    writing.withdraw(session, parents.values(), reason=f"replaced by hand ({reviewer})", by=None)
    manual = Origin("human", "manual")
    (label_id,) = writing.insert_labels(session, _restricted(session, [label]), manual, parents=parents)
    exclude(session, [question_id], reason=None)
    add_event(session, "label_set", detail={"reviewer": reviewer}, question_id=question_id, label_id=label_id)
    return label_id


def _set_before(session: Session, label: NewLabel) -> int | None:
    """The live label of the question, if it was set by hand and says the same: a command that was killed runs twice."""
    for live in label_queries.live_labels(session, question_ids=[label.question_id]):
        said = (live.origin, live.answers, live.no_answer, live.passages or (), live.reviewer)
        if said == ("manual", label.answers, label.no_answer, label.passages or (), label.reviewer):
            return live.id
    return None


def withdraw_label(session: Session, question_id: str, *, reviewer: str, reason: str) -> int:
    """Withdraw the live label by hand and return its id. After a pseudo-label no model labels the question again.

    Raises NotFound if the question has no live label.
    """
    corpus.question(session, question_id)
    live = writing.live_ids(session, [question_id])
    if question_id not in live:
        raise NotFound(f"question {question_id!r} has no live label: `labeler history` shows what it had")
    label_id, kind = live[question_id]
    writing.withdraw(session, [label_id], reason=f"{reason} ({reviewer})", by=None)
    if kind == "pseudo":
        exclude(session, [question_id], reason=f"pseudo-label withdrawn by hand: {reason} ({reviewer})")
    detail = {"reviewer": reviewer, "reason": reason}
    add_event(session, "label_withdrawn_by_hand", detail=detail, question_id=question_id, label_id=label_id)
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
        _refuse_duplicate(known[question_id])
    check_spans(session, ((f"question {row.question_id!r}", span) for row in labels for span in row.answers))


def _refuse_duplicate(question: QuestionRow) -> None:
    if question.duplicate_of is not None:
        raise Conflict(f"question {question.id!r} is a duplicate of {question.duplicate_of!r}: label that one")


def _live_pseudo(session: Session) -> dict[str, int]:
    """Question id -> its live pseudo-label."""
    live = select(LABELS.c.question_id, LABELS.c.id).where(_LIVE, LABELS.c.kind == "pseudo")
    return {row.question_id: row.id for row in session.execute(live)}


def _live_reviewed(session: Session, question_ids: Iterable[str]) -> dict[str, int]:
    """Question id -> its live label, where that was made of a review."""
    reviewed = select(LABELS.c.question_id, LABELS.c.id).where(_LIVE, LABELS.c.review_id.is_not(None))
    return {row.question_id: row.id for row in select_in(session, reviewed, LABELS.c.question_id, question_ids)}


def _live_before(session: Session, number: int, *, reviewed_in: Sequence[int]) -> list[LabelRow]:
    """Labels that were live just before round `number` wrote any, and were withdrawn by it or a later one; human ones
    of later rounds too, except those of `reviewed_in`: the reviews of a round reverted earlier were kept.

    Several of one question differ only by changes made by hand in between: the newest counts.
    """
    earlier = func.coalesce(LABELS.c.written_by, -1) < number
    kept = (LABELS.c.kind == "human") & func.coalesce(LABELS.c.round_number, -1).not_in(reviewed_in)
    newest = (
        select(func.max(LABELS.c.id))
        .where(earlier | kept, ~_review_reverted(), LABELS.c.withdrawn_by >= number)
        .where(LABELS.c.origin != "spare")
        .group_by(LABELS.c.question_id)
    )
    return label_queries.fetch(session, LABELS.c.id.in_(newest))


def _review_reverted() -> Exists:
    """Whether the label's review was reverted with its round, though a later review had replaced the label by then.

    A revert names the label's round or an earlier one as what withdrew it, a replacement a later one. All rounds of one
    revert have the same moment.
    """
    last, own, other = LABELS.alias(), ROUNDS.alias(), ROUNDS.alias()
    return exists().where(
        last.c.question_id == LABELS.c.question_id,
        last.c.kind == "human",
        last.c.withdrawn_by <= last.c.round_number,
        own.c.number == LABELS.c.round_number,
        other.c.number == last.c.round_number,
        (own.c.number == other.c.number) | (own.c.reverted_at == other.c.reverted_at),
    )


def _restricted(session: Session, human: Sequence[NewLabel]) -> list[NewLabel]:
    """The same labels; one with an answer in a held-out passage is neither trained on nor released."""
    held_out = splits.held_out_passages(session) if human else set()
    return [
        replace(label, train_weight=0.0, released=False)
        if any(span.passage_id in held_out for span in label.answers)
        else label
        for label in human
    ]


def _eligible(session: Session, pseudo: Sequence[AnyLabel]) -> list[AnyLabel]:
    """Those that may become pseudo-labels, new or restored.

    The question is an active, canonical, not excluded pool question without a live label, the answers are in active
    passages that are not held out.
    """
    if not pseudo:
        return []
    questions = {row.id: row for row in corpus.questions(session, ids=[label.question_id for label in pseudo])}
    taken = writing.live_ids(session, questions)
    barred = splits.held_out_passages(session) | splits.inactive_passages(session)
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
