"""Writes. Every function takes the session of one short transaction first; `Database.write` commits it."""

from db.store.label import freeze_training, record_labels, set_label, withdraw_label
from db.store.prediction import add_predictions, drop_predictions, plan_predictions, set_confidences, set_decisions
from db.store.review import add_tasks, record_review, withdraw_tasks
from db.store.round import (
    RoundChanges,
    add_calibrator,
    add_evaluation,
    add_event,
    add_model,
    advance,
    open_round,
    prune,
    release_snapshot,
    revert,
    withdraw_round,
)
from db.store.undo import undo_import
from db.store.world import add_import, set_meta, set_roles

__all__ = [
    "RoundChanges",
    "add_calibrator",
    "add_evaluation",
    "add_event",
    "add_import",
    "add_model",
    "add_predictions",
    "add_tasks",
    "advance",
    "drop_predictions",
    "freeze_training",
    "open_round",
    "plan_predictions",
    "prune",
    "record_labels",
    "record_review",
    "release_snapshot",
    "revert",
    "set_confidences",
    "set_decisions",
    "set_label",
    "set_meta",
    "set_roles",
    "undo_import",
    "withdraw_label",
    "withdraw_round",
    "withdraw_tasks",
]
