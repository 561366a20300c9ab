"""What reviews come to: whose word is new, which labels it makes, and which labels nothing stands behind any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from db import queries
from db.engine import Session
from db.rows import LabelRow, ReviewRow, TaskRow
from labeler.review.agreement import AnswerMatcher, by_question, by_task
from labeler.review.consensus import consensus

LABELLING = ("answerable", "no_answer")


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the next labelling makes of all reviews that no labelling has considered, or that changed since."""

    considered: tuple[int, ...] = ()  # ids of reviews
    labels: tuple[ReviewRow, ...] = ()  # at most one a question, in id order
    bad_questions: tuple[str, ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict)  # question -> why no label of a review stands any more
    waiting: tuple[int, ...] = ()  # ids of reviews of unsupported questions on which people disagree now

    @property
    def decided(self) -> set[str]:
        """Questions that need not be asked again."""
        return {review.question_id for review in self.labels} | set(self.bad_questions)


@dataclass(frozen=True, slots=True)
class _Case:
    """What there is to decide of one question."""

    question_id: str
    fresh: Sequence[ReviewRow]  # current reviews that no labelling has considered, of any round
    votes: Sequence[ReviewRow]  # the current reviews that count: of one round
    attempts: Sequence[TaskRow]  # its tasks in that round
    label: LabelRow | None  # its live human label
    outdated: frozenset[int]  # ids of reviews that changed since something was recorded of them


def gather(session: Session, matcher: AnswerMatcher) -> Harvest:
    """The harvest as things stand.

    Of one question only the newest round in which anybody said something counts: "no answer" is said of the passages
    shown then. Where people disagree there, their reviews wait until that is settled.
    """
    found = [_decide(case, matcher) for case in _cases(session)]
    return Harvest(
        considered=tuple(sorted(key for each in found for key in each.considered)),
        labels=tuple(sorted((review for each in found for review in each.labels), key=lambda review: review.id)),
        bad_questions=tuple(question_id for each in found for question_id in each.bad_questions),
        unsupported={key: why for each in found for key, why in each.unsupported.items()},
        waiting=tuple(sorted(key for each in found for key in each.waiting)),
    )


def _cases(session: Session) -> list[_Case]:
    """The questions with reviews that are new or have changed, in id order."""
    fresh, outdated = queries.unrecorded_reviews(session), queries.outdated_reviews(session)
    touched = sorted({review.question_id for review in [*fresh, *outdated]})
    votes = _votes(session, touched)
    rounds = sorted({group[0].round_number for group in votes.values()})
    tasks = {number: by_question(queries.tasks(session, round_number=number)) for number in rounds}
    labels = {row.question_id: row for row in queries.live_labels(session, kinds=["human"], question_ids=touched)}
    news, changed = _by_question(fresh), _by_question(outdated)
    return [
        _Case(
            question_id=key,
            fresh=news.get(key, ()),
            votes=votes.get(key, ()),
            attempts=tasks[votes[key][0].round_number][key] if key in votes else (),
            label=labels.get(key),
            outdated=frozenset(review.id for review in changed.get(key, ())),
        )
        for key in touched
    ]


def _by_question(reviews: Iterable[ReviewRow]) -> dict[str, list[ReviewRow]]:
    found: dict[str, list[ReviewRow]] = {}
    for review in reviews:
        found.setdefault(review.question_id, []).append(review)
    return found


def words(session: Session, round_number: int, matcher: AnswerMatcher) -> list[ReviewRow]:
    """The review that counts for each question of a round, in id order; none where people disagree."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    attempts = by_question(queries.tasks(session, round_number=round_number)).values()
    found = [consensus(tasks, reviews, matcher) for tasks in attempts]
    return sorted((review for review in found if review is not None), key=lambda review: review.id)


def _votes(session: Session, question_ids: Iterable[str]) -> dict[str, list[ReviewRow]]:
    """Question id -> current reviews of the newest round in which anybody said something, else of the newest one.

    What was recorded in a round that is reverted was set aside with it.
    """
    reverted = {row.number for row in queries.rounds(session) if row.reverted_at is not None}
    kept = (
        review
        for review in queries.reviews_of(session, question_ids)
        if review.round_number not in reverted or review.recorded_in is None
    )
    found = {}
    for question_id, group in _by_question(kept).items():
        said = [review for review in group if review.verdict != "skipped"] or group
        newest = max(review.round_number for review in said)
        found[question_id] = [review for review in group if review.round_number == newest]
    return found


def _decide(case: _Case, matcher: AnswerMatcher) -> Harvest:
    """The harvest of one question."""
    word = consensus(case.attempts, by_task(case.votes), matcher)
    considered = tuple(review.id for review in case.fresh) if word is not None else ()
    if not case.outdated and all(review.recorded_in is not None for review in case.votes):
        return Harvest(considered)  # what is new was said in an earlier round than what counts
    if word is not None and word.verdict in LABELLING:
        status = case.label is not None and case.label.review_id == word.id
        return Harvest(considered, labels=() if status else (word,))
    bad = word is not None and word.verdict == "bad_question"
    if bad and all(review.recorded_in is not None for review in case.votes):
        return Harvest(considered)  # it is excluded already; only a former wording is outdated
    rested_on = case.outdated | {review.id for review in case.votes}
    lost = bool(case.outdated) or (case.label is not None and case.label.review_id in rested_on)
    return Harvest(
        considered,
        bad_questions=(case.question_id,) if bad else (),
        unsupported={case.question_id: _why(word, case.votes)} if lost else {},
        waiting=tuple(review.id for review in case.votes) if lost and word is None else (),
    )


def _why(word: ReviewRow | None, votes: Sequence[ReviewRow]) -> str:
    if word is not None and word.verdict == "bad_question":
        return "its review became: bad question"
    if word is None and votes:
        return "its reviewers disagree"
    return "its review was taken back"
