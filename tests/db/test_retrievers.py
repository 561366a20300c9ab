"""Retrievers: one per round, decided on once, kept while an index may need them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import queries, store
from db.engine import Database, Session
from db.errors import Conflict
from tests.db.conftest import close, open_round

NUMBERS = {"found": 0.9, "why": "promoted: more is found"}


def add(session: Session, number: int) -> None:
    store.add_retriever(
        session,
        number,
        hash=f"retriever-{number}",
        training_sha256="t",
        path=f"models/retriever-{number}",
        start="hub/encoder",
        config={"epochs": 1.0},
        examples=3,
        seconds=2.0,
        loss=0.5,
    )


def decide(session: Session, number: int, **changes: Any) -> None:
    given: dict[str, Any] = {
        "promoted": True,
        "gate": NUMBERS,
        "index_before": "one",
        "index_after": "two",
        "encoder_before": None,
    }
    store.record_retriever_gate(session, number, **given | changes)


def played(session: Session, *, promoted: bool) -> int:
    """A closed round whose retriever the gate promoted or refused."""
    number = open_round(session).number
    add(session, number)
    decide(session, number, promoted=promoted)
    close(session, number, promoted=True)
    return number


def test_the_gate_decides_once_on_a_retriever(database: Database) -> None:
    with database.write() as session:
        add(session, 0)
        found = queries.retriever_of_round(session, 0)
        assert found is not None
        assert (found.promoted, found.gate, found.index_after, found.pruned_at) == (None, None, None, None)
        assert queries.retriever_of_round(session, 1) is None
        decide(session, 0)
        found = queries.retriever_of_round(session, 0)
        assert found is not None
        assert (found.promoted, found.gate, found.index_before, found.index_after) == (True, NUMBERS, "one", "two")
    for again in (add, decide):
        with pytest.raises(Conflict, match="round 0 has"), database.write() as session:
            again(session, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE retrievers SET promoted = :yes",  # without numbers
        "UPDATE retrievers SET promoted = :yes, gate = '{}'",  # without an index
        "UPDATE retrievers SET gate = '{}'",  # numbers without a decision
        "UPDATE retrievers SET round_number = 9",  # of no round
    ],
)
def test_a_retriever_that_breaks_an_invariant_is_refused(database: Database, statement: str) -> None:
    with database.write() as session:
        add(session, 0)
    values = {"yes": True} if ":yes" in statement else {}
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text(statement), values)


def test_retrievers_are_listed_oldest_first_with_or_without_reverted_rounds(database: Database) -> None:
    with database.write() as session:
        numbers = [played(session, promoted=True) for _ in range(3)]
        store.revert(session, numbers[1])
        assert [row.round_number for row in queries.retrievers(session)] == numbers
        assert [row.round_number for row in queries.retrievers(session, reverted=False)] == numbers[:1]


def test_pruning_keeps_promoted_retrievers_and_that_of_the_open_round(database: Database) -> None:
    with database.write() as session:
        refused, used = played(session, promoted=False), played(session, promoted=True)
        undone = played(session, promoted=True)
        store.revert(session, undone)
        running = open_round(session).number
        add(session, running)
        assert [row.round_number for row in store.prune(session).retrievers] == [refused, undone]
        assert store.prune(session).retrievers == ()
        left = {row.round_number for row in queries.retrievers(session) if row.pruned_at is None}
        assert left == {used, running}


def test_pruning_keeps_every_retriever_in_use(database: Database) -> None:
    with database.write() as session:
        refused, undone = played(session, promoted=False), played(session, promoted=True)
        store.revert(session, undone)
        both = {f"retriever-{refused}", f"retriever-{undone}"}
        assert store.prune(session, retrievers_in_use=both).retrievers == ()
        gone = store.prune(session, retrievers_in_use={f"retriever-{undone}"}).retrievers
        assert [row.round_number for row in gone] == [refused]
