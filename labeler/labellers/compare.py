"""Agreement of two labellers on the questions that both answered, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from db import queries
from db.engine import Session
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.labellers.names import CURRENT
from mrc.metrics import Metric, exact_match, f1, mcnemar, score

EXAMPLES: Final = 20


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two labellers agree, over the questions that both answered. Shares are 0-1."""

    questions: int
    exact_match: float  # share of equal answers after normalisation; two abstentions agree
    f1: float  # mean overlap of the answers
    same_passage: float | None  # share of one passage, of answers that are both spans
    only_a: int  # questions that only the first answered
    only_b: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Both labellers against the golds of dev, over the questions that both answered."""

    questions: int
    a: float  # exact match
    b: float
    only_a_right: int
    only_b_right: int
    p_value: float  # two-sided McNemar test, that both are equally good


@dataclass(frozen=True, slots=True)
class Difference:
    """A question to which two labellers give different answers; an empty answer is an abstention."""

    question_id: str
    question: str
    a: str
    b: str
    f1: float
    golds: tuple[str, ...] = ()  # of a dev question


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `labeler compare`."""

    a: str
    b: str
    agreement: Agreement
    dev: Judged | None  # None where both answered no labelled dev question
    examples: tuple[Difference, ...]  # the least alike first, some of each kind of disagreement


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that is compared: a text, empty where the labeller abstains, and its passage if it is a span."""

    text: str
    passage_id: str | None


def compare(runtime: Runtime, a: str, b: str, *, examples: int = EXAMPLES) -> Comparison:
    """Compare two labellers. `current` is the current reader, by the newest predictions stored of it.

    Raises: NotFound; NotReady where they answered no question in common.
    """
    with runtime.database.read() as session:
        first, second = dict(_answers(session, a)), dict(_answers(session, b))
        both = sorted(first.keys() & second.keys())
        if not both:
            raise NotReady(f"{a!r} and {b!r} have answered no question in common: there is nothing to compare")
        golds = {
            entry.question.id: entry.label.gold_texts
            for entry in queries.labelled_questions(session, "dev")
            if entry.label.gold_texts
        }
        overlap = {key: _overlap(first[key].text, second[key].text, runtime.metric) for key in both}
        shown = sorted((key for key in both if overlap[key] < 1), key=lambda key: (overlap[key], key))[:examples]
        texts = {row.id: row.text for row in queries.questions(session, ids=shown)}
    differences = tuple(
        Difference(key, texts[key], first[key].text, second[key].text, overlap[key], golds.get(key, ()))
        for key in shown
    )
    agreement = _agreement(first, second, runtime.metric, overlap)
    return Comparison(a, b, agreement, _judged(first, second, golds, runtime.metric), differences)


def _answers(session: Session, name: str) -> Iterator[tuple[str, Given]]:
    if name == CURRENT:
        yield from _of_reader(session)
        return
    for row in queries.labeller_predictions(session, queries.labeller(session, name).id):
        passage_id = row.answers[0].passage_id if row.anchored else None
        yield row.question_id, Given(row.text, passage_id)


def _of_reader(session: Session) -> Iterator[tuple[str, Given]]:
    """The newest stored predictions of the current reader. Raises NotReady."""
    best = queries.best_model(session)
    made = reversed(queries.predicted_rounds(session)) if best is not None else ()
    newest = next((n for n in made if best and queries.round_(session, n).teacher_id == best.id), None)
    if newest is None:
        raise NotReady("no predictions of the current reader are stored; run: labeler predict")
    for row in queries.iter_predictions(session, newest):
        best_answer = row.answers[0] if row.answers else None
        yield row.question_id, Given(best_answer.text, best_answer.passage_id) if best_answer else Given("", None)


def _overlap(a: str, b: str, metric: Metric) -> float:
    """1 for answers that count as equal, else their F1; an abstention shares nothing with an answer."""
    if not a or not b:
        return float(a == b)
    return 1.0 if exact_match(a, b, metric) == 1 else f1(a, b, metric)


def _agreement(
    first: Mapping[str, Given], second: Mapping[str, Given], metric: Metric, overlap: Mapping[str, float]
) -> Agreement:
    spans = [(first[key].passage_id, second[key].passage_id) for key in overlap]
    anchored = [a == b for a, b in spans if a is not None and b is not None]
    equal = [_same(first[key].text, second[key].text, metric) for key in overlap]
    return Agreement(
        questions=len(overlap),
        exact_match=sum(equal) / len(overlap),
        f1=sum(overlap.values()) / len(overlap),
        same_passage=sum(anchored) / len(anchored) if anchored else None,
        only_a=len(first.keys() - second.keys()),
        only_b=len(second.keys() - first.keys()),
    )


def _same(a: str, b: str, metric: Metric) -> bool:
    return exact_match(a, b, metric) == 1 if a and b else a == b


def _judged(
    first: Mapping[str, Given], second: Mapping[str, Given], golds: Mapping[str, tuple[str, ...]], metric: Metric
) -> Judged | None:
    keys = sorted(first.keys() & second.keys() & golds.keys())
    if not keys:
        return None
    a, b = (
        np.array([score(side[key].text, golds[key], metric).exact_match for key in keys]) for side in (first, second)
    )
    p_value = min(1.0, 2 * min(mcnemar(a, b), mcnemar(b, a)))
    only_a, only_b = int(np.sum(a > b)), int(np.sum(b > a))
    return Judged(len(keys), float(a.mean()), float(b.mean()), only_a, only_b, p_value)
