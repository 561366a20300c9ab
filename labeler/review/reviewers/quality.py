"""Speed of each person, and quality against audits: answers of other people who saw no suggestion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from db.rows import ReviewRow, TaskRow
from labeler.review.agreement import AnswerMatcher, span_f1, without_skips
from mrc.calibration.intervals import exact_interval

_RANK = {"adjudication": 0, "audit": 1}  # of the kinds of task that others are measured against; the rest: 2


@dataclass(frozen=True, slots=True)
class Person:
    """One person's current reviews. Rates are 0-1; None where nothing is known."""

    name: str
    reviews: int
    skipped: int
    minutes: float | None  # of the reviews whose time is known
    median_seconds: float | None  # of a review
    accepted: float | None  # of the answers to suggestions: taken over as they were
    audited: int  # reviews of questions that another person answered blind, or adjudicated
    right: float | None  # of these: same verdict and answer; in Korean regardless of a particle
    right_low: float | None  # ends of the 95% interval
    right_high: float | None
    span_f1: float | None  # of these, where both marked an answer


def people(reviews: Sequence[ReviewRow], tasks: Mapping[int, TaskRow], matcher: AnswerMatcher) -> tuple[Person, ...]:
    """Everybody who reviewed, the most reviews first. `tasks`: those of the reviews, by id."""
    references = _references(reviews, tasks)
    by_name: dict[str, list[ReviewRow]] = {}
    for review in reviews:
        by_name.setdefault(review.reviewer, []).append(review)
    ordered = sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(_person(name, group, references, matcher) for name, group in ordered)


def _person(
    name: str, reviews: Sequence[ReviewRow], references: Mapping[str, Sequence[ReviewRow]], matcher: AnswerMatcher
) -> Person:
    times = [review.seconds for review in reviews if review.seconds is not None]
    suggested = [review.origin == "accepted" for review in reviews if review.origin in ("accepted", "changed")]
    audited = list(_audited(without_skips(reviews), references))
    right = sum(matcher.same(review, other) for review, other in audited)
    low, high = exact_interval(right, len(audited)) if audited else (None, None)
    spans = [span_f1(a, b) for a, b in audited if a.answer is not None and b.answer is not None]
    return Person(
        name=name,
        reviews=len(reviews),
        skipped=sum(review.verdict == "skipped" for review in reviews),
        minutes=sum(times) / 60 if times else None,
        median_seconds=median(times) if times else None,
        accepted=fmean(suggested) if suggested else None,
        audited=len(audited),
        right=right / len(audited) if audited else None,
        right_low=low,
        right_high=high,
        span_f1=fmean(spans) if spans else None,
    )


def _references(reviews: Sequence[ReviewRow], tasks: Mapping[int, TaskRow]) -> dict[str, list[ReviewRow]]:
    """Question -> the votes of people who saw no suggestion: adjudications first, then audits, then the newest."""
    found: dict[str, list[ReviewRow]] = {}
    for review in without_skips(reviews):
        task = tasks[review.task_id]
        if task.blind or task.kind == "adjudication":
            found.setdefault(review.question_id, []).append(review)
    for votes in found.values():
        votes.sort(key=lambda vote: (_RANK.get(tasks[vote.task_id].kind, 2), -vote.id))
    return found


def _audited(
    reviews: Iterable[ReviewRow], references: Mapping[str, Sequence[ReviewRow]]
) -> Iterable[tuple[ReviewRow, ReviewRow]]:
    """Each review of a question that another person answered too, with the best of those answers."""
    for review in reviews:
        others = [vote for vote in references.get(review.question_id, ()) if vote.reviewer != review.reviewer]
        if others:
            yield review, others[0]
