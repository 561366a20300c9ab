"""Searching again: a reviewer who finds no answer names words, and the passages that these find come as a new task.

So a miss of the retrieval becomes a label, and a training pair of the retriever: the passages shown before are its
negatives.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.rows import NewTask, RoundRow, TaskRow
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.review.agreement import AnswerMatcher
from labeler.review.consensus import Reviews, consensus, without_judgements
from labeler.review.studio.projects import passage_slots_of
from mrc.errors import StaleIndex

MAX_SEARCHES = 3  # of one question in one round

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class Search:
    """A search that reviewers wait for: words, the task whose reviewer named them, and the passages shown so far."""

    parent: TaskRow
    words: str
    shown: tuple[str, ...]
    attempt: int  # of the task to make


@dataclass(frozen=True, slots=True)
class NextSearch:
    """The changes that the searches of one question need. Ids of tasks."""

    search: Search | None = None
    withdraw: tuple[int, ...] = ()  # unanswered, and not asked for any more
    reopen: tuple[int, ...] = ()  # withdrawn before, and asked for again


def segments(attempts: Sequence[TaskRow]) -> list[list[TaskRow]]:
    """The tasks that ask for an answer, those about the same passages together: the first ones, then by search."""
    found: dict[tuple[int, str], list[TaskRow]] = {}
    for task in without_judgements(attempts):
        from_attempt = -1 if task.searched_from is None else task.searched_from
        found.setdefault((from_attempt, task.search or ""), []).append(task)
    return [found[key] for key in sorted(found)]


def next_search(attempts: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher) -> NextSearch:
    """The changes that the searches of a question need. Idempotent: once applied, nothing more is needed.

    A search is due where the reviewers of the newest passages agree on "no answer" and one of them named words; at most
    MAX_SEARCHES. A search task that follows from no such review any more is withdrawn while nobody has answered it.
    """
    tasks = without_judgements(attempts)
    segment = [task for task in tasks if task.searched_from is None]
    wanted: set[int] = set()
    search, reopen = None, tuple[int, ...]()
    for _ in range(MAX_SEARCHES):
        named = _named(segment, reviews, matcher)
        if named is None:
            break
        parent, words = named
        segment = [task for task in tasks if (task.searched_from, task.search) == (parent.attempt, words)]
        if not segment:
            shown = tuple(dict.fromkeys(passage for task in tasks for passage in task.passages))
            search = Search(parent, words, shown, max(task.attempt for task in attempts) + 1)
            break
        wanted |= {task.id for task in segment}
        if all(task.state == "withdrawn" for task in segment):
            reopen = (segment[0].id,)
            break
    unneeded = (task.id for task in tasks if task.search is not None and task.id not in wanted)
    unanswered = {task.id for task in tasks if task.state == "open" and not reviews.get(task.id)}
    return NextSearch(search, tuple(key for key in unneeded if key in unanswered), reopen)


def _named(segment: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher) -> tuple[TaskRow, str] | None:
    """The task of this segment that found no answer, and the words that its reviewers named; None where it is open,
    found one, or they named none."""
    agreed = consensus(segment, reviews, matcher)
    if agreed is None or agreed.verdict != "no_answer":
        return None
    parent = next(task for task in segment if task.id == agreed.task_id)
    named = [review.search_again for review in reviews.get(parent.id, ()) if review.search_again]
    return (parent, named[0]) if named and parent.state == "done" else None


def search_tasks(runtime: Runtime, row: RoundRow, searches: Sequence[Search]) -> list[NewTask]:
    """The tasks with the passages that the searches find; those that find none are counted in the log.

    The index of the round is searched. Where it is gone, the log says so, and the next call tries again.
    """
    if not searches:
        return []
    room = passage_slots_of(row)
    try:
        found = [further_passages(runtime, row, each.words, each.shown, room) for each in searches]
    except (NotReady, StaleIndex) as error:
        log.warning("cannot search again for %d questions: %s", len(searches), error)
        return []
    missed = sum(not passages for passages in found)
    if missed:
        log.info("%d of %d searches by reviewers found no further passage", missed, len(searches))
    return [_task(each, passages) for each, passages in zip(searches, found, strict=True) if passages]


def _task(search: Search, passages: tuple[str, ...]) -> NewTask:
    """A task like the one before, with other passages."""
    parent = search.parent
    return NewTask(
        parent.question_id,
        parent.kind,
        parent.blind,
        parent.position,
        passages,
        search.attempt,
        parent.reviewers,
        search=search.words,
        searched_from=parent.attempt,
    )


def further_passages(
    runtime: Runtime, row: RoundRow, words: str, shown: Collection[str], count: int
) -> tuple[str, ...]:
    """Ids of at most `count` passages that these words find and that are not shown yet, best first.

    They are searched in the index of the round. Raises NotReady where it has none, or it is gone; StaleIndex.
    """
    [hits] = runtime.index(row.index_fingerprint).retrieve([words], len(shown) + count)
    return tuple([hit.passage_id for hit in hits if hit.passage_id not in shown][:count])
