"""What is tuned for a reader (`labeler.reading.tuning`) and stored in the database: the weight of retrieval in its
answers, the number of passages read, post-processing rules, and the threshold of "no answer".

It is tuned when a round closes and then fixed for this reader: a round that is killed and resumed predicts alike.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Final

from db import queries
from db.rows import LabelledQuestion, ModelRow, QuestionRow
from labeler.core.runtime import Runtime
from labeler.reading.answering import ReadingPlan
from mrc.calibration.retrieval_weight import (
    RetrievalWeight,
    fewest_passages,
)
from mrc.postprocess.rules import (
    Change,
    RuleEffect,
    refiner,
)

RULES_KEY: Final = "rules:"  # in meta, followed by the hashes of the reader and of its ensemble or cascade
AUTO: Final = ("auto",)


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome of tuning: rules and threshold on dev, the rest on dev and calibration questions."""

    rules: tuple[str, ...] = ()  # those that are on
    null_threshold: float = 0.0  # a reader that may abstain does so above it, see `best_text`
    table: tuple[RuleEffect, ...] = ()  # the effect of every rule
    questions: int = 0
    tuned_on: str = ""  # hash of the questions and settings; empty where nothing was tuned
    retrieval: RetrievalWeight = field(default_factory=RetrievalWeight)
    right_by_passages: tuple[float, ...] = ()  # share of right answers from the first 1, 2, … passages, 0-1

    @property
    def passages(self) -> int | None:
        """How many of the retrieved passages are read; None: all."""
        return fewest_passages(self.right_by_passages) if self.right_by_passages else None


def rules_of(runtime: Runtime, model: ModelRow) -> Tuned:
    """The tuning of a reader; no rule and a threshold of 0 where nothing was tuned."""
    with runtime.database.read() as session:
        stored = queries.get_meta(session, key_of(runtime, model))
    return _parsed(stored) if stored else Tuned()


def plan_of(runtime: Runtime, model: ModelRow) -> ReadingPlan:
    """How the reader reads: by the settings, else as tuned."""
    return plan_under(runtime, rules_of(runtime, model))


def plan_under(runtime: Runtime, tuned: Tuned) -> ReadingPlan:
    """How a reader with this tuning reads: by the settings, else as tuned."""
    refine = refiner(_names(runtime, tuned), language=runtime.language)
    return ReadingPlan(refine, weight_of(runtime, tuned), tuned.passages)


def identity_of(runtime: Runtime, model: ModelRow) -> list[Any]:
    """All of the plan that scores depend on, as JSON values."""
    tuned = rules_of(runtime, model)
    plan = plan_under(runtime, tuned)
    return [list(_names(runtime, tuned)), plan.retrieval_weight, plan.passages]


def weight_of(runtime: Runtime, tuned: Tuned) -> float:
    """The weight of the settings, else the tuned one."""
    named = runtime.config.read.retrieval_weight
    return tuned.retrieval.value if named is None else named


def _names(runtime: Runtime, tuned: Tuned) -> tuple[str, ...]:
    """The names of the rules: those of the settings, or with `auto` the tuned ones."""
    names = runtime.config.read.rules
    return tuned.rules if names == AUTO else names


def null_threshold_of(runtime: Runtime, model: ModelRow) -> float:
    """The setting, or without one the tuned threshold."""
    named = runtime.config.read.null_score_diff_threshold
    return rules_of(runtime, model).null_threshold if named is None else named


def described(tuned: Tuned) -> str:
    """The weight of retrieval and the passages read, in words."""
    weight = tuned.retrieval
    how = (
        f"95% {weight.low:.1f} to {weight.high:.1f}, {weight.questions} questions" if weight.questions else "not tuned"
    )
    text = f"retrieval weight {weight.value:.2f} ({how})"
    if not tuned.right_by_passages:
        return f"{text}; reads all retrieved passages"
    shares = ", ".join(f"{100 * share:.1f}" for share in tuned.right_by_passages)
    return f"{text}; reads {tuned.passages} of {len(tuned.right_by_passages)} passages (EM with 1, 2, …: {shares})"


def in_gold_passage(entry: LabelledQuestion) -> QuestionRow:
    """The question with its gold passage as context; an impossible one keeps the context it came with."""
    passage = entry.label.answers[0].passage_id if entry.label.answers else entry.question.context_id
    return replace(entry.question, context_id=passage)


def key_of(runtime: Runtime, model: ModelRow) -> str:
    """One key for each reader and its ensemble or cascade, which answer differently."""
    others = runtime.other_readers
    beside = hashlib.sha256(json.dumps(others).encode()).hexdigest()[:32] if others else ""
    return ":".join([RULES_KEY.rstrip(":"), model.hash[:32], *filter(None, [beside])])


def _parsed(stored: str) -> Tuned:
    values = json.loads(stored)
    effects = tuple(
        RuleEffect(**effect | {"examples": tuple(Change(**change) for change in effect["examples"])})
        for effect in values["table"]
    )
    retrieval = RetrievalWeight(**values.get("retrieval", {}))
    lists = {name: tuple(values.get(name, ())) for name in ("rules", "right_by_passages")}
    return Tuned(**values | lists | {"table": effects, "retrieval": retrieval})
