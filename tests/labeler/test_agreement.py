"""Several reviewers on one question: agreement, consensus, and the tasks that follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from db.rows import NewTask, ReviewRow, SpanRow, TaskRow
from labeler.review.agreement import AnswerMatcher, by_task, krippendorff_alpha, measure_agreement, span_f1
from labeler.review.consensus import consensus, is_contested
from labeler.review.follow_up import NextTasks, next_tasks

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KOREAN = AnswerMatcher("korquad", "ko")
ENGLISH = AnswerMatcher("squad", "en")


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


def review(
    reviewer: str, answer: str | None = None, *, verdict: str = "answerable", on: int = 0, **more: Any
) -> ReviewRow:
    """A review of the task of attempt `on`; the answer begins at `start` of `passage`."""
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


def reviewer_that_counts(tasks: list[TaskRow], *reviews: ReviewRow) -> str | None:
    """The reviewer of the consensus; None where there is none."""
    found = consensus(tasks, by_task(reviews), KOREAN)
    return None if found is None else found.reviewer


@pytest.mark.parametrize(
    ("a", "b", "matcher", "same"),
    [
        (review("a", "서울"), review("b", "서울은"), KOREAN, True),
        (review("a", "서울"), review("b", "서울시"), KOREAN, False),
        (review("a", "서울"), review("b", "서울은"), ENGLISH, False),
        (review("a", "‘춘향전’을"), review("b", "춘향전"), KOREAN, True),
        (review("a", "the Mill."), review("b", "mill"), ENGLISH, True),
        (review("a", "mill", passage="p1"), review("b", "mill", passage="p2"), ENGLISH, True),
        (review("a", verdict="no_answer"), review("b", verdict="no_answer"), ENGLISH, True),
        (review("a", verdict="no_answer"), review("b", verdict="bad_question"), ENGLISH, False),
        (review("a", "mill"), review("b", verdict="no_answer"), ENGLISH, False),
    ],
)
def test_reviews_agree_on_verdict_and_normalised_answer_and_in_korean_regardless_of_a_particle(
    a: ReviewRow, b: ReviewRow, matcher: AnswerMatcher, same: bool
) -> None:
    assert matcher.same(a, b) is matcher.same(b, a) is same


def test_span_f1_counts_shared_characters_within_one_passage() -> None:
    whole, part = review("a", "서울특별시", start=10), review("b", "서울", start=10)
    assert span_f1(whole, part) == 2 * 2 / (5 + 2)
    assert span_f1(whole, review("b", "서울특별시", start=10, passage="p2")) == 0
    assert span_f1(whole, review("b", "서울특별시", start=15)) == 0
    assert span_f1(whole, review("b", verdict="no_answer")) == 0


def test_agreement_is_measured_over_pairs_of_reviews_of_one_task_without_skips() -> None:
    found = measure_agreement(
        [
            review("a", "서울"), review("b", "서울은"), review("c", verdict="skipped"),
            review("a", "바다", on=1), review("b", verdict="no_answer", on=1),
            review("a", "강", on=2),
        ],
        KOREAN,
    )  # fmt: skip
    assert (found.pairs, found.verdict, found.exact, found.span_f1) == (2, 1 / 2, 1 / 2, 2 * 2 / (2 + 3))
    assert (
        found.verdict_alpha == 0
    )  # one pair agrees, one does not; of 4 votes 3 name one verdict: chance agrees as often
    assert measure_agreement([review("a", "강")], KOREAN).exact is None


def test_krippendorffs_alpha_corrects_agreement_for_chance() -> None:
    # 3 items by 2 annotators each: yes yes, no no, yes no; 6 ratings, 3 yes and 3 no.
    # Observed disagreement 2 of 6 ratings; expected 2 * 3 * 3 of 6 * 5 pairs; alpha = 1 - (2 / 6) / (18 / 30).
    items = [("yes", "yes"), ("no", "no"), ("yes", "no"), ("yes",)]  # the last one has a single rating: no pair
    assert krippendorff_alpha(items) == pytest.approx(1 - (2 / 6) / (18 / 30))
    assert krippendorff_alpha([("yes", "yes"), ("no", "no")]) == 1
    assert krippendorff_alpha([("yes", "yes")]) is None  # chance would agree always
    assert krippendorff_alpha([("yes",)]) is None


@pytest.mark.parametrize(
    ("reviews", "who"),
    [
        ([review("a", "강")], "a"),
        ([review("a", verdict="skipped")], "a"),
        ([review("a", verdict="skipped"), review("b", "강")], "b"),
        ([review("a", "서울은"), review("b", "서울")], "b"),  # the shorter
        ([review("b", "강", start=7), review("a", "강", start=9)], "b"),  # the first in the passage
        ([review("b", "강", id=1), review("a", "강", id=2)], "a"),  # not the first that came in
        ([review("a", "강"), review("b", "산")], None),
        ([review("a", "강"), review("b", "산"), review("c", "강은")], "a"),  # two of three
        ([review("a", "강"), review("b", "산"), review("c", "들")], None),
        ([review("a", "강"), review("b", "강"), review("c", "산"), review("d", "산")], None),
        ([review("a", "강"), review("b", verdict="bad_question"), review("c", verdict="bad_question")], "b"),
        ([], None),
    ],
)
def test_a_majority_is_represented_by_its_shortest_answer_and_without_a_majority_nothing_counts(
    reviews: list[ReviewRow], who: str | None
) -> None:
    assert reviewer_that_counts([task(reviewers=2)], *reviews) == who
    assert reviewer_that_counts([task(reviewers=2)], *reversed(reviews)) == who


def test_an_adjudicator_who_has_not_voted_before_decides_alone() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication")]
    pair = (review("a", "강"), review("b", "산"))
    assert reviewer_that_counts(tasks, *pair, review("c", "들", on=1)) == "c"
    assert reviewer_that_counts(tasks, *pair, review("b", "산", on=1)) is None  # one of the two
    assert reviewer_that_counts(tasks, *pair, review("b", "산", on=1), review("c", "산", on=1)) == "c"
    assert reviewer_that_counts(tasks, *pair, review("c", verdict="skipped", on=1)) is None


def test_the_repeated_task_counts_and_the_task_with_an_unreadable_annotation_does_not() -> None:
    tasks = [task(state="conflict", reviewers=2), task(1)]
    assert reviewer_that_counts(tasks, review("a", "강"), review("b", "산", on=1)) == "b"
    assert reviewer_that_counts(tasks, review("a", "강")) is None  # the other annotation of its task cannot be read


# --- the tasks that follow ------------------------------------------------------------------------


def following(tasks: list[TaskRow], *reviews: ReviewRow, unreadable: tuple[int, ...] = ()) -> NextTasks:
    return next_tasks(tasks, by_task(reviews), KOREAN, unreadable=frozenset(unreadable))


PAIR = (review("a", "강"), review("b", "산"))


def test_a_disagreement_goes_to_one_adjudicator_who_sees_the_same_task() -> None:
    new = following([task(state="conflict", reviewers=2)], *PAIR).new
    assert new == NewTask("q", "adjudication", blind=False, position=4, passages=("p1", "p2"), attempt=1, reviewers=1)


def test_a_task_with_an_unreadable_annotation_is_repeated_as_it_was() -> None:
    new = following([task(state="conflict", reviewers=2)], unreadable=(10,)).new
    assert new == NewTask("q", "uncertain", blind=False, position=4, passages=("p1", "p2"), attempt=1, reviewers=2)


def test_no_second_adjudication_task_is_made() -> None:
    for state in ("open", "done", "skipped"):
        assert following([task(state="conflict"), task(1, kind="adjudication", state=state)], *PAIR).new is None


def test_a_question_stays_in_conflict_when_one_of_the_two_adjudicates() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication", state="conflict")]
    reviews = (*PAIR, review("b", "산", on=1))
    assert is_contested(tasks[1], tasks, by_task(reviews), KOREAN)
    assert following(tasks, *reviews) == NextTasks()


def test_a_resolved_conflict_withdraws_its_adjudication_task_unless_that_was_answered() -> None:
    resolved = (review("a", "강"), review("b", "강은"))
    assert following([task(), task(1, kind="adjudication", state="open")], *resolved) == NextTasks(withdraw=(11,))
    assert following([task(), task(1, kind="adjudication")], *resolved, review("c", "산", on=1)) == NextTasks()


def test_a_conflict_that_returns_reopens_its_withdrawn_adjudication_task() -> None:
    tasks = [task(state="conflict"), task(1, kind="adjudication", state="withdrawn", withdrawn_at=NOW)]
    assert following(tasks, *PAIR) == NextTasks(reopen=(11,))


def test_a_task_withdrawn_with_its_round_is_not_repeated() -> None:
    assert following([task(state="conflict", withdrawn_at=NOW)], *PAIR) == NextTasks()
    assert following([task(state="withdrawn", withdrawn_at=NOW)]) == NextTasks()


def test_of_two_open_tasks_the_one_with_a_review_is_kept() -> None:
    tasks = [task(state="open", reviewers=2), task(1, state="open", reviewers=2)]
    assert following(tasks) == NextTasks(withdraw=(11,))
    assert following(tasks, review("a", "강", on=1)) == NextTasks(withdraw=(10,))
