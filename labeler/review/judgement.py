"""The second step of an audit: after a blind answer that differs, a reviewer judges whether the model's says the same.

A judgement is a task with the model's answer as its suggestion: accepting it says that both answers are equivalent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import NewTask, ReviewRow, SpanRow, TaskRow
from labeler.review.agreement import AnswerMatcher
from labeler.review.consensus import JUDGEMENT, Reviews, consensus, majority, without_judgements
from mrc.metrics import exact_match


@dataclass(frozen=True, slots=True)
class Found:
    """What an audit found about one answer."""

    outcome: str  # see `db.vocabulary.OUTCOMES`
    review: ReviewRow | None  # the blind answer that counts
    judgement: ReviewRow | None = None  # the second step, where it was needed


def found_of(attempts: Sequence[TaskRow], reviews: Reviews, answer: SpanRow, matcher: AnswerMatcher) -> Found:
    """What the reviews of a question say about a predicted answer. `attempts`: all its tasks in the audit."""
    blind = without_judgements(attempts)
    agreed = consensus(blind, reviews, matcher)
    if agreed is None:
        return Found("conflict" if any(reviews.get(task.id) for task in blind) else "open", None)
    if agreed.verdict in ("skipped", "bad_question"):
        return Found(agreed.verdict, agreed)
    if same_text(agreed, answer, matcher):
        return Found("equal", agreed)
    votes = [vote for task in attempts if task.kind == JUDGEMENT for vote in reviews.get(task.id, ())]
    judged = majority(votes, matcher)
    if judged is None:
        return Found("conflict" if votes else "open", agreed)
    outcome = "equivalent" if same_text(judged, answer, matcher) else "different"
    return Found("skipped" if judged.verdict == "skipped" else outcome, agreed, judged)


def same_text(review: ReviewRow, answer: SpanRow, matcher: AnswerMatcher) -> bool:
    """Whether a review's answer equals a predicted one after normalisation, in whatever passage."""
    return review.answer is not None and exact_match(review.answer.text, answer.text, matcher.metric) == 1


def suggestions(session: Session, round_number: int, question_ids: Iterable[str]) -> dict[str, SpanRow]:
    """The answer that is audited, by question."""
    found = queries.predictions(session, round_number, question_ids=question_ids)
    return {
        row.question_id: SpanRow(best.text, best.passage_id, best.start, best.end)
        for row in found
        for best in row.answers[:1]
    }


def next_judgement(
    attempts: Sequence[TaskRow], reviews: Reviews, answer: SpanRow, matcher: AnswerMatcher
) -> tuple[NewTask | None, tuple[int, ...]]:
    """The judgement that a question needs next, and the ids of open ones that it does not need any more. Idempotent."""
    known = [task for task in attempts if task.kind == JUDGEMENT]
    found = found_of(attempts, reviews, answer, matcher)
    needed = found.review is not None and found.outcome in ("open", "different", "equivalent", "conflict", "skipped")
    if not needed or found.review is None or found.review.verdict in ("skipped", "bad_question"):
        return None, tuple(task.id for task in known if task.state == "open")
    if known or any(task.state == "open" for task in attempts):
        return None, ()
    first = min(attempts, key=lambda task: task.attempt)
    attempt = max(task.attempt for task in attempts) + 1
    return NewTask(first.question_id, JUDGEMENT, False, first.position, first.passages, attempt), ()


def own_answer(session: Session, task: TaskRow) -> ReviewRow | None:
    """The blind answer that a judgement compares with: the newest that is no skip."""
    tasks = {each.id for each in queries.tasks(session, round_number=task.round_number) if each.kind != JUDGEMENT}
    given = [row for row in queries.reviews_of(session, [task.question_id]) if row.task_id in tasks]
    return next((row for row in reversed(given) if row.verdict != "skipped"), None)
