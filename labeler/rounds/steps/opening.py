"""Opening a round: everything that it will depend on is fixed in one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from db import queries, store
from db.engine import Session
from db.rows import QuestionRow, ReviewRow, RoundRow
from labeler import __version__
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime, with_settings
from labeler.importing.import_plan import stored_split_groups
from labeler.importing.splits import hold_out
from labeler.rounds import checkpoints, preflight
from labeler.rounds.retriever import loop
from labeler.rounds.steps import reviewing, training

log = logging.getLogger("labeler")

#: settings that a round may hold otherwise than they were given: what they came to, or where the database was then
RESOLVED = frozenset(
    {
        "workspace.database",
        "workspace.language",
        "workspace.metric",
        "compute.threads",
        "compute.device",
        "round.reviewer",
    }
)

#: settings that name checkpoints: a round stores their folders by absolute path
CHECKPOINTS = frozenset({"train.start", "train.teachers", "retriever.start", "ensemble.members", "cascade.large"})


def open_next(runtime: Runtime, *, reviewer: str | None = None) -> RoundRow:
    """The next round, just opened: the baseline if there is none yet, else one turn of the loop.

    Raises: NotReady without an index, without questions, or without passages.
    """
    with runtime.database.read() as session:
        begun = queries.last_round(session) is not None
        gold = bool(queries.live_labels(session, roles=["gold"]))
    if begun:
        return _open_loop(runtime, reviewer)
    return open_baseline(runtime) if gold else _open_cold(runtime, reviewer)


def open_retrain(runtime: Runtime) -> RoundRow:
    """A round that only trains, on the live labels. Raises NotReady while another round is open."""
    with runtime.database.read() as session:
        status = queries.current_round(session)
    if status is not None:
        refuse_while_open(status)
    teacher = runtime.best_model()
    config, fingerprint = _indexed(runtime, resolve(runtime))
    with runtime.database.write() as session:
        row = _open(session, "retrain", config, teacher_id=teacher.id, fingerprint=fingerprint)
        training.freeze(session, row.number)
        return row


def refuse_while_open(row: RoundRow) -> NoReturn:
    """Raises NotReady: something else is to be done while this round is open."""
    raise NotReady(
        f"round {row.number} stands at {row.stage}; finish it with: labeler round "
        f"(or give it up with: labeler rounds revert {row.number})"
    )


def open_baseline(runtime: Runtime) -> RoundRow:
    """Round 0 on gold labels. Raises NotReady where there are none."""
    config, fingerprint = _indexed(runtime, resolve(runtime))
    with runtime.database.write() as session:
        if not queries.live_labels(session, roles=["gold"]):
            raise NotReady("there are no gold labels to train on; add some with: labeler import FILE --as gold")
        row = _open(session, "baseline", config, fingerprint=fingerprint)
        _hold_out(session, queries.questions(session, roles=["gold"]), config, row.number)
        training.freeze(session, row.number)
        return row


def _open_cold(runtime: Runtime, reviewer: str | None) -> RoundRow:
    config = resolve(runtime, reviewer)
    reviewing.check_reviewer(runtime, config.round.reviewer)
    config, fingerprint = _indexed(runtime, config)
    with runtime.database.write() as session:
        if not queries.pool_to_predict(session):
            raise NotReady("there are no questions yet; run: labeler import FILE --as gold (or --as pool)")
        if config.round.reviewer == "none" and not queries.unrecorded_reviews(session):
            raise NotReady("there are no gold labels and nobody to ask; add some with: labeler import FILE --as gold")
        return _open(session, "cold", config, fingerprint=fingerprint)


def _open_loop(runtime: Runtime, reviewer: str | None) -> RoundRow:
    teacher = runtime.best_model()
    runtime.reader(teacher)  # a broken one is told before a round depends on it; this one is kept and used
    config = resolve(runtime, reviewer)
    reviewing.check_reviewer(runtime, config.round.reviewer)
    config, fingerprint = _indexed(runtime, config)
    with runtime.database.write() as session:
        if not queries.pool_to_predict(session):
            raise NotReady("every question of the pool is labelled; add more with: labeler import FILE --as pool")
        row = _open(session, "loop", config, teacher_id=teacher.id, fingerprint=fingerprint)
        store.plan_predictions(session, row.number, chunk_size=config.round.chunk_size)
        return row


def _open(
    session: Session, kind: str, config: Config, *, teacher_id: int | None = None, fingerprint: str | None
) -> RoundRow:
    number = queries.next_round_number(session)
    row = store.open_round(
        session,
        kind,
        config=config.resolved(),
        seed=config.round.seed + number,
        code_version=__version__,
        teacher_id=teacher_id,
        index_fingerprint=fingerprint,
        reviewer=config.round.reviewer,
    )
    store.add_event(session, "round_opened", detail={"kind": kind}, round_number=row.number)
    return row


def _indexed(runtime: Runtime, config: Config) -> tuple[Config, str | None]:
    """The settings and the index that the round will use; None where questions are read in their own context.

    Where the round trains a retriever, the settings say from which checkpoint.
    """
    if runtime.given:
        if config.retriever.train:
            log.warning(
                "retriever.train is on, but questions are read in the passages they came with (read.passages): "
                "no retriever is trained"
            )
        return config, None
    fingerprint = runtime.current_index()
    if loop.wanted(runtime, fingerprint):
        return with_settings(config, retriever={"start": loop.start_of(runtime, fingerprint)}), fingerprint
    if config.retriever.train:
        log.warning(
            "retriever.train is on, but the index ranks passages by terms alone: no retriever is trained; "
            "name an encoder with: labeler index --dense NAME"
        )
    return config, fingerprint


def resolve(runtime: Runtime, reviewer: str | None = None) -> Config:
    """The settings that a new round is opened with: nothing in them is left to the machine it goes on on.

    Raises: NotReady, NoDevice, MissingExtra, BadCheckpoint for a round that could never read or never train.
    """
    runtime.check_adaptive()
    device = runtime.device
    start = start_of(runtime)
    preflight.can_train(runtime, start)
    return with_settings(
        runtime.config,
        workspace={"language": runtime.language, "metric": runtime.metric},
        compute={"device": device},
        ensemble={"members": members_of(runtime)},
        cascade={
            "large": _named_start(runtime, runtime.config.cascade.large) if runtime.config.cascade.large else None
        },
        train={"start": start, "teachers": teachers_of(runtime)},
        round={"reviewer": reviewer or runtime.config.round.reviewer},
    )


def members_of(runtime: Runtime) -> tuple[str, ...]:
    """The readers that vote with the round's."""
    return tuple(_named_start(runtime, name) for name in runtime.config.ensemble.members)


def teachers_of(runtime: Runtime) -> tuple[str, ...]:
    """The readers that the setting names as teachers. Raises NotReady where nothing would be learnt from them, or a
    folder is gone; BadCheckpoint where one is no model."""
    named = runtime.config.train.teachers
    if named and not runtime.config.train.distill_weight:
        raise NotReady("train.teachers are named, but train.distill_weight is 0; try: --set train.distill_weight=0.5")
    return tuple(_named_start(runtime, name) for name in named)


def start_of(runtime: Runtime) -> str:
    """The starting checkpoint: the setting, else that of the reader so far, else the built-in encoder.

    Raises NotReady where its folder is gone; BadCheckpoint where the setting names no model.
    """
    named = runtime.config.train.start
    with runtime.database.read() as session:
        best = queries.best_model(session)
    if named is not None and not (named == checkpoints.BUILTIN and best and checkpoints.is_builtin(best.start)):
        return _named_start(runtime, named)
    if best is None:
        return checkpoints.BUILTIN
    runtime.located(best.start)
    return best.start


def _named_start(runtime: Runtime, named: str) -> str:
    """The checkpoint that the setting names, known to be one: a round that can never train should not be opened.

    A folder outside of the workspace by its absolute path: the round may go on from another folder.
    """
    from mrc.encoder import load_config, load_tokenizer

    if named == checkpoints.BUILTIN:
        return named
    found = runtime.located(named)
    load_config(found)
    load_tokenizer(found)
    return str(Path(named).absolute()) if found == named and Path(named).is_dir() else named


def _hold_out(session: Session, questions: Sequence[QuestionRow], config: Config, number: int) -> None:
    """Moves shares of the questions to calibration and to dev, where there is none of them yet.

    By whole units: what shares a paragraph or the wording with a question that is held out goes with it, labelled or
    not, so that it is never pseudo-labelled.
    """
    everything = queries.questions(session)
    split_group_of = stored_split_groups(everything)
    movable = [row.id for row in everything if row.role in ("gold", "pool")]
    left = [split_group_of[row.id] for row in questions]
    for role, share in (("calibration", config.calibrate.calibration_share), ("dev", config.round.dev_share)):
        if share == 0 or any(row.role == role for row in everything):
            continue
        split_groups = hold_out(Counter(left), share, rng=np.random.default_rng(config.round.seed))
        left = [unit for unit in left if unit not in split_groups]
        held = [question_id for question_id in movable if split_group_of[question_id] in split_groups]
        store.set_roles(session, dict.fromkeys(held, role))
        store.add_event(session, "held_out", detail={"role": role, "questions": len(held)}, round_number=number)


def held_out_reviews(session: Session, config: Config, reviews: Sequence[ReviewRow], number: int) -> None:
    """After a cold start the reviewed questions are the only labelled ones: calibration and dev are taken from them."""
    reviewed = {each.question_id for each in reviews if each.verdict == "answerable"}
    questions = [row for row in queries.questions(session, roles=["pool"]) if row.id in reviewed]
    _hold_out(session, questions, config, number)
