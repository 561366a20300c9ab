"""Passages that look as if they answered a question and do not: what a reader learns to compare passages from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mrc.metrics import Metric, normalize_answer

SEARCHED = 10  # passages looked through for negatives


def without_answer(golds: Iterable[str], texts: Iterable[str], metric: Metric) -> Iterator[str]:
    """The texts in which no gold stands, compared as answers are."""
    plain_golds = {normalize_answer(gold, metric) for gold in golds}
    for text in texts:
        plain = normalize_answer(text, metric)
        if not any(gold in plain for gold in plain_golds):
            yield text
