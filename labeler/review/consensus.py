"""Which review counts for a question that several people answered. Pure.

A question may have several tasks (attempts) in one round: the first is attempt 0; a task whose annotation cannot be
read is repeated, a disagreement goes to an adjudication task, and a search by a reviewer's words makes a task with
other passages (`labeler.review.searching`). Skips are no votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from db.rows import ReviewRow, TaskRow
from labeler.review.agreement import AnswerMatcher, without_skips

JUDGEMENT = "judgement"  # kind of a task that asks about a suggestion, not about the question: no vote on the answer
Reviews = Mapping[int, Sequence[ReviewRow]]  # by task id


def consensus(attempts: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher) -> ReviewRow | None:
    """The review that counts for a question in one round; None where reviewers disagree or cannot be read.

    The last attempt with a majority decides: the adjudicator alone, else more than half of the votes. A question that
    everybody skipped has a skip as its consensus.

    Args:
        attempts: all tasks of the question in that round.
        reviews: their reviews; others are ignored.
        matcher: decides which reviews say the same.
    """
    attempts = without_judgements(attempts)
    for task in sorted(attempts, key=lambda task: -task.attempt):
        if task.state != "conflict":
            found = majority(votes_of(task, attempts, reviews), matcher)
            if found is not None:
                return found
    given = [(task, review) for task in attempts for review in reviews.get(task.id, ())]
    if any(review.verdict != "skipped" for _, review in given):
        return None
    skips = [review for task, review in given if task.state != "conflict"]
    return matcher.representative(skips) if skips else None


def without_judgements(attempts: Sequence[TaskRow]) -> list[TaskRow]:
    """The tasks that ask for an answer."""
    return [task for task in attempts if task.kind != JUDGEMENT]


def is_contested(task: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher) -> bool:
    """Whether a task has votes and no majority, or only votes by adjudicators who had voted before."""
    votes = votes_of(task, attempts, reviews)
    return majority(votes, matcher) is None and bool(without_skips(reviews.get(task.id, ())))


def votes_of(task: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews) -> list[ReviewRow]:
    """The votes on a task; on an adjudication task only those of people who had not voted on the same passages
    before."""
    votes = without_skips(reviews.get(task.id, ()))
    if task.kind != "adjudication":
        return votes
    same = [other for other in without_judgements(attempts) if other.searched_from == task.searched_from]
    earlier = [other for other in same if other.attempt < task.attempt]
    voters = {vote.reviewer for other in earlier for vote in without_skips(reviews.get(other.id, ()))}
    return [vote for vote in votes if vote.reviewer not in voters]


def majority(votes: Sequence[ReviewRow], matcher: AnswerMatcher) -> ReviewRow | None:
    """The representative of more than half of the votes; None where there is no such majority."""
    groups = [[other for other in votes if matcher.same(vote, other)] for vote in votes]
    largest = max(map(len, groups), default=0)
    if 2 * largest <= len(votes):
        return None
    return matcher.representative(matcher.representative(group) for group in groups if len(group) == largest)
