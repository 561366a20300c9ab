"""Check that passages contain answers at their offsets: the one invariant that no database constraint can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sqlalchemy import select

from db.engine import Session
from db.errors import SpanConflict
from db.rows import SpanRow
from db.sql import in_chunks
from db.tables import PASSAGES


def check_span(span: SpanRow, passage: str, *, where: str) -> None:
    """Raise SpanConflict unless `span.text == passage[span.start:span.end]`; `where` names the question or task."""
    if not 0 <= span.start < span.end <= len(passage) or passage[span.start : span.end] != span.text:
        raise SpanConflict(
            f"{where}: passage {span.passage_id} does not read {span.text[:40]!r} "
            f"at {span.start}-{span.end}: correct the offsets"
        )


def check_spans(
    session: Session, spans: Iterable[tuple[str, SpanRow]], known: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Check (where, span) pairs against the stored passages, with one chunk of passages in memory at a time.

    Args:
        known: texts by id of passages that are stored so, which need not be read.

    Raises SpanConflict, also for a passage that is not stored.
    """
    waiting: dict[str, list[tuple[str, SpanRow]]] = defaultdict(list)
    for where, span in spans:
        if span.passage_id in known:
            check_span(span, known[span.passage_id], where=where)
        else:
            waiting[span.passage_id].append((where, span))
    for chunk in in_chunks(waiting):
        texts = dict(session.execute(select(PASSAGES.c.id, PASSAGES.c.text).where(PASSAGES.c.id.in_(chunk))).all())
        for passage_id in chunk:
            for where, span in waiting[passage_id]:
                if passage_id not in texts:
                    raise SpanConflict(f"{where}: passage {passage_id} is not stored: import it first")
                check_span(span, texts[passage_id], where=where)
