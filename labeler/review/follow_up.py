"""Which tasks a round needs next, after reviews came in: repeats, adjudication of disagreements, judgements, and
passages found by a reviewer's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from db import queries, store
from db.engine import Session
from db.rows import NewTask, RoundRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.review.agreement import AnswerMatcher, by_question, by_task, matcher_of
from labeler.review.consensus import Reviews, is_contested, votes_of
from labeler.review.judgement import next_judgement, suggestions
from labeler.review.searching import NextSearch, next_search, search_tasks, segments


@dataclass(frozen=True, slots=True)
class NextTasks:
    """The changes to the tasks of one question. Ids of tasks."""

    withdraw: tuple[int, ...] = ()  # unanswered, and not needed any more
    reopen: tuple[int, ...] = ()  # withdrawn before, and needed again
    new: NewTask | None = None


def next_tasks(
    attempts: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher, *, unreadable: frozenset[int]
) -> NextTasks:
    """The changes that the tasks of one question need. Idempotent: once applied, nothing more is needed.

    A task with an annotation that cannot be read is repeated as it was; a contested one goes to an adjudicator. If the
    adjudicator is one of those who disagreed, the question stays in conflict and no further task is made.

    Args:
        attempts: all tasks of the question in one round, with their current states.
        reviews: the reviews of these tasks.
        matcher: decides which reviews say the same.
        unreadable: ids of tasks with an annotation that cannot be read.
    """
    ordered = sorted(attempts, key=lambda task: task.attempt)
    active = [task for task in ordered if task.state != "withdrawn"]
    unanswered = [task.id for task in active if task.state == "open" and not reviews.get(task.id)]
    if any(task.state in ("done", "skipped") for task in active):
        return NextTasks(withdraw=tuple(unanswered))
    still_open = [task for task in active if task.state == "open"]
    if still_open:
        kept = next((task.id for task in still_open if task.id not in unanswered), still_open[0].id)
        return NextTasks(withdraw=tuple(each for each in unanswered if each != kept))
    if not active or active[-1].withdrawn_at is not None:
        return NextTasks()
    return _after_conflict(active[-1], ordered, reviews, unreadable)


def _after_conflict(
    last: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews, unreadable: frozenset[int]
) -> NextTasks:
    """The task that follows `last`, which is in conflict and the last active one."""
    if last.id not in unreadable and not votes_of(last, attempts, reviews):
        return NextTasks()
    kind, reviewers = (last.kind, last.reviewers) if last.id in unreadable else ("adjudication", 1)
    withdrawn = [task.id for task in attempts if task.attempt > last.attempt and task.kind == kind]
    if withdrawn:
        return NextTasks(reopen=(withdrawn[0],))
    attempt = max(task.attempt for task in attempts) + 1
    new = NewTask(last.question_id, kind, last.blind, last.position, last.passages, attempt, reviewers)
    return NextTasks(new=replace(new, search=last.search, searched_from=last.searched_from))


def resolve(runtime: Runtime, round_number: int) -> int:
    """Bring the tasks of a round in line with its reviews, and return how many questions were asked again.

    Contested tasks become conflicts, and stop being conflicts once reviewers agree. While the round is in review,
    `next_tasks` and `next_search` are applied to every question. Idempotent.
    """
    matcher = matcher_of(runtime)
    with runtime.database.write() as session:
        _update_conflicts(session, round_number, matcher)
        row = queries.round_(session, round_number)
        if not row.is_open or row.stage != "in_review":
            return 0
        changes = _changes(session, round_number, matcher)
        store.withdraw_tasks(session, round_number, ids=[task_id for each in changes for task_id in each.withdraw])
        store.reopen_tasks(session, [task_id for each in changes for task_id in each.reopen])
        store.add_tasks(session, round_number, [each.new for each in changes if each.new is not None])
        searches = _changed_searches(session, row, matcher)
        store.withdraw_tasks(session, round_number, ids=[task_id for each in searches for task_id in each.withdraw])
        store.reopen_tasks(session, [task_id for each in searches for task_id in each.reopen])
    found = search_tasks(runtime, row, [each.search for each in searches if each.search is not None])
    with runtime.database.write() as session:
        store.add_tasks(session, round_number, found)
    again = sum(bool(each.reopen) + (each.new is not None) for each in changes)
    return again + len(found) + sum(bool(each.reopen) for each in searches)


def _changed_searches(session: Session, row: RoundRow, matcher: AnswerMatcher) -> list[NextSearch]:
    """The changes that the searches of each active question need, in id order; an audit's passages are fixed."""
    reviews = by_task(queries.reviews(session, round_number=row.number))
    tasks = queries.tasks(session, round_number=row.number)
    named = any(review.search_again for group in reviews.values() for review in group)
    if row.kind == "audit" or not (named or any(task.search is not None for task in tasks)):
        return []
    attempts = by_question(tasks)
    active = sorted(each.id for each in queries.questions(session, ids=attempts))
    return [next_search(attempts[question_id], reviews, matcher) for question_id in active]


def _update_conflicts(session: Session, round_number: int, matcher: AnswerMatcher) -> None:
    """Set contested tasks to `conflict`, and recompute the state of those that are contested no more."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    contested, settled = [], []
    for attempts in by_question(queries.tasks(session, round_number=round_number)).values():
        for task in attempts:
            if is_contested(task, attempts, reviews, matcher):
                contested += [task.id] if task.state != "conflict" else []
            elif task.state == "conflict":
                settled.append(task.id)
    store.set_task_states(session, contested, "conflict")
    store.update_task_states(session, settled)


def _changes(session: Session, round_number: int, matcher: AnswerMatcher) -> list[NextTasks]:
    """The changes for each active question of a round, in id order."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    unreadable = frozenset(each.task_id for each in queries.conflicts(session, round_number=round_number))
    attempts = by_question(queries.tasks(session, round_number=round_number))
    active = sorted(each.id for each in queries.questions(session, ids=attempts))
    found = [each for question_id in active for each in _next(attempts[question_id], reviews, matcher, unreadable)]
    if queries.round_(session, round_number).kind != "audit":
        return found
    answers = suggestions(session, round_number, active)
    judged = [next_judgement(attempts[key], reviews, answers[key], matcher) for key in active if key in answers]
    return [*found, *(NextTasks(withdraw=unneeded, new=new) for new, unneeded in judged)]


def _next(
    attempts: Sequence[TaskRow], reviews: Reviews, matcher: AnswerMatcher, unreadable: frozenset[int]
) -> Iterator[NextTasks]:
    """The changes that the question's own tasks need, for each set of passages; a new one comes after all others,
    judgements included."""
    last = max(task.attempt for task in attempts)
    for same in segments(attempts):
        found = next_tasks(same, reviews, matcher, unreadable=unreadable)
        if found.new is not None:
            last += 1
            found = replace(found, new=replace(found.new, attempt=last))
        yield found
