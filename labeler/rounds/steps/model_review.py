"""Review by a language model: it answers the middle band of confidence first, and people get what it leaves.

Its answers are kept in the transaction that ends its part; until then each is stored as one of its labeller, so an
interrupted review goes on with the next question.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from db import queries, store
from db.engine import Session
from db.rows import Decision, LabellerPredictionRow, PredictionRow, RoundRow, SpanRow
from labeler.core.errors import ConfigError, EndpointError
from labeler.core.round_settings import LlmConfig
from labeler.core.runtime import Runtime
from labeler.labellers import questions as labeller_questions
from labeler.labellers.llm.annotate import Annotator
from labeler.labellers.llm.endpoint import Client, find_endpoint
from labeler.labellers.llm.options import Prices, options_for
from labeler.labellers.llm.work import BUDGET, Annotation
from labeler.labellers.names import checked_name
from labeler.rounds.recorded import MODEL_REVIEWED, model_review_of
from mrc.metrics import exact_match

CHECKED: Final = 100  # calibration questions of the band that the model answers too, at most
CONCURRENCY, TIMEOUT, RETRIES = 4, 120.0, 5  # as `labeler annotate` has them by default


@dataclass(frozen=True, slots=True)
class _Band:
    """The questions of a round whose confidence is in the middle band."""

    pool: Mapping[str, PredictionRow]  # without those that people are to answer
    tasks: Mapping[str, int]  # question -> its open task, of those that the model is asked first
    golds: Mapping[str, tuple[str, ...]]  # calibration question -> its answers


def check(config: LlmConfig) -> None:
    """Check that the model can be asked. Raises ConfigError; MissingExtra without the openai package."""
    if config.endpoint is None or config.model is None:
        raise ConfigError(
            "the reviewer llm needs a server and a model: labeler round --reviewer llm --endpoint URL --model NAME (or "
            "set llm.endpoint and llm.model)"
        )
    checked_name(config.labeller or config.model)
    _client(config).close()


def is_done(runtime: Runtime, row: RoundRow) -> bool:
    """Whether the model has answered what it is asked in this round."""
    with runtime.database.read() as session:
        return model_review_of(session, row.number) is not None


def answer(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Let the model answer the middle band, and hand what it leaves to people: the round with its next reviewer.

    Raises EndpointError where the server fails: what was answered is stored, and the next run goes on.
    """
    config = runtime.config.llm
    name = checked_name(config.labeller or str(config.model))
    with runtime.database.read() as session:
        band = _band(runtime, session, row)
    asked = _asked(runtime, row, name, [*sorted(band.tasks), *sorted(band.golds)])
    with runtime.database.write() as session:
        labeller = queries.find_labeller(session, name)
        wanted = [*band.pool, *band.golds]
        found = queries.labeller_predictions(session, labeller.id, wanted) if labeller is not None else ()
        said = {each.question_id: each for each in found if each.anchored}
        usable = _usable(session, said, band)
        right, checked = _right(runtime, said, band.golds)
        confidence = (right + 1) / (checked + 2)  # of a few questions, half a right one is known
        if labeller is None or confidence < runtime.config.review.min_train_confidence:
            usable = []
        if labeller is not None:
            kept = [Decision(key, "train", confidence, reviewed_by=labeller.id) for key in usable]
            store.set_decisions(session, row.number, kept)
        store.withdraw_tasks(session, row.number, ids=[band.tasks[key] for key in usable if key in band.tasks])
        detail = _detail(name, band, usable, confidence, right=right, checked=checked) | asked
        store.add_event(session, MODEL_REVIEWED, detail=detail, round_number=row.number)
        return store.advance(session, row.number, row.stage, row.stage, reviewer=config.then)


def _asked(runtime: Runtime, row: RoundRow, name: str, ids: list[str]) -> dict[str, Any]:
    """Ask the model these questions, as far as it has not answered them; what that took."""
    config = runtime.config.llm
    with runtime.database.read() as session:
        known = queries.find_labeller(session, name)
    options = options_for(known, str(config.model), language=runtime.language)
    annotator = Annotator(runtime, name, options, ids=ids)
    found = Annotation(name)
    if annotator.left:
        budget = None if config.budget is None else max(0.0, config.budget - _spent(runtime, row, name))
        client = _client(config)
        try:
            prices = Prices(config.price_in, config.price_out)
            found = annotator.run(client, prices=prices, budget=budget, concurrency=CONCURRENCY)
        finally:
            client.close()
    if found.stopped not in (None, BUDGET):
        raise EndpointError(
            f"{found.stopped}; {found.questions} questions were answered and are stored. Run labeler round again, or "
            "let people answer the rest: labeler round --reviewer people"
        )
    cost = _spent(runtime, row, name) if config.price_in is not None else None
    return {"stopped": found.stopped, "cost": cost}


def _spent(runtime: Runtime, row: RoundRow, name: str) -> float:
    """What the model's replies have cost since the round was opened."""
    with runtime.database.read() as session:
        known = queries.find_labeller(session, name)
        return queries.labeller_cost(session, known.id, since=row.opened_at) if known is not None else 0.0


def _client(config: LlmConfig) -> Client:
    return Client(find_endpoint(str(config.endpoint), os.environ), timeout=TIMEOUT, retries=RETRIES)


def _band(runtime: Runtime, session: Session, row: RoundRow) -> _Band:
    """The middle band: questions with tasks that show a suggestion to one person, and others that nobody is asked.

    People keep blind tasks, those of two reviewers, what is asked again, and what somebody has begun or can see
    already.
    """
    review = runtime.config.review
    inside = [
        each
        for each in queries.iter_predictions(session, row.number)
        if each.confidence is not None and review.uncertain_low <= each.confidence <= review.uncertain_high
    ]
    every = queries.tasks(session, round_number=row.number)
    begun = {each.task_id for each in queries.reviews(session, round_number=row.number)}
    begun |= {each.task_id for each in queries.studio_tasks_of(session, [task.id for task in every])}
    tasks = {
        task.question_id: task.id
        for task in every
        if task.state == "open" and not (task.blind or task.attempt or task.reviewers > 1 or task.id in begun)
    }
    taken = {task.question_id for task in every} - tasks.keys()
    pool = {each.question_id: each for each in inside if each.decision is not None and each.question_id not in taken}
    checked = {each.question_id for each in inside if each.question_role != "pool"}
    golds = _golds(session, runtime, checked)
    return _Band(pool, {key: task for key, task in tasks.items() if key in pool}, golds)


def _golds(session: Session, runtime: Runtime, ids: set[str]) -> dict[str, tuple[str, ...]]:
    """The golds of labelled questions among these that calibrate: the first ones by id, whose order says nothing."""
    entries = labeller_questions.calibrating(session, folds=runtime.config.calibrate.folds)
    known = {each.question.id: tuple(each.label.gold_texts) for each in entries if each.label.gold_texts}
    return {key: known[key] for key in labeller_questions.shuffled(ids & known.keys())[:CHECKED]}


def _usable(session: Session, said: Mapping[str, LabellerPredictionRow], band: _Band) -> list[str]:
    """The questions of the pool whose answer may become a label: one from a held-out passage may not."""
    held_out = queries.held_out_passages(session)
    return [key for key in sorted(band.pool) if key in said and said[key].answers[0].passage_id not in held_out]


def _right(
    runtime: Runtime, said: Mapping[str, LabellerPredictionRow], golds: Mapping[str, Iterable[str]]
) -> tuple[int, int]:
    """How many anchored answers to calibration questions are right, and how many there are."""
    judged = [
        any(exact_match(said[key].text, gold, runtime.metric) == 1 for gold in texts)
        for key, texts in golds.items()
        if key in said
    ]
    return sum(judged), len(judged)


def _detail(
    name: str, band: _Band, usable: list[str], confidence: float, *, right: int, checked: int
) -> dict[str, Any]:
    answered = sum(key in band.tasks for key in usable)
    return {
        "labeller": name,
        "tasks": len(band.tasks),
        "answered": answered,
        "left": len(band.tasks) - answered,
        "from_before": len(usable) - answered,
        "checked": checked,
        "right": right,
        "confidence": confidence,
    }


def label_span(row: LabellerPredictionRow) -> SpanRow:
    """The span that a labeller answered."""
    best = row.answers[0]
    assert best.passage_id is not None, "a text without a place is no label"
    return SpanRow(best.text, best.passage_id, best.start or 0, best.end or 0)
