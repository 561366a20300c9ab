"""Rounds, and the models, retrievers, calibrators and evaluations that they make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One turn of the loop."""

    number: int
    uid: str  # random; names folders
    kind: str
    stage: str
    is_open: bool
    config: Json
    seed: int
    code_version: str
    teacher_id: int | None  # the model that predicts
    student_id: int | None  # the model trained in this round
    index_fingerprint: str | None
    calibrator_id: int | None
    release: Json | None
    gate: Json | None
    promoted: bool | None  # None until the gate decided
    reviewer: str | None
    opened_at: datetime
    closed_at: datetime | None
    reverted_at: datetime | None
    labeller_id: int | None = None  # the labeller that predicts instead of a model


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A trained reader."""

    id: int
    round_number: int
    name: str  # within its round
    hash: str
    training_sha256: str
    path: str  # relative to the workspace
    start: str
    config: Json
    examples: int
    seconds: float
    loss: float | None
    created_at: datetime
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class RetrieverRow:
    """A dense encoder trained in a round."""

    id: int
    round_number: int
    hash: str
    training_sha256: str
    path: str  # relative to the workspace
    start: str
    config: Json
    examples: int
    seconds: float
    loss: float | None
    encoder_before: str | None  # the encoder that `labeler index` would have used
    index_before: str | None  # fingerprint of the index that it was compared with
    index_after: str | None  # fingerprint of the index built with it
    gate: Json | None
    promoted: bool | None  # None until the gate decided
    created_at: datetime
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class CalibratorRow:
    """What turned a round's scores into confidences."""

    id: int
    hash: str
    kind: str
    state: Json
    metrics: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """A model's results on a split."""

    id: int
    model_id: int
    split: str
    key: str  # hash of everything else that the numbers depend on
    summary: Json
    results: tuple[Any, ...]  # [question id, document id, exact match, F1]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many predictions `store.prune` deleted, and the models and retrievers whose folders may now be deleted."""

    predictions: int
    models: tuple[ModelRow, ...]
    retrievers: tuple[RetrieverRow, ...] = ()
