"""Confidence intervals of a proportion."""

from __future__ import annotations

from math import sqrt
from typing import Final

Z: Final = 1.959964  # standard normal quantile of a two-sided 95% interval


def wilson_interval(correct: int, items: int) -> tuple[float, float]:
    """The 95% score interval of a proportion. Raises ZeroDivisionError without items.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    share, spread = correct / items, Z**2 / items
    centre = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / items + spread / (4 * items)) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)
