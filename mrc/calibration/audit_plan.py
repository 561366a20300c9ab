"""Planning of an audit: which nested sets to test, and which first. No guarantee rests on it.

What is known before the draw are the confidences of the whole population and judged answers of earlier ones (the
evidence). Precision is the mean of confidences that are recalibrated: `logit p = a + b logit c`, with a normal prior at
a = 0, b = 1, so little evidence moves them little, and a normal approximation of the posterior. Over these possible
precisions the expected size of the certified set is computed for every largest set and every first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import minimize
from scipy.special import expit, gammaln, logit

from mrc.calibration.certification import STEPS, required
from mrc.calibration.selective import Bools, Floats

OFFSET_SD: Final = 1.0  # of the prior of a
SLOPE_SD: Final = 0.5  # of the prior of b
NODES: Final = 5  # quadrature points in each of the two directions
EXPECTED, HOPED = 0.5, 0.25  # shares of draws
CLIP: Final = 1e-4  # confidences nearer to 0 or 1 count as this near
DEFAULT_COVERAGE: Final = 0.30  # of the largest set where nothing is known, or no set has a chance


@dataclass(frozen=True, slots=True)
class PrecisionCurves:
    """Possible precisions of nested sets."""

    precisions: Floats  # (Q, S): of set s in case q
    weights: Floats  # (Q,): probability of each case

    @property
    def mean(self) -> tuple[float, ...]:
        """The expected precision of each set."""
        return tuple(float(each) for each in self.weights @ self.precisions)


@dataclass(frozen=True, slots=True)
class SetPlan:
    """Which sets are tested, by their place among all."""

    last: int
    start: int
    expected: int | None  # items certified in at least half of all draws; None where nothing is known
    hoped: int | None  # in at least a quarter of them


def precision_curves(
    sizes: Sequence[int], confidences: Sequence[float | None], evidence: Floats, right: Bools
) -> PrecisionCurves | None:
    """Possible precisions of the nested sets whose items all have a confidence; None where there is no such set.

    Args:
        sizes: of the nested sets, increasing; those with unknown confidences are left out.
        confidences: of the ranked items, most confident first; unknown ones are last.
        evidence: confidences of items that are judged, by calibrators that had not seen them.
        right: whether these are right.
    """
    known = np.array([each for each in confidences if each is not None], dtype=np.float64)
    places = [size - 1 for size in sizes if size <= len(known)]
    if not places:
        return None
    logits = _logits(known)
    cases, weights = _recalibrations(_logits(np.asarray(evidence, dtype=np.float64)), np.asarray(right, np.float64))
    rows = [(np.cumsum(expit(a + b * logits)) / np.arange(1, len(logits) + 1))[places] for a, b in cases]
    return PrecisionCurves(np.array(rows), weights)


def _logits(confidences: Floats) -> Floats:
    return np.asarray(logit(np.clip(confidences, CLIP, 1 - CLIP)), dtype=np.float64)


def _recalibrations(logits: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Pairs of offset and slope (Q, 2) with their weights (Q,): quadrature of the posterior's normal approximation."""
    rows = np.stack([np.ones_like(logits), logits], axis=1)
    prior, precision = np.array([0.0, 1.0]), np.diag([OFFSET_SD**-2, SLOPE_SD**-2])

    def loss(values: Floats) -> tuple[float, Floats]:
        scores, apart = rows @ values, precision @ (values - prior)
        total = np.logaddexp(0, scores).sum() - right @ scores + apart @ (values - prior) / 2
        return float(total), rows.T @ (expit(scores) - right) + apart

    found = minimize(loss, prior, jac=True, method="BFGS").x
    rates = expit(rows @ found)
    curvature = (rows * (rates * (1 - rates))[:, None]).T @ rows + precision
    spread = np.linalg.cholesky(np.linalg.inv(curvature))
    points, weights = hermegauss(NODES)
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1).reshape(-1, 2)
    return found + grid @ spread.T, np.outer(weights, weights).ravel() / weights.sum() ** 2


def choose_sets(
    sizes: Sequence[int], curves: PrecisionCurves | None, *, audits: int, target: float, delta: float
) -> SetPlan:
    """The largest set and the first one with which most items are certified on average; ties to the smaller ones.

    The largest set has room for all audits. Where nothing is known: the sets up to DEFAULT_COVERAGE, and the middle one
    first.
    """
    default = min(round(DEFAULT_COVERAGE * STEPS), len(sizes)) - 1
    if curves is None:
        return SetPlan(default, default // 2, None, None)
    known = len(curves.mean)
    roomy = range(next((place for place in range(known) if sizes[place] >= audits), known - 1), known)
    values = {last: _values(sizes[: last + 1], curves, audits=audits, target=target, delta=delta) for last in roomy}
    best = max(roomy, key=lambda last: max(values[last]))
    if max(values[best]) < 1:
        best = min(max(default, roomy[0]), known - 1)
    start = int(np.argmax(values[best]))
    chosen, how = sizes[: best + 1], {"target": target, "delta": delta}
    expected, hoped = (_certified(chosen, start, curves, share, audits=audits, **how) for share in (EXPECTED, HOPED))
    return SetPlan(best, start, expected, hoped)


def _values(sizes: Sequence[int], curves: PrecisionCurves, *, audits: int, target: float, delta: float) -> list[float]:
    """The expected number of certified items, by the first set.

    A set passes if it and all before it would: nested sets pass together, so this is as probable as the least of them.
    """
    powers = _powers(sizes, curves, audits=audits, target=target, delta=delta)
    growth = np.diff(np.concatenate([[0], sizes]))
    found = []
    for start in range(len(sizes)):
        chain = np.minimum.accumulate(powers[start:], axis=0)
        items = sizes[start] * chain[0] + growth[start + 1 :] @ chain[1:]
        found.append(round(float(curves.weights @ items), 6))  # equal but for rounding is equal
    return found


def _certified(
    sizes: Sequence[int],
    start: int,
    curves: PrecisionCurves,
    share: float,
    *,
    audits: int,
    target: float,
    delta: float,
) -> int:
    """The size of the largest set that is certified in at least this share of all draws; 0 for none."""
    powers = _powers(sizes, curves, audits=audits, target=target, delta=delta)
    chain = np.minimum.accumulate(powers[start:], axis=0) @ curves.weights
    passed = int((chain >= share).sum())
    return sizes[start + passed - 1] if passed else 0


def _powers(sizes: Sequence[int], curves: PrecisionCurves, *, audits: int, target: float, delta: float) -> Floats:
    """The probability that each set passes its test, in each case: (S, Q)."""
    drawn = min(audits, sizes[-1])
    how = {"target": target, "delta": delta}
    return np.array(
        [
            power(
                size, audited=min(round(drawn * size / sizes[-1]), size), precision=curves.precisions[:, place], **how
            )
            for place, size in enumerate(sizes)
        ]
    )


def power(size: int, *, audited: int, precision: Floats, target: float, delta: float) -> Floats:
    """The probability that a set passes its test, for each true precision (Q,)."""
    null = _tails(size, audited, np.array([required(size, target=target) - 1]))[0]
    enough = int(np.argmax(null <= delta))  # no number of right ones passes: one more than can be drawn
    return np.asarray(_tails(size, audited, np.round(precision * size))[:, enough], dtype=np.float64)


def _tails(size: int, drawn: int, right: Floats) -> Floats:
    """P(X >= k) for k = 0, …, drawn + 1 (Q, drawn + 2), X ~ Hypergeometric(size, right, drawn)."""
    counts = np.arange(drawn + 1, dtype=np.float64)[None, :]
    rights = np.asarray(right, dtype=np.float64)[:, None]
    ways = _log_ways(rights, counts) + _log_ways(size - rights, drawn - counts)
    every = _log_ways(np.array([float(size)]), np.array([float(drawn)]))
    tails = np.cumsum(np.exp(ways - every)[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([tails, np.zeros((len(tails), 1))], axis=1)


def _log_ways(items: Floats, chosen: Floats) -> Floats:
    """The logarithm of the binomial coefficient; -inf where there is none."""
    rest = np.maximum(items - chosen, 0)
    ways = gammaln(items + 1) - gammaln(chosen + 1) - gammaln(rest + 1)
    return np.asarray(np.where((chosen < 0) | (chosen > items), -np.inf, ways), dtype=np.float64)
