"""How many pseudo-labels an audit would release at a level of exact match. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EDGE: Final = 1e-6  # probabilities are kept so far from 0 and 1


def needed_precision(target: float, *, delta: float, audits: int) -> float:
    """The measured precision from which an audit of so many answers certifies the target with error `delta`.

    Exact for a large pool: the smallest k / audits with P(X >= k) <= delta, X ~ Binomial(audits, target). Above 1
    where even a faultless audit would not do.
    """
    from scipy.special import bdtrc

    right = np.arange(audits + 1)
    tail = np.where(right > 0, bdtrc(right - 1.0, audits, target), 1.0)
    passing = np.flatnonzero(tail <= delta)
    return float(passing[0]) / audits if passing.size else 1.0 + 1.0 / audits


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """The share of the pool that keeps a precision (G,), at levels of exact match (G,), ascending."""

    levels: Floats
    shares: Floats

    def __call__(self, exact_match: Floats) -> Floats:
        """(S,) shares at these levels."""
        found: Floats = np.interp(exact_match, self.levels, self.shares)
        return found


def coverage(probabilities: Floats, *, precision: float) -> Coverage:
    """The largest share of the pool whose most confident answers are so often right, at each level of exact match.

    The confidences (N,) are shifted on the logit scale until their mean is the level: a better reader is surer of every
    answer, and ranks them as well as today's.
    """
    ordered = np.sort(np.clip(probabilities, _EDGE, 1 - _EDGE))[::-1]
    logits, counts = np.log(ordered / (1 - ordered)), np.arange(1, len(ordered) + 1)
    levels, shares = [], []
    for shift in np.linspace(-12.0, 12.0, 481):
        running = np.cumsum(1 / (1 + np.exp(-(logits + shift)))) / counts  # precision of the k best, falling
        levels.append(running[-1])
        shares.append(float(np.mean(running >= precision)))
    return Coverage(np.array(levels), np.array(shares))
