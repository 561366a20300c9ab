"""Writes of certificates."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, update

from db.certificates.reads import of_round
from db.engine import Session
from db.errors import Conflict
from db.rows import AuditedItem, CertificateItem, CertificateRow, Json
from db.sql import insert_one, update_in, values
from db.sql.bulk import insert_all
from db.tables import CERTIFICATE_ITEMS, CERTIFICATES, utc_now

_ITEMS = CERTIFICATE_ITEMS.c


def add(session: Session, round_number: int, *, request: Json) -> CertificateRow:
    """Store an attempt at a certificate, whose audit is this round, and return it."""
    insert_one(session, CERTIFICATES, uid=secrets.token_hex(16), round_number=round_number, request=request)
    return of_round(session, round_number)


def freeze(session: Session, certificate_id: int, *, plan: Json, seed: str, items: Sequence[CertificateItem]) -> None:
    """Store the ranking, what else is fixed before the audit, and the draw. Raises Conflict if it is fixed already."""
    unplanned = (CERTIFICATES.c.id == certificate_id, CERTIFICATES.c.plan.is_(None))
    if session.execute(update(CERTIFICATES).where(*unplanned).values(plan=plan, seed=seed)).rowcount != 1:
        raise Conflict("the ranking is frozen already: `labeler certify` goes on")
    rows = [
        values(item, CERTIFICATE_ITEMS) | values(item.answer, CERTIFICATE_ITEMS) | {"certificate_id": certificate_id}
        for item in items
    ]
    insert_all(session, CERTIFICATE_ITEMS, rows)


def draw_more(session: Session, certificate_id: int, places: Mapping[int, int]) -> None:
    """Store the places in the draw of further items, by rank. Raises Conflict where one was drawn before."""
    item = (_ITEMS.certificate_id == certificate_id, _ITEMS.rank == bindparam("of"), _ITEMS.drawn.is_(None))
    statement = update(CERTIFICATE_ITEMS).where(*item).values(drawn=bindparam("place"))
    for rank, place in sorted(places.items()):
        if session.execute(statement, {"of": rank, "place": place}).rowcount != 1:
            raise Conflict("these questions are drawn already: `labeler certify` goes on")


def conclude(
    session: Session, certificate_id: int, *, audited: Sequence[AuditedItem], document: Json, sha256: str
) -> None:
    """Store what the audit found and the certificate. Raises Conflict if it is made already.

    Items that were drawn and are not among `audited` are not drawn any more.
    """
    unmade = (CERTIFICATES.c.id == certificate_id, CERTIFICATES.c.document.is_(None))
    made = {"document": document, "sha256": sha256, "made_at": utc_now()}
    if session.execute(update(CERTIFICATES).where(*unmade).values(made)).rowcount != 1:
        raise Conflict("the certificate is made already: `labeler certify list` shows it")
    left = (_ITEMS.certificate_id == certificate_id, _ITEMS.drawn >= len(audited))
    session.execute(update(CERTIFICATE_ITEMS).where(*left).values(drawn=None))
    if audited:
        item = (_ITEMS.certificate_id == certificate_id, _ITEMS.rank == bindparam("of"))
        names = ("outcome", "review_id", "judgement_id")
        statement = update(CERTIFICATE_ITEMS).where(*item).values({name: bindparam(f"new_{name}") for name in names})
        rows = [{"of": row.rank} | {f"new_{name}": getattr(row, name) for name in names} for row in audited]
        session.execute(statement, rows)


def withdraw(session: Session, certificate_id: int, *, reason: str) -> None:
    """Withdraw a certificate by hand. What it released does not leave any more."""
    changes = {"withdrawn_at": utc_now(), "withdrawal_reason": reason, "accepted_reviews": None}
    update_in(session, CERTIFICATES.c.id, [certificate_id], **changes)


def restore(session: Session, certificate_id: int, *, accepted_reviews: int | None) -> None:
    """Take a withdrawal back; so many reviews that contradict the certificate are known and accepted."""
    changes = {"withdrawn_at": None, "withdrawal_reason": None, "accepted_reviews": accepted_reviews}
    update_in(session, CERTIFICATES.c.id, [certificate_id], **changes)
