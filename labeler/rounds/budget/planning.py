"""The cost of a round and the subset of the pool that its budget leaves, as the database stands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from db import queries
from db.engine import Session
from db.rows import ModelRow
from labeler.core.config import Config
from labeler.core.runtime import Runtime
from labeler.reading import postprocessing
from labeler.reading.folds import TUNED_ON
from labeler.rounds.budget.cost import READING_SHARE, Cost, Pace, Work, cost, most_questions, passages_of
from labeler.rounds.budget.subset import Subset, choose
from labeler.rounds.select import random_tasks
from mrc.read.passes import examples_shown


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """How many questions of the pool a round takes, and what it costs; `minutes`: its budget, None without one."""

    minutes: float | None
    pool: int
    read: int
    others: int  # questions predicted beside the pool
    cost: Cost | None  # None before anything was trained

    @property
    def left_out(self) -> int:
        return self.pool - self.read

    @property
    def exceeded(self) -> bool:
        """Whether even the least round takes longer than its budget: gold labels and reviews are never left out."""
        return self.minutes is not None and self.cost is not None and self.cost.total > 60 * self.minutes

    def described(self) -> dict[str, Any]:
        """The plan as JSON; None where there is no budget."""
        assert self.minutes is not None
        return {
            "minutes": self.minutes,
            "pool": self.pool,
            "read": self.read,
            "left_out": self.left_out,
            "forecast_minutes": self.cost.total / 60 if self.cost else None,
            "exceeded": self.exceeded,
        }


Groups = Sequence[Sequence[str]]  # ids of the questions to predict, a list for each reader


def plan_pool(session: Session, config: Config, groups: Groups, *, passages: int) -> PoolPlan:
    """The plan of the next loop round under these settings.

    `passages`: that the reader takes of each question; 0 where a labeller has answered them.
    """
    work = work_of(session, config, groups, passages=passages)
    minutes, pace, pool = config.round.budget_minutes, pace_of(session), work.pool
    if pace is None:
        return PoolPlan(minutes, pool, pool, work.questions, None)
    read = pool
    if minutes is not None:
        least = max(1, _tasks(config, pool))
        read = most_questions(work, pace, config, least=least, minutes=minutes)
    return PoolPlan(minutes, pool, read, work.questions, cost(work, pace, config, pool=read))


def choose_subset(session: Session, plan: PoolPlan, config: Config, groups: Groups, *, number: int) -> Subset | None:
    """The pool questions that round `number` takes; None: all."""
    if not plan.left_out:
        return None
    wanted = random_tasks(_tasks(config, plan.read), config.review, first_round=number <= 1)
    ids = {key for group in groups for key in group}
    pool = [question for question in queries.pool_to_predict(session) if question.id in ids]
    return choose(
        pool, plan.read, random=wanted, confidences=queries.newest_confidences(session), seed=config.round.seed + number
    )


def without(groups: Groups, left_out: Collection[str]) -> list[list[str]]:
    """The groups without the questions that are left out."""
    kept = ([key for key in group if key not in left_out] for group in groups)
    return [group for group in kept if group]


def pace_of(session: Session) -> Pace | None:
    """The paces of the last training of a student, reading and training of a retriever; None before a training."""
    trained = next((model for model in reversed(queries.models(session)) if model.name == "student"), None)
    if trained is None:
        return None
    config = Config.from_resolved(queries.round_(session, trained.round_number).config)
    shown = examples_shown(*taught_counts(session, trained.round_number), config.training)
    if not shown:
        return None
    example = trained.seconds / shown / passages_of(config)
    passage = _reading_pace(session)
    retriever = next(((row.seconds, row.examples) for row in reversed(queries.retrievers(session))), None)
    return Pace(example, READING_SHARE * example if passage is None else passage, retriever, passage is not None)


def taught_counts(session: Session, number: int) -> tuple[int, int]:
    """How many gold and human labels, and how many pseudo-labels, a round trains on."""
    counts = queries.training_counts(session, number)
    pseudo = sum(count for (kind, _, _), count in counts.items() if kind == "pseudo")
    return sum(counts.values()) - pseudo, pseudo


def work_of(session: Session, config: Config, groups: Groups, *, passages: int) -> Work:
    """What a loop round has to do that predicts these questions."""
    predicted = {key for group in groups for key in group}
    pool = sum(question.id in predicted for question in queries.pool_to_predict(session))
    labels = queries.live_labels(session, kinds=["gold", "human"], roles=["gold", "pool"])
    dev, calibration = (len(queries.labelled_questions(session, role)) for role in ("dev", "calibration"))
    human = sum(label.train_weight > 0 for label in labels)
    out_of_fold = min(human, TUNED_ON) if (config.calibrate.folds or 1) > 1 else 0
    return Work(
        pool=pool,
        questions=len(predicted) - pool,
        human=human + _tasks(config, pool),
        dev=dev,
        calibration=calibration + out_of_fold,
        passages=passages,
    )


def passages_read(runtime: Runtime, teacher: ModelRow | None) -> int:
    """How many passages of a question a reader reads: as tuned for it, at most `read.top_k`."""
    if runtime.given:
        return 1
    tuned = postprocessing.plan_of(runtime, teacher).passages if teacher else None
    return min(tuned or runtime.config.read.top_k, runtime.config.read.top_k)


def _tasks(config: Config, pool: int) -> int:
    return 0 if config.round.reviewer == "none" else min(config.review.review_budget, pool)


def _reading_pace(session: Session) -> float | None:
    """Seconds per passage of a question in the last prediction."""
    for event in reversed(queries.events(session)):
        if event.kind == "predicted" and event.detail.get("sequences"):
            return float(event.detail["seconds"]) / int(event.detail["sequences"])
    return None
