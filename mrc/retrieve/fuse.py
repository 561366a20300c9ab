"""Fusion of two rankings of documents, one lexical (BM25) and one dense. NumPy only.

The scores of each ranking are normalised, then added with weights `1 - w` (lexical) and `w` (dense):

- zscore: (score - mean) / standard deviation, over the first `DEPTH` of the ranking;
- minmax: (score - lowest) / (highest - lowest), over the same;
- rrf: 1 / (c + rank), ranks from 1. Source: Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion", SIGIR 2009.

A document in only one ranking gets the normalised score of the last place from the other. A ranking that is empty, or
whose scores are all equal, gives every document the same. Equal sums go to the lowest document.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mrc.retrieve.dense.config import Method

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DEPTH: Final = 100  # places of each ranking that count; a document below them scores as the last of them
UNTUNED: Final = 0.5  # weight without labels
MIN_QUESTIONS: Final = 30  # labelled questions below which the weight stays untuned
MIN_CLUSTERS: Final = (
    10  # documents of these questions below which no standard error is reliable enough to move a weight
)
GRID: Final = 20  # steps of the weight from 0 to 1
_NOISE: Final = 1e-6  # scores that differ by less than this share of the largest are equal: they are float32


@dataclass(frozen=True, slots=True, eq=False)
class RankedLists:
    """The best documents of Q queries, best first, padded with document -1 and score -inf."""

    documents: Ints  # (Q, D)
    scores: Floats  # (Q, D)


@dataclass(frozen=True, slots=True, eq=False)
class FusedLists:
    """The first k of both rankings, best first, padded with document -1 and scores -inf.

    `lexical` and `dense` are the scores in the two rankings, -inf where a ranking does not hold the document;
    `standardized`: see the function of this name.
    """

    documents: Ints  # (Q, k)
    scores: Floats  # (Q, k)
    lexical: Floats  # (Q, k)
    dense: Floats  # (Q, k)
    standardized: Floats  # (Q, k)


@dataclass(frozen=True, slots=True)
class FusionWeight:
    """The weight of the dense ranking; the best weights of 95% of the bootstrap samples are in low-high."""

    value: float = UNTUNED
    low: float = 0.0
    high: float = 1.0
    questions: int = 0  # labelled questions that it was tuned on; 0: not tuned
    documents: int = 0  # that those questions belong to

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1 or not 0 <= self.value <= 1:
            raise ValueError(f"a weight must be in 0-1, got {self.value} ({self.low}-{self.high})")


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The documents of both rankings, each once, by ascending document, with their normalised scores."""

    documents: Ints  # (Q, C), padded with -1
    normalized: tuple[Floats, Floats]  # each (Q, C): lexical, dense
    scores: tuple[Floats, Floats]  # each (Q, C): lexical, dense; -inf where a ranking does not hold the document

    def weighted(self, weight: float) -> Floats:
        """(Q, C) weighted sums; -inf where there is no document."""
        sums = (1 - weight) * self.normalized[0] + weight * self.normalized[1]
        return np.where(self.documents >= 0, sums, -np.inf)

    def top(self, weight: float, k: int) -> FusedLists:
        """The best k of each query."""
        sums = self.weighted(weight)
        order = np.argsort(-sums, axis=1, kind="stable")[:, : max(k, DEPTH)]
        ranking = RankedLists(
            np.take_along_axis(self.documents, order, axis=1), np.take_along_axis(sums, order, axis=1)
        )
        order = order[:, :k]
        parts = [np.take_along_axis(values, order, axis=1) for values in (sums, *self.scores)]
        parts.append(standardized(ranking)[:, :k])
        documents = np.take_along_axis(self.documents, order, axis=1)
        missing = ((0, 0), (0, k - order.shape[1]))
        padded = [np.pad(values, missing, constant_values=-np.inf) for values in parts]
        return FusedLists(np.pad(documents, missing, constant_values=-1), *padded)


def standardized(ranking: RankedLists, *, filled: int = 0) -> Floats:
    """(Q, D) the scores in standard deviations above the mean of the ranking's first `DEPTH`; 0 where all are equal.

    A lexical ranking of fewer than `filled` documents is continued with zeros, the score of documents that it does not
    hold, so that a single match stands out.
    """
    return _normalized(ranking, "zscore", 0.0, filled=filled)[0]


def merge(
    lexical: RankedLists,
    dense: RankedLists,
    *,
    method: Method,
    rrf_constant: float,
    size: int,
    unmatched_score_zero: bool,
) -> Candidates:
    """The union of both rankings, query by query. A document twice in a ranking counts at its better place.

    Args:
        size: number of documents in the index.
        unmatched_score_zero: documents missing from a short lexical ranking score 0 there, so that a single match
            stands out; false for bm25plus, where they score more.
    """
    if len(lexical.documents) != len(dense.documents):
        raise ValueError(f"rankings of {len(lexical.documents)} queries and of {len(dense.documents)}")
    filled = min(DEPTH, size) if unmatched_score_zero else 0
    normalized = (
        _normalized(lexical, method, rrf_constant, filled=filled),
        _normalized(dense, method, rrf_constant, filled=0),
    )
    return _union((lexical, dense), normalized)


def tune_weight(
    candidates: Candidates,
    golds: Sequence[Collection[int]],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    samples: int = 1000,
    default: FusionWeight | None = None,
) -> FusionWeight:
    """The weight with the best mean reciprocal rank of the gold documents, and its bootstrap interval by cluster.

    Weights are tried in steps of .05; ties go to the one nearest .5, then to the lower. Untuned below `MIN_QUESTIONS`
    questions or two clusters.

    Args:
        golds: the gold documents of each query; a query without one among its candidates favours no weight.
        clusters: what to resample as a whole; questions of one document fail together.
        default: a weight that stays unless another one is better by more than one standard error, or where the
            questions belong to fewer than `MIN_CLUSTERS` clusters, so that the difference may be chance.
    """
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    if len(golds) < MIN_QUESTIONS or len(numbers) < (MIN_CLUSTERS if default else 2):
        return FusionWeight(default.value) if default else FusionWeight()  # its interval is of another encoder
    cluster_of = np.array([numbers[cluster] for cluster in clusters])
    # Ties within rounding go to the weight nearest .5: candidates are looked at in that order.
    weights = np.arange(GRID + 1) / GRID
    weights = weights[np.argsort(np.abs(weights - UNTUNED), kind="stable")]
    scores = np.stack([reciprocal_ranks(candidates, golds, weight) for weight in weights.tolist()], axis=1)
    totals = np.zeros((len(numbers), len(weights)))
    np.add.at(totals, cluster_of, scores)
    uniform = np.full(len(numbers), 1 / len(numbers))
    draws = np.random.default_rng(seed).multinomial(len(numbers), uniform, size=samples)
    place = np.argmax(np.round(totals.sum(axis=0), 9))
    best = float(weights[place])
    if default is not None:
        differences = scores[:, place] - reciprocal_ranks(candidates, golds, default.value)
        best = best if differences.mean() > _standard_error(differences, cluster_of, draws) else default.value
    low, high = np.quantile(weights[np.argmax(np.round(draws @ totals, 9), axis=1)], [0.025, 0.975])
    return FusionWeight(best, float(low), float(high), len(golds), len(numbers))


def reciprocal_ranks(candidates: Candidates, golds: Sequence[Collection[int]], weight: float) -> Floats:
    """(Q,) 1 / rank of the first gold document, ranks from 1; 0 where there is none among the candidates."""
    sums = candidates.weighted(weight)
    is_gold = np.stack([np.isin(row, list(gold)) for row, gold in zip(candidates.documents, golds, strict=True)])
    of_gold = np.where(is_gold & (candidates.documents >= 0), sums, -np.inf)
    place = of_gold.argmax(axis=1)[:, None]  # the lowest of equal ones, as documents ascend
    best = np.take_along_axis(of_gold, place, axis=1)
    before = (sums > best) | ((sums == best) & (np.arange(sums.shape[1]) < place))
    found = np.isfinite(best[:, 0])
    ranks: Floats = np.where(found, 1 / (1 + before.sum(axis=1)), 0.0)
    return ranks


def _standard_error(values: Floats, cluster_of: Ints, draws: Ints) -> float:
    """Standard deviation of the mean of (Q,) values over bootstrap samples (S, clusters) of whole clusters."""
    totals = np.bincount(cluster_of, weights=values)
    means = (draws @ totals) / (draws @ np.bincount(cluster_of))
    return float(means.std())


def _normalized(ranking: RankedLists, method: Method, rrf_constant: float, *, filled: int) -> tuple[Floats, Floats]:
    """(Q, D) normalised scores of the ranking's documents, and (Q, 1) that of documents it does not hold."""
    present = ranking.documents >= 0
    if method == "rrf":
        places = np.arange(present.shape[1])
        scores = np.where(places < DEPTH, 1 / (rrf_constant + 1 + places), 0.0)
        return np.where(present, scores, 0.0), np.zeros((len(present), 1))
    scores = np.where(present, ranking.scores, 0.0)
    centre, scale, lowest = _location_and_scale(scores[:, :DEPTH], present[:, :DEPTH], method, filled)
    flat = scale <= _NOISE * np.abs(scores).max(axis=1, keepdims=True, initial=0.0)
    scale = np.where(flat, np.inf, scale)
    last = (lowest - centre) / scale
    return np.where(present, np.maximum((scores - centre) / scale, last), last), last


def _location_and_scale(scores: Floats, present: Bools, method: Method, filled: int) -> tuple[Floats, Floats, Floats]:
    """Centre, scale and lowest score of each ranking, each (Q, 1); 0, 0, 0 for an empty one.

    A ranking shorter than `filled` is continued with zeros, the score of documents that it does not hold.
    """
    held = present.sum(axis=1, keepdims=True)
    count = np.maximum(np.where(held > 0, np.maximum(held, filled), 0), 1)
    lowest = np.where(present, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    lowest = np.where(held == 0, 0.0, np.where(count > held, np.minimum(lowest, 0.0), lowest))
    if method == "minmax":
        highest = np.where(present, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        return lowest, np.where(held == 0, 0.0, highest - lowest), lowest
    mean = scores.sum(axis=1, keepdims=True) / count
    squares = np.where(present, scores - mean, 0.0) ** 2
    rest = np.where(held > 0, count - held, 0) * mean**2
    return mean, np.sqrt((squares.sum(axis=1, keepdims=True) + rest) / count), lowest


def _union(rankings: tuple[RankedLists, RankedLists], normalized: Sequence[tuple[Floats, Floats]]) -> Candidates:
    """Each document of a row once, with the largest of its values: those of its own places, else of a missing one."""
    (lexical, dense), (of_lexical, of_dense) = rankings, normalized
    documents = np.concatenate([lexical.documents, dense.documents], axis=1)
    columns = (
        np.concatenate([of_lexical[0], np.broadcast_to(of_lexical[1], dense.scores.shape)], axis=1),
        np.concatenate([np.broadcast_to(of_dense[1], lexical.scores.shape), of_dense[0]], axis=1),
        np.concatenate([lexical.scores, np.full(dense.scores.shape, -np.inf)], axis=1),
        np.concatenate([np.full(lexical.scores.shape, -np.inf), dense.scores], axis=1),
    )
    order = np.argsort(documents, axis=1, kind="stable")
    documents = np.take_along_axis(documents, order, axis=1)
    runs = np.flatnonzero(np.diff(documents, axis=1, prepend=-2) != 0)  # starts of equal documents; -1 in padded rows
    if not len(runs):  # no query, or rankings of length 0
        nothing = np.empty((len(documents), 0))
        return Candidates(nothing.astype(np.int64), (nothing, nothing), (nothing, nothing))
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
    return Candidates(packed, (found[0], found[1]), (found[2], found[3]))
