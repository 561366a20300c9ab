"""Tables of rounds, and of the models, calibrators and evaluations that they make."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Double, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from db.tables.columns import (
    HASH,
    JSON_VALUE,
    METADATA,
    UID,
    WORD,
    JsonTuple,
    Moment,
    created_at,
    key,
    one_of,
    optional,
    required,
    unique_where,
    utc_now,
)
from db.vocabulary import ROUND_KINDS, STAGES

# One turn of the loop. Round 0 is the baseline; a number is never used twice.
ROUNDS = Table(
    "rounds",
    METADATA,
    key("number", Integer, autoincrement=False),
    required("uid", UID, unique=True),  # names folders, so that a restored database never adopts another's
    required("kind", WORD),
    required("stage", WORD),
    required("is_open", Boolean, default=True),
    required("config", JSON_VALUE),  # resolved, every section
    required("seed", Integer),
    required("code_version", String(64)),
    optional("teacher_id", ForeignKey("models.id", use_alter=True)),  # the model that predicts: the best so far
    optional("labeller_id", ForeignKey("labellers.id")),  # the labeller that predicts instead of a model
    optional("student_id", ForeignKey("models.id", use_alter=True)),  # the model trained in this round
    optional("index_fingerprint", HASH),
    optional("calibrator_id", ForeignKey("calibrators.id")),
    optional("release", JSON_VALUE),  # threshold, target, precision, items; or the reason why there is no threshold
    optional("gate", JSON_VALUE),  # the gate's decision with its numbers
    optional("promoted", Boolean),  # null until the gate decided
    optional("reviewer", WORD),  # studio, simulated, none
    required("opened_at", Moment, default=utc_now),
    optional("closed_at", Moment),
    optional("reverted_at", Moment),
    one_of("kind", ROUND_KINDS),
    CheckConstraint("labeller_id IS NULL OR teacher_id IS NULL", name="one_predicts"),
    one_of("stage", STAGES),
    CheckConstraint("number >= 0", name="number_from_zero"),
    CheckConstraint("is_open = (stage <> 'closed' AND reverted_at IS NULL)", name="open_until_closed"),
    CheckConstraint("stage <> 'closed' OR promoted IS NOT NULL", name="closed_is_decided"),
    CheckConstraint("promoted IS NULL OR NOT promoted OR student_id IS NOT NULL", name="promoted_has_a_student"),
    unique_where("one_open_round", "is_open", condition="is_open"),
)

# The questions that a round predicts, fixed at its opening, and the chunk in which each is read.
ROUND_QUESTIONS = Table(
    "round_questions",
    METADATA,
    key("round_number", ForeignKey("rounds.number")),
    key("question_id", ForeignKey("questions.id")),
    required("chunk", Integer),
    required("sampled", Boolean),  # one of a uniform sample of the pool; all are where the round has no budget
)

# The labels that a round's student is trained on, and their weights; fixed before training starts.
TRAINING_LABELS = Table(
    "training_labels",
    METADATA,
    key("round_number", ForeignKey("rounds.number")),
    key("label_id", ForeignKey("labels.id"), index=True),
    required("weight", Double),
    CheckConstraint("weight > 0 AND weight <= 1", name="weight_above_zero"),
)

# A trained reader: its folder under the workspace, and the hash of the folder's content.
MODELS = Table(
    "models",
    METADATA,
    key("id", Integer),
    required("round_number", ForeignKey("rounds.number")),
    required("name", String(32), default="student"),
    required("hash", HASH, index=True),
    required("training_sha256", HASH),  # of the labels trained on
    required("path", Text),  # relative to the workspace
    required("start", Text),  # the starting checkpoint: hub name, folder or "builtin"
    required("config", JSON_VALUE),
    required("examples", Integer),
    required("seconds", Double),
    optional("loss", Double),
    created_at(),
    optional("pruned_at", Moment),  # the folder is deleted, the row stays for provenance
    UniqueConstraint("round_number", "name"),
)

# A dense encoder trained in a round, the gate's decision on it and, if promoted, the index built with it.
RETRIEVERS = Table(
    "retrievers",
    METADATA,
    key("id", Integer),
    required("round_number", ForeignKey("rounds.number"), unique=True),
    required("hash", HASH, index=True),
    required("training_sha256", HASH),  # of the labels trained on
    required("path", Text),  # relative to the workspace
    required("start", Text),  # the starting checkpoint: hub name or folder
    required("config", JSON_VALUE),
    required("examples", Integer),
    required("seconds", Double),
    optional("loss", Double),
    optional("encoder_before", Text),  # the encoder that `labeler index` would have used
    optional("index_before", HASH),  # fingerprint of the index that it was compared with
    optional("index_after", HASH),  # fingerprint of the index built with it; null: not built
    optional("gate", JSON_VALUE),  # the gate's decision with its numbers
    optional("promoted", Boolean),  # null until the gate decided
    created_at(),
    optional("pruned_at", Moment),  # the folder is deleted, the row stays for provenance
    CheckConstraint("(promoted IS NULL) = (gate IS NULL)", name="decided_with_numbers"),
    CheckConstraint("promoted IS NULL OR NOT promoted OR index_after IS NOT NULL", name="promoted_has_an_index"),
)

# What turned a round's scores into confidences: data and seed from which it is refitted, never a pickle.
CALIBRATORS = Table(
    "calibrators",
    METADATA,
    key("id", Integer),
    required("hash", HASH, index=True),
    required("kind", String(32)),
    required("state", JSON_VALUE),
    required("metrics", JSON_VALUE),  # AURC, ECE, Brier, coverage at precision
    created_at(),
)

# A model's results on a split: the summary, and each question's result for paired tests.
EVALUATIONS = Table(
    "evaluations",
    METADATA,
    key("id", Integer),
    required("model_id", ForeignKey("models.id")),
    required("split", WORD),
    required("key", HASH),  # of everything else that the numbers depend on
    required("summary", JSON_VALUE),
    required("results", JsonTuple),  # [question id, document id, exact match, F1]
    created_at(),
    UniqueConstraint("model_id", "split", "key"),
)
