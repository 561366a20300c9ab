"""Alarms of a round: overconfidence and drift of its pseudo-labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labeler.core.round_settings import GateConfig

AlarmKind = Literal["overconfidence", "type_drift", "length_drift", "churn"]


@dataclass(frozen=True, slots=True)
class Drift:
    """How a round's pseudo-labels differ from the pool, from human answers and from earlier rounds; None: unknown."""

    mean_confidence: float | None = None  # of the predictions that were reviewed blind
    review_accuracy: float | None = None  # of the same predictions, by their reviews
    pool_types: Mapping[str, int] | None = None  # question type -> count, whole pool
    pseudo_types: Mapping[str, int] | None = None  # the same, of the pseudo-labels that are trained on
    human_length: float | None = None  # mean answer length of gold and human labels, code points
    pseudo_length: float | None = None  # of the pseudo-labels that are trained on
    churn: float | None = None  # see `churn`


@dataclass(frozen=True, slots=True)
class Alarm:
    """A measurement above its limit."""

    kind: AlarmKind
    value: float
    limit: float
    message: str


def alarms(drift: Drift, config: GateConfig) -> tuple[Alarm, ...]:
    """The alarms of a round, in the order of AlarmKind; an unknown measurement raises none."""
    found: list[Alarm] = []
    if drift.mean_confidence is not None and drift.review_accuracy is not None:
        gap = drift.mean_confidence - drift.review_accuracy
        text = f"confidence is {100 * gap:.0f} points above the accuracy in review: do not trust the release threshold"
        found.append(Alarm("overconfidence", gap, config.alarm_overconfidence, text))
    if drift.pool_types and drift.pseudo_types:
        divergence = kl_divergence(drift.pseudo_types, drift.pool_types)
        text = f"pseudo-labels have other question types than the pool (KL divergence {divergence:.2f} nats)"
        found.append(Alarm("type_drift", divergence, config.alarm_type_divergence, text))
    if drift.human_length and drift.pseudo_length is not None:
        change = drift.pseudo_length / drift.human_length - 1
        text = f"pseudo-labels are {100 * abs(change):.0f}% {'longer' if change > 0 else 'shorter'} than human answers"
        found.append(Alarm("length_drift", abs(change), config.alarm_length_drift, text))
    if drift.churn is not None:
        text = f"{100 * drift.churn:.0f}% of pseudo-labels changed since the last round"
        found.append(Alarm("churn", drift.churn, config.alarm_churn, text))
    return tuple(alarm for alarm in found if alarm.value > alarm.limit)


def kl_divergence(counts: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """KL(counts || reference) in nats, with half a count added to each category seen in either (Jeffreys prior)."""
    kinds = sorted(counts.keys() | reference.keys())
    p = np.array([counts.get(kind, 0) + 0.5 for kind in kinds])
    q = np.array([reference.get(kind, 0) + 0.5 for kind in kinds])
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def churn(previous: Mapping[str, str], current: Mapping[str, str]) -> float | None:
    """Share of questions in both rounds (id -> normalised answer) whose answer changed; None if there are none."""
    both = previous.keys() & current.keys()
    return sum(previous[key] != current[key] for key in both) / len(both) if both else None
