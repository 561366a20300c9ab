"""Tables of certificates: what was fixed before the audit, the frozen ranking, and what the audit found."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Double, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    UID,
    WORD,
    Moment,
    created_at,
    key,
    one_of,
    optional,
    required,
    span_check,
    span_columns,
)
from db.vocabulary import OUTCOMES

# A certificate, or an attempt at one, and its audit: a round of the kind audit.
CERTIFICATES = Table(
    "certificates",
    METADATA,
    key("id", Integer),
    required("uid", UID, unique=True),  # names it in files, on any machine
    required("round_number", ForeignKey("rounds.number"), unique=True),  # its audit
    required("request", JSON_VALUE),  # target, delta, attempts, audits: as asked for
    optional("plan", JSON_VALUE),  # what was fixed before the draw
    optional("seed", String(64)),  # of the draw
    optional("document", JSON_VALUE),  # the certificate; null until it is made
    optional("sha256", HASH),  # of the document
    created_at(),
    optional("made_at", Moment),
    optional("withdrawn_at", Moment),  # by hand
    optional("withdrawal_reason", Text),
    optional("accepted_reviews", Integer),  # contradicting reviews that whoever restored it knew
    CheckConstraint("(plan IS NULL) = (seed IS NULL)", name="planned_with_a_seed"),
    CheckConstraint("(document IS NULL) = (made_at IS NULL)", name="made_with_a_document"),
    CheckConstraint("(document IS NULL) = (sha256 IS NULL)", name="made_with_a_hash"),
    CheckConstraint("document IS NULL OR plan IS NOT NULL", name="made_as_planned"),
    CheckConstraint("(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)", name="withdrawn_with_a_reason"),
)

# The frozen ranking, most confident first, and the audit of the items drawn from it. The ranking never changes.
CERTIFICATE_ITEMS = Table(
    "certificate_items",
    METADATA,
    key("certificate_id", ForeignKey("certificates.id")),
    key("rank", Integer),  # from 0
    required("question_id", ForeignKey("questions.id"), index=True),
    *span_columns(),
    optional("score", Double),
    optional("confidence", Double),
    optional("drawn", Integer),  # place in the draw, from 0; null: not drawn
    optional("outcome", WORD),  # of the audit; null until the certificate is made
    optional("review_id", ForeignKey("reviews.id")),  # the blind answer that counted
    optional("judgement_id", ForeignKey("reviews.id")),  # the second step, where it was needed
    UniqueConstraint("certificate_id", "question_id"),
    span_check(),
    one_of("outcome", OUTCOMES),
    CheckConstraint("outcome IS NULL OR drawn IS NOT NULL", name="only_drawn_items_are_judged"),
)
