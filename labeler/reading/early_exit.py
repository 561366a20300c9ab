"""Adaptive reading: a stopping rule that is fitted on held-out questions, stored, and used by a round.

A rule holds for one reader, device, precision, index and reading settings. A round that was killed uses the stored one.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from db import queries, store
from db.rows import ModelRow, QuestionRow
from labeler.core.runtime import Runtime
from labeler.reading import folds, postprocessing
from mrc.types import Question

if TYPE_CHECKING:
    from mrc.read.predict.adaptive import StoppingRule

log = logging.getLogger(__name__)

HeldOut: TypeAlias = Sequence[tuple[ModelRow, Sequence[QuestionRow]]]  # by the reader that has not seen them

STOPPING_KEY = "stopping:"  # in meta, followed by a hash of all that the rule depends on


def fitted_rule(runtime: Runtime, model: ModelRow, *, index: str | None) -> StoppingRule | None:
    """The stopping rule of a round, fitted if it is not stored yet; None where all passages are read.

    It is fitted on the calibration questions without their answers, and where the reader has fold readers on what
    taught it too, each question read by the fold reader that has not seen it. The round reads them under the rule too,
    so that the calibrator is fitted on scores like those it will see.
    """
    if runtime.config.experimental.adaptive == "off" or index is None:
        return None
    held_out = _held_out(runtime, model)
    known = _stored(runtime, model, index, held_out)
    if known is not None:
        return known
    rule = _fitted(runtime, model, index, held_out)
    log.info(
        "adaptive reading: %.0f%% of the passages on %d held-out questions, %d answers changed",
        100 * rule.passages,
        rule.questions,
        rule.changed,
    )
    with runtime.database.write() as session:
        store.set_meta(session, _key(runtime, model, index, held_out), json.dumps(asdict(rule)))
    return rule


def stored_rule(runtime: Runtime, model: ModelRow, *, index: str) -> StoppingRule | None:
    """The rule that a round fitted for this reader, index and settings; None where there is none."""
    if runtime.config.experimental.adaptive == "off":
        return None
    return _stored(runtime, model, index, _held_out(runtime, model))


def _held_out(runtime: Runtime, model: ModelRow) -> HeldOut:
    with runtime.database.read() as session:
        return folds.held_out(session, folds.readers_of(session, model))


def _fitted(runtime: Runtime, model: ModelRow, index: str, held_out: HeldOut) -> StoppingRule:
    from mrc import pipeline

    plan = postprocessing.plan_of(runtime, model)
    asked = [[Question(row.id, row.text) for row in rows] for _, rows in held_out]
    return pipeline.held_out_rule(
        asked[0],
        retriever=runtime.index(index),
        reader=runtime.reader(model),
        fetch=runtime.fetch,
        k=runtime.config.read.top_k,
        split_group_of={row.id: row.split_group for _, rows in held_out for row in rows},
        risk=runtime.config.experimental.adaptive_risk,
        config=runtime.config.read,
        metric=runtime.metric,
        refine=plan.refine,
        retrieval_weight=plan.retrieval_weight,
        passages=plan.passages,
        others=(  # one reader is in memory at a time
            (own, runtime.reader(fold)) for own, (fold, _) in zip(asked[1:], held_out[1:], strict=True) if own
        ),
    )


def _stored(runtime: Runtime, model: ModelRow, index: str, held_out: HeldOut) -> StoppingRule | None:
    from mrc.read.predict.adaptive import StoppingRule

    with runtime.database.read() as session:
        stored = queries.get_meta(session, _key(runtime, model, index, held_out))
    if stored is None:
        return None
    values = json.loads(stored)
    return StoppingRule(**values | {"thresholds": tuple(values["thresholds"])})


def _key(runtime: Runtime, model: ModelRow, index: str, held_out: HeldOut) -> str:
    tuned = postprocessing.identity_of(runtime, model)
    asked = [[reader.hash, sorted((row.id, row.split_group) for row in rows)] for reader, rows in held_out]
    computed = [runtime.device, runtime.reader(model).precision]
    parts: list[object] = [model.hash, *computed, index, asdict(runtime.config.read), tuned]
    parts += [
        runtime.config.experimental.adaptive_risk,
        runtime.metric,
        runtime.language,
        asked,
        *runtime.other_readers,
    ]
    return STOPPING_KEY + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
