"""Calibration and dev questions held out of the labelled ones, by whole split groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from db import queries, store
from db.engine import Session
from db.rows import QuestionRow, ReviewRow
from labeler.core.config import Config
from labeler.importing.import_plan import stored_split_groups
from labeler.importing.splits import hold_out


def hold_out_roles(session: Session, questions: Sequence[QuestionRow], config: Config, number: int) -> None:
    """Move shares of the questions to the roles calibration and dev, unless there are such questions already.

    `config`: as the round resolved it. With folds none are held out for calibration: fold readers let all labels
    calibrate.

    Every question that shares a paragraph or its wording with a held-out one moves with it, labelled or not, so that
    none of them gets a pseudo-label.
    """
    everything = queries.questions(session)
    split_group_of = stored_split_groups(
        everything, queries.passage_identities(session, (row.context_id for row in everything if row.context_id))
    )
    movable = [row.id for row in everything if row.role in ("gold", "pool")]
    remaining = [split_group_of[row.id] for row in questions]
    calibration = config.calibrate.calibration_share if config.calibrate.folds == 1 else 0.0
    for role, share in (("calibration", calibration), ("dev", config.round.dev_share)):
        if share == 0 or any(row.role == role for row in everything):
            continue
        held_out = hold_out(Counter(remaining), share, rng=np.random.default_rng(config.round.seed))
        remaining = [group for group in remaining if group not in held_out]
        moved = [question_id for question_id in movable if split_group_of[question_id] in held_out]
        store.set_roles(session, dict.fromkeys(moved, role))
        store.add_event(session, "held_out", detail={"role": role, "questions": len(moved)}, round_number=number)


def hold_out_reviewed(session: Session, config: Config, reviews: Sequence[ReviewRow], number: int) -> None:
    """Hold out calibration and dev questions of the reviewed ones: after a cold start no others are labelled."""
    reviewed = {each.question_id for each in reviews if each.verdict == "answerable"}
    questions = [row for row in queries.questions(session, roles=["pool"]) if row.id in reviewed]
    hold_out_roles(session, questions, config, number)
