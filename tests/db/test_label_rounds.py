"""Labels over several rounds: replaced, refused, reverted, restored; human labels outlive pseudo-labels."""

from __future__ import annotations

from db import queries, store
from db.engine import Database
from db.rows import LabelRow
from tests.db.conftest import human, open_round, play_round, pseudo, span
from tests.db.steps import live


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


def test_a_refused_round_restores_the_labels_it_replaced(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, pseudo_labels=(pseudo("a", "p4"), pseudo("c")), promoted=False)
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("pseudo", "Dov")}
    label = newest(database, "a")
    assert (label.origin, label.round_number, label.written_by, label.confidence) == ("restored", 1, 2, 0.9)


def test_reverting_refused_rounds_restores_the_labels_of_the_promoted_one(database: Database) -> None:
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


def test_a_human_label_set_in_between_survives_a_revert(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"), pseudo("b")))
        play_round(session, human_labels=(human("a"),), promoted=False)
        store.set_label(session, "b", [span("p4")], reviewer="lee")
        play_round(session, promoted=False)
        store.revert(session, 2)
    assert live(database) == {"a": ("human", "Eve"), "b": ("human", "Eve")}


def test_reverting_with_reviews_restores_what_the_reviews_replaced(database: Database) -> None:
    with database.write() as session:
        play_round(session, pseudo_labels=(pseudo("a"),), human_labels=(human("b", "p3"),))
        play_round(session, human_labels=(human("a"), human("b"), human("c")))
        done = store.revert(session, 2, with_reviews=True)
    assert (done.labels, done.restored) == (3, 2)
    assert live(database) == {"a": ("pseudo", "Dov"), "b": ("human", "Dov")}
