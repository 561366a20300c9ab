"""Quality of a ranking by confidence: every measure with the interval of a bootstrap that draws whole groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from mrc.calibration.selective import Bools, Floats, aurc, auroc, coverage_at, ece
from mrc.metrics import Interval

PRECISIONS: Final = (0.70, 0.80, 0.85, 0.90)  # at which coverage is reported
SAMPLES: Final = 300  # of the bootstrap
LEVEL: Final = (0.025, 0.975)


def measures(confidence: Floats, correct: Bools) -> dict[str, float]:
    """AURC, AUROC, ECE, Brier score, and coverage at each of PRECISIONS (`coverage_0.70`, …). 0-1."""
    found = {
        "aurc": aurc(confidence, correct),
        "auroc": auroc(confidence, correct),
        "ece": ece(confidence, correct),
        "brier": float(np.mean((confidence - correct) ** 2)),
    }
    return found | {f"coverage_{each:.2f}": coverage_at(confidence, correct, precision=each) for each in PRECISIONS}


def quality(
    confidence: Floats, baseline: Floats, correct: Bools, groups: Sequence[str], *, seed: int
) -> tuple[Mapping[str, Interval], Mapping[str, Interval]]:
    """The measures of a ranking, and their change from another ranking of the same items, with 95% intervals.

    Args:
        confidence: (N,), out of fold.
        baseline: (N,), such as the reader's own probability.
        groups: N keys of what is drawn as a whole: paragraphs.
    """
    of_item = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1]
    count = int(of_item.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=SAMPLES)
    own, other = measures(confidence, correct), measures(baseline, correct)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in own}
    for weights in drawn:
        items = np.repeat(np.arange(len(correct)), weights[of_item])
        found = measures(confidence[items], correct[items]), measures(baseline[items], correct[items])
        for name, pairs in samples.items():
            pairs.append((found[0][name], found[1][name]))
    values, changes = {}, {}
    for name, pairs in samples.items():
        both = np.array(pairs)
        values[name] = _interval(own[name], both[:, 0])
        changes[name] = _interval(own[name] - other[name], both[:, 0] - both[:, 1])
    return values, changes


def _interval(value: float, samples: Floats) -> Interval:
    low, high = np.quantile(samples, LEVEL)
    return Interval(value, float(low), float(high))
