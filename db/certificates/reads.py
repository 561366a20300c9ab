"""Reads of certificates, their frozen rankings and their audits."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from db.engine import Session
from db.errors import NotFound
from db.rows import CertificateItem, CertificateRow, SpanRow
from db.sql import fetch_all, fetch_first
from db.tables import CERTIFICATE_ITEMS, CERTIFICATES

_ITEMS = CERTIFICATE_ITEMS.c


def certificates(session: Session) -> list[CertificateRow]:
    """All certificates and attempts, oldest first."""
    return fetch_all(session, select(CERTIFICATES).order_by(CERTIFICATES.c.id), CertificateRow)


def certificate(session: Session, uid: str) -> CertificateRow:
    """The certificate with this id, or with an id that begins so. Raises NotFound."""
    known = [row for row in certificates(session) if row.uid.startswith(uid)] if uid else []
    if len(known) != 1:
        many = "several certificates have" if known else "there is no certificate with"
        raise NotFound(f"{many} an id that begins with {uid!r}: `labeler certify list` shows all")
    return known[0]


def find(session: Session, uid: str) -> CertificateRow | None:
    """The certificate with exactly this id, or None."""
    return fetch_first(session, select(CERTIFICATES).where(CERTIFICATES.c.uid == uid), CertificateRow)


def of_round(session: Session, round_number: int) -> CertificateRow:
    """The certificate that an audit is for. Raises NotFound."""
    found = fetch_first(
        session, select(CERTIFICATES).where(CERTIFICATES.c.round_number == round_number), CertificateRow
    )
    if found is None:
        raise NotFound(f"round {round_number} is no audit: `labeler certify list` shows all")
    return found


def items(session: Session, certificate_id: int, *, drawn: bool = False) -> list[CertificateItem]:
    """The frozen ranking, most confident first; with `drawn` the audited items alone, in the order of the draw."""
    where: list[ColumnElement[bool]] = [_ITEMS.certificate_id == certificate_id]
    if drawn:
        where.append(_ITEMS.drawn.is_not(None))
    statement = select(CERTIFICATE_ITEMS).where(*where).order_by(_ITEMS.drawn if drawn else _ITEMS.rank)
    return [
        CertificateItem(
            row.rank,
            row.question_id,
            SpanRow(row.text, row.passage_id, row.start, row.end),
            row.score,
            row.confidence,
            row.drawn,
            row.outcome,
            row.review_id,
            row.judgement_id,
        )
        for row in session.execute(statement)
    ]
