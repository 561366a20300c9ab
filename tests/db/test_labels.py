"""Labels over several rounds: replaced, refused, reverted, restored; people's labels outlive all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from db import queries, store
from db.engine import Database
from db.errors import Conflict, DbError, NotFound, SpanConflict
from db.rows import LabelRow, NewLabel, NewReview, SpanRow
from db.tables import LABELS
from tests.db.conftest import WORLD, Backend, close, human, open_round, play_round, pseudo, question, span, task


def live(database: Database) -> dict[str, tuple[str, str]]:
    """Kind and answer of the live label of each pool question."""
    with database.read() as session:
        labels = queries.live_labels(session, roles=["pool"])
        return {row.question_id: (row.kind, row.answers[0].text if row.answers else "") for row in labels}


def newest(database: Database, question_id: str) -> LabelRow:
    with database.read() as session:
        return queries.labels(session, question_id=question_id)[-1]


def test_a_rounds_labels_carry_their_provenance(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),), human_labels=(human("b"),))
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("human", "Eve")}
    label = newest(database, "a")
    assert (label.round_number, label.written_by, label.model_id, label.origin) == (1, 1, 1, "round")
    assert (label.index_fingerprint, label.calibrator_id, label.confidence, label.threshold) == ("index-1", 1, 0.9, 0.8)


def test_each_round_replaces_all_pseudo_labels_of_earlier_ones(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("b", "p4"),))
    assert live(database) == {"b": ("pseudo", "Eve")}
    label = newest(database, "b")
    with database.read() as session:
        old = queries.labels(session, question_id="b")[0]
    assert (label.parent_id, old.withdrawn_by, old.withdrawal_reason) == (old.id, 2, "round 2")


def test_a_human_label_replaces_a_pseudo_label_and_names_it_as_parent(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        play_round(session, human_labels=(human("a"),))
    with database.read() as session:
        first, second = queries.labels(session, question_id="a")
    assert (first.live, second.live, second.parent_id, second.reviewer) == (False, True, first.id, "kim")


def test_a_pseudo_label_never_replaces_a_human_one(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        done = store.record_labels(session, number, human=[human("a")], pseudo=[pseudo("a"), pseudo("b")], reason="x")
    assert (done.human, done.pseudo, done.skipped) == (1, 1, 1)
    assert live(database) == {"a": ("human", "Eve"), "b": ("pseudo", "Dov")}


def test_a_refused_round_gives_back_the_labels_it_replaced(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("a", "p4"), pseudo("c")), promoted=False)
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("pseudo", "Dov")}
    label = newest(database, "a")
    assert (label.origin, label.round_number, label.written_by, label.confidence) == ("restored", 1, 2, 0.9)


def test_promote_refuse_refuse_revert_ends_where_it_began(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("a", "p4"),), promoted=False)
        play_round(session, pseudo_labels=(pseudo("b", "p4"),), promoted=False)
        done = store.revert(session, 2)
    assert done.rounds == (2, 3)
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("pseudo", "Dov")}
    with database.write() as session:
        store.revert(session, 1)
    assert live(database) == {}


def test_reverting_promoted_rounds_restores_what_was_live_before_the_first_of_them(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        play_round(session, pseudo_labels=(pseudo("a", "p4"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("c"),))
        store.revert(session, 2)
        best = queries.best_model(session)
        last = queries.last_round(session)
        assert best is not None
        assert last is not None
        assert (best.hash, last.number, queries.next_round_number(session)) == ("model-1", 1, 4)
    assert live(database) == {"a": ("pseudo", "Dov")}


def test_a_human_label_that_came_in_between_survives_and_blocks_the_restored_one(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, human_labels=(human("a"),), promoted=False)
        store.set_label(session, "b", [span("p4")], reviewer="lee")
        play_round(session, promoted=False)
        store.revert(session, 2)
    assert live(database) == {"a": ("human", "Eve"), "b": ("human", "Eve")}


def test_reverting_with_reviews_gives_back_what_they_replaced(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),), human_labels=(human("b", "p3"),))
        play_round(session, human_labels=(human("a"), human("b"), human("c")))
        done = store.revert(session, 2, with_reviews=True)
    assert (done.labels, done.restored) == (3, 2)
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("human", "Dov")}


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


def test_a_bad_question_that_is_answered_after_all_is_excluded_no_more(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        store.record_labels(session, number, human=[], pseudo=[], reason="x", bad_questions=["a", "b"])
        store.record_labels(session, number, human=[human("a")], pseudo=[], reason="y", unsupported={"b": "taken back"})
        assert [queries.question(session, key).exclusion_reason for key in "ab"] == [None, None]


def test_what_people_excluded_by_hand_is_not_readmitted_by_a_review(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),))
        store.withdraw_label(session, "a", reviewer="kim", reason="wrong person")
        number = open_round(session).number
        store.record_labels(session, number, human=[], pseudo=[], reason="x", unsupported={"a": "taken back"})
        assert "wrong person" in str(queries.question(session, "a").exclusion_reason)


def test_a_label_that_no_review_stands_behind_is_gone_for_good(database: Database) -> None:
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


def test_an_answer_in_a_guarded_passage_never_teaches_or_leaves(database: Database) -> None:
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
def test_an_answer_that_does_not_stand_at_its_offset_is_refused_whole(database: Database, wrong: SpanRow) -> None:
    labels = (human("a"), replace(human("b"), answers=(wrong,)))
    with pytest.raises(SpanConflict, match="'b'"), database.write() as session:
        play_round(session, human_labels=labels)
    with database.read() as session:
        assert [row.number for row in queries.rounds(session)] == [0]
    assert live(database) == {}


def test_a_stored_span_that_no_longer_reads_its_answer_stops_training(database: Database) -> None:
    from sqlalchemy import text

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


def test_no_answer_by_hand_keeps_the_passages_shown(database: Database) -> None:
    with database.write() as session:
        store.set_label(session, "a", [], reviewer="kim", passages=["p3", "p1"])
        rows = {row.question.id: row for row in queries.training_labels(session)}
    assert rows["a"].label.no_answer
    assert list(rows["a"].passages) == ["p3"]  # p1 belongs to a dev question and never trains


def test_withdrawing_a_label_that_is_not_there_names_the_question(database: Database) -> None:
    with pytest.raises(NotFound, match="'a' has no live label"), database.write() as session:
        store.withdraw_label(session, "a", reviewer="kim", reason="x")
    with pytest.raises(NotFound, match="'nobody' is not stored"), database.write() as session:
        store.withdraw_label(session, "nobody", reviewer="kim", reason="x")


def test_what_teaches_in_a_round_is_fixed_before_it_trains(database: Database) -> None:
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
    assert counts == {("gold", True, False): 1, ("human", True, False): 1, ("pseudo", True, False): 1}
    assert [(row.question.id, row.weight) for row in after] == [("a", 0.5), ("b", 1.0), ("g0", 1.0)]
    assert [row.label.answers for row in after] == [row.label.answers for row in before]
    with pytest.raises(Conflict, match="fixed already"), database.write() as session:
        store.freeze_training(session, number)


def test_a_release_is_an_immutable_snapshot_of_its_rows(database: Database) -> None:
    with database.write() as session:
        number = open_round(session).number
        labels = [pseudo("a"), pseudo("b"), pseudo("c", released=False)]
        store.record_labels(session, number, human=[], pseudo=labels, reason="x")
        release = store.release_snapshot(session, number, rule={"threshold": 0.8})
        close(session, number, promoted=True)
        play_round(session, pseudo_labels=(pseudo("b", "p4"),))
        rows = queries.released_answers(session, release.id)
        assert queries.release(session, number) == release
    assert release.count == 2
    assert [(row.question_id, row.answer.text, row.confidence) for row in rows] == [
        ("a", "Dov", 0.9),
        ("b", "Dov", 0.9),
    ]


def test_the_first_round_cannot_be_reverted_nor_any_round_twice(database: Database) -> None:
    with pytest.raises(Conflict, match="baseline"), database.write() as session:
        store.revert(session, 0)
    with database.write() as session:
        store.revert(session, play_round(session))
    with pytest.raises(Conflict, match="reverted already"), database.write() as session:
        store.revert(session, 1)
    with pytest.raises(NotFound, match="no round 7"), database.write() as session:
        store.revert(session, 7)


IDS = ("a", "b", "c")
SOME = st.lists(st.sampled_from(IDS), unique=True)
STEP = st.one_of(
    st.tuples(st.just("round"), SOME, SOME, st.booleans()),
    st.tuples(st.just("revert"), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("set"), st.sampled_from(IDS)),
    st.tuples(st.just("withdraw"), st.sampled_from(IDS)),
    st.tuples(st.just("undo"), st.integers(1, 3)),
    st.tuples(st.just("again"), st.integers(0, 9)),
    st.tuples(st.just("gold"), st.sampled_from(IDS), st.integers(0, 9), st.sampled_from(["p3", "p4"])),
)


def apply(database: Database, step: tuple[object, ...]) -> None:
    match step:
        case ("round", list(guessed), list(reviewed), bool(promoted)):
            with database.write() as session:
                play_round(
                    session,
                    pseudo_labels=tuple(map(pseudo, guessed)),
                    human_labels=tuple(map(human, reviewed)),
                    promoted=promoted,
                )
        case ("revert", int(number), bool(with_reviews)):
            with database.write() as session:
                store.revert(session, number, with_reviews=with_reviews)
        case ("set", str(key)):
            with database.write() as session:
                store.set_label(session, key, [span("p4")], reviewer="kim")
        case ("withdraw", str(key)):
            with database.write() as session:
                store.withdraw_label(session, key, reviewer="kim", reason="x")
        case ("undo", int(import_id)):
            with database.write() as session:
                store.undo_import(session, import_id)
        case ("again", int(salt)):
            with database.write() as session:
                store.add_import(session, replace(WORLD, sha256=f"again-{salt}"))
        case ("gold", str(key), int(salt), str(place)):
            with database.write() as session:
                rows = (question(key, "gold"),)
                labels = (NewLabel(key, (span(place),)),)
                sha = f"gold-{key}-{salt}"
                store.add_import(
                    session, replace(WORLD, sha256=sha, role="gold", questions=rows, labels=labels, hidden=())
                )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=8))
def test_no_sequence_of_operations_leaves_two_live_labels_or_a_pseudo_label_where_none_may_be(
    backend: Backend, steps: list[tuple[object, ...]]
) -> None:
    database = backend.filled()
    refusals: list[str] = []
    for step in steps:
        try:
            apply(database, step)
        except DbError as refusal:
            refusals.append(str(refusal))
        with database.read() as session:
            held = select(LABELS.c.question_id, func.count()).where(LABELS.c.withdrawn_at.is_(None))
            assert all(count == 1 for _, count in session.execute(held.group_by(LABELS.c.question_id)))
            labels = queries.live_labels(session)
            assert all(row.question_role == "pool" for row in labels if row.kind == "pseudo")
            assert {row.question.id for row in queries.training_labels(session)} <= {"g0", *IDS}
            for row in queries.labels(session):
                assert row.live or row.withdrawal_reason
    assert not any("\n" in refusal for refusal in refusals)
    database.close()
