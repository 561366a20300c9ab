"""Fusing two ranked lists of documents, one found by terms and one by meaning. NumPy only.

Each list's scores are made comparable, then added with weights `1 - w` (terms) and `w` (meaning):

- zscore: (score - mean) / standard deviation, over the first `DEPTH` of the list;
- minmax: (score - lowest) / (highest - lowest), over the same;
- rrf: 1 / (c + rank), ranks from 1. Source: Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion", SIGIR 2009.

A document that only one list holds gets from the other what that list's last place is worth. A list whose scores are
all equal, or that is empty, says nothing: it gives every document the same. Equal sums go to the lowest document.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Method = Literal["zscore", "minmax", "rrf"]

DEPTH: Final = 100  # of each list; what stands below it counts as its last place
UNTUNED: Final = 0.5  # the weight where no labels say better
MIN_QUESTIONS: Final = 30  # labelled ones, below which the weight stays untuned
MIN_CLUSTERS: Final = 10  # documents of theirs, below which no standard error can be trusted to move a weight
GRID: Final = 20  # steps of the weight from 0 to 1
_NOISE: Final = 1e-6  # scores that differ by less than this share of the largest are equal: they are float32


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The best documents of Q queries, best first, padded with document -1 and score -inf."""

    documents: Ints  # (Q, D)
    scores: Floats  # (Q, D)


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """The first k of both lists together, best first, padded with document -1 and scores -inf.

    `terms` and `meaning` are the scores in the two lists, -inf where a list does not hold the document.
    """

    documents: Ints  # (Q, k)
    scores: Floats  # (Q, k)
    terms: Floats  # (Q, k)
    meaning: Floats  # (Q, k)


@dataclass(frozen=True, slots=True)
class Weight:
    """The weight of the list by meaning and how sure it is: 95% of resampled labels put the best weight in low-high."""

    value: float = UNTUNED
    low: float = 0.0
    high: float = 1.0
    questions: int = 0  # labelled ones that it was tuned on; 0: it was not
    documents: int = 0  # that those came from

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1 or not 0 <= self.value <= 1:
            raise ValueError(f"a weight must be in 0-1, got {self.value} ({self.low}-{self.high})")


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The documents of two lists, each once, by ascending document, and what each list gives them; not weighed yet."""

    documents: Ints  # (Q, C), padded with -1
    gains: tuple[Floats, Floats]  # each (Q, C): by terms, by meaning
    scores: tuple[Floats, Floats]  # each (Q, C): those of the lists, -inf where a list does not hold the document

    def weighed(self, weight: float) -> Floats:
        """(Q, C) sums; -inf where there is no document."""
        sums = (1 - weight) * self.gains[0] + weight * self.gains[1]
        return np.where(self.documents >= 0, sums, -np.inf)

    def top(self, weight: float, k: int) -> Fused:
        """The best k of each query."""
        sums = self.weighed(weight)
        order = np.argsort(-sums, axis=1, kind="stable")[:, :k]
        parts = [np.take_along_axis(values, order, axis=1) for values in (sums, *self.scores)]
        documents = np.take_along_axis(self.documents, order, axis=1)
        missing = ((0, 0), (0, k - order.shape[1]))
        padded = [np.pad(values, missing, constant_values=-np.inf) for values in parts]
        return Fused(np.pad(documents, missing, constant_values=-1), *padded)


def merge(terms: Ranking, meaning: Ranking, *, method: Method, rrf_constant: float, size: int, zero: bool) -> Merged:
    """Both lists as one set of candidates a query. A document twice in a list counts at its better place.

    Args:
        size: number of documents there are.
        zero: documents that are not in a shorter list by terms score 0 there, so that a lone match stands out.
    """
    if len(terms.documents) != len(meaning.documents):
        raise ValueError(f"lists of {len(terms.documents)} queries and of {len(meaning.documents)}")
    filled = min(DEPTH, size) if zero else 0
    lists = (terms, meaning)
    gains = [
        _gains(ranking, method, rrf_constant, filled=count) for ranking, count in zip(lists, (filled, 0), strict=True)
    ]
    return _united(lists, gains)


def tune(
    merged: Merged,
    golds: Sequence[Collection[int]],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    samples: int = 1000,
    default: Weight | None = None,
) -> Weight:
    """The weight with the best mean reciprocal rank of the gold documents, and its bootstrap by cluster.

    Weights are tried in steps of .05; equally good ones go to the one nearest .5, the lower of two. Untuned below
    `MIN_QUESTIONS` questions or two clusters.

    Args:
        golds: the right documents of each query; where neither list holds one, the query says nothing.
        clusters: what to resample together; questions of one document fail together.
        default: a weight that stays where none is better by more than one standard error, or where the questions are
            of fewer than `MIN_CLUSTERS` clusters: what they say may be chance.
    """
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    if len(golds) < MIN_QUESTIONS or len(numbers) < (MIN_CLUSTERS if default else 2):
        return Weight(default.value) if default else Weight()  # what another encoder's was tuned on says nothing here
    weights = np.arange(GRID + 1) / GRID
    of_query = np.array([numbers[cluster] for cluster in clusters])
    marks = np.stack([reciprocal_ranks(merged, golds, weight) for weight in weights.tolist()], axis=1)
    totals = np.zeros((len(numbers), len(weights)))
    np.add.at(totals, of_query, marks)
    # Ties within rounding go to the weight nearest .5: candidates are looked at in that order.
    order = np.argsort(np.abs(weights - UNTUNED), kind="stable")
    draws = np.random.default_rng(seed).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=samples)
    resampled = weights[order][np.argmax(np.round((draws @ totals)[:, order], 9), axis=1)]
    place = order[np.argmax(np.round(totals.sum(axis=0)[order], 9))]
    best = float(weights[place])
    if default is not None:
        gains = marks[:, place] - reciprocal_ranks(merged, golds, default.value)
        of_cluster = np.bincount(of_query, weights=gains)
        means = (draws @ of_cluster) / (draws @ np.bincount(of_query))
        best = best if gains.mean() > means.std() else default.value
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Weight(best, float(low), float(high), len(golds), len(numbers))


def reciprocal_ranks(merged: Merged, golds: Sequence[Collection[int]], weight: float) -> Floats:
    """(Q,) 1 / rank of the first gold document, ranks from 1; 0 where no list holds one."""
    sums = merged.weighed(weight)
    is_gold = np.stack([np.isin(row, list(gold)) for row, gold in zip(merged.documents, golds, strict=True)])
    of_gold = np.where(is_gold & (merged.documents >= 0), sums, -np.inf)
    place = of_gold.argmax(axis=1)[:, None]  # the lowest of equal ones, as documents ascend
    best = np.take_along_axis(of_gold, place, axis=1)
    before = (sums > best) | ((sums == best) & (np.arange(sums.shape[1]) < place))
    found = np.isfinite(best[:, 0])
    ranks: Floats = np.where(found, 1 / (1 + before.sum(axis=1)), 0.0)
    return ranks


def _gains(ranking: Ranking, method: Method, rrf_constant: float, *, filled: int) -> tuple[Floats, Floats]:
    """(Q, D) what the list gives each of its documents, and (Q, 1) what it gives those that it does not hold."""
    there = ranking.documents >= 0
    if method == "rrf":
        places = np.arange(there.shape[1])
        worth = np.where(places < DEPTH, 1 / (rrf_constant + 1 + places), 0.0)
        return np.where(there, worth, 0.0), np.zeros((len(there), 1))
    scores = np.where(there, ranking.scores, 0.0)
    centre, scale, lowest = _spread(scores[:, :DEPTH], there[:, :DEPTH], method, filled)
    flat = scale <= _NOISE * np.abs(scores).max(axis=1, keepdims=True, initial=0.0)
    scale = np.where(flat, np.inf, scale)
    last = (lowest - centre) / scale
    return np.where(there, np.maximum((scores - centre) / scale, last), last), last


def _spread(scores: Floats, there: npt.NDArray[np.bool_], method: Method, filled: int) -> tuple[Floats, Floats, Floats]:
    """Centre, scale and lowest of each list, each (Q, 1); an empty one has 0, 0, 0.

    A list shorter than `filled` is continued with zeros, as what is not in it scores 0.
    """
    held = there.sum(axis=1, keepdims=True)
    count = np.maximum(np.where(held > 0, np.maximum(held, filled), 0), 1)
    lowest = np.where(there, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    lowest = np.where(held == 0, 0.0, np.where(count > held, np.minimum(lowest, 0.0), lowest))
    if method == "minmax":
        highest = np.where(there, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        return lowest, np.where(held == 0, 0.0, highest - lowest), lowest
    mean = scores.sum(axis=1, keepdims=True) / count
    squares = np.where(there, scores - mean, 0.0) ** 2
    rest = np.where(held > 0, count - held, 0) * mean**2
    return mean, np.sqrt((squares.sum(axis=1, keepdims=True) + rest) / count), lowest


def _united(lists: tuple[Ranking, Ranking], gains: Sequence[tuple[Floats, Floats]]) -> Merged:
    """Each document of a row once, with the largest of what stands for it: its own places, else the last place."""
    (terms, meaning), (by_terms, by_meaning) = lists, gains
    documents = np.concatenate([terms.documents, meaning.documents], axis=1)
    columns = (
        np.concatenate([by_terms[0], np.broadcast_to(by_terms[1], meaning.scores.shape)], axis=1),
        np.concatenate([np.broadcast_to(by_meaning[1], terms.scores.shape), by_meaning[0]], axis=1),
        np.concatenate([terms.scores, np.full(meaning.scores.shape, -np.inf)], axis=1),
        np.concatenate([np.full(terms.scores.shape, -np.inf), meaning.scores], axis=1),
    )
    order = np.argsort(documents, axis=1, kind="stable")
    documents = np.take_along_axis(documents, order, axis=1)
    new = np.diff(documents, axis=1, prepend=-2) != 0
    runs = np.flatnonzero(new)  # where runs of equal documents begin; -1 begins each padded row
    if not len(runs):  # no query, or lists of no length
        nothing = np.empty((len(documents), 0))
        return Merged(nothing.astype(np.int64), (nothing, nothing), (nothing, nothing))
    held = documents.reshape(-1)[runs] >= 0
    rows = runs[held] // documents.shape[1]
    counts = np.bincount(rows, minlength=len(documents))
    places = rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    packed = np.full((len(documents), counts.max()), -1, dtype=np.int64)
    packed[places] = documents.reshape(-1)[runs[held]]
    found = []
    for column, padding in zip(columns, (0.0, 0.0, -np.inf, -np.inf), strict=True):
        largest = np.maximum.reduceat(np.take_along_axis(column, order, axis=1).reshape(-1), runs)
        found.append(np.full(packed.shape, padding))
        found[-1][places] = largest[held]
    return Merged(packed, (found[0], found[1]), (found[2], found[3]))
