"""Whether two people say the same, whose word counts for a question, and what is asked again. Pure but for `resolve`.

A question may be asked several times in one round: its first task (attempt 0), then again where an annotation cannot
be read, and of a third person where people disagree. Skips are no votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from sqlalchemy.orm import Session

from db import queries, store
from db.rows import NewTask, ReviewRow, TaskRow
from labeler.core.runtime import Runtime
from mrc.metrics import Metric, normalize_answer
from mrc.postprocess.josa import equal_but_josa

Reviews = Mapping[int, Sequence[ReviewRow]]  # by task id


@dataclass(frozen=True, slots=True)
class Rules:
    """When two answers are equal: the metric's normalisation; in Korean also where only one has a particle."""

    metric: Metric
    language: str

    def agree(self, a: ReviewRow, b: ReviewRow) -> bool:
        """Whether two reviews have the same verdict and, where there are answers, equal ones."""
        if a.verdict != b.verdict or a.answer is None or b.answer is None:
            return a.verdict == b.verdict
        texts = [normalize_answer(answer.text, self.metric) for answer in (a.answer, b.answer)]
        if texts[0] == texts[1]:
            return True
        return self.language == "ko" and equal_but_josa(*("".join(text.split()) for text in texts))

    def first(self, reviews: Iterable[ReviewRow]) -> ReviewRow:
        """The review that stands for others it agrees with: the shortest answer (without the particle), then the one
        that stands first. By content, so that the order in which reviews came in does not matter."""

        def place(review: ReviewRow) -> tuple[int, int, str, str]:
            if review.answer is None:
                return 0, 0, "", review.reviewer
            text = normalize_answer(review.answer.text, self.metric)
            return len("".join(text.split())), review.answer.start, review.answer.passage_id, review.reviewer

        return min(reviews, key=place)


def rules_of(runtime: Runtime) -> Rules:
    """The rules of a workspace."""
    return Rules(runtime.metric, runtime.language)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far people who answered the same task agree. Shares are 0-1; None without pairs."""

    pairs: int
    verdict: float | None  # the same verdict
    exact: float | None  # the same verdict and an equal answer
    span_f1: float | None  # mean overlap of the two spans, of pairs in which both found an answer


def agreement(reviews: Sequence[ReviewRow], rules: Rules) -> Agreement:
    """The agreement over all pairs of reviews of the same task, skips left out."""
    pairs = [pair for votes in by_task(_votes_only(reviews)).values() for pair in combinations(votes, 2)]
    spans = [span_f1(a, b) for a, b in pairs if a.answer is not None and b.answer is not None]
    return Agreement(
        pairs=len(pairs),
        verdict=fmean(a.verdict == b.verdict for a, b in pairs) if pairs else None,
        exact=fmean(rules.agree(a, b) for a, b in pairs) if pairs else None,
        span_f1=fmean(spans) if spans else None,
    )


def span_f1(a: ReviewRow, b: ReviewRow) -> float:
    """2 |A and B| / (|A| + |B|) of the code points that two answers cover; 0 in different passages or without both."""
    if a.answer is None or b.answer is None or a.answer.passage_id != b.answer.passage_id:
        return 0.0
    shared = min(a.answer.end, b.answer.end) - max(a.answer.start, b.answer.start)
    return 2 * max(shared, 0) / (a.answer.end - a.answer.start + b.answer.end - b.answer.start)


def by_task(reviews: Iterable[ReviewRow]) -> dict[int, list[ReviewRow]]:
    """Task id -> its reviews, in the order given."""
    found: dict[int, list[ReviewRow]] = {}
    for review in reviews:
        found.setdefault(review.task_id, []).append(review)
    return found


def consensus(attempts: Sequence[TaskRow], reviews: Reviews, rules: Rules) -> ReviewRow | None:
    """The review that counts for a question in one round; None where people disagree or nobody could be understood.

    `attempts` are all tasks of the question in that round. The last attempt that gives a word decides: a third person
    alone, else what more than half of the votes say. Where everybody skipped it is a skip.
    """
    for task in sorted(attempts, key=lambda task: -task.attempt):
        if task.state != "conflict":
            word = _word(_votes(task, attempts, reviews), rules)
            if word is not None:
                return word
    given = [(task, review) for task in attempts for review in reviews.get(task.id, ())]
    if any(review.verdict != "skipped" for _, review in given):
        return None
    skips = [review for task, review in given if task.state != "conflict"]
    return rules.first(skips) if skips else None


def contested(task: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews, rules: Rules) -> bool:
    """Whether the reviews of a task leave the question open: its votes disagree, or those who were to decide as third
    persons are those who disagreed."""
    votes = _votes(task, attempts, reviews)
    return _word(votes, rules) is None and bool(_votes_only(reviews.get(task.id, ())))


@dataclass(frozen=True, slots=True)
class NextTasks:
    """What follows for the tasks of one question. Ids of tasks."""

    withdraw: tuple[int, ...] = ()  # nobody has answered them, and they are not needed
    reopen: tuple[int, ...] = ()  # withdrawn as not needed, and needed after all
    ask: NewTask | None = None


def next_tasks(attempts: Sequence[TaskRow], reviews: Reviews, rules: Rules, *, unreadable: frozenset[int]) -> NextTasks:
    """What is to be asked again, and what need not be any more. Applied and asked for again, it is nothing.

    `attempts` are all tasks of a question in one round, their states up to date; `unreadable` are ids of tasks with an
    annotation that cannot be read. Such a task is asked again as it was, a contested one of a third person. Where that
    was one of those who disagree, it stays contested: nobody is asked for ever.
    """
    ordered = sorted(attempts, key=lambda task: task.attempt)
    status = [task for task in ordered if task.state != "withdrawn"]
    idle = [task.id for task in status if task.state == "open" and not reviews.get(task.id)]
    if any(task.state in ("done", "skipped") for task in status):
        return NextTasks(withdraw=tuple(idle))
    begun = [task for task in status if task.state == "open"]
    if begun:
        kept = next((task.id for task in begun if task.id not in idle), begun[0].id)
        return NextTasks(withdraw=tuple(each for each in idle if each != kept))
    if not status or status[-1].withdrawn_at is not None:
        return NextTasks()
    return _asked_again(status[-1], ordered, reviews, unreadable)


def _asked_again(last: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews, unreadable: frozenset[int]) -> NextTasks:
    """`last` is in conflict, and nothing later stands."""
    votes = _votes(last, attempts, reviews)
    if last.id not in unreadable and not votes:
        return NextTasks()
    kind, reviewers = (last.kind, last.reviewers) if last.id in unreadable else ("adjudication", 1)
    again = [task.id for task in attempts if task.attempt > last.attempt and task.kind == kind]
    if again:
        return NextTasks(reopen=(again[0],))
    attempt = max(task.attempt for task in attempts) + 1
    new = NewTask(last.question_id, kind, last.blind, last.position, last.passages, attempt, reviewers)
    return NextTasks(ask=new)


def resolve(runtime: Runtime, round_number: int) -> int:
    """How many questions of the round were asked again, now that reviews have come in or changed.

    Tasks on which people disagree are marked as conflicts, and no longer where that was mended. While the round is in
    review, what `moves` says is done. Doing it again changes nothing.
    """
    rules = rules_of(runtime)
    with runtime.database.write() as session:
        _mark_conflicts(session, round_number, rules)
        row = queries.round_(session, round_number)
        if not row.is_open or row.stage != "in_review":
            return 0
        todo = _all_moves(session, round_number, rules)
        store.withdraw_tasks(session, round_number, ids=[task_id for each in todo for task_id in each.withdraw])
        store.reopen_tasks(session, [task_id for each in todo for task_id in each.reopen])
        store.add_tasks(session, round_number, [each.ask for each in todo if each.ask is not None])
    return sum(bool(each.reopen) + (each.ask is not None) for each in todo)


def _all_moves(session: Session, round_number: int, rules: Rules) -> list[NextTasks]:
    """What follows for each question of a round, in id order."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    unreadable = frozenset(each.task_id for each in queries.conflicts(session, round_number=round_number))
    questions = by_question(queries.tasks(session, round_number=round_number))
    active = sorted(each.id for each in queries.questions(session, ids=questions))
    return [next_tasks(questions[question_id], reviews, rules, unreadable=unreadable) for question_id in active]


def by_question(tasks: Iterable[TaskRow]) -> dict[str, list[TaskRow]]:
    """Question id -> its tasks, in the order given."""
    found: dict[str, list[TaskRow]] = {}
    for task in tasks:
        found.setdefault(task.question_id, []).append(task)
    return found


def _mark_conflicts(session: Session, round_number: int, rules: Rules) -> None:
    """Sets the state of tasks in which people disagree, and settles those in which they did."""
    reviews = by_task(queries.reviews(session, round_number=round_number))
    disputed, mended = [], []
    for attempts in by_question(queries.tasks(session, round_number=round_number)).values():
        for task in attempts:
            if contested(task, attempts, reviews, rules):
                disputed += [task.id] if task.state != "conflict" else []
            elif task.state == "conflict":
                mended.append(task.id)
    store.mark_tasks(session, disputed, "conflict")
    store.settle_states(session, mended)


def _votes(task: TaskRow, attempts: Sequence[TaskRow], reviews: Reviews) -> list[ReviewRow]:
    """The reviews of a task that say something; of a third person's, only those by people who had no vote before."""
    votes = _votes_only(reviews.get(task.id, ()))
    if task.kind != "adjudication":
        return votes
    earlier = [other for other in attempts if other.attempt < task.attempt]
    heard = {vote.reviewer for other in earlier for vote in _votes_only(reviews.get(other.id, ()))}
    return [vote for vote in votes if vote.reviewer not in heard]


def _votes_only(reviews: Iterable[ReviewRow]) -> list[ReviewRow]:
    return [review for review in reviews if review.verdict != "skipped"]


def _word(votes: Sequence[ReviewRow], rules: Rules) -> ReviewRow | None:
    """What more than half of the votes say, by the one that stands for them; None where there is no such thing."""
    alike = [[other for other in votes if rules.agree(vote, other)] for vote in votes]
    largest = max(map(len, alike), default=0)
    if 2 * largest <= len(votes):
        return None
    return rules.first(rules.first(group) for group in alike if len(group) == largest)
