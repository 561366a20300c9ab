"""Writes of retrievers: encoders of passages trained in rounds."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from db.errors import Conflict
from db.models import Retriever, utc_now
from db.queries import round as round_queries
from db.rows import Json, RetrieverRow
from db.sql import table


def add_retriever(
    session: Session,
    round_number: int,
    *,
    hash: str,
    training_sha256: str,
    path: str,
    start: str,
    config: Json,
    examples: int,
    seconds: float,
    loss: float | None,
) -> None:
    """Stores the retriever that a round trained, not judged yet. Raises Conflict if the round has one."""
    known = round_queries.retriever_of_round(session, round_number)
    if known is not None:
        raise Conflict(f"round {round_number} has a retriever already ({known.path}): remove the new folder")
    values = {
        "round_number": round_number,
        "hash": hash,
        "training_sha256": training_sha256,
        "path": path,
        "start": start,
        "config": dict(config),
        "examples": examples,
        "seconds": seconds,
        "loss": loss,
    }
    session.execute(insert(table(Retriever)), [values])


def record_retriever_gate(
    session: Session,
    round_number: int,
    *,
    promoted: bool,
    gate: Json,
    index_before: str | None,
    index_after: str | None,
    encoder_before: str | None,
) -> None:
    """Stores what became of a round's retriever, and what was used before it. Raises Conflict if it is judged."""
    values = {
        "promoted": promoted,
        "gate": dict(gate),
        "index_before": index_before,
        "index_after": index_after,
        "encoder_before": encoder_before,
    }
    here = (Retriever.round_number == round_number, Retriever.promoted.is_(None))
    done = session.execute(update(table(Retriever)).where(*here).values(values).returning(Retriever.id)).all()
    if len(done) != 1:
        raise Conflict(f"round {round_number} has no retriever that waits to be judged: `labeler rounds show` it")


def prune_retrievers(session: Session, *, in_use: Collection[str] = ()) -> tuple[RetrieverRow, ...]:
    """The retrievers whose folders may now be deleted, and that are marked so.

    Kept are those whose hash is `in_use`, those of an open round and, as an index may need them again, promoted ones
    of rounds not reverted.
    """
    status = round_queries.current_round(session)
    number = status.number if status else None
    kept = {row.id for row in round_queries.retrievers(session, reverted=False) if row.promoted}
    gone = tuple(
        row
        for row in round_queries.retrievers(session)
        if row.pruned_at is None and row.id not in kept and row.round_number != number and row.hash not in in_use
    )
    for row in gone:
        session.execute(update(table(Retriever)).where(Retriever.id == row.id).values(pruned_at=utc_now()))
    return gone
