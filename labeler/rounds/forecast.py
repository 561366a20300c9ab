"""Forecast of a round from the costs of earlier ones. Read-only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from db import queries
from db.engine import Session
from db.rows import RoundRow
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.reading.folds import fold_count
from labeler.review.statistics import missing_reviews
from labeler.rounds.budget.cost import Cost, cost
from labeler.rounds.budget.planning import pace_of, passages_read, plan_pool, taught_counts, work_of
from labeler.rounds.machine import STEPS
from labeler.rounds.recorded import subset_of
from labeler.rounds.resolved_settings import of_round
from labeler.rounds.select import doubly_annotated
from labeler.rounds.steps.opening import questions_of, refuse_while_open

PREDICTION_BYTES = 3000  # a prediction with its 20 best answers, in SQLite
CHECKPOINT = 3  # a checkpoint in training is this many times the model: weights and two moments of each


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk space in bytes; None before the first training, when the size of a model is unknown."""

    kept: int | None  # predictions and the student
    peak: int | None  # during training: two checkpoints more
    free: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cost of the rest of the open round, or of the next one."""

    round: int
    kind: str
    stage: str | None  # None: it is not open yet
    reviewer: str
    questions: int  # to be predicted
    sequences: int  # questions x passages that the reader takes of each
    reading_minutes: float | None  # None before anything was trained
    training_minutes: float | None  # at the pace of the last training, fold readers and a retriever included
    closing_minutes: float | None  # tuning and judging the student
    minutes: float | None  # of all three, reviewing apart
    timed: bool  # whether reading was timed before; else it is taken for a third of the training on a passage
    pool_subset: Mapping[str, Any] | None  # what round.budget_minutes takes of the pool; None without a budget
    tasks: int  # questions to be reviewed, at most
    reviews: int  # missing reviews of these tasks: two for a doubly annotated one
    disk: Disk


def forecast(runtime: Runtime, *, reviewer: str | None = None) -> Forecast:
    """The forecast for the open round, else for the next one. Raises NotReady where none could be opened."""
    with runtime.database.read() as session:
        row = queries.current_round(session)
        if row is not None and row.kind == "audit":
            refuse_while_open(row)
        if row is not None:
            runtime = of_round(runtime, row)
        kind = row.kind if row is not None else _next_kind(session)
        reviewer = reviewer or (row.reviewer if row is not None else None) or runtime.config.round.reviewer
        tasks, reviews = _reviews(runtime, session, row, kind, reviewer)
        number = row.number if row is not None else queries.next_round_number(session)
        pace, size = pace_of(session), _model_size(runtime, session)
        ahead = _of_open(runtime, session, row) if row is not None else _of_next(runtime, session, kind, reviewer)
    sequences = ahead.questions * ahead.passages
    trains = row is None or row.stage != "trained"
    reading = 0.0 if not sequences else None if pace is None else sequences * pace.passage / 60
    training = 0.0 if not trains else None if ahead.cost is None else ahead.cost.training / 60
    closing = None if ahead.cost is None else ahead.cost.closing / 60
    parts = (reading, training, closing)
    return Forecast(
        round=number,
        kind=kind,
        stage=row.stage if row is not None else None,
        reviewer=reviewer,
        questions=ahead.questions,
        sequences=sequences,
        reading_minutes=reading,
        training_minutes=training,
        closing_minutes=closing,
        minutes=None if None in parts else sum(part or 0.0 for part in parts),
        timed=pace is not None and pace.timed,
        pool_subset=ahead.subset,
        tasks=tasks,
        reviews=reviews,
        disk=_disk(runtime, ahead.questions, size, trains=trains),
    )


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a round will predict, and what training and closing cost; None before anything was trained."""

    questions: int = 0
    passages: int = 0  # read of each
    cost: Cost | None = None
    subset: Mapping[str, Any] | None = None  # what its budget takes of the pool


def _of_next(runtime: Runtime, session: Session, kind: str, reviewer: str) -> _Ahead:
    if kind != "loop":
        return _Ahead()
    folds = fold_count(session, runtime.config.calibrate)
    config = with_settings(runtime.config, round={"reviewer": reviewer}, calibrate={"folds": folds})
    labeller = queries.labeller(session, config.round.labeller) if config.round.labeller is not None else None
    teacher = runtime.best_model() if labeller is None else None
    passages = passages_read(runtime, teacher) if labeller is None else 0
    planned = plan_pool(session, config, questions_of(session, config, teacher, labeller), passages=passages)
    subset = planned.described() if planned.minutes is not None else None
    return _Ahead(planned.others + planned.read, passages, planned.cost, subset)


def _of_open(runtime: Runtime, session: Session, row: RoundRow) -> _Ahead:
    teacher = queries.model(session, row.teacher_id) if row.teacher_id else queries.best_model(session)
    passages = passages_read(runtime, teacher) if row.labeller_id is None else 0
    return _Ahead(
        _unread(session, row), passages, _cost(session, runtime.config, row, passages), subset_of(session, row)
    )


def _cost(session: Session, config: Config, row: RoundRow, passages: int) -> Cost | None:
    """What training and closing an open round cost; None before anything was trained."""
    pace = pace_of(session)
    if pace is None:
        return None
    config = with_settings(config, round={"reviewer": row.reviewer or "none"})
    work = work_of(session, config, queries.round_chunks(session, row.number), passages=passages)
    human, pseudo = taught_counts(session, row.number)
    if human or pseudo:  # its training set is fixed
        return cost(replace(work, human=human), pace, config, pool=0, taught=pseudo)
    return cost(work, pace, config, pool=work.pool)


def _next_kind(session: Session) -> str:
    if queries.begun(session):
        if not queries.pool_to_predict(session):
            raise NotReady("every question of the pool is labelled; add more with: labeler import FILE --as pool")
        return "loop"
    if queries.live_labels(session, roles=["gold"]):
        return "baseline"
    if not queries.pool_to_predict(session):
        raise NotReady("there are no questions yet; run: labeler import FILE --as gold (or --as pool)")
    return "cold"


def _unread(session: Session, row: RoundRow) -> int:
    """How many questions of an open round have no prediction yet."""
    if row.kind != "loop" or row.stage != "open":
        return 0
    return sum(map(len, queries.round_chunks(session, row.number, predicted=False)))


def _reviews(runtime: Runtime, session: Session, row: RoundRow | None, kind: str, reviewer: str) -> tuple[int, int]:
    """How many tasks are to be reviewed, and how many reviews they need."""
    if "in_review" not in STEPS[kind] or reviewer == "none":
        return 0, 0
    if row is not None and row.stage not in ("open", "predicted"):
        return len(queries.tasks(session, round_number=row.number, states=["open"])), missing_reviews(
            session, row.number
        )
    pool = [entry.id for entry in queries.pool_to_predict(session)]
    count = min(runtime.config.review.review_budget, len(pool))
    return count, count + len(doubly_annotated(pool[:count], runtime.config.review.double_annotation, seed=0))


def _model_size(runtime: Runtime, session: Session) -> int | None:
    """Bytes of the newest model's folder."""
    for model in reversed(queries.models(session)):
        folder = runtime.workspace.folder / model.path
        if folder.is_dir():
            return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return None


def _disk(runtime: Runtime, questions: int, size: int | None, *, trains: bool) -> Disk:
    free = shutil.disk_usage(runtime.workspace.folder).free
    if size is None:
        return Disk(None, None, free)
    kept = questions * PREDICTION_BYTES + (size if trains else 0)
    return Disk(kept, kept + 2 * CHECKPOINT * size if trains else kept, free)
