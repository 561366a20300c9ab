"""Two people on one question: when they agree, whose word counts, and what is asked again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from db.rows import NewTask, ReviewRow, SpanRow, TaskRow
from labeler.review.agreement import NextTasks, Rules, agreement, by_task, consensus, contested, next_tasks, span_f1

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KOREAN = Rules("korquad", "ko")
ENGLISH = Rules("squad", "en")


def task(attempt: int = 0, *, kind: str = "uncertain", state: str = "done", **more: Any) -> TaskRow:
    """The task of one attempt; its id is 10 plus the attempt."""
    fields: dict[str, Any] = {
        "id": 10 + attempt,
        "round_number": 1,
        "question_id": "q",
        "kind": kind,
        "blind": False,
        "position": 4,
        "passages": ("p1", "p2"),
        "attempt": attempt,
        "reviewers": 1,
        "state": state,
        "created_at": NOW,
        "withdrawn_at": None,
    }
    return TaskRow(**(fields | more))


def said(
    reviewer: str, answer: str | None = None, *, verdict: str = "answerable", on: int = 0, **more: Any
) -> ReviewRow:
    """A review of the task of attempt `on`; the answer stands at `start` of `passage`."""
    start = more.get("start", 0)
    span = None if answer is None else SpanRow(answer, more.get("passage", "p1"), start, start + len(answer))
    return ReviewRow(
        id=more.get("id", ord(reviewer[0])),
        task_id=10 + on,
        round_number=1,
        question_id="q",
        reviewer=reviewer,
        verdict=verdict if answer is None else "answerable",
        answer=span,
        origin=None,
        seconds=None,
        comment=None,
        passages=("p1", "p2"),
        created_at=NOW,
        superseded_at=None,
        deleted_at=None,
        recorded_in=None,
        source=None,
    )


def counted(tasks: list[TaskRow], *reviews: ReviewRow, rules: Rules = KOREAN) -> str | None:
    """Who speaks."""
    word = consensus(tasks, by_task(reviews), rules)
    return None if word is None else word.reviewer


@pytest.mark.parametrize(
    ("a", "b", "rules", "same"),
    [
        (said("a", "서울"), said("b", "서울은"), KOREAN, True),
        (said("a", "서울"), said("b", "서울시"), KOREAN, False),
        (said("a", "서울"), said("b", "서울은"), ENGLISH, False),
        (said("a", "‘춘향전’을"), said("b", "춘향전"), KOREAN, True),
        (said("a", "the Mill."), said("b", "mill"), ENGLISH, True),
        (said("a", "mill", passage="p1"), said("b", "mill", passage="p2"), ENGLISH, True),
        (said("a", verdict="no_answer"), said("b", verdict="no_answer"), ENGLISH, True),
        (said("a", verdict="no_answer"), said("b", verdict="bad_question"), ENGLISH, False),
        (said("a", "mill"), said("b", verdict="no_answer"), ENGLISH, False),
    ],
)
def test_people_agree_on_verdict_and_text_a_particle_more_or_less(
    a: ReviewRow, b: ReviewRow, rules: Rules, same: bool
) -> None:
    assert rules.agree(a, b) is rules.agree(b, a) is same


def test_spans_overlap_by_code_points_of_one_passage() -> None:
    whole, part = said("a", "서울특별시", start=10), said("b", "서울", start=10)
    assert span_f1(whole, part) == 2 * 2 / (5 + 2)
    assert span_f1(whole, said("b", "서울특별시", start=10, passage="p2")) == 0
    assert span_f1(whole, said("b", "서울특별시", start=15)) == 0
    assert span_f1(whole, said("b", verdict="no_answer")) == 0


def test_agreement_is_over_pairs_of_one_task_and_skips_are_no_votes() -> None:
    found = agreement(
        [
            said("a", "서울"), said("b", "서울은"), said("c", verdict="skipped"),
            said("a", "바다", on=1), said("b", verdict="no_answer", on=1),
            said("a", "강", on=2),
        ],
        KOREAN,
    )  # fmt: skip
    assert (found.pairs, found.verdict, found.exact, found.span_f1) == (2, 1 / 2, 1 / 2, 2 * 2 / (2 + 3))
    assert agreement([said("a", "강")], KOREAN).exact is None


@pytest.mark.parametrize(
    ("reviews", "who"),
    [
        ([said("a", "강")], "a"),
        ([said("a", verdict="skipped")], "a"),
        ([said("a", verdict="skipped"), said("b", "강")], "b"),
        ([said("a", "서울은"), said("b", "서울")], "b"),  # the shorter
        ([said("b", "강", start=7), said("a", "강", start=9)], "b"),  # the first in the passage
        ([said("b", "강", id=1), said("a", "강", id=2)], "a"),  # not the first that came in
        ([said("a", "강"), said("b", "산")], None),
        ([said("a", "강"), said("b", "산"), said("c", "강은")], "a"),  # two of three
        ([said("a", "강"), said("b", "산"), said("c", "들")], None),
        ([said("a", "강"), said("b", "강"), said("c", "산"), said("d", "산")], None),
        ([said("a", "강"), said("b", verdict="bad_question"), said("c", verdict="bad_question")], "b"),
        ([], None),
    ],
)
def test_one_review_of_those_that_agree_speaks_and_none_of_those_that_do_not(
    reviews: list[ReviewRow], who: str | None
) -> None:
    assert counted([task(reviewers=2)], *reviews) == who
    assert counted([task(reviewers=2)], *reversed(reviews)) == who


def test_a_third_person_decides_whatever_they_say() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication")]
    pair = (said("a", "강"), said("b", "산"))
    assert counted(tasks, *pair, said("c", "들", on=1)) == "c"
    assert counted(tasks, *pair, said("b", "산", on=1)) is None  # one of the two
    assert counted(tasks, *pair, said("b", "산", on=1), said("c", "산", on=1)) == "c"
    assert counted(tasks, *pair, said("c", verdict="skipped", on=1)) is None


def test_what_was_asked_again_counts_and_an_unreadable_annotation_does_not() -> None:
    tasks = [task(state="conflict", reviewers=2), task(1)]
    assert counted(tasks, said("a", "강"), said("b", "산", on=1)) == "b"
    assert counted(tasks, said("a", "강")) is None  # beside it stands one that nobody can read


# --- what is asked again --------------------------------------------------------------------------


def told(tasks: list[TaskRow], *reviews: ReviewRow, unreadable: tuple[int, ...] = ()) -> NextTasks:
    return next_tasks(tasks, by_task(reviews), KOREAN, unreadable=frozenset(unreadable))


PAIR = (said("a", "강"), said("b", "산"))


def test_a_disagreement_goes_to_one_third_person_in_the_same_form() -> None:
    asked = told([task(state="conflict", reviewers=2)], *PAIR).ask
    assert asked == NewTask("q", "adjudication", blind=False, position=4, passages=("p1", "p2"), attempt=1, reviewers=1)


def test_an_unreadable_annotation_is_asked_for_again_as_it_was() -> None:
    asked = told([task(state="conflict", reviewers=2)], unreadable=(10,)).ask
    assert asked == NewTask("q", "uncertain", blind=False, position=4, passages=("p1", "p2"), attempt=1, reviewers=2)


def test_nothing_is_asked_twice() -> None:
    for state in ("open", "done", "skipped"):
        assert told([task(state="conflict"), task(1, kind="adjudication", state=state)], *PAIR).ask is None


def test_a_third_task_answered_by_one_of_the_two_asks_nobody_for_ever() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication", state="conflict")]
    reviews = (*PAIR, said("b", "산", on=1))
    assert contested(tasks[1], tasks, by_task(reviews), KOREAN)
    assert told(tasks, *reviews) == NextTasks()


def test_a_mended_conflict_takes_back_what_was_asked_again_unless_it_was_answered() -> None:
    mended = (said("a", "강"), said("b", "강은"))
    assert told([task(), task(1, kind="adjudication", state="open")], *mended) == NextTasks(withdraw=(11,))
    assert told([task(), task(1, kind="adjudication")], *mended, said("c", "산", on=1)) == NextTasks()


def test_a_conflict_that_comes_back_reopens_what_was_withdrawn() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication", state="withdrawn", withdrawn_at=NOW)]
    assert told(tasks, *PAIR) == NextTasks(reopen=(11,))


def test_a_task_that_was_withdrawn_with_its_round_is_not_asked_again() -> None:
    assert told([task(state="conflict", withdrawn_at=NOW)], *PAIR) == NextTasks()
    assert told([task(state="withdrawn", withdrawn_at=NOW)]) == NextTasks()


def test_of_two_open_tasks_the_one_that_somebody_began_is_kept() -> None:
    tasks = [task(state="open", reviewers=2), task(1, state="open", reviewers=2)]
    assert told(tasks) == NextTasks(withdraw=(11,))
    assert told(tasks, said("a", "강", on=1)) == NextTasks(withdraw=(10,))
