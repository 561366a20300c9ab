"""What the reviews of an audit say about each drawn answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from db import queries
from db.engine import Session
from db.rows import CertificateItem, RoundRow
from labeler.core.runtime import Runtime
from labeler.review.agreement import by_question, by_task, matcher_of
from labeler.review.judgement import Found, found_of


def outcomes(runtime: Runtime, session: Session, row: RoundRow, items: Sequence[CertificateItem]) -> dict[str, Found]:
    """What the audit found about each drawn question."""
    matcher = matcher_of(runtime)
    reviews = by_task(queries.reviews(session, round_number=row.number))
    attempts = by_question(queries.tasks(session, round_number=row.number))
    return {
        item.question_id: found_of(attempts.get(item.question_id, ()), reviews, item.answer, matcher)
        for item in items
        if item.drawn is not None
    }


def judged(item: CertificateItem, found: Mapping[str, Found]) -> CertificateItem:
    """The item with its outcome, if it was drawn."""
    if item.drawn is None:
        return item
    each = found[item.question_id]
    review, judgement = each.review, each.judgement
    return replace(
        item,
        outcome=each.outcome,
        review_id=review.id if review else None,
        judgement_id=judgement.id if judgement else None,
    )
