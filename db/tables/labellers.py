"""Tables of labellers: named sources of answers from outside, what they answered, and what language models replied."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Double, ForeignKey, Integer, String, Table, Text

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    Moment,
    created_at,
    key,
    one_of,
    optional,
    rate,
    required,
    unique_where,
)
from db.vocabulary import LABELLER_KINDS

# A named source of answers that is no reader of this workspace.
LABELLERS = Table(
    "labellers",
    METADATA,
    key("id", Integer),
    required("name", String(64), unique=True),
    required("kind", String(16)),
    required("config", JSON_VALUE),  # of a language model: its name and how it is asked; never a key
    created_at(),
    one_of("kind", LABELLER_KINDS),
)

# What a language model replied to one request: nothing is asked and paid twice.
LABELLER_REPLIES = Table(
    "labeller_replies",
    METADATA,
    key("sha256", HASH),  # of the request: model, messages, sampling
    required("labeller_id", ForeignKey("labellers.id"), index=True),  # that asked first
    required("content", Text),
    optional("probability", Double),  # of the answer's tokens
    optional("prompt_tokens", Integer),  # as the server counts
    optional("completion_tokens", Integer),
    optional("cost", Double),  # by the prices given then
    created_at(),
    rate("probability"),
)

# What a labeller answered to one question; its answers are in labeller_answers. Live while `withdrawn_at` is null.
LABELLER_PREDICTIONS = Table(
    "labeller_predictions",
    METADATA,
    key("id", Integer),
    required("labeller_id", ForeignKey("labellers.id")),
    required("question_id", ForeignKey("questions.id"), index=True),
    optional("import_id", ForeignKey("imports.id"), index=True),  # the file that it came from
    required("abstains", Boolean),  # its first answer is "not in these passages"
    optional("null_score", Double),  # of "not in these passages"
    created_at(),
    optional("withdrawn_at", Moment),
    rate("null_score"),
    unique_where("one_live_prediction", "labeller_id", "question_id", condition="withdrawn_at IS NULL"),
)

# An answer, best first: a span of a passage, or a text alone with the reason why it is none.
LABELLER_ANSWERS = Table(
    "labeller_answers",
    METADATA,
    key("prediction_id", ForeignKey("labeller_predictions.id")),
    key("rank", Integer),  # from 0
    required("text", Text),
    optional("passage_id", ForeignKey("passages.id")),
    optional("start", Integer),
    optional("end", Integer),
    optional("score", Double),  # as the labeller gives it, not calibrated
    optional("fault", Text),  # why the text is no span
    rate("score"),
    CheckConstraint("(passage_id IS NULL) = (fault IS NOT NULL)", name="a_span_or_a_fault"),
    CheckConstraint(
        '(passage_id IS NULL AND start IS NULL AND "end" IS NULL) OR '
        '(start IS NOT NULL AND "end" IS NOT NULL AND 0 <= start AND start < "end" AND length(text) = "end" - start)',
        name="span",
    ),
)
