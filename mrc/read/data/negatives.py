"""Hard negatives: highly ranked passages of a question that contain no answer of it.

They take part in the softmax of the question and so train the reader to compare passages (Clark & Gardner 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mrc.metrics import Metric, normalize_answer
from mrc.read.train_config import TrainingExample
from mrc.types import Hit, Passage

SEARCHED = 10  # passages searched for negatives

Search = Callable[[Sequence[str], int], Sequence[tuple[Hit, ...]]]  # the k best passages of each question
Fetch = Callable[[Sequence[str]], Mapping[str, Passage]]  # passages by id; missing ones are no candidates


def with_negatives(
    examples: Sequence[TrainingExample],
    *,
    search: Search,
    fetch: Fetch,
    count: int,
    metric: Metric,
    retrieval_weight: float = 0.0,
) -> list[TrainingExample]:
    """The examples, each answered one with its `count` best-ranked passages that contain no gold answer.

    Their priors are the weight times the standardized retrieval score, as in reading (`mrc.pipeline.answer`); a context
    that is not found has that of the last passage found.
    """
    answered = [each for each in examples if each.golds]
    found = search([each.question for each in answered], SEARCHED)
    passages = fetch(sorted({hit.passage_id for hits in found for hit in hits}))
    mined: dict[str, TrainingExample] = {}
    for each, hits in zip(answered, found, strict=True):
        scores = {passages[hit.passage_id].text: hit.standardized for hit in hits if hit.passage_id in passages}
        others = [text for text in scores if text != each.context]
        negatives = each.negatives + tuple(without_answer(each.golds, others, metric))[:count]
        lowest = min((hit.standardized for hit in hits), default=0.0)
        priors = tuple(retrieval_weight * scores.get(text, lowest) for text in (each.context, *negatives))
        mined[each.id] = replace(each, negatives=negatives, priors=priors if retrieval_weight else ())
    return [mined.get(each.id, each) for each in examples]


def without_answer(golds: Iterable[str], texts: Iterable[str], metric: Metric) -> Iterator[str]:
    """The texts that contain none of the golds, compared after the metric's normalisation."""
    normalized_golds = {normalize_answer(gold, metric) for gold in golds}
    for text in texts:
        normalized = normalize_answer(text, metric)
        if not any(gold in normalized for gold in normalized_golds):
            yield text
