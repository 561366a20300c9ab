"""Labels: set and withdrawn by hand, bad questions, held-out passages, training sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from db import queries, store
from db.engine import Database
from db.errors import Conflict, NotFound, SpanConflict
from db.rows import NewReview, SpanRow
from tests.db.conftest import close, human, open_round, play_round, pseudo, span, task
from tests.db.steps import live


def test_a_pseudo_label_withdrawn_by_hand_is_never_written_or_restored_again(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("a", "p4"),))
        store.withdraw_label(session, "a", reviewer="kim", reason="wrong person")
        assert [row.id for row in queries.pool_to_predict(session)] == ["b", "c"]
        number = play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        store.revert(session, number)
        store.revert(session, number - 1)
    assert live(database) == {"b": ("pseudo", "Dov")}
    with database.write() as session:
        store.set_label(session, "a", [span("p4")], reviewer="kim")
        assert queries.question(session, "a").exclusion_reason is None


def test_a_bad_question_gets_no_pseudo_label(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        store.add_tasks(session, number, [task("a")])
        store.record_review(session, NewReview(queries.tasks(session)[0].id, "kim", "bad_question"))
        (review,) = queries.unrecorded_reviews(session)
        done = store.record_labels(
            session, number, human=[], pseudo=[pseudo("a")], reason="x", reviews=[review.id], bad_questions=["a"]
        )
        assert (done.pseudo, done.skipped) == (0, 1)
        assert queries.question(session, "a").exclusion_reason == "bad question, reviewed in round 1"
        assert queries.unrecorded_reviews(session) == []


def test_an_answer_or_a_withdrawn_review_lifts_the_exclusion_of_a_bad_question(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        store.record_labels(session, number, human=[], pseudo=[], reason="x", bad_questions=["a", "b"])
        store.record_labels(session, number, human=[human("a")], pseudo=[], reason="y", unsupported={"b": "taken back"})
        assert [queries.question(session, key).exclusion_reason for key in "ab"] == [None, None]


def test_reviews_do_not_lift_an_exclusion_by_hand(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        store.withdraw_label(session, "a", reviewer="kim", reason="wrong person")
        number = open_round(session).number
        store.record_labels(session, number, human=[], pseudo=[], reason="x", unsupported={"a": "taken back"})
        assert "wrong person" in str(queries.question(session, "a").exclusion_reason)


def test_a_label_without_a_supporting_review_is_never_restored(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        store.add_tasks(session, number, [task("a")])
        store.record_review(session, NewReview(queries.tasks(session)[0].id, "kim", "no_answer"))
        (review,) = queries.unrecorded_reviews(session)
        mine = [human("a", review_id=review.id), human("b")]
        store.record_labels(session, number, human=mine, pseudo=[], reason="x", reviews=[review.id])
        store.delete_review(session, review.id)
        assert [row.id for row in queries.outdated_reviews(session)] == [review.id]
        close(session, number, promoted=True)
        later = open_round(session).number
        gone = {"a": "its review was taken back", "b": "set by hand: not for a review to withdraw"}
        done = store.record_labels(session, later, human=[], pseudo=[], reason="y", unsupported=gone)
        assert done.withdrawn == 1
        store.revert(session, later, with_reviews=True)
        assert queries.outdated_reviews(session) == []
    assert live(database) == {"b": ("human", "Eve")}


def test_an_answer_in_a_held_out_passage_is_neither_trained_on_nor_exported(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        done = store.record_labels(session, number, human=[human("a", "p1")], pseudo=[pseudo("b", "p2")], reason="x")
        assert (done.pseudo, done.skipped) == (0, 1)
        (label,) = queries.live_labels(session, roles=["pool"])
        assert (label.question_id, label.train_weight, label.released) == ("a", 0.0, False)
        assert [row.question.id for row in queries.training_labels(session)] == ["g0"]
        assert [row.question.id for row in queries.exportable_labels(session, kinds=["gold", "human"])] == ["g0"]


@pytest.mark.parametrize(
    "wrong",
    [
        SpanRow("Eve", "p3", 0, 3),
        SpanRow("Dov", "p3", 1, 4),
        SpanRow("Dov", "nowhere", 0, 3),
        SpanRow("Dov", "p3", -28, 3),
        SpanRow("", "p3", 2, 2),
        SpanRow("door.!", "p3", 20, 26),
    ],
)
def test_an_answer_that_is_not_at_its_offset_is_refused_with_its_round(database: Database, wrong: SpanRow) -> None:
    labels = (human("a"), replace(human("b"), answers=(wrong,)))
    with pytest.raises(SpanConflict, match="'b'"), database.write() as session:
        play_round(session, human_labels=labels)
    with database.read() as session:
        assert [row.number for row in queries.rounds(session)] == [0]
    assert live(database) == {}


def test_a_passage_that_no_longer_contains_its_answer_stops_training(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE passages SET text = 'Bea wrote the first program.' WHERE id = 'p0'"))
    with pytest.raises(SpanConflict, match="'g0'"), database.read() as session:
        queries.training_labels(session)


def test_labels_go_to_the_canonical_question_only(database: Database) -> None:
    with pytest.raises(Conflict, match="duplicate of 'a'"), database.write() as session:
        store.set_label(session, "a2", [span("p3")], reviewer="kim")


def test_two_labels_for_one_question_at_once_are_a_conflict(database: Database) -> None:
    with pytest.raises(Conflict, match="two labels"), database.write() as session:
        play_round(session, human_labels=(human("a"), human("a", "p3")))


def test_a_no_answer_by_hand_keeps_the_passages_shown(database: Database) -> None:
    with database.write() as session:
        store.set_label(session, "a", [], reviewer="kim", passages=["p3", "p1"])
        rows = {row.question.id: row for row in queries.training_labels(session)}
    assert rows["a"].label.no_answer
    assert list(rows["a"].passages) == ["p3"]  # p1 belongs to a dev question and never trains


def test_withdrawing_a_missing_label_names_the_question(database: Database) -> None:
    with pytest.raises(NotFound, match="'a' has no live label"), database.write() as session:
        store.withdraw_label(session, "a", reviewer="kim", reason="x")
    with pytest.raises(NotFound, match="'nobody' is not stored"), database.write() as session:
        store.withdraw_label(session, "nobody", reviewer="kim", reason="x")


def test_the_training_set_of_a_round_is_fixed_before_training(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        store.record_labels(
            session, number, human=[human("b")], pseudo=[pseudo("a"), pseudo("c", weight=0)], reason="x"
        )
        assert store.freeze_training(session, number) == 3
        before = queries.training_rows(session, number)
        store.withdraw_label(session, "a", reviewer="kim", reason="late")
        after = queries.training_rows(session, number)
        counts = queries.training_counts(session, number)
    assert queries.training_sha256(after) == queries.training_sha256(before)
    assert counts == {("gold", True, False): 1, ("human", True, False): 1, ("pseudo", False, False): 1}
    assert [(row.question.id, row.weight) for row in after] == [("a", 0.5), ("b", 1.0), ("g0", 1.0)]
    assert [row.label.answers for row in after] == [row.label.answers for row in before]
    with pytest.raises(Conflict, match="fixed already"), database.write() as session:
        store.freeze_training(session, number)


def test_the_first_round_cannot_be_reverted_nor_any_round_twice(database: Database) -> None:
    with pytest.raises(Conflict, match="baseline"), database.write() as session:
        store.revert(session, 0)
    with database.write() as session:
        store.revert(session, play_round(session))
    with pytest.raises(Conflict, match="reverted already"), database.write() as session:
        store.revert(session, 1)
    with pytest.raises(NotFound, match="no round 7"), database.write() as session:
        store.revert(session, 7)
