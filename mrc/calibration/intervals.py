"""Confidence intervals of a proportion."""

from __future__ import annotations

from math import sqrt
from typing import Final

LEVEL: Final = 0.95  # of every interval
Z: Final = 1.959964  # standard normal quantile of a two-sided interval of this level


def wilson_interval(correct: int, items: int) -> tuple[float, float]:
    """The 95% score interval of a proportion. Raises ZeroDivisionError without items.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    share, spread = correct / items, Z**2 / items
    centre = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / items + spread / (4 * items)) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def exact_interval(count: int, items: int) -> tuple[float, float]:
    """The 95% interval of a share. Source: Clopper & Pearson 1934."""
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = float(betaincinv(count, items - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, items - count, 1 - tail)) if count < items else 1.0
    return low, high
