"""Further passages for a task, found with the reviewer's words: a miss of the retrieval becomes a label."""

from __future__ import annotations

from db import queries
from db.rows import PassageRow, RoundRow
from labeler.core.runtime import Runtime
from labeler.review.terminal.screen import TaskView


def further_passages(runtime: Runtime, row: RoundRow, words: str, view: TaskView) -> list[PassageRow]:
    """At most `review.passages` passages for these words that the task does not show yet, best first.

    They are searched in the index of the round. Raises NotReady where it has none, or it is gone; StaleIndex.
    """
    shown, count = view.texts, runtime.config.review.passages
    [hits] = runtime.index(row.index_fingerprint).retrieve([words], len(shown) + count)
    new = [hit.passage_id for hit in hits if hit.passage_id not in shown][:count]
    with runtime.database.read() as session:
        found = queries.passages(session, new)
    return [found[key] for key in new]
