"""Withdrawing and restoring a certificate by hand."""

from __future__ import annotations

from db import certificates, queries, store
from labeler.certificates.standing import Standing, later_reviews, standing_of
from labeler.core.errors import NothingToDo, NotReady
from labeler.core.runtime import Runtime


def withdraw(runtime: Runtime, uid: str, *, reason: str) -> Standing:
    """Withdraw a certificate: what it released does not leave any more. Raises NotFound, NotReady, NothingToDo."""
    with runtime.database.write() as session:
        row = certificates.certificate(session, uid)
        if row.document is None:
            raise NotReady(f"certificate {row.uid[:12]} is not made yet; give its audit up with: labeler rounds revert")
        if row.withdrawn_at is not None:
            raise NothingToDo(f"certificate {row.uid[:12]} is withdrawn already: {row.withdrawal_reason}")
        certificates.withdraw(session, row.id, reason=reason)
        detail = {"certificate": row.uid, "reason": reason}
        store.add_event(session, "certificate_withdrawn", detail=detail, round_number=row.round_number)
        return standing_of(session, row)


def restore(runtime: Runtime, uid: str, *, reason: str) -> Standing:
    """Put a withdrawn certificate into force again; the reviews that contradict it now are accepted.

    Raises: NotFound; NotReady where it is void; NothingToDo where it is in force.
    """
    with runtime.database.write() as session:
        row = certificates.certificate(session, uid)
        before = standing_of(session, row)
        reverted = queries.round_(session, row.round_number).reverted_at is not None
        if reverted or before.state in ("void", "open", "given_up", "empty"):
            raise NotReady(f"certificate {row.uid[:12]} cannot be restored: {before.why}")
        if before.state in ("in_force", "superseded"):
            raise NothingToDo(f"certificate {row.uid[:12]} is not withdrawn")
        later = later_reviews(session, row)
        certificates.restore(session, row.id, accepted_reviews=later.contradicting if later else None)
        detail = {"certificate": row.uid, "reason": reason}
        store.add_event(session, "certificate_restored", detail=detail, round_number=row.round_number)
        return standing_of(session, row)
