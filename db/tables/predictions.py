"""Tables of predictions."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Double, ForeignKey, Integer, Table, UniqueConstraint

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    WORD,
    JsonTuple,
    created_at,
    key,
    one_of,
    optional,
    rate,
    required,
    span_check,
    span_columns,
)
from db.vocabulary import DECISIONS

# What a round's teacher or labeller answered to one question; its n-best list is in prediction_answers.
PREDICTIONS = Table(
    "predictions",
    METADATA,
    key("id", Integer),
    required("round_number", ForeignKey("rounds.number")),
    required("question_id", ForeignKey("questions.id"), index=True),
    required("question_role", WORD),  # when it was predicted: pool or calibration
    optional("model_id", ForeignKey("models.id")),
    optional("labeller_id", ForeignKey("labellers.id")),
    optional("index_fingerprint", HASH),  # null: the given context was read
    optional("score", Double),  # mass of the best answer over all spans of all passages; null: no passage was found
    optional("null_score", Double),  # mass of "not in these passages"
    optional("confidence", Double),  # calibrated; null until a calibrator is fitted
    required("features", JSON_VALUE),
    required("hits", JsonTuple),  # [passage id, retrieval score] in rank order: what was read
    optional("decision", WORD),
    optional("train_weight", Double),  # planned; null unless it is to be trained on
    optional("reviewed_by", ForeignKey("labellers.id")),  # the labeller whose answer is trained on instead
    created_at(),
    UniqueConstraint("round_number", "question_id"),
    CheckConstraint("(model_id IS NULL) <> (labeller_id IS NULL)", name="by_a_model_or_a_labeller"),
    rate("confidence"),
    rate("score"),
    one_of("decision", DECISIONS),
    CheckConstraint("decision IS NULL OR question_role = 'pool'", name="only_the_pool_is_decided"),
)

PREDICTION_ANSWERS = Table(
    "prediction_answers",
    METADATA,
    key("prediction_id", ForeignKey("predictions.id")),
    key("rank", Integer),  # from 0
    *span_columns(),
    required("score", Double),  # mass of the answer's merged spans
    required("probability", Double),  # of its best single span
    span_check(),
)
