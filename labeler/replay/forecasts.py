"""What `labeler plan` said after each round of each seed, against what the later rounds brought. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from labeler.planning.ahead import Ahead
from labeler.replay import ForecastCheck, Point

Checked = tuple[Ahead, float]  # a forecast, and the exact match that came


def forecast_checks(seeds: Iterable[Sequence[Point]]) -> tuple[ForecastCheck, ...]:
    """A check of every later round from every earlier one, over the seeds; none where nothing was forecast."""
    found: dict[tuple[int, int], list[Checked]] = {}
    for points in seeds:
        brought = {point.round: point.dev for point in points}
        for point in points:
            for each in point.forecasts:
                later = point.round + each.rounds
                exact_match = brought.get(later)
                if exact_match is not None:
                    found.setdefault((point.round, later), []).append((each, exact_match))
    return tuple(_check(after, number, found[after, number]) for after, number in sorted(found))


def _check(after: int, number: int, pairs: Sequence[Checked]) -> ForecastCheck:
    def mean(name: str) -> float:
        return float(np.mean([getattr(each, name) for each, _ in pairs]))

    return ForecastCheck(
        after=after,
        round=number,
        seeds=len(pairs),
        held=sum(each.low <= came <= each.high for each, came in pairs),
        held_single=sum(each.single_low <= came <= each.single_high for each, came in pairs),
        forecast=mean("median"),
        low=mean("low"),
        high=mean("high"),
        exact_match=float(np.mean([came for _, came in pairs])),
        error=float(np.mean([abs(each.median - came) for each, came in pairs])),
    )
