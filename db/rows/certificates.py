"""Certificates, their frozen rankings and their audits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.rows.corpus import SpanRow
from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate, or an attempt at one that is not made yet."""

    id: int
    uid: str  # names it in files, on any machine
    round_number: int  # its audit
    request: Json  # as asked for
    plan: Json | None  # what was fixed before the draw
    seed: str | None  # of the draw
    document: Json | None  # the certificate; None until it is made
    sha256: str | None  # of the document
    created_at: datetime
    made_at: datetime | None
    withdrawn_at: datetime | None  # by hand
    withdrawal_reason: str | None
    accepted_reviews: int | None  # contradicting reviews that whoever restored it knew


@dataclass(frozen=True, slots=True)
class CertificateItem:
    """A row of a frozen ranking."""

    rank: int  # from 0
    question_id: str
    answer: SpanRow
    score: float | None
    confidence: float | None
    drawn: int | None = None  # place in the draw, from 0; None: not drawn
    outcome: str | None = None  # of the audit; None until the certificate is made
    review_id: int | None = None  # the blind answer that counted
    judgement_id: int | None = None  # the second step, where it was needed


@dataclass(frozen=True, slots=True)
class AuditedItem:
    """What the audit found about one drawn item."""

    rank: int
    outcome: str  # see `db.vocabulary.OUTCOMES`
    review_id: int | None
    judgement_id: int | None
