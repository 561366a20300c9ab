"""What the database holds of a round beside its row: its budget, its retriever, its review by a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from db import queries, store
from labeler.core.runtime import DENSE_KEY, INDEX_KEY

if TYPE_CHECKING:
    from db.engine import Session
    from db.rows import RoundRow

#: kinds of events in the journal of a round
POOL_SUBSET: Final = "pool_subset"  # what it took of the pool
MODEL_REVIEWED: Final = "model_reviewed"  # what the language model did


def subset_of(session: Session, row: RoundRow) -> Mapping[str, Any] | None:
    """What a round left out of the pool by its budget, as stored at its opening; None where it had no budget."""
    events = queries.events(session, round_number=row.number)
    return next((event.detail for event in events if event.kind == POOL_SUBSET), None)


def model_review_of(session: Session, number: int) -> Mapping[str, Any] | None:
    """What the model did in a round; None where none reviewed."""
    events = queries.events(session, round_number=number)
    return next((event.detail for event in reversed(events) if event.kind == MODEL_REVIEWED), None)


def retriever_summary(session: Session, number: int) -> dict[str, Any] | None:
    """The retriever of a round as JSON; None where it trained none."""
    trained = queries.retriever_of_round(session, number)
    if trained is None:
        return None
    kept = ("hash", "path", "start", "examples", "seconds", "loss", "promoted", "index_before", "index_after", "gate")
    return {name: getattr(trained, name) for name in kept}


def revert_retrievers(session: Session, numbers: Iterable[int]) -> list[str]:
    """Restore the index and the encoder from before these rounds, and return the hashes of the encoders replaced.

    An index or encoder that was chosen after the rounds stays.
    """
    replaced = []
    for number in sorted(numbers, reverse=True):
        trained = queries.retriever_of_round(session, number)
        if trained is None or not trained.promoted:
            continue
        if queries.get_meta(session, DENSE_KEY) == trained.path:
            store.set_meta(session, DENSE_KEY, trained.encoder_before or "")
            replaced.append(trained.hash)
        if queries.get_meta(session, INDEX_KEY) == trained.index_after:
            store.set_meta(session, INDEX_KEY, trained.index_before or "")
    return replaced
