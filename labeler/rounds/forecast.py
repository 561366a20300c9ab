"""Forecast of a round from the costs of earlier ones. Read-only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from db import queries
from db.engine import Session
from db.rows import RoundRow
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.reading import postprocessing
from labeler.review.statistics import missing_reviews
from labeler.rounds.machine import STEPS
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
    reading_minutes: float | None  # at the speed of the last round; None without one
    training_minutes: float | None  # as long as the last training, with that of a retriever if one is to be trained
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
        questions = _questions(runtime, session, row, kind)
        tasks, reviews = _reviews(runtime, session, row, kind, reviewer)
        number = row.number if row is not None else queries.next_round_number(session)
        pace, training, size = _pace(session), _training_seconds(runtime, session), _model_size(runtime, session)
    sequences = questions * _passages_read(runtime, row)
    trains = row is None or row.stage != "trained"
    return Forecast(
        round=number,
        kind=kind,
        stage=row.stage if row is not None else None,
        reviewer=reviewer,
        questions=questions,
        sequences=sequences,
        reading_minutes=0.0 if not sequences else None if pace is None else sequences * pace / 60,
        training_minutes=0.0 if not trains else None if training is None else training / 60,
        tasks=tasks,
        reviews=reviews,
        disk=_disk(runtime, questions, size, trains=trains),
    )


def _passages_read(runtime: Runtime, row: RoundRow | None) -> int:
    """How many passages of a question the round's teacher reads: as tuned for it, at most `read.top_k`."""
    if (row.labeller_id if row else runtime.config.round.labeller) is not None:
        return 0
    if runtime.given:
        return 1
    with runtime.database.read() as session:
        teacher = queries.model(session, row.teacher_id) if row and row.teacher_id else queries.best_model(session)
    tuned = postprocessing.plan_of(runtime, teacher).passages if teacher else None
    return min(tuned or runtime.config.read.top_k, runtime.config.read.top_k)


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


def _questions(runtime: Runtime, session: Session, row: RoundRow | None, kind: str) -> int:
    """How many questions have no prediction in this round yet."""
    if kind != "loop" or (row is not None and row.stage != "open"):
        return 0
    if row is not None:
        return sum(map(len, queries.round_chunks(session, row.number, predicted=False)))
    name = runtime.config.round.labeller
    labeller = queries.labeller(session, name) if name is not None else None
    teacher = runtime.best_model() if labeller is None else None
    return sum(map(len, questions_of(session, runtime.config, teacher, labeller)))


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


def _pace(session: Session) -> float | None:
    """Seconds per sequence in the last prediction."""
    for event in reversed(queries.events(session)):
        if event.kind == "predicted" and event.detail.get("sequences"):
            return float(event.detail["seconds"]) / int(event.detail["sequences"])
    return None


def _training_seconds(runtime: Runtime, session: Session) -> float | None:
    """Seconds of the last training, with its folds and with that of a retriever if the settings train one."""
    trained = queries.models(session)
    encoders = queries.retrievers(session) if runtime.config.retriever.train else []
    if not trained:
        return None
    last = [each.seconds for each in trained if each.round_number == trained[-1].round_number]
    return sum(last) + sum(each.seconds for each in encoders[-1:])


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
