"""Statistics of the reviews so far: counts, times, agreement, and what is still missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import ReviewRow, StudioProjectRow
from db.vocabulary import VERDICTS
from labeler.review.agreement import Agreement, AnswerMatcher, by_question, measure_agreement

ORIGINS = ("accepted", "changed", "written")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One reviewer's current reviews. `seconds` sums the `timed` ones alone."""

    name: str
    reviews: int
    skipped: int
    seconds: float
    timed: int


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """A project in Label Studio. Its address holds no key."""

    url: str
    blind: bool
    reviewers: int  # people who answer each of its tasks
    tasks: int  # of this workspace


@dataclass(frozen=True, slots=True)
class ReviewStatistics:
    """Reviews of rounds that are not reverted. Each mapping counts by name, also with 0."""

    reviews: int
    verdicts: Mapping[str, int]
    origins: Mapping[str, int]  # of answers: accepted as suggested, changed, written without a suggestion
    reviewers: tuple[Reviewer, ...]  # the most reviews first
    agreement: Agreement
    missing: int  # reviews that open tasks still wait for
    conflicts: tuple[str, ...]  # questions without consensus: reviewers disagree, or an annotation cannot be read


def review_statistics(session: Session, matcher: AnswerMatcher) -> ReviewStatistics:
    """The statistics of all rounds that are not reverted."""
    rounds = {row.number for row in queries.rounds(session, reverted=False)}
    reviews = [review for review in queries.reviews(session) if review.round_number in rounds]
    verdicts, origins = Counter(review.verdict for review in reviews), Counter(review.origin for review in reviews)
    return ReviewStatistics(
        reviews=len(reviews),
        verdicts={name: verdicts[name] for name in VERDICTS},
        origins={name: origins[name] for name in ORIGINS},
        reviewers=_reviewers(reviews),
        agreement=measure_agreement(reviews, matcher),
        missing=sum(missing_reviews(session, number) for number in rounds),
        conflicts=tuple(_conflicts(session, rounds)),
    )


def missing_reviews(session: Session, round_number: int) -> int:
    """The number of reviews that the open tasks of a round still wait for."""
    given = Counter(review.task_id for review in queries.reviews(session, round_number=round_number))
    tasks = queries.tasks(session, round_number=round_number, states=["open"])
    return sum(max(task.reviewers - given[task.id], 1) for task in tasks)


def studio_projects(session: Session) -> tuple[ProjectSummary, ...]:
    """The workspace's projects in Label Studio, oldest first; without those that were deleted there."""
    return tuple(
        ProjectSummary(
            url=project_url(row),
            blind=row.blind,
            reviewers=row.reviewers,
            tasks=len(queries.studio_tasks(session, row.id)),
        )
        for row in queries.projects(session)
        if row.remote_id is not None
    )


def project_url(project: StudioProjectRow) -> str:
    """The address at which people open a project."""
    return f"{project.url}/projects/{project.remote_id}/data"


def _reviewers(reviews: Sequence[ReviewRow]) -> tuple[Reviewer, ...]:
    by_name: dict[str, list[ReviewRow]] = {}
    for review in reviews:
        by_name.setdefault(review.reviewer, []).append(review)
    return tuple(
        _reviewer(name, group) for name, group in sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _reviewer(name: str, reviews: Sequence[ReviewRow]) -> Reviewer:
    times = [review.seconds for review in reviews if review.seconds is not None]
    skipped = sum(review.verdict == "skipped" for review in reviews)
    return Reviewer(name, len(reviews), skipped, sum(times), len(times))


def _conflicts(session: Session, rounds: Iterable[int]) -> list[str]:
    """Questions with a task in conflict, no task that is done in the same round, and no human label."""
    found = set()
    for number in rounds:
        for question_id, attempts in by_question(queries.tasks(session, round_number=number)).items():
            states = {task.state for task in attempts}
            if "conflict" in states and "done" not in states:
                found.add(question_id)
    human = queries.live_labels(session, kinds=["human"], question_ids=found)
    return sorted(found - {label.question_id for label in human})
