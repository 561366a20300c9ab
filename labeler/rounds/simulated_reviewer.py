"""A reviewer made of hidden answers, for replay and demonstration: knows what a labelled pool keeps aside.

A reviewer's coin for a question depends on the round's seed and the question's id alone, so an interrupted review goes
on as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from db import hidden_answers, queries, store
from db.rows import HiddenRow, NewReview, PredictionRow, RoundRow, SpanRow, TaskRow
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from mrc.metrics import Metric, exact_match
from mrc.types import Passage

NAME = "simulated"
# Seconds of a person's time, an assumption until real ones are measured: writing an answer from nothing costs most.
SECONDS = {"written": 60.0, "accepted": 15.0, "changed": 35.0, None: 35.0}


def check_answers(runtime: Runtime) -> None:
    """Raises NotReady where the pool has no hidden answers: asked before a round depends on this reviewer."""
    with runtime.database.read() as session:
        known = hidden_answers.count(session)
    if not known:
        raise NotReady(
            "the simulated reviewer needs a pool whose answers are known; import a labelled file with --split "
            "gold=…,pool=rest, or run with: --reviewer none"
        )


def answer_tasks(runtime: Runtime, row: RoundRow) -> None:
    """Answers every open task of the round from the hidden answers, each review in a transaction of its own.

    A task for two is answered by two such reviewers, a third person's by a third one: they err apart.
    """
    with runtime.database.read() as session:
        tasks = queries.tasks(session, round_number=row.number, states=["open"])
        given = {(each.task_id, each.reviewer) for each in queries.reviews(session, round_number=row.number)}
        ids = [task.question_id for task in tasks]
        known = hidden_answers.answers(session, ids)
        predictions = {entry.question_id: entry for entry in queries.predictions(session, row.number, question_ids=ids)}
    todo = [(task, place) for task in tasks for place in _places(task) if (task.id, reviewer(place)) not in given]
    with bar("review", total=len(todo), unit="tasks") as shown:
        for task, place in todo:
            found = simulate(
                task,
                known.get(task.question_id),
                predictions.get(task.question_id),
                metric=runtime.metric,
                simulated_error_rate=runtime.config.round.simulated_error_rate,
                seed=row.seed,
                fetch=runtime.fetch,
                place=place,
            )
            with runtime.database.write() as session:
                store.record_review(session, found)
            shown.update()


def reviewer(place: int) -> str:
    """The name of the first, second, … simulated reviewer; `place` counts from 0."""
    return NAME if place == 0 else f"{NAME}-{place + 1}"


def _places(task: TaskRow) -> range:
    """Which reviewers answer a task: those that a question is asked of again have not answered it before."""
    first = task.attempt + 1 if task.attempt else 0
    return range(first, first + task.reviewers)


def simulate(
    task: TaskRow,
    known: HiddenRow | None,
    prediction: PredictionRow | None,
    *,
    metric: Metric,
    simulated_error_rate: float,
    seed: int,
    fetch: Callable[[Sequence[str]], Mapping[str, Passage]],
    place: int = 0,
) -> NewReview:
    """The review of one task: one random gold that stands in a passage shown, else "not in these passages".

    With probability `simulated_error_rate` the reviewer marks other words of that passage. A question without hidden answers
    is skipped: this reviewer knows nothing of it. `place`: the first, second, … reviewer, each with a coin of their
    own.
    """
    coin = hashlib.sha256(task.question_id.encode()).digest()[:8]
    rng = np.random.default_rng([seed, *coin, *([place] if place else [])])
    name = reviewer(place)
    if known is None:
        return NewReview(task.id, name, "skipped", source=NAME)
    visible = [gold for gold in known.answers if gold.passage_id in task.passages]
    if not visible:
        return NewReview(task.id, name, "no_answer", seconds=SECONDS[None], source=NAME)
    answer = visible[int(rng.integers(len(visible)))]
    if rng.random() < simulated_error_rate:
        answer = _mistaken(answer, fetch([answer.passage_id])[answer.passage_id].text, rng)
    origin = _origin(task, answer, prediction, metric)
    seconds = SECONDS[origin]
    return NewReview(task.id, name, "answerable", answer=answer, origin=origin, seconds=seconds, source=NAME)


def _origin(task: TaskRow, answer: SpanRow, prediction: PredictionRow | None, metric: Metric) -> str:
    """How the answer came about: a blind task is written, a right suggestion accepted, a wrong one changed."""
    if task.blind or prediction is None or not prediction.answers:
        return "written"
    return "accepted" if exact_match(prediction.answers[0].text, answer.text, metric) else "changed"


def _mistaken(answer: SpanRow, passage: str, rng: np.random.Generator) -> SpanRow:
    """Other words of the same passage, of about the same length; the answer itself where there are none."""
    others = [span for span in _words(passage) if span[1] <= answer.start or span[0] >= answer.end]
    if not others:
        return answer
    start, end = others[int(rng.integers(len(others)))]
    return SpanRow(passage[start:end], answer.passage_id, start, end)


def _words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each run of characters without white space."""
    return [match.span() for match in re.finditer(r"\S+", text)]
