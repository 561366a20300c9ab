"""Tables of labels and the journal."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Double, ForeignKey, ForeignKeyConstraint, Integer, String, Table, Text

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    PERSON,
    QUESTION_ID,
    WORD,
    JsonTuple,
    Moment,
    created_at,
    index_where,
    key,
    one_of,
    optional,
    rate,
    required,
    span_check,
    span_columns,
    unique_where,
    utc_now,
)
from db.vocabulary import LABEL_KINDS, LABEL_ORIGINS

# A stored answer with its provenance. Live while `withdrawn_at` is null; a question has at most one live label.
LABELS = Table(
    "labels",
    METADATA,
    key("id", Integer),
    required("question_id", QUESTION_ID, index=True),
    required("question_role", WORD),  # follows questions.role
    required("kind", WORD),
    required("no_answer", Boolean, default=False),  # "not in these passages", or impossible in its context
    optional("passages", JsonTuple),  # ids shown with a no_answer; they serve as negatives
    optional("texts", JsonTuple),  # golds of the file that do not stand in its context: scored, never trained on
    required("train_weight", Double),  # 0: not trained on
    required("released", Boolean),  # may be exported as a label; a pseudo-label only by its certificate
    required("origin", WORD),
    optional("import_id", ForeignKey("imports.id"), index=True),
    optional("round_number", ForeignKey("rounds.number"), index=True),  # the round that the answer came from
    optional("written_by", ForeignKey("rounds.number")),  # the round that wrote this row
    optional("review_id", ForeignKey("reviews.id")),
    optional("model_id", ForeignKey("models.id")),
    optional("labeller_id", ForeignKey("labellers.id")),  # that made this pseudo-label instead of a model
    optional("index_fingerprint", HASH),
    optional("calibrator_id", ForeignKey("calibrators.id")),
    optional("certificate_id", ForeignKey("certificates.id"), index=True),  # that released this pseudo-label
    optional("confidence", Double),
    optional("threshold", Double),  # the lowest confidence of the set that the certificate covers
    optional("reviewer", PERSON),
    optional("parent_id", ForeignKey("labels.id")),  # the label that this one replaced or restores
    created_at(),
    optional("withdrawn_at", Moment),
    optional("withdrawn_by", ForeignKey("rounds.number")),
    optional("withdrawal_reason", Text),
    ForeignKeyConstraint(
        ["question_id", "question_role"],
        ["questions.id", "questions.role"],
        onupdate="CASCADE",
        name="fk_labels_question",
    ),
    one_of("kind", LABEL_KINDS),
    one_of("origin", LABEL_ORIGINS),
    rate("confidence"),
    rate("train_weight"),
    CheckConstraint(
        "kind <> 'pseudo' OR question_role = 'pool' OR withdrawn_at IS NOT NULL", name="pseudo_only_in_pool"
    ),
    CheckConstraint(
        "question_role IN ('gold', 'pool') OR train_weight = 0 OR withdrawn_at IS NOT NULL",
        name="held_out_never_trains",
    ),
    CheckConstraint("kind <> 'pseudo' OR released = (certificate_id IS NOT NULL)", name="released_by_a_certificate"),
    CheckConstraint("kind = 'pseudo' OR certificate_id IS NULL", name="only_pseudo_is_certified"),
    CheckConstraint("kind <> 'human' OR NOT no_answer OR passages IS NOT NULL", name="no_answer_has_passages"),
    CheckConstraint("kind <> 'pseudo' OR NOT no_answer", name="pseudo_has_an_answer"),
    CheckConstraint(
        "kind <> 'pseudo' OR (round_number IS NOT NULL AND (model_id IS NULL) <> (labeller_id IS NULL))",
        name="pseudo_is_traceable",
    ),
    CheckConstraint("kind <> 'gold' OR import_id IS NOT NULL OR origin = 'manual'", name="gold_is_traceable"),
    CheckConstraint("kind <> 'human' OR reviewer IS NOT NULL", name="human_has_a_reviewer"),
    CheckConstraint("(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)", name="withdrawn_with_a_reason"),
    CheckConstraint("withdrawn_by IS NULL OR withdrawn_at IS NOT NULL", name="withdrawn_by_needs_a_moment"),
    index_where("live_labels", "kind", "question_role", condition="withdrawn_at IS NULL"),  # counts need no row
    unique_where("one_live_label", "question_id", condition="withdrawn_at IS NULL"),
)

LABEL_ANSWERS = Table(
    "label_answers",
    METADATA,
    key("label_id", ForeignKey("labels.id")),
    key("ordinal", Integer),  # from 0, the answer to train on first
    optional("places", JsonTuple),  # of this answer among all that the file gives, from 0; null: only at `ordinal`
    *span_columns(index_passage=True),
    span_check(),
)

# The append-only journal: stages, gate decisions, reverts, corrections by hand.
EVENTS = Table(
    "events",
    METADATA,
    key("id", Integer),
    required("at", Moment, default=utc_now),
    required("kind", String(32)),
    optional("round_number", ForeignKey("rounds.number"), index=True),
    optional("question_id", ForeignKey("questions.id"), index=True),
    optional("label_id", ForeignKey("labels.id")),
    required("detail", JSON_VALUE),
)
