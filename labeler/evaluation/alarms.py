"""Alarms of a round: overconfidence and drift of its pseudo-labels, each with its items and its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any, Final, Literal

from labeler.core.round_settings import GateConfig
from mrc.calibration.intervals import LEVEL, Z, exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AlarmKind = Literal["overconfidence", "type_drift", "length_drift", "churn"]

_SAMPLES: Final = 1000  # bootstrap samples of question types


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement with the ends of its 95% interval and the number of items behind it."""

    value: float
    low: float
    high: float
    items: int


@dataclass(frozen=True, slots=True)
class Drift:
    """How a round's pseudo-labels differ from the pool, from human answers and from earlier rounds; None: unknown."""

    overconfidence: Measured | None = None  # mean confidence minus accuracy of the predictions reviewed blind
    type_divergence: Measured | None = None  # of the question types trained on from those of the pool, in nats
    length_change: Measured | None = None  # mean length trained on over that of human answers, minus 1
    churn: Measured | None = None  # share of pseudo-labels that changed since the last round


@dataclass(frozen=True, slots=True)
class Alarm:
    """A measurement above its limit. `blocks`: it says not to trust the confidence, and is more than chance."""

    kind: AlarmKind
    value: float
    low: float
    high: float
    items: int
    limit: float
    blocks: bool
    message: str


def alarms(drift: Drift, config: GateConfig) -> tuple[Alarm, ...]:
    """The alarms of a round, in the order of AlarmKind; an unknown measurement raises none."""
    found = (
        _overconfident(drift.overconfidence, config.alarm_overconfidence),
        _other_types(drift.type_divergence, config.alarm_type_divergence),
        _other_lengths(drift.length_change, config.alarm_length_drift),
        _changing(drift.churn, config.alarm_churn),
    )
    return tuple(alarm for alarm in found if alarm is not None and alarm.value > alarm.limit)


def _overconfident(gap: Measured | None, limit: float) -> Alarm | None:
    if gap is None:
        return None
    blocks = gap.low > limit
    verdict = "do not trust the confidence" if blocks else "this may be chance"
    text = f"confidence is {100 * gap.value:.0f} points above the accuracy in {_counted(gap.items, 'blind review')}"
    interval = f"95% interval {100 * gap.low:+.0f} to {100 * gap.high:+.0f}"
    return _alarm("overconfidence", gap, limit, f"{text} ({interval}): {verdict}", blocks=blocks)


def _other_types(divergence: Measured | None, limit: float) -> Alarm | None:
    if divergence is None:
        return None
    interval = f"95% interval {divergence.low:.2f} to {divergence.high:.2f}"
    text = f"{_counted(divergence.items, 'pseudo-label')} {'has' if divergence.items == 1 else 'have'} other question"
    message = f"{text} types than the pool (KL divergence {divergence.value:.2f} nats, {interval})"
    return _alarm("type_drift", divergence, limit, message)


def _other_lengths(change: Measured | None, limit: float) -> Alarm | None:
    if change is None:
        return None
    shorter = change.value < 0
    ends = sorted((-change.low, -change.high)) if shorter else [change.low, change.high]
    size = Measured(abs(change.value), ends[0], ends[1], change.items)
    verb = "is" if size.items == 1 else "are"
    text = f"{_counted(size.items, 'pseudo-label')} {verb} {100 * size.value:.0f}% {'shorter' if shorter else 'longer'}"
    interval = f"95% interval {100 * size.low:.0f} to {100 * size.high:.0f}"
    return _alarm("length_drift", size, limit, f"{text} than human answers ({interval})")


def _changing(churn: Measured | None, limit: float) -> Alarm | None:
    if churn is None:
        return None
    text = f"{100 * churn.value:.0f}% of {_counted(churn.items, 'pseudo-label')} changed since the last round"
    interval = f"95% interval {100 * churn.low:.0f} to {100 * churn.high:.0f}"
    return _alarm("churn", churn, limit, f"{text} ({interval})")


def _counted(items: int, name: str) -> str:
    return f"{items} {name}{'' if items == 1 else 's'}"


def _alarm(kind: AlarmKind, found: Measured, limit: float, message: str, *, blocks: bool = False) -> Alarm:
    return Alarm(kind, found.value, found.low, found.high, found.items, limit, blocks, message)


def measure_overconfidence(mean_confidence: float | None, *, correct: int, items: int) -> Measured | None:
    """The mean confidence of `items` blindly reviewed predictions minus their accuracy; None without any.

    The interval is that of the accuracy (see `exact_interval`): one wrong answer is no proof.
    """
    if mean_confidence is None or not items:
        return None
    low, high = exact_interval(correct, items)
    return Measured(mean_confidence - correct / items, mean_confidence - high, mean_confidence - low, items)


def measure_types(counts: Mapping[Any, int], reference: Mapping[Any, int]) -> Measured | None:
    """The divergence of question types from those of the pool, with the interval of resampled counts."""
    import numpy as np

    items = sum(counts.values())
    if not items or not sum(reference.values()):
        return None
    kinds = sorted(counts.keys() | reference.keys())
    seen = np.array([counts.get(kind, 0) for kind in kinds])
    pool = np.array([reference.get(kind, 0) for kind in kinds])
    drawn = np.random.default_rng(0).multinomial(items, seen / items, size=_SAMPLES)
    low, high = np.quantile(_divergence(drawn, pool), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(kl_divergence(counts, reference), float(low), float(high), items)


def measure_lengths(lengths: Sequence[int], human: Sequence[int]) -> Measured | None:
    """The ratio of the mean length to that of human answers, minus 1; None where either has none.

    The interval is that of a ratio of two means by the delta method.
    """
    if not lengths or not human or not any(human):
        return None
    mean, reference = fmean(lengths), fmean(human)
    ratio = mean / reference
    spread = math.sqrt(_variance_of_mean(lengths) / reference**2 + _variance_of_mean(human) * (ratio / reference) ** 2)
    return Measured(ratio - 1, ratio - 1 - Z * spread, ratio - 1 + Z * spread, len(lengths))


def _variance_of_mean(values: Sequence[int]) -> float:
    """The variance of the mean; of one value, that of a length that is as uncertain as it is large."""
    return variance(values) / len(values) if len(values) > 1 else float(values[0] ** 2)


def measure_churn(previous: Mapping[str, str], current: Mapping[str, str]) -> Measured | None:
    """Share of questions in both rounds (id -> normalised answer) whose answer changed; None if there are none."""
    both = previous.keys() & current.keys()
    if not both:
        return None
    changed = sum(previous[key] != current[key] for key in both)
    return Measured(changed / len(both), *exact_interval(changed, len(both)), len(both))


def kl_divergence(counts: Mapping[Any, int], reference: Mapping[Any, int]) -> float:
    """KL(counts || reference) in nats, with half a count added to each category seen in either (Jeffreys prior)."""
    import numpy as np

    kinds = sorted(counts.keys() | reference.keys())
    seen = np.array([[counts.get(kind, 0) for kind in kinds]])
    return float(_divergence(seen, np.array([reference.get(kind, 0) for kind in kinds]))[0])


def _divergence(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S,) divergences of rows of counts (S, K) from the reference (K,)."""
    import numpy as np

    p, q = counts + 0.5, reference + 0.5
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum()
    found: NDArray[np.float64] = np.sum(p * np.log(p / q), axis=1)
    return found
