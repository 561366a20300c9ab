"""What reviewers have done so far: who, how long, how answers came about, how far people agree, what is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import queries
from db.models import VERDICTS
from db.rows import ReviewRow
from labeler.review.agreement import Agreement, Rules, agreement, by_question

ORIGINS = ("accepted", "changed", "written")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One reviewer's current reviews. `seconds` are of the `timed` ones alone."""

    name: str
    reviews: int
    skipped: int
    seconds: float
    timed: int


@dataclass(frozen=True, slots=True)
class StudioProject:
    """A project in Label Studio. Its address holds no key."""

    url: str
    blind: bool
    reviewers: int  # people who answer each of its tasks
    tasks: int  # of ours that stand there


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Of rounds that are not reverted. Each mapping counts by name, also with 0."""

    reviews: int
    verdicts: Mapping[str, int]
    origins: Mapping[str, int]  # of answers: accepted as suggested, changed, written without a suggestion
    reviewers: tuple[Reviewer, ...]  # the busiest first
    agreement: Agreement
    missing: int  # reviews that open tasks still wait for
    conflicts: tuple[str, ...]  # questions without a word that counts: people disagree, or cannot be understood


def reviewed(session: Session, rules: Rules) -> Reviewed:
    """What reviewers have done."""
    status = {row.number for row in queries.rounds(session, reverted=False)}
    reviews = [review for review in queries.reviews(session) if review.round_number in status]
    verdicts, origins = Counter(review.verdict for review in reviews), Counter(review.origin for review in reviews)
    return Reviewed(
        reviews=len(reviews),
        verdicts={name: verdicts[name] for name in VERDICTS},
        origins={name: origins[name] for name in ORIGINS},
        reviewers=_reviewers(reviews),
        agreement=agreement(reviews, rules),
        missing=sum(missing(session, number) for number in status),
        conflicts=tuple(_conflicts(session, status)),
    )


def missing(session: Session, round_number: int) -> int:
    """How many reviews the open tasks of a round still wait for."""
    given = Counter(review.task_id for review in queries.reviews(session, round_number=round_number))
    tasks = queries.tasks(session, round_number=round_number, states=["open"])
    return sum(max(task.reviewers - given[task.id], 1) for task in tasks)


def studio_projects(session: Session) -> tuple[StudioProject, ...]:
    """The workspace's projects in Label Studio, oldest first; without those that were deleted there."""
    return tuple(
        StudioProject(
            url=f"{row.url}/projects/{row.remote_id}/data",
            blind=row.blind,
            reviewers=row.reviewers,
            tasks=len(queries.live_tasks(session, row.id)),
        )
        for row in queries.projects(session)
        if row.remote_id is not None
    )


def _reviewers(reviews: Sequence[ReviewRow]) -> tuple[Reviewer, ...]:
    names = Counter(review.reviewer for review in reviews)
    found = []
    for name, count in sorted(names.items(), key=lambda item: (-item[1], item[0])):
        mine = [review for review in reviews if review.reviewer == name]
        times = [review.seconds for review in mine if review.seconds is not None]
        skipped = sum(review.verdict == "skipped" for review in mine)
        found.append(Reviewer(name, count, skipped, sum(times), len(times)))
    return tuple(found)


def _conflicts(session: Session, rounds: Iterable[int]) -> list[str]:
    """Questions with a task in conflict that no other task of their round has settled."""
    found = set()
    for number in rounds:
        for question_id, attempts in by_question(queries.tasks(session, round_number=number)).items():
            states = {task.state for task in attempts}
            if "conflict" in states and "done" not in states:
                found.add(question_id)
    return sorted(found)
