"""What `labeler plan` would have forecast after round 1 of each seed, against what the later rounds brought. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from labeler.planning.curve import SEED_NOISE, Curve, fit_curve
from labeler.replay import ForecastCheck, Point

SEEN: Final = 2  # rounds that a forecast is made from: 0 and 1
LOW, HIGH = 0.1, 0.9  # quantiles of the 80% range


def forecast_checks(seeds: Sequence[Sequence[Point]]) -> tuple[ForecastCheck, ...]:
    """A check of every later round, over the seeds; none where the labels were not noted or did not grow."""
    usable = [points for points in seeds if len(points) > SEEN and all(point.trusted for point in points)]
    curves = [(points, _curve(points[:SEEN])) for points in usable]
    found = []
    for number in range(SEEN, max((len(points) for points in usable), default=0)):
        judged = [
            (curve, points[number])
            for points, curve in curves
            if len(points) > number and points[number].trusted > points[SEEN - 1].trusted
        ]
        if judged:
            found.append(_check(number, judged))
    return tuple(found)


def _check(number: int, judged: Sequence[tuple[Curve, Point]]) -> ForecastCheck:
    medians, actual, held = [], [], 0
    for curve, point in judged:
        expected = curve.exact_match(point.trusted)
        one = expected + np.random.default_rng(number).normal(0.0, SEED_NOISE, size=len(expected))  # a single training
        low, median, high = np.quantile(one, [LOW, 0.5, HIGH]).tolist()
        brought = float(np.mean([each.exact_match for each in point.scores]))
        medians.append(median)
        actual.append(brought)
        held += low <= brought <= high
    errors = np.abs(np.array(medians) - np.array(actual))
    return ForecastCheck(
        round=number,
        seeds=len(judged),
        held=held,
        forecast=float(np.mean(medians)),
        exact_match=float(np.mean(actual)),
        error=float(np.mean(errors)),
    )


def _curve(points: Sequence[Point]) -> Curve:
    """The curve through these readers, who answered the same test questions."""
    known = [{each.question_id: each for each in point.scores} for point in points]
    asked = sorted(known[-1])
    scores = [[of_point[key].exact_match for key in asked] for of_point in known]
    documents = [known[-1][key].cluster or key for key in asked]
    return fit_curve([point.trusted for point in points], scores, documents, seed=0)
