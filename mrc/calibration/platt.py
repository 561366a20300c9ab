"""Platt scaling: from a score to the probability of being right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.calibration.selective import Bools, Floats

_EDGE: Final = 1e-6  # probabilities are clipped this far from 0 and 1 before the logit


@dataclass(frozen=True, slots=True)
class Platt:
    """confidence = sigmoid(slope * logit(score) + offset), slope >= 0, so that the ranking is kept."""

    slope: float
    offset: float

    def __call__(self, score: Floats) -> Floats:
        return _sigmoid(self.slope * _logit(score) + self.offset)


def cross_scale(
    scores: Floats, correct: Bools, folds: NDArray[np.int64], scale: Callable[[Floats, Bools], Platt]
) -> Floats:
    """Confidences (N,), each fold scaled by a fit on the other folds (on itself if it is the only one)."""
    numbers = np.unique(folds)
    if len(numbers) == 1:
        return scale(scores, correct)(scores)
    confidence = np.zeros(len(scores))
    for fold in numbers:
        inside = folds == fold
        confidence[inside] = scale(scores[~inside], correct[~inside])(scores[inside])
    return confidence


def fit_platt(scores: Floats, correct: Bools) -> Platt:
    """The maximum-likelihood scaling towards smoothed targets; a negative slope becomes 0 with the smoothed rate.

    Source: Platt 1999 (targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2)), fitted on the logit of the score.
    """
    from scipy.optimize import minimize

    x = _logit(scores)
    right = int(correct.sum())
    target = np.where(correct, (right + 1) / (right + 2), 1 / (len(correct) - right + 2))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        error = _sigmoid(z) - target
        return float(np.sum(np.logaddexp(0, z) - target * z)), np.array([error @ x, error.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    if found[0] <= 0:
        return Platt(0.0, float(_logit(np.array([(right + 1) / (len(correct) + 2)]))[0]))
    return Platt(float(found[0]), float(found[1]))


def fit_shift(scores: Floats, correct: Bools) -> Platt:
    """Slope 1 and the offset that makes the mean confidence the smoothed rate (right + 1) / (N + 2)."""
    from scipy.optimize import brentq

    rate = (int(correct.sum()) + 1) / (len(correct) + 2)
    x = _logit(scores)
    return Platt(1.0, float(brentq(lambda offset: float(np.mean(_sigmoid(x + offset))) - rate, -60.0, 60.0)))


def _logit(probability: Floats) -> Floats:
    kept = np.clip(probability, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))
