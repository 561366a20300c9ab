"""Retrieval metrics: ranks of gold passages and of answers for labelled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from db.rows import LabelledQuestion
from labeler.core.runtime import Runtime
from mrc.metrics import bootstrap_interval
from mrc.retrieve.error_analysis import contains_answer, normalized
from mrc.text import normalize
from mrc.types import Hit

if TYPE_CHECKING:
    from mrc.retrieve.index import Index

DEPTHS = (1, 3, 5, 10, 20, 100)
DEPTH = 100  # passages retrieved for each question
READ_FIRST = 10  # hits that are searched for the answer before the texts of all others are read
BOOTSTRAP_SEED = 0
_FETCHED = 1000  # passages read from the database at a time

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RetrievalResults:
    """The hits of an index for labelled questions. Ranks count from 0; -1 is not among the first 100."""

    entries: Sequence[LabelledQuestion]  # each has an answer
    hits: Sequence[tuple[Hit, ...]]
    gold_ranks: Sequence[int]  # of the first gold passage
    answer_ranks: Sequence[int]  # of the first passage that holds a gold answer, gold or not

    def scores(self) -> dict[str, list[float]]:
        """Metric -> the score of each question, 0-1."""
        found = {f"top_{depth}": _within(self.gold_ranks, depth) for depth in DEPTHS}
        found["mrr"] = [1 / (rank + 1) if rank >= 0 else 0.0 for rank in self.gold_ranks]
        return found | {f"answer_in_{depth}": _within(self.answer_ranks, depth) for depth in DEPTHS}

    @property
    def clusters(self) -> list[str | None]:
        """The document of each question, which the bootstrap resamples."""
        return [entry.document_id for entry in self.entries]


def search(runtime: Runtime, index: Index, entries: Sequence[LabelledQuestion]) -> RetrievalResults:
    """Retrieve the first 100 passages for questions that have an answer."""
    hits = index.retrieve([entry.question.text for entry in entries], DEPTH)
    gold_ranks = [
        next((hit.rank for hit in found if hit.passage_id in gold_passages(entry)), -1)
        for entry, found in zip(entries, hits, strict=True)
    ]
    return RetrievalResults(entries, hits, gold_ranks, answer_ranks(runtime, entries, hits))


def answer_ranks(runtime: Runtime, entries: Sequence[LabelledQuestion], hits: Sequence[tuple[Hit, ...]]) -> list[int]:
    """The rank of the first passage that holds a gold answer; the texts of deeper hits are read only if needed."""
    ranks = [-1] * len(entries)
    for part in (slice(0, READ_FIRST), slice(READ_FIRST, DEPTH)):
        missing = [row for row, rank in enumerate(ranks) if rank < 0]
        texts = _texts(runtime, {hit.passage_id for row in missing for hit in hits[row][part]})
        for row in missing:
            answers = normalized(text for text in entries[row].label.gold_texts if text.strip())
            ranks[row] = next(
                (hit.rank for hit in hits[row][part] if contains_answer(texts[hit.passage_id], answers)), -1
            )
    return ranks


def gold_passages(entry: LabelledQuestion) -> set[str]:
    """The ids of the passages of the gold answers; the context of a question whose answers do not stand in it."""
    found = {answer.passage_id for answer in entry.label.answers}
    return found or ({entry.question.context_id} if entry.label.texts and entry.question.context_id else set())


def summarize(results: RetrievalResults) -> tuple[dict[str, float], dict[str, Bounds]]:
    """The mean of each metric, and its 95% interval under `retrieval.METRIC`."""
    means, intervals = {}, {}
    for name, values in results.scores().items():
        found = bootstrap_interval(values, results.clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))
        means[name] = found.mean
        intervals[f"retrieval.{name}"] = (found.low, found.high)
    return means, intervals


def _within(ranks: Sequence[int], depth: int) -> list[float]:
    return [float(0 <= rank < depth) for rank in ranks]


def _texts(runtime: Runtime, ids: set[str]) -> dict[str, str]:
    """The normalised texts of passages."""
    ordered, texts = sorted(ids), {}
    for start in range(0, len(ordered), _FETCHED):
        found = runtime.fetch(ordered[start : start + _FETCHED])
        texts.update({key: normalize(passage.text) for key, passage in found.items()})
    return texts
