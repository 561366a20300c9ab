"""Random sequences of writes keep the invariants of labels."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from db import queries, store
from db.engine import Database
from db.errors import DbError
from db.rows import NewLabel
from db.tables import LABELS
from tests.db.conftest import EXAMPLE, Backend, human, play_round, pseudo, question, span

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
                store.add_import(session, replace(EXAMPLE, sha256=f"again-{salt}"))
        case ("gold", str(key), int(salt), str(place)):
            with database.write() as session:
                rows = (question(key, "gold"),)
                labels = (NewLabel(key, (span(place),)),)
                sha = f"gold-{key}-{salt}"
                store.add_import(
                    session, replace(EXAMPLE, sha256=sha, role="gold", questions=rows, labels=labels, hidden=())
                )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=8))
def test_no_sequence_of_writes_breaks_the_invariants_of_labels(
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
