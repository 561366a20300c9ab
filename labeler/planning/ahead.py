"""Exact match after further rounds of the review budget, as `labeler plan` forecasts it now. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labeler.core.config import Config
from labeler.planning.curve import SEED_NOISE
from labeler.planning.evidence import Evidence
from labeler.planning.plan import HIGH, LOW, Target, curve_of, further_labels, missing


@dataclass(frozen=True, slots=True)
class Ahead:
    """The forecast of dev exact match after some further rounds: median and 80% ranges, 0-1."""

    rounds: int  # from now
    labels: int  # trusted labels by then
    median: float
    low: float  # as `labeler plan` prints it: of readers with so many labels, on average
    high: float
    single_low: float  # of one training, which differs from the next
    single_high: float


def ahead(evidence: Evidence, config: Config, *, rounds: int) -> tuple[Ahead, ...]:
    """The forecasts for each of so many further rounds; none where nothing can be forecast."""
    if rounds < 1 or missing(evidence, Target()) is not None:
        return ()
    curve = curve_of(evidence, seed=config.round.seed)
    noise = np.random.default_rng(config.round.seed).normal(0.0, SEED_NOISE, size=len(curve.level))
    found = []
    for count in range(1, rounds + 1):
        labels = curve.labels + further_labels(evidence, config, count)
        expected = curve.exact_match(labels)
        low, median, high = np.quantile(expected, [LOW, 0.5, HIGH], method="inverted_cdf").tolist()
        single_low, single_high = np.quantile(np.clip(expected + noise, 0.0, 1.0), [LOW, HIGH]).tolist()
        found.append(Ahead(count, labels, median, low, high, single_low, single_high))
    return tuple(found)
