"""The outcome of reviews: which make labels, which exclude a question, and which labels lost their review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from db import queries
from db.engine import Session
from db.rows import LabelRow, ReviewRow, TaskRow
from labeler.review.agreement import AnswerMatcher, by_question, by_task
from labeler.review.consensus import consensus

LABEL_VERDICTS = ("answerable", "no_answer")  # the verdicts that make a label


@dataclass(frozen=True, slots=True)
class Adjudication:
    """The changes to labels that follow from reviews which no labelling has considered or which changed since."""

    considered: tuple[int, ...] = ()  # ids of reviews
    labels: tuple[ReviewRow, ...] = ()  # at most one per question, in id order
    bad_questions: tuple[str, ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict)  # question -> why its review no longer makes a label
    waiting: tuple[int, ...] = ()  # ids of reviews of unsupported questions whose reviewers disagree

    @property
    def decided(self) -> set[str]:
        """The questions that need no further review."""
        return {review.question_id for review in self.labels} | set(self.bad_questions)


@dataclass(frozen=True, slots=True)
class _Case:
    """The reviews, tasks and label of one question."""

    question_id: str
    fresh: Sequence[ReviewRow]  # current reviews that no labelling has considered, of any round
    votes: Sequence[ReviewRow]  # the current reviews that count: those of one round
    attempts: Sequence[TaskRow]  # its tasks in that round
    label: LabelRow | None  # its live human label
    outdated: frozenset[int]  # ids of reviews that were edited or deleted after they were recorded


def adjudicate(session: Session, matcher: AnswerMatcher) -> Adjudication:
    """The adjudication of all reviews that are new or have changed.

    For each question the newest round with a vote counts, since "no answer" is a statement about the passages shown in
    that round. Where its reviewers disagree, their reviews wait for an adjudicator.
    """
    found = [_decide(case, matcher) for case in _cases(session)]
    return Adjudication(
        considered=tuple(sorted(key for each in found for key in each.considered)),
        labels=tuple(sorted((review for each in found for review in each.labels), key=lambda review: review.id)),
        bad_questions=tuple(question_id for each in found for question_id in each.bad_questions),
        unsupported={key: why for each in found for key, why in each.unsupported.items()},
        waiting=tuple(sorted(key for each in found for key in each.waiting)),
    )


def consensus_of_round(session: Session, round_number: int, matcher: AnswerMatcher) -> list[ReviewRow]:
    """The consensus of each question of a round, in id order; questions whose reviewers disagree are left out."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    attempts = by_question(queries.tasks(session, round_number=round_number)).values()
    found = [consensus(tasks, reviews, matcher) for tasks in attempts]
    return sorted((review for review in found if review is not None), key=lambda review: review.id)


def without_confirmed(
    session: Session, labels: Iterable[ReviewRow], matcher: AnswerMatcher
) -> tuple[list[ReviewRow], list[ReviewRow]]:
    """The reviews that make new labels, and those that confirm a trusted label of an import or an earlier round.

    A label that is confirmed stays, with all its golds. So does one of which the reviewer saw no passage: "no answer"
    says something about the passages shown alone.
    """
    labels = list(labels)
    live = queries.live_labels(session, kinds=["gold", "human"], question_ids=[each.question_id for each in labels])
    trusted = {label.question_id: label for label in live}
    new: list[ReviewRow] = []
    confirmed: list[ReviewRow] = []
    for review in labels:
        label = trusted.get(review.question_id)
        (confirmed if label is not None and _confirms(review, label, matcher) else new).append(review)
    return new, confirmed


def _confirms(review: ReviewRow, label: LabelRow, matcher: AnswerMatcher) -> bool:
    if label.round_number == review.round_number or not label.answers:
        return False
    if review.answer is None:
        return not {answer.passage_id for answer in label.answers} & set(review.passages)
    return any(matcher.same_text(review.answer.text, gold) for gold in label.gold_texts)


def _cases(session: Session) -> list[_Case]:
    """The questions with reviews that are new or have changed, in id order."""
    fresh, outdated = queries.unrecorded_reviews(session), queries.outdated_reviews(session)
    affected = sorted({review.question_id for review in [*fresh, *outdated]})
    votes = _votes(session, affected)
    rounds = sorted({group[0].round_number for group in votes.values()})
    tasks = {number: by_question(queries.tasks(session, round_number=number)) for number in rounds}
    labels = {row.question_id: row for row in queries.live_labels(session, kinds=["human"], question_ids=affected)}
    fresh_of, outdated_of = _by_question(fresh), _by_question(outdated)
    return [
        _Case(
            question_id=key,
            fresh=fresh_of.get(key, ()),
            votes=votes.get(key, ()),
            attempts=tasks[votes[key][0].round_number][key] if key in votes else (),
            label=labels.get(key),
            outdated=frozenset(review.id for review in outdated_of.get(key, ())),
        )
        for key in affected
    ]


def _by_question(reviews: Iterable[ReviewRow]) -> dict[str, list[ReviewRow]]:
    found: dict[str, list[ReviewRow]] = {}
    for review in reviews:
        found.setdefault(review.question_id, []).append(review)
    return found


def _votes(session: Session, question_ids: Iterable[str]) -> dict[str, list[ReviewRow]]:
    """Question id -> current reviews of the newest round with a vote; of the newest round where all skipped.

    Reviews that a reverted round recorded do not count.
    """
    reverted = {row.number for row in queries.rounds(session) if row.reverted_at is not None}
    valid = (
        review
        for review in queries.reviews_of(session, question_ids)
        if review.round_number not in reverted or review.recorded_in is None
    )
    found = {}
    for question_id, group in _by_question(valid).items():
        votes = [review for review in group if review.verdict != "skipped"] or group
        newest = max(review.round_number for review in votes)
        found[question_id] = [review for review in group if review.round_number == newest]
    return found


def _decide(case: _Case, matcher: AnswerMatcher) -> Adjudication:
    """The adjudication of one question."""
    agreed = consensus(case.attempts, by_task(case.votes), matcher)
    considered = tuple(review.id for review in case.fresh) if agreed is not None else ()
    all_recorded = all(review.recorded_in is not None for review in case.votes)
    if not case.outdated and all_recorded:
        return Adjudication(considered)  # the fresh reviews belong to an earlier round than the one that counts
    if agreed is not None and agreed.verdict in LABEL_VERDICTS:
        exists = case.label is not None and case.label.review_id == agreed.id
        return Adjudication(considered, labels=() if exists else (agreed,))
    is_bad = agreed is not None and agreed.verdict == "bad_question"
    if is_bad and all_recorded:
        return Adjudication(considered)  # excluded already; only an earlier version of its review is outdated
    sources = case.outdated | {review.id for review in case.votes}
    lost = bool(case.outdated) or (case.label is not None and case.label.review_id in sources)
    return Adjudication(
        considered,
        bad_questions=(case.question_id,) if is_bad else (),
        unsupported={case.question_id: _reason(agreed, case.votes)} if lost else {},
        waiting=tuple(review.id for review in case.votes) if lost and agreed is None else (),
    )


def _reason(agreed: ReviewRow | None, votes: Sequence[ReviewRow]) -> str:
    """Why a question lost the review behind its label."""
    if agreed is not None and agreed.verdict == "bad_question":
        return "its review became: bad question"
    if agreed is None and votes:
        return "its reviewers disagree"
    return "its review was taken back"
