"""The learning curve of exact match by trusted labels, with its uncertainty. Pure.

EM(n) = L + g h_b(n): L at the labels of the newest reader, g gained by doubling them, and h_b the shape of an inverse
power law with exponent b (0: a straight line in log n; larger ones bend earlier). L and g are fitted by least squares
under a prior on g. A sample draws the dev questions by document, the noise of a training's seed and the prior again,
and then an exponent by how well its fit explains the drawn points; so all samples are curves that fit what was seen.
Source: Hestness et al. 2017 (power laws of learning curves, exponents of .07 to .35 and above); Bardsley et al. 2014
(randomize then optimize).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.metrics import bootstrap_means

Floats = NDArray[np.float64]

SEED_NOISE: Final = 0.015  # standard deviation of EM from one training seed to the next
GAIN: Final = 0.035  # prior of the EM that doubling the trusted labels adds: mean,
GAIN_SPREAD: Final = 0.02  # and standard deviation
BENDS: Final = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # exponents b
BEND_WEIGHTS: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5)
SAMPLES: Final = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Sampled curves. `level` (S,): EM at `labels` trusted labels; `gain` (S,): added by doubling them, at least 0;
    `bend` (S,): the exponent. `informed`: readers with different numbers of labels were seen, else the prior alone
    says how EM grows.
    """

    labels: int
    level: Floats
    gain: Floats
    bend: Floats
    informed: bool

    def exact_match(self, labels: float) -> Floats:
        """(S,) EM with this many trusted labels, 0-1."""
        return np.clip(self.level + self.gain * _shape(labels, self.labels, self.bend), 0.0, 1.0)

    def labels_for(self, target: float) -> Floats:
        """(S,) trusted labels at which each curve reaches the target; infinite where it never does."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            wanted = np.where(self.gain > 0, (target - self.level) / self.gain, np.inf)
            doubling = 1 - 2.0**-self.bend  # of 1 - (n / N)^-b, which the shape divides by
            left = 1 - wanted * doubling
            bent = np.where(left > 0, left ** (-1 / np.where(self.bend > 0, self.bend, 1.0)), np.inf)
            factor = np.where(self.bend > 0, bent, 2.0**wanted)
        factor = np.where(np.isnan(factor), np.inf, factor)
        return np.where(self.level >= target, float(self.labels), self.labels * factor)


def _shape(labels: float, reference: int, bend: Floats) -> Floats:
    """(S,) h_b: 0 at the reference, 1 at twice as many labels."""
    ratio = labels / reference
    safe = np.where(bend > 0, bend, 1.0)
    return np.where(bend > 0, (1 - ratio**-safe) / (1 - 2.0**-safe), np.log2(ratio))


def fit_curve(
    labels: Sequence[int],
    scores: Sequence[Sequence[float]],
    clusters: Sequence[Hashable] | None,
    *,
    seed: int,
    samples: int = SAMPLES,
) -> Curve:
    """The curve through the readers of some rounds, in the order of the rounds.

    Args:
        labels: trusted labels that each reader was trained on, at least 1.
        scores: of each reader, the exact match of each dev question, the same questions for all.
        clusters: the document of each question, drawn whole; None: each question is its own.
        seed: of the samples.

    Raises:
        ValueError: no reader, or a reader without labels or questions.
    """
    if not labels or min(labels) < 1 or len(labels) != len(scores):
        raise ValueError("a curve needs a reader with trusted labels, and the scores of each")
    rng = np.random.default_rng(seed)
    drawn = np.stack(
        [bootstrap_means(row, clusters, rng=np.random.default_rng(seed), samples=samples) for row in scores]
    )  # (R, S): one seed, so that all readers answer the same drawn questions
    questions = len(scores[0])
    points = drawn + rng.normal(0.0, SEED_NOISE, size=drawn.shape)
    prior = rng.normal(GAIN, GAIN_SPREAD, size=samples)
    spread = SEED_NOISE**2 + 0.2 / questions  # a fifth of the questions are answered otherwise by another reader
    level, gain, loss = (np.empty((len(BENDS), samples)) for _ in range(3))
    for row, bend in enumerate(BENDS):
        shape = np.array([float(_shape(each, labels[-1], np.array([bend]))[0]) for each in labels])
        level[row], gain[row], loss[row] = _least_squares(shape, points, prior, spread)
    chosen = _chosen(loss, rng)
    every = np.arange(samples)
    informed = len(set(labels)) > 1
    return Curve(labels[-1], level[chosen, every], gain[chosen, every], np.array(BENDS)[chosen], informed)


def _least_squares(shape: Floats, points: Floats, prior: Floats, spread: float) -> tuple[Floats, Floats, Floats]:
    """(S,) level, gain and penalty of the fit to points (R, S) whose shape is (R,), under the drawn priors (S,)."""
    count, total, square = len(shape), float(shape.sum()), float(shape @ shape)
    weight = spread / GAIN_SPREAD**2
    with_shape = shape @ points + weight * prior
    determinant = count * (square + weight) - total**2
    gain = np.maximum((count * with_shape - total * points.sum(axis=0)) / determinant, 0.0)
    level = (points.sum(axis=0) - total * gain) / count
    misfit = np.sum((points - level - shape[:, None] * gain) ** 2, axis=0) / spread
    return level, gain, misfit + ((gain - prior) / GAIN_SPREAD) ** 2


def _chosen(loss: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """(S,) a row of the losses (B, S) drawn for each sample, the likelier the smaller its loss."""
    weights = np.exp(-0.5 * (loss - loss.min(axis=0))) * np.array(BEND_WEIGHTS)[:, None]
    shares = np.cumsum(weights / weights.sum(axis=0), axis=0)
    found: NDArray[np.int64] = (rng.random(loss.shape[1]) > shares).sum(axis=0).clip(max=len(BENDS) - 1)
    return found
