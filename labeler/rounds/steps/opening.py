"""Opening a round: one transaction fixes its settings, index, teacher and questions."""

from __future__ import annotations

import logging
from dataclasses import astuple
from typing import NoReturn

from db import queries, store
from db.engine import Session
from db.rows import LabellerRow, ModelRow, RoundRow
from labeler import __version__
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.labellers import questions as labeller_questions
from labeler.reading import folds
from labeler.rounds.budget.planning import PoolPlan, choose_subset, passages_read, plan_pool, without
from labeler.rounds.holdout import hold_out_roles
from labeler.rounds.recorded import POOL_SUBSET
from labeler.rounds.resolved_settings import resolve, resolve_index
from labeler.rounds.steps import reviewing, training
from labeler.rounds.strategies import check_name as check_strategy

log = logging.getLogger("labeler")


def open_next(runtime: Runtime, *, reviewer: str | None = None) -> RoundRow:
    """Open the next round: the baseline (without gold labels a cold round) if there is none yet, else a loop round.

    Raises:
        NotReady: no index, no questions or no passages, or the reviewer is not available.
    """
    with runtime.database.read() as session:
        begun = queries.begun(session)
        gold = bool(queries.live_labels(session, roles=["gold"]))
    if begun:
        return _open_loop(runtime, reviewer)
    return open_baseline(runtime) if gold else _open_cold(runtime, reviewer)


def open_retrain(runtime: Runtime) -> RoundRow:
    """Open a round that only trains, on the live labels. Raises NotReady while another round is open."""
    with runtime.database.read() as session:
        current = queries.current_round(session)
    if current is not None:
        refuse_while_open(current)
    teacher = runtime.best_model()
    config, fingerprint = resolve_index(runtime, resolve(runtime))
    with runtime.database.write() as session:
        row = _open(session, "retrain", config, teacher=teacher, fingerprint=fingerprint)
        training.freeze(session, row.number)
        return row


def refuse_while_open(row: RoundRow) -> NoReturn:
    """Raise NotReady because this round must be finished first."""
    if row.kind == "audit":
        raise NotReady(
            f"the audit of a certificate is open (round {row.number}, {row.stage}); finish it with: labeler certify "
            f"(or give it up with: labeler rounds revert {row.number})"
        )
    raise NotReady(
        f"round {row.number} is open ({row.stage}); finish it with: labeler round "
        f"(or give it up with: labeler rounds revert {row.number})"
    )


def open_baseline(runtime: Runtime) -> RoundRow:
    """Open round 0, which trains on gold labels. Raises NotReady where there are none."""
    config, fingerprint = resolve_index(runtime, resolve(runtime))
    with runtime.database.write() as session:
        if not queries.live_labels(session, roles=["gold"]):
            raise NotReady("there are no gold labels to train on; add some with: labeler import FILE --as gold")
        row = _open(session, "baseline", config, fingerprint=fingerprint)
        hold_out_roles(session, queries.questions(session, roles=["gold"]), config, row.number)
        training.freeze(session, row.number)
        return row


def _open_cold(runtime: Runtime, reviewer: str | None) -> RoundRow:
    config = resolve(runtime, reviewer)
    reviewing.check_reviewer(runtime, config.round.reviewer)
    config, fingerprint = resolve_index(runtime, config)
    with runtime.database.write() as session:
        if not queries.pool_to_predict(session):
            raise NotReady("there are no questions yet; run: labeler import FILE --as gold (or --as pool)")
        if config.round.reviewer == "none" and not queries.unrecorded_reviews(session):
            raise NotReady("there are no gold labels and no reviewer; add labels with: labeler import FILE --as gold")
        return _open(session, "cold", config, fingerprint=fingerprint)


def _open_loop(runtime: Runtime, reviewer: str | None) -> RoundRow:
    name = runtime.config.round.labeller
    teacher = runtime.best_model() if name is None else None
    if teacher is not None:
        runtime.reader(teacher)  # raises for a damaged one before a round depends on it; the loaded reader is kept
    config = resolve(runtime, reviewer)
    reviewing.check_reviewer(runtime, config.round.reviewer)
    check_strategy(config.review.strategy)
    config, fingerprint = resolve_index(runtime, config)
    with runtime.database.read() as session:
        if not queries.pool_to_predict(session):
            raise NotReady("every question of the pool is labelled; add more with: labeler import FILE --as pool")
        labeller = queries.labeller(session, name) if name is not None else None
        groups = questions_of(session, config, teacher, labeller)
        passages = passages_read(runtime, teacher) if labeller is None else 0
        planned = plan_pool(session, config, groups, passages=passages)
        subset = choose_subset(session, planned, config, groups, number=queries.next_round_number(session))
    with runtime.database.write() as session:
        row = _open(session, "loop", config, teacher=teacher, labeller=labeller, fingerprint=fingerprint)
        sampled = None if subset is None else frozenset(subset.sampled)
        taken = groups if subset is None else without(groups, subset.left_out)
        store.plan_predictions(session, row.number, taken, chunk_size=config.round.chunk_size, sampled=sampled)
        if planned.minutes is not None:
            detail = planned.described() | {"sampled": len(subset.sampled) if subset else planned.read}
            store.add_event(session, POOL_SUBSET, detail=detail, round_number=row.number)
    _tell(row, planned)
    return row


def _tell(row: RoundRow, planned: PoolPlan) -> None:
    """Log what the round will take before it starts."""
    if planned.cost is not None:
        reading, training, closing = (seconds / 60 for seconds in astuple(planned.cost))
        log.info(
            "round %d: about %.1f minutes: reading %.1f, training %.1f, judging %.1f",
            *(row.number, planned.cost.total / 60, reading, training, closing),
        )
    if planned.minutes is None:
        return
    log.info(
        "the budget of %g minutes takes %d of %d pool questions and leaves out %d",
        *(planned.minutes, planned.read, planned.pool, planned.left_out),
    )
    if planned.cost is None:
        log.warning("nothing was trained yet, so the time of a round is not known, and its budget leaves nothing out")
    elif planned.exceeded:
        log.warning(
            "the budget of %g minutes does not suffice: gold and human labels, and the questions to be reviewed, are "
            "never left out",
            planned.minutes,
        )


def questions_of(
    session: Session, config: Config, teacher: ModelRow | None, labeller: LabellerRow | None
) -> list[list[str]]:
    """The questions to predict by the teacher, a list for each of its readers, or by the labeller."""
    if labeller is not None:
        return labeller_questions.to_predict(session, labeller, folds=config.calibrate.folds)
    assert teacher is not None, "a reader or a labeller predicts"
    return folds.to_predict(session, folds.readers_of(session, teacher))


def _open(
    session: Session,
    kind: str,
    config: Config,
    *,
    teacher: ModelRow | None = None,
    labeller: LabellerRow | None = None,
    fingerprint: str | None,
) -> RoundRow:
    number = queries.next_round_number(session)
    row = store.open_round(
        session,
        kind,
        config=config.resolved(),
        seed=config.round.seed + number,
        code_version=__version__,
        teacher_id=teacher.id if teacher is not None else None,
        labeller_id=labeller.id if labeller is not None else None,
        index_fingerprint=fingerprint,
        reviewer=config.round.reviewer,
    )
    store.add_event(session, "round_opened", detail={"kind": kind}, round_number=row.number)
    return row
