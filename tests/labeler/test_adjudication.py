"""Adjudication: which labels follow from reviews, and which labels lose theirs. Reviews are written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db import queries, store
from db.rows import NewLabel, NewReview, NewTask, ReviewRow, SpanRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.review.agreement import AnswerMatcher
from labeler.rounds.adjudication import Adjudication, adjudicate, consensus_of_round
from tests.reviewing import ORDER, TEXTS, round_in_review
from tests.worlds import at

MATCHER = AnswerMatcher("squad", "en")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Round 0 in review: q1, q3 and q4 are asked of one reviewer, q2 of two."""
    round_in_review(tmp_path / "ws")
    with at(tmp_path / "ws") as opened:
        yield opened


def task_of(runtime: Runtime, question_id: str, number: int = 0) -> TaskRow:
    with runtime.database.read() as session:
        tasks = queries.tasks(session, round_number=number)
    return next(task for task in tasks if task.question_id == question_id)


def review(
    runtime: Runtime,
    question_id: str,
    verdict: str = "answerable",
    answer: str = "",
    *,
    by: str = "kim",
    number: int = 0,
) -> int:
    """The id of a new review; `answer` is a word of any passage."""
    span = None
    if answer:
        passage = next(key for key, text in TEXTS.items() if answer in text)
        start = TEXTS[passage].index(answer)
        span = SpanRow(answer, passage, start, start + len(answer))
    task = task_of(runtime, question_id, number)
    with runtime.database.write() as session:
        store.record_review(session, NewReview(task.id, by, verdict, span, source="terminal"))
    return next(each.id for each in reviews(runtime) if (each.task_id, each.reviewer) == (task.id, by))


def reviews(runtime: Runtime) -> list[ReviewRow]:
    with runtime.database.read() as session:
        return queries.reviews(session)


def adjudicated(runtime: Runtime) -> Adjudication:
    with runtime.database.read() as session:
        return adjudicate(session, MATCHER)


def record(runtime: Runtime, number: int = 0) -> Adjudication:
    """Write what follows from the reviews, as a round's labelling does."""
    with runtime.database.write() as session:
        found = adjudicate(session, MATCHER)
        human = [
            NewLabel(
                each.question_id,
                answers=(each.answer,) if each.answer else (),
                no_answer=each.answer is None,
                passages=each.passages if each.answer is None else None,
                reviewer=each.reviewer,
                review_id=each.id,
            )
            for each in found.labels
        ]
        store.record_labels(
            session,
            number,
            human=human,
            pseudo=[],
            reason="labelled",
            reviews=found.considered,
            bad_questions=found.bad_questions,
            unsupported=found.unsupported,
            waiting=found.waiting,
        )
    return found


def next_round(runtime: Runtime, *questions: str) -> int:
    """The number of a new round in review that asks these questions of one reviewer each."""
    with runtime.database.write() as session:
        before = queries.current_round(session)
        if before is not None:
            store.advance(session, before.number, "in_review", "closed", promoted=False)
        row = store.open_round(session, "loop", config={}, seed=1, code_version="test", reviewer="people")
        tasks = [NewTask(key, "random", True, place, ORDER) for place, key in enumerate(questions)]
        store.add_tasks(session, row.number, tasks)
        store.advance(session, row.number, "open", "in_review")
    return row.number


def labelled(found: Adjudication) -> dict[str, str]:
    """Question id -> answer; empty for no_answer."""
    return {each.question_id: each.answer.text if each.answer else "" for each in found.labels}


# --- first reviews --------------------------------------------------------------------------------


def test_answers_and_no_answers_make_labels_in_the_order_of_their_reviews(runtime: Runtime) -> None:
    given = [review(runtime, "q3", answer="Dunmor"), review(runtime, "q1", "no_answer")]
    found = adjudicated(runtime)
    assert [each.id for each in found.labels] == given == list(found.considered)
    assert labelled(found) == {"q3": "Dunmor", "q1": ""}
    assert found.decided == {"q1", "q3"}
    assert (found.bad_questions, found.unsupported, found.waiting) == ((), {}, ())


def test_a_skip_is_considered_and_decides_nothing(runtime: Runtime) -> None:
    skip = review(runtime, "q1", "skipped")
    assert adjudicated(runtime) == Adjudication(considered=(skip,))


def test_a_bad_question_is_excluded_and_needs_no_further_review(runtime: Runtime) -> None:
    bad = review(runtime, "q1", "bad_question")
    found = adjudicated(runtime)
    assert found == Adjudication(considered=(bad,), bad_questions=("q1",))
    assert found.decided == {"q1"}


def test_reviewers_who_agree_make_one_label(runtime: Runtime) -> None:
    one = review(runtime, "q2", answer="Ilvane", by="kim")
    two = review(runtime, "q2", answer="Ilvane", by="lee")
    found = adjudicated(runtime)
    assert found.considered == (one, two)
    assert labelled(found) == {"q2": "Ilvane"}


def test_reviewers_who_disagree_wait_for_an_adjudicator(runtime: Runtime) -> None:
    review(runtime, "q2", answer="Ilvane", by="kim")
    review(runtime, "q2", answer="Korr", by="lee")
    assert adjudicated(runtime) == Adjudication(), "nothing is considered, and no label of theirs is lost"


def test_the_consensus_of_a_round_leaves_out_disagreements(runtime: Runtime) -> None:
    given = [review(runtime, "q4", "no_answer"), review(runtime, "q1", answer="1921")]
    review(runtime, "q2", answer="Ilvane", by="kim")
    review(runtime, "q2", answer="Korr", by="lee")
    with runtime.database.read() as session:
        found = consensus_of_round(session, 0, MATCHER)
        assert [each.id for each in found] == given
        assert consensus_of_round(session, 1, MATCHER) == []


# --- after labels were recorded -------------------------------------------------------------------


def test_recorded_reviews_change_nothing_again(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    review(runtime, "q3", "bad_question")
    review(runtime, "q4", "skipped")
    record(runtime)
    assert adjudicated(runtime) == Adjudication()


def test_an_edited_review_makes_a_new_label(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    record(runtime)
    edited = review(runtime, "q1", answer="Ilvane")
    found = adjudicated(runtime)
    assert (found.considered, labelled(found)) == ((edited,), {"q1": "Ilvane"})
    assert found.unsupported == {}, "the new label replaces the old one"
    record(runtime)
    assert adjudicated(runtime) == Adjudication()


def test_a_review_that_becomes_a_skip_leaves_its_label_unsupported(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    record(runtime)
    skip = review(runtime, "q1", "skipped")
    assert adjudicated(runtime) == Adjudication((skip,), unsupported={"q1": "its review was taken back"})
    record(runtime)
    assert adjudicated(runtime) == Adjudication()


def test_a_review_that_becomes_a_bad_question_leaves_its_label_unsupported(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    record(runtime)
    bad = review(runtime, "q1", "bad_question")
    why = {"q1": "its review became: bad question"}
    assert adjudicated(runtime) == Adjudication((bad,), bad_questions=("q1",), unsupported=why)


def test_a_deleted_review_leaves_its_label_unsupported(runtime: Runtime) -> None:
    given = review(runtime, "q1", answer="1921")
    record(runtime)
    with runtime.database.write() as session:
        store.delete_review(session, given)
    assert adjudicated(runtime) == Adjudication(unsupported={"q1": "its review was taken back"})


def test_reviewers_who_disagree_later_leave_their_label_unsupported_and_wait(runtime: Runtime) -> None:
    review(runtime, "q2", answer="Ilvane", by="kim")
    lee = review(runtime, "q2", answer="Ilvane", by="lee")
    record(runtime)
    kim = review(runtime, "q2", answer="Korr", by="kim")
    found = adjudicated(runtime)
    assert found == Adjudication(unsupported={"q2": "its reviewers disagree"}, waiting=(lee, kim))
    assert not found.decided
    record(runtime)
    review(runtime, "q2", answer="Ilvane", by="kim")
    assert labelled(adjudicated(runtime)) == {"q2": "Ilvane"}


def test_a_late_review_that_disagrees_leaves_the_label_unsupported(runtime: Runtime) -> None:
    kim = review(runtime, "q2", answer="Ilvane", by="kim")
    with runtime.database.write() as session:
        store.withdraw_tasks(session, 0)  # one answer of two counts
    assert labelled(record(runtime)) == {"q2": "Ilvane"}
    lee = review(runtime, "q2", answer="Korr", by="lee")
    assert adjudicated(runtime) == Adjudication(unsupported={"q2": "its reviewers disagree"}, waiting=(kim, lee))


def test_a_bad_question_stays_excluded_when_only_its_comment_changes(runtime: Runtime) -> None:
    review(runtime, "q1", "bad_question")
    record(runtime)
    task = task_of(runtime, "q1")
    with runtime.database.write() as session:
        store.record_review(session, NewReview(task.id, "kim", "bad_question", comment="typo", source="terminal"))
    (edited,) = (each.id for each in reviews(runtime) if each.task_id == task.id)
    assert adjudicated(runtime).considered == (edited,)
    record(runtime)
    assert adjudicated(runtime) == Adjudication()


def test_a_bad_question_that_is_taken_back_is_no_longer_excluded(runtime: Runtime) -> None:
    given = review(runtime, "q1", "bad_question")
    record(runtime)
    with runtime.database.write() as session:
        store.delete_review(session, given)
    assert adjudicated(runtime).unsupported == {"q1": "its review was taken back"}
    record(runtime)
    with runtime.database.read() as session:
        assert queries.question(session, "q1").exclusion_reason is None


# --- several rounds -------------------------------------------------------------------------------


def test_the_newest_round_with_a_vote_counts(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    record(runtime)
    number = next_round(runtime, "q1")
    review(runtime, "q1", "no_answer", by="lee", number=number)
    assert labelled(record(runtime, number)) == {"q1": ""}


def test_a_skip_in_a_later_round_leaves_the_earlier_answer(runtime: Runtime) -> None:
    review(runtime, "q1", answer="1921")
    record(runtime)
    number = next_round(runtime, "q1")
    skip = review(runtime, "q1", "skipped", by="lee", number=number)
    assert adjudicated(runtime) == Adjudication(considered=(skip,)), "the recorded label stays"


def test_a_late_review_of_an_earlier_round_does_not_outvote_a_later_one(runtime: Runtime) -> None:
    number = next_round(runtime, "q1")
    review(runtime, "q1", answer="1921", number=number)
    record(runtime, number)
    late = review(runtime, "q1", "no_answer", by="lee", number=0)
    assert adjudicated(runtime) == Adjudication(considered=(late,))


def test_reviews_recorded_in_a_reverted_round_do_not_vote(runtime: Runtime) -> None:
    number = next_round(runtime, "q1")
    review(runtime, "q1", answer="1921", number=number)
    record(runtime, number)
    with runtime.database.write() as session:
        store.revert(session, number, with_reviews=True)
    late = review(runtime, "q1", "no_answer", by="lee", number=number)
    found = adjudicated(runtime)
    assert (found.considered, labelled(found)) == ((late,), {"q1": ""})
