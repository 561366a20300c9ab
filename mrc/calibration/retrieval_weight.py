"""How much the retrieval of a passage counts beside the reader: fitted on questions with known answers.

A span's score is the reader's S plus alpha z, with z the standardized retrieval score of its passage (`Hit`), in one
softmax over all passages. Alpha is that of a conditional logit model over the candidate spans of a question,

    P(c) = exp(u S_c + v z_c) / sum over all candidates,    alpha = v / u,

in which u takes up the reader's overconfidence: only the order of spans is fitted, and it depends on v / u alone. Spans
of a right text are all right, so a question contributes the log of their summed probability; one with no right span, or
no wrong one, says nothing. Source: McFadden 1974, Conditional Logit Analysis of Qualitative Choice Behavior; the
interval is that of White's sandwich estimator with clusters (Liang & Zeger 1986), by the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.ranking import Candidate, rank_candidates

Floats = NDArray[np.float64]

MIN_QUESTIONS: Final = 30  # that say something; below it the weight stays untuned
UNTUNED: Final = 2.0  # nats for each standard deviation, without labels; what readers of real questions were fitted to
HIGHEST: Final = 10.0  # nats; a reader that needs more plays no part in choosing the passage
TOLERANCE: Final = 0.005  # of right answers given up for reading fewer passages: half a point
_SCALE: Final = (0.02, 5.0)  # of u
_Z: Final = 1.96  # of a 95% interval


@dataclass(frozen=True, slots=True)
class RetrievalWeight:
    """Nats that a span gains for each standard deviation of its passage's retrieval score, with a 95% interval.

    `questions`: those that it was fitted on; 0: it was not fitted.
    """

    value: float = UNTUNED
    low: float = 0.0
    high: float = HIGHEST
    questions: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high:
            raise ValueError(
                f"a weight must be at least 0 and in its interval, got {self.value} ({self.low}-{self.high})"
            )


@dataclass(frozen=True, slots=True)
class ReadQuestion:
    """A question with known answers: its candidate spans, the standardized retrieval score of each passage by rank, its
    normalised golds, and what is resampled as a whole, such as its document."""

    candidates: tuple[Candidate, ...]
    standardized: tuple[float, ...]
    golds: frozenset[str]
    cluster: Hashable


def fit_retrieval_weight(
    questions: Sequence[ReadQuestion], *, normalize: Callable[[str], str], default: float = UNTUNED
) -> RetrievalWeight:
    """The weight under which right spans stand out most; `default`, not fitted, with too few questions."""
    rows = [row for row in (_row(each, normalize) for each in questions) if row is not None]
    if len(rows) < MIN_QUESTIONS:
        return RetrievalWeight(default, 0.0, max(HIGHEST, default), 0)
    model = _ConditionalLogit(rows)
    scale, weight = model.fit()
    value = min(weight / scale, HIGHEST)
    error = model.standard_error(scale, weight)
    high = min(value + _Z * error, 10 * HIGHEST)
    return RetrievalWeight(value, max(0.0, value - _Z * error), high, len(rows))


def right_by_passages(
    questions: Sequence[ReadQuestion], weight: float, *, normalize: Callable[[str], str]
) -> tuple[float, ...]:
    """The share of questions answered right from the first 1, 2, … passages, 0-1; empty without passages."""
    depth = max((len(each.standardized) for each in questions), default=0)
    rows = [_right_by_depth(each, weight, depth, normalize) for each in questions]
    return tuple(np.array(rows).mean(axis=0).tolist()) if depth else ()


def fewest_passages(shares: Sequence[float], *, tolerance: float = TOLERANCE) -> int:
    """The fewest passages whose share of right answers is at most `tolerance` below the best: reading costs time."""
    return next(count for count, share in enumerate(shares, start=1) if share >= max(shares) - tolerance - 1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """The candidates of one question, (C,) each."""

    scores: Floats
    standardized: Floats
    right: NDArray[np.bool_]
    cluster: Hashable


def _row(question: ReadQuestion, normalize: Callable[[str], str]) -> _Row | None:
    """None where no candidate is right, or none is wrong."""
    right = np.array([normalize(each.text) in question.golds for each in question.candidates], dtype=np.bool_)
    if right.all() or not right.any():
        return None
    scores = np.array([each.score for each in question.candidates])
    return _Row(
        scores - scores.max(),
        np.array([question.standardized[each.rank] for each in question.candidates]),
        right,
        question.cluster,
    )


class _ConditionalLogit:
    """The likelihood of (u, v) on the candidates of all questions, concatenated."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        sizes = [len(row.scores) for row in rows]
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._question = np.repeat(np.arange(len(rows)), sizes)
        self._columns = np.stack(
            [np.concatenate([row.scores for row in rows]), np.concatenate([row.standardized for row in rows])], axis=1
        )
        self._right = np.concatenate([row.right for row in rows])
        self._clusters = _numbers([row.cluster for row in rows])

    def fit(self) -> tuple[float, float]:
        """The (u, v) of the highest likelihood, v at least 0."""
        from scipy.optimize import minimize

        bounds = [_SCALE, (0.0, HIGHEST * _SCALE[1])]
        found = minimize(self._loss, np.array([0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=bounds)
        return float(found.x[0]), float(found.x[1])

    def standard_error(self, scale: float, weight: float) -> float:
        """Of v / u; infinite where the likelihood is flat."""
        gradients, hessian = self._derivatives(np.array([scale, weight]))
        summed = np.zeros((self._clusters.max() + 1, 2))
        np.add.at(summed, self._clusters, gradients)
        try:
            inverse = np.linalg.inv(hessian)
        except np.linalg.LinAlgError:
            return math.inf
        covariance = inverse @ (summed.T @ summed) @ inverse
        slope = np.array([-weight / scale**2, 1 / scale])
        return float(math.sqrt(max(0.0, slope @ covariance @ slope)))

    def _loss(self, parameters: Floats) -> tuple[float, Floats]:
        logs = self._columns @ parameters
        everything, right = self._total(logs), self._total(np.where(self._right, logs, -np.inf))
        gradients, _ = self._derivatives(parameters, second=False)
        return float(-(right - everything).mean()), -gradients.mean(axis=0)

    def _total(self, logs: Floats) -> Floats:
        """(Q,) log of the summed exp(logs) of each question."""
        peaks = np.maximum.reduceat(logs, self._starts)
        return np.asarray(np.log(np.add.reduceat(np.exp(logs - peaks[self._question]), self._starts)) + peaks)

    def _derivatives(self, parameters: Floats, *, second: bool = True) -> tuple[Floats, Floats]:
        """(Q, 2) gradients of the log-likelihood by question, and its summed Hessian (2, 2)."""
        logs = self._columns @ parameters
        among_all = np.exp(logs - self._total(logs)[self._question])
        right = np.where(self._right, logs, -np.inf)
        among_right = np.exp(right - self._total(right)[self._question])
        gradients, hessian = np.zeros((len(self._starts), 2)), np.zeros((2, 2))
        for shares, sign in ((among_right, 1.0), (among_all, -1.0)):
            mean = np.add.reduceat(shares[:, None] * self._columns, self._starts)
            gradients += sign * mean
            if second:
                centred = self._columns - mean[self._question]
                hessian += sign * (centred.T * shares) @ centred
        return gradients, hessian


def _right_by_depth(question: ReadQuestion, weight: float, depth: int, normalize: Callable[[str], str]) -> list[float]:
    """Whether the best answer from the first 1, 2, … passages is right."""
    priors = [weight * each for each in question.standardized]
    found = []
    for count in range(1, depth + 1):
        best = rank_candidates(question.candidates, priors=priors[:count], normalize=normalize, n_best_size=1)
        found.append(float(bool(best) and normalize(best[0].text) in question.golds))
    return found


def _numbers(clusters: Sequence[Hashable]) -> NDArray[np.int64]:
    """(N,) equal clusters by equal numbers from 0."""
    known = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return np.array([known[cluster] for cluster in clusters], dtype=np.int64)
