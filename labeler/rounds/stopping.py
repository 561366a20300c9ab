"""When a reader may stop reading further passages: a rule fitted once on held-out questions, and stored.

It belongs to one reader, computing on one device in one precision, an index and settings of reading; a round that is
killed reads the same rule back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import ModelRow, QuestionRow
from labeler import reading_rules
from labeler.desk import Desk
from mrc.types import Question

if TYPE_CHECKING:
    from mrc.read.adaptive import StoppingRule

log = logging.getLogger(__name__)

STOPPING_KEY = "stopping:"  # in meta, followed by a hash of all that the rule depends on


def fitted_rule(desk: Desk, model: ModelRow, *, index: str | None) -> StoppingRule | None:
    """The rule under which a round predicts, fitted now if it is not stored; None where every passage is read.

    It is fitted on the calibration questions, whose answers are not looked at; the round then reads them under it too,
    so that its calibrator sees the scores that it will be asked about.
    """
    if desk.config.read.adaptive == "off" or index is None:
        return None
    held_out = _held_out(desk)
    known = _stored(desk, model, index, held_out)
    if known is not None:
        return known
    rule = _fitted(desk, model, index, held_out)
    log.info(
        "adaptive reading: %.0f%% of the passages on %d held-out questions, %d answers changed",
        100 * rule.passages,
        rule.questions,
        rule.changed,
    )
    with desk.database.write() as session:
        store.set_meta(session, _key(desk, model, index, held_out), json.dumps(asdict(rule)))
    return rule


def known_rule(desk: Desk, model: ModelRow, *, index: str) -> StoppingRule | None:
    """The rule that a round fitted for this reader, index and settings; None where there is none. It is of the reader
    alone: in company nobody reads adaptively."""
    return None if desk.config.read.adaptive == "off" else _stored(desk, model, index, _held_out(desk))


def _held_out(desk: Desk) -> list[QuestionRow]:
    with desk.database.read() as session:
        return queries.questions(session, roles=["calibration"])


def _fitted(desk: Desk, model: ModelRow, index: str, held_out: list[QuestionRow]) -> StoppingRule:
    from mrc import pipeline

    return pipeline.held_out_rule(
        [Question(row.id, row.text) for row in held_out],
        retriever=desk.index(index),
        reader=desk.reader(model),
        fetch=desk.fetch,
        k=desk.config.read.top_k,
        unit_of={row.id: row.unit for row in held_out},
        config=desk.config.read,
        metric=desk.metric,
        refine=reading_rules.refine_of(desk, model),
    )


def _stored(desk: Desk, model: ModelRow, index: str, held_out: list[QuestionRow]) -> StoppingRule | None:
    from mrc.read.adaptive import StoppingRule

    with desk.database.read() as session:
        stored = queries.get_meta(session, _key(desk, model, index, held_out))
    if stored is None:
        return None
    values = json.loads(stored)
    return StoppingRule(**values | {"thresholds": tuple(values["thresholds"])})


def _key(desk: Desk, model: ModelRow, index: str, held_out: list[QuestionRow]) -> str:
    rules = reading_rules.names_of(desk, model)
    asked = sorted((row.id, row.unit) for row in held_out)
    computed = [desk.device, desk.reader(model).precision]
    parts: list[object] = [model.hash, *computed, index, asdict(desk.config.read), list(rules)]
    parts += [desk.metric, desk.language, asked, *desk.company]
    return STOPPING_KEY + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
