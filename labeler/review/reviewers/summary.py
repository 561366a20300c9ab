"""Everything known about the reviewers, read from one snapshot of the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import SpanRow, TaskRow
from labeler.review.agreement import AnswerMatcher
from labeler.review.consensus import JUDGEMENT
from labeler.review.judgement import suggestions
from labeler.review.reviewers.anchoring import Anchoring, anchoring
from labeler.review.reviewers.cost import Cost, cost
from labeler.review.reviewers.pairs import OverallAgreement, PairAgreement, overall_agreement, pair_agreements
from labeler.review.reviewers.quality import Person, people


@dataclass(frozen=True, slots=True)
class ReviewerReport:
    """The people who reviewed in rounds that are not reverted. Judgements of audits are counted as time alone."""

    people: tuple[Person, ...]
    agreement: OverallAgreement
    pairs: tuple[PairAgreement, ...]
    anchoring: Anchoring
    cost: Cost


def reviewer_report(session: Session, matcher: AnswerMatcher, *, hourly_rate: float | None = None) -> ReviewerReport:
    """The report on reviewers. `hourly_rate`: the price of an hour of people."""
    rounds = {row.number for row in queries.rounds(session, reverted=False)}
    given = [review for review in queries.reviews(session) if review.round_number in rounds]
    tasks = queries.tasks_by_id(session, {review.task_id for review in given})
    answers = [review for review in given if tasks[review.task_id].kind != JUDGEMENT]
    pairs = pair_agreements(answers, matcher)
    return ReviewerReport(
        people=people(answers, tasks, matcher),
        agreement=overall_agreement(answers, pairs, matcher),
        pairs=pairs,
        anchoring=anchoring(answers, tasks, _suggested(session, tasks.values()), matcher),
        cost=cost(session, given, hourly_rate=hourly_rate),
    )


def _suggested(session: Session, tasks: Iterable[TaskRow]) -> Mapping[tuple[int, str], SpanRow]:
    """(round, question) -> the reader's best answer."""
    by_round: dict[int, set[str]] = {}
    for task in tasks:
        by_round.setdefault(task.round_number, set()).add(task.question_id)
    return {
        (number, key): answer
        for number, ids in by_round.items()
        for key, answer in suggestions(session, number, sorted(ids)).items()
    }
