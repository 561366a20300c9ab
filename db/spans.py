"""Whether stored answers stand at their offsets: the one check that no database constraint can make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import SpanConflict
from db.models import Passage
from db.rows import SpanRow
from db.sql import in_chunks


def check_span(span: SpanRow, passage: str, *, where: str) -> None:
    """Raises SpanConflict unless `span.text == passage[span.start:span.end]`; `where` names the question or task."""
    if not 0 <= span.start < span.end <= len(passage) or passage[span.start : span.end] != span.text:
        raise SpanConflict(
            f"{where}: answer {span.text[:40]!r} does not stand at {span.start}-{span.end} "
            f"of passage {span.passage_id}: correct the offsets"
        )


def check_spans(session: Session, spans: Iterable[tuple[str, SpanRow]]) -> None:
    """Checks (where, span) pairs against the stored passages, a chunk of passages in memory at a time.

    Raises SpanConflict, also for a passage that is not stored.
    """
    waiting: dict[str, list[tuple[str, SpanRow]]] = defaultdict(list)
    for where, span in spans:
        waiting[span.passage_id].append((where, span))
    for chunk in in_chunks(waiting):
        texts = dict(session.execute(select(Passage.id, Passage.text).where(Passage.id.in_(chunk))).all())
        for passage_id in chunk:
            for where, span in waiting[passage_id]:
                if passage_id not in texts:
                    raise SpanConflict(f"{where}: passage {passage_id} is not stored: import it first")
                check_span(span, texts[passage_id], where=where)
