"""Measures of a ranking by confidence, and the rule that draws a threshold in it. NumPy only; everything is 0-1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS: Final = 15  # equal-mass bins of the calibration error


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """`confidence` and `accuracy` are means over the bin's items."""

    confidence: float
    accuracy: float
    items: int


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """The release threshold (inclusive), or None and why there is none."""

    threshold: float | None
    target: float
    precision: float | None  # of the calibration items at or above the threshold
    items: int  # how many these are
    why: str


def _ranked(confidence: Floats, correct: Bools) -> tuple[Floats, Floats]:
    """Confidences in falling order and the rate of right ones among those of equal confidence, both (N,).

    Averaging within ties makes every measure independent of the order of rows.
    """
    levels, of_row, sizes = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    rates = np.bincount(of_row, weights=np.asarray(correct, dtype=np.float64)) / sizes
    return np.repeat(-levels, sizes), np.repeat(rates, sizes)


def aurc(confidence: Floats, correct: Bools) -> float:
    """Mean over k = 1..N of the error rate among the k most confident; ties count as in a random order.

    Source: Geifman, Uziel & El-Yaniv 2019. Raises ValueError for no items.
    """
    if not len(correct):
        raise ValueError("the risk-coverage curve needs at least one item")
    _, rates = _ranked(confidence, correct)
    return float(np.mean(np.cumsum(1 - rates) / np.arange(1, len(rates) + 1)))


def auroc(confidence: Floats, correct: Bools) -> float:
    """The chance that a right item is more confident than a wrong one, ties counting half; .5 where all are alike."""
    right = np.asarray(correct, dtype=np.bool_)
    pairs = int(right.sum()) * int((~right).sum())
    if not pairs:
        return 0.5
    _, of_row, sizes = np.unique(np.asarray(confidence), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[of_row]  # from 1, means among ties
    smaller = float(ranks[right].sum()) - right.sum() * (right.sum() + 1) / 2
    return float(smaller / pairs)


def coverage_at(confidence: Floats, correct: Bools, *, precision: float) -> float:
    """The largest share of items at or above some threshold that keeps the precision; 0 if none does."""
    _, precisions, items = _thresholds(confidence, correct)
    kept = items[precisions >= precision]
    return float(kept.max() / len(correct)) if len(kept) else 0.0


def ece(confidence: Floats, correct: Bools) -> float:
    """Expected calibration error: |accuracy - mean confidence| over BINS equal-mass bins, weighted by items.

    Source: Nixon et al. 2019 (equal-mass bins).
    """
    bins = reliability_bins(confidence, correct)
    return sum(b.items * abs(b.accuracy - b.confidence) for b in bins) / max(1, len(correct))


def reliability_bins(confidence: Floats, correct: Bools, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """At most `bins` bins of (nearly) equal numbers of items, the least confident first."""
    ranked, rates = _ranked(confidence, correct)
    parts = np.array_split(np.arange(len(ranked))[::-1], max(1, min(bins, len(ranked))))
    return tuple(
        ReliabilityBin(float(np.mean(ranked[part])), float(np.mean(rates[part])), len(part))
        for part in parts
        if len(part)
    )


def _thresholds(confidence: Floats, correct: Bools) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Each distinct confidence, falling, with the precision and the number of items at or above it."""
    levels, of_row, sizes = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    right = np.cumsum(np.bincount(of_row, weights=np.asarray(correct, dtype=np.float64), minlength=len(levels)))
    items = np.cumsum(sizes)
    return -levels, right / items, items


def release_threshold(confidence: Floats, correct: Bools, *, target: float, min_items: int = 30) -> ReleaseRule:
    """The lowest threshold whose precision on the calibration items meets the target, over at least `min_items`.

    Give it `Calibrator.out_of_fold`: confidences of the very rows that were fitted look better than they are. A
    measured precision is no guarantee: the lowest threshold that meets the target misses it on new questions more
    often than a reader of the number would expect.
    """
    thresholds, precisions, items = _thresholds(confidence, correct)
    enough = items >= min_items
    if not enough.any():
        return ReleaseRule(None, target, None, 0, f"{len(correct)} calibration questions, {min_items} needed")
    good = np.flatnonzero(enough & (precisions >= target))
    if not len(good):
        best = float(precisions[enough].max())
        why = f"no threshold reaches precision {target:.2f} over at least {min_items} questions; the best is {best:.2f}"
        return ReleaseRule(None, target, None, 0, why)
    last = good[-1]
    why = f"the lowest threshold with precision {target:.2f} or more over at least {min_items} calibration questions"
    return ReleaseRule(float(thresholds[last]), target, float(precisions[last]), int(items[last]), why)
