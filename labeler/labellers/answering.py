"""A labeller's stored answers as predictions, with the passages that retrieval finds and features of confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from db import queries
from db.rows import LabellerAnswer, LabellerPredictionRow, QuestionRow
from mrc.calibration.features import confidence_features
from mrc.metrics import Metric, normalize_answer
from mrc.ranking import Ranked
from mrc.types import Answer, Hit, Passage, Prediction

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime


def answers(
    runtime: Runtime, labeller_id: int, questions: Sequence[QuestionRow], fingerprint: str | None
) -> Iterator[Prediction]:
    """The predictions of a labeller, in the order of the questions.

    A prediction has answers only where the labeller's first answer is a span: an abstention, and a text without a
    place, is no label. `fingerprint`: of the index that ranks the passages; None: those that questions came with.
    """
    with runtime.database.read() as session:
        found = queries.labeller_predictions(session, labeller_id, [row.id for row in questions])
        stored = {row.question_id: row for row in found}
    hits, hybrid = _hits(runtime, questions, fingerprint)
    wanted = {hit.passage_id for own in hits for hit in own}
    wanted |= {each.passage_id for row in stored.values() for each in row.answers if each.passage_id is not None}
    passages = runtime.fetch(sorted(wanted))
    for question, own in zip(questions, hits, strict=True):
        row = stored.get(question.id)
        yield _prediction(question, row, own, passages, metric=runtime.metric, hybrid=hybrid)


def _hits(
    runtime: Runtime, questions: Sequence[QuestionRow], fingerprint: str | None
) -> tuple[list[tuple[Hit, ...]], bool]:
    """The passages found for each question, and whether the index has a dense part."""
    if fingerprint is None:
        return [(Hit(row.context_id, 0, 0.0),) if row.context_id else () for row in questions], False
    index = runtime.index(fingerprint)
    found = index.retrieve([row.text for row in questions], runtime.config.read.top_k)
    return list(found), index.dense is not None


def _prediction(
    question: QuestionRow,
    row: LabellerPredictionRow | None,
    hits: tuple[Hit, ...],
    passages: Mapping[str, Passage],
    *,
    metric: Metric,
    hybrid: bool,
) -> Prediction:
    if row is None or not row.anchored:
        null = row.null_score if row is not None and row.null_score is not None else 1.0
        return Prediction(question.id, (), null, hits)
    spans = [each for each in row.answers if each.passage_id is not None]
    hits = _with_passages_of(spans, hits)
    merged, support = _merged(spans, metric)
    rest = max(0.0, 1.0 - sum(answer.score for answer in merged))
    null = row.null_score if row.null_score is not None else rest
    ranked = Ranked(tuple(merged), null, tuple(support), 0.0, 0.0, len(hits))
    read = [passages[hit.passage_id] for hit in hits]
    features = confidence_features(question.text, read, ranked, hits, hybrid=hybrid)
    return Prediction(question.id, ranked.answers, null, hits, features)


def _with_passages_of(spans: Sequence[LabellerAnswer], hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    """The hits and behind them, with the lowest score, the passages of answers that are not among them."""
    known = {hit.passage_id for hit in hits}
    further = dict.fromkeys(each.passage_id for each in spans if each.passage_id not in known)
    lowest = min((hit.score for hit in hits), default=0.0)
    added = (Hit(str(key), len(hits) + place, lowest) for place, key in enumerate(further))
    return (*hits, *added)


def _merged(spans: Sequence[LabellerAnswer], metric: Metric) -> tuple[list[Answer], list[int]]:
    """The answers with their mass, equal texts as one, best first, and the number of passages that each stands in.

    Answers without a score share what is left evenly.
    """
    masses = _masses(spans)
    groups: dict[str, list[int]] = {}
    for number, each in enumerate(spans):
        groups.setdefault(normalize_answer(each.text, metric) or each.text, []).append(number)
    first = groups.pop(next(iter(groups)))  # what the labeller answers stays first
    rest = sorted(groups.values(), key=lambda members: -sum(masses[number] for number in members))
    merged, support = [], []
    for members in (first, *rest):
        best = spans[members[0]]
        mass = min(1.0, sum(masses[number] for number in members))
        place = (str(best.passage_id), best.start or 0, best.end or 0)
        merged.append(Answer(best.text, *place, mass, masses[members[0]]))
        support.append(len({spans[number].passage_id for number in members}))
    return merged, support


def _masses(spans: Sequence[LabellerAnswer]) -> list[float]:
    given = sum(each.score for each in spans if each.score is not None)
    missing = sum(each.score is None for each in spans)
    share = max(0.0, 1.0 - given) / missing if missing else 0.0
    return [share if each.score is None else each.score for each in spans]
