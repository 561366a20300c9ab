"""Which questions a labeller predicts in a round, and which calibrate its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from db import queries
from db.engine import Session
from db.rows import LabelledQuestion, LabellerRow, QuestionRow
from labeler.core.errors import NotReady

SUFFICIENT: Final = 200  # gold questions to calibrate a labeller that was not taught them; each may cost money


def to_predict(session: Session, labeller: LabellerRow, *, folds: int | None) -> list[list[str]]:
    """The answered questions of the pool, and those that `calibrating` names; one group, for one labeller.

    Raises NotReady: it has answered no question of the pool that needs a label.
    """
    answered = queries.answered(session, labeller.id).keys()
    pool = answered & {row.id for row in queries.pool_to_predict(session)}
    if not pool:
        raise NotReady(
            f"the labeller {labeller.name!r} has answered no unlabelled question of the pool; import its answers: "
            f"labeler import FILE --as predictions --labeller {labeller.name}"
        )
    return [sorted(pool | (answered & {entry.question.id for entry in calibrating(session, folds=folds)}))]


def calibrating(session: Session, *, folds: int | None) -> list[LabelledQuestion]:
    """The labelled questions that calibrate a labeller: those held out, and gold ones where folds hold none out.

    `folds`: of the settings; None: chosen by each round.
    """
    found = queries.labelled_questions(session, "calibration")
    return found if found or folds == 1 else queries.labelled_questions(session, "gold")


def to_calibrate(session: Session, *, folds: int | None) -> list[QuestionRow]:
    """The questions that a labeller is asked so that its scores can be calibrated; of gold ones as many as suffice."""
    held_out = queries.questions(session, roles=["calibration"], duplicates=False)
    if held_out:
        return held_out
    found = {entry.question.id: entry.question for entry in calibrating(session, folds=folds)}
    return [found[key] for key in shuffled(found)[:SUFFICIENT] if found[key].duplicate_of is None]


def shuffled(ids: Iterable[str]) -> list[str]:
    """The ids in an order that is always the same and says nothing about them: by their hashes."""
    return sorted(ids, key=lambda key: hashlib.sha256(key.encode()).digest())
