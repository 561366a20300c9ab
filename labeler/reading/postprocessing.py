"""Post-processing rules and "no answer" threshold of a reader, tuned on dev and stored in the database.

They are tuned when a round closes, on the reader's answers without rules, and then fixed for this reader: a round that
is killed and resumed predicts with the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from db import queries, store
from db.rows import LabelledQuestion, ModelRow, QuestionRow
from labeler.core.runtime import Runtime
from labeler.reading import answering
from mrc.postprocess.rules import (
    AnsweredQuestion,
    Change,
    Refine,
    RuleEffect,
    abstention,
    chosen_rules,
    null_threshold,
    refined,
    refiner,
    rule_effects,
)

if TYPE_CHECKING:
    from mrc.read.predict.groups import Answerer

RULES_KEY: Final = "rules:"  # in meta, followed by the hashes of the reader and of its ensemble or cascade
AUTO: Final = ("auto",)


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome of tuning on dev."""

    rules: tuple[str, ...] = ()  # those that are on
    null_threshold: float = 0.0  # a reader that may abstain does so above it, see `best_text`
    table: tuple[RuleEffect, ...] = ()  # the effect of every rule
    questions: int = 0
    tuned_on: str = ""  # hash of the questions and settings; empty where nothing was tuned


def rules_of(runtime: Runtime, model: ModelRow) -> Tuned:
    """The tuning of a reader; no rule and a threshold of 0 where nothing was tuned."""
    with runtime.database.read() as session:
        stored = queries.get_meta(session, _key(runtime, model))
    return _parsed(stored) if stored else Tuned()


def refine_of(runtime: Runtime, model: ModelRow) -> Refine | None:
    """The reader's rules as one function; None without rules."""
    return refiner(names_of(runtime, model), language=runtime.language)


def names_of(runtime: Runtime, model: ModelRow) -> tuple[str, ...]:
    """The names of the reader's rules: those of the settings, or with `auto` the tuned ones."""
    names = runtime.config.read.rules
    return rules_of(runtime, model).rules if names == AUTO else names


def null_threshold_of(runtime: Runtime, model: ModelRow) -> float:
    """The setting, or without one the tuned threshold."""
    named = runtime.config.read.null_score_diff_threshold
    return rules_of(runtime, model).null_threshold if named is None else named


def tune(runtime: Runtime, model: ModelRow, *, index: str | None) -> Tuned:
    """Tune the rules and the threshold of a reader on dev, once for the same questions and settings, and store them.

    Rules are tuned on answers from the passages that the index retrieves; without an index, on answers from each
    question's own passage. The threshold is always tuned on the latter, where alone a reader may abstain. Rules or a
    threshold named in the settings are not tuned, and without dev questions nothing is.
    """
    with runtime.database.read() as session:
        entries = queries.labelled_questions(session, "dev")
    entries = [entry for entry in entries if entry.label.gold_texts or entry.question.is_impossible]
    tuned_on = _fingerprint(runtime, entries, index)
    known = rules_of(runtime, model)
    answered = [entry for entry in entries if entry.label.gold_texts and runtime.config.read.rules == AUTO]
    uncertain = [entry for entry in entries if entry.question.is_impossible is not None]
    if runtime.config.read.null_score_diff_threshold is not None:
        uncertain = []
    if not (answered or uncertain) or known.tuned_on == tuned_on:
        return known
    found = replace(_tuned(runtime, model, known, answered, uncertain, index), tuned_on=tuned_on)
    with runtime.database.write() as session:
        store.set_meta(session, _key(runtime, model), json.dumps(asdict(found), ensure_ascii=False))
    return found


def _tuned(
    runtime: Runtime,
    model: ModelRow,
    known: Tuned,
    answered: Sequence[LabelledQuestion],
    uncertain: Sequence[LabelledQuestion],
    index: str | None,
) -> Tuned:
    """The known tuning, with rules from the `answered` questions and the threshold from the `uncertain` ones."""
    reader, found = runtime.answerer(model), known
    if answered:
        judged = [each for each, _ in _judged(runtime, reader, answered, index)]
        effects = rule_effects(judged, metric=runtime.metric, language=runtime.language)
        found = replace(found, rules=chosen_rules(effects), table=tuple(effects), questions=len(answered))
    names = found.rules if runtime.config.read.rules == AUTO else runtime.config.read.rules
    refine = refiner(names, language=runtime.language)
    threshold = null_threshold(
        [
            abstention(refined(each, refine, runtime.metric), null, each.golds, runtime.metric)
            for each, null in _judged(runtime, reader, uncertain, None)
        ]
    )
    return replace(found, null_threshold=threshold) if uncertain else found


def _judged(
    runtime: Runtime, reader: Answerer, entries: Sequence[LabelledQuestion], index: str | None
) -> list[tuple[AnsweredQuestion, float]]:
    """Each question with its answers without rules, and the mass of "no answer"."""
    if not entries:
        return []
    questions = [entry.question if index else in_gold_passage(entry) for entry in entries]
    predictions = list(answering.answers(runtime, questions, reader, index))
    shown = {answer.passage_id for prediction in predictions for answer in prediction.answers}
    passages = runtime.fetch(sorted(shown))
    golds = [entry.label.gold_texts for entry in entries]
    return [
        (AnsweredQuestion(question.text, prediction.answers, passages, own), prediction.null_score)
        for question, prediction, own in zip(questions, predictions, golds, strict=True)
    ]


def in_gold_passage(entry: LabelledQuestion) -> QuestionRow:
    """The question with its gold passage as context; an impossible one keeps the context it came with."""
    passage = entry.label.answers[0].passage_id if entry.label.answers else entry.question.context_id
    return replace(entry.question, context_id=passage)


def _key(runtime: Runtime, model: ModelRow) -> str:
    """One key for each reader and its ensemble or cascade, which answer differently."""
    others = runtime.other_readers
    beside = hashlib.sha256(json.dumps(others).encode()).hexdigest()[:32] if others else ""
    return ":".join([RULES_KEY.rstrip(":"), model.hash[:32], *filter(None, [beside])])


def _fingerprint(runtime: Runtime, entries: Sequence[LabelledQuestion], index: str | None) -> str:
    """Hash of everything that the tuning depends on, apart from the reader."""
    asked = [[entry.question.id, entry.question.is_impossible, list(entry.label.gold_texts)] for entry in entries]
    parts = [index, asdict(runtime.config.read), runtime.metric, runtime.language, asked, *runtime.other_readers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _parsed(stored: str) -> Tuned:
    values = json.loads(stored)
    effects = tuple(
        RuleEffect(**effect | {"examples": tuple(Change(**change) for change in effect["examples"])})
        for effect in values["table"]
    )
    return Tuned(**values | {"rules": tuple(values["rules"]), "table": effects})
