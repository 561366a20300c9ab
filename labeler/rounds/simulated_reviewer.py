"""A simulated reviewer, for replay and demonstration: answers from the hidden answers of a labelled pool.

Its random choices for a question depend on the round's seed and the question's id alone, so an interrupted review
continues with the same answers.
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
from labeler.review.consensus import JUDGEMENT
from mrc.metrics import Metric, exact_match
from mrc.types import Passage

NAME = "simulated"
# assumed seconds of a person's time per origin of an answer (None: no answer)
SECONDS = {"written": 60.0, "accepted": 15.0, "changed": 35.0, None: 35.0}


def check_answers(runtime: Runtime) -> None:
    """Check that the pool has hidden answers, before a round depends on this reviewer. Raises NotReady."""
    with runtime.database.read() as session:
        known = hidden_answers.count(session)
    if not known:
        raise NotReady(
            "the simulated reviewer needs a pool with hidden answers; import a labelled file with --split "
            "gold=…,pool=rest, or run with: --reviewer none"
        )


def answer_tasks(runtime: Runtime, row: RoundRow) -> None:
    """Answer every open task of the round from the hidden answers, one transaction per review.

    A task with two reviewers is answered by two simulated ones, an adjudication by a third; their errors are
    independent.
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
    """The name of a simulated reviewer; `place` counts from 0."""
    return NAME if place == 0 else f"{NAME}-{place + 1}"


def _places(task: TaskRow) -> range:
    """The reviewers that answer a task: in a later attempt those that have not answered the question before."""
    first = task.attempt + 1 if task.attempt and task.kind != JUDGEMENT else 0
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
    """The review of one task: a random hidden answer among the passages shown, else "no_answer".

    A question without hidden answers is skipped.

    Args:
        task: with the passages shown.
        known: the question's hidden answers.
        prediction: the suggestion shown with a task that is not blind.
        metric: decides whether the suggestion is right.
        simulated_error_rate: probability that the reviewer marks another word of the passage.
        seed: of the round.
        fetch: gives passages by id.
        place: which simulated reviewer, from 0; each has its own random generator.
    """
    digest = hashlib.sha256(task.question_id.encode()).digest()[:8]
    rng = np.random.default_rng([seed, *digest, *([place] if place else [])])
    name = reviewer(place)
    if known is None:
        return NewReview(task.id, name, "skipped", source=NAME)
    if task.kind == JUDGEMENT and prediction is not None:
        return _judge(task, known, prediction, metric=metric, error_rate=simulated_error_rate, rng=rng, name=name)
    visible = [gold for gold in known.answers if gold.passage_id in task.passages]
    if not visible:
        return NewReview(task.id, name, "no_answer", seconds=SECONDS[None], source=NAME)
    answer = visible[int(rng.integers(len(visible)))]
    if rng.random() < simulated_error_rate:
        answer = _mistaken(answer, fetch([answer.passage_id])[answer.passage_id].text, rng)
    origin = _origin(task, answer, prediction, metric)
    seconds = SECONDS[origin]
    return NewReview(task.id, name, "answerable", answer=answer, origin=origin, seconds=seconds, source=NAME)


def _judge(
    task: TaskRow,
    known: HiddenRow,
    prediction: PredictionRow,
    *,
    metric: Metric,
    error_rate: float,
    rng: np.random.Generator,
    name: str,
) -> NewReview:
    """Accept the answer if it equals any hidden answer, else insist on another one; mistaken at the error rate."""
    best = prediction.answers[0]
    right = any(exact_match(best.text, gold.text, metric) == 1 for gold in known.answers)
    if right != (rng.random() < error_rate):
        span = SpanRow(best.text, best.passage_id, best.start, best.end)
        seconds = SECONDS["accepted"]
        return NewReview(task.id, name, "answerable", span, origin="accepted", seconds=seconds, source=NAME)
    visible = [gold for gold in known.answers if gold.passage_id in task.passages]
    wanted = [gold for gold in visible if not exact_match(best.text, gold.text, metric)]
    if not wanted:
        return NewReview(task.id, name, "no_answer", seconds=SECONDS[None], source=NAME)
    seconds = SECONDS["accepted"]
    return NewReview(task.id, name, "answerable", wanted[0], origin="changed", seconds=seconds, source=NAME)


def _origin(task: TaskRow, answer: SpanRow, prediction: PredictionRow | None, metric: Metric) -> str:
    """The origin of the answer: written for a blind task, accepted for a right suggestion, changed for a wrong one."""
    if task.blind or prediction is None or not prediction.answers:
        return "written"
    return "accepted" if exact_match(prediction.answers[0].text, answer.text, metric) else "changed"


def _mistaken(answer: SpanRow, passage: str, rng: np.random.Generator) -> SpanRow:
    """Another word of the same passage; the answer itself where there is none."""
    others = [span for span in _words(passage) if span[1] <= answer.start or span[0] >= answer.end]
    if not others:
        return answer
    start, end = others[int(rng.integers(len(others)))]
    return SpanRow(passage[start:end], answer.passage_id, start, end)


def _words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each run of characters without white space."""
    return [match.span() for match in re.finditer(r"\S+", text)]
