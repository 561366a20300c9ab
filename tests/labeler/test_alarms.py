"""Alarms of a round."""

from __future__ import annotations

import math

import pytest

from labeler.core.round_settings import GateConfig
from labeler.rounds.alarms import Alarm, Drift, alarms, churn, kl_divergence

CONFIG = GateConfig()


@pytest.mark.parametrize(
    ("drift", "kind"),
    [
        (Drift(mean_confidence=0.86, review_accuracy=0.80), "overconfidence"),
        (Drift(pool_types={"who": 50, "when": 50}, pseudo_types={"who": 90, "when": 10}), "type_drift"),
        (Drift(human_length=10.0, pseudo_length=12.1), "length_drift"),
        (Drift(human_length=10.0, pseudo_length=7.9), "length_drift"),
        (Drift(churn=0.31), "churn"),
    ],
)
def test_an_alarm_is_raised_above_its_limit(drift: Drift, kind: str) -> None:
    (alarm,) = alarms(drift, CONFIG)
    assert alarm.kind == kind
    assert alarm.value > alarm.limit


@pytest.mark.parametrize(
    "drift",
    [
        Drift(),
        Drift(mean_confidence=0.75, review_accuracy=0.75),
        Drift(mean_confidence=0.5, review_accuracy=0.9),  # underconfidence raises none
        Drift(mean_confidence=0.9),
        Drift(pool_types={"who": 50, "when": 50}, pseudo_types={"who": 5, "when": 5}),
        Drift(human_length=10.0, pseudo_length=11.9),
        Drift(churn=0.3),
    ],
)
def test_no_alarm_is_raised_up_to_its_limit(drift: Drift) -> None:
    assert alarms(drift, CONFIG) == ()


def test_alarms_come_in_one_order_with_their_numbers() -> None:
    drift = Drift(mean_confidence=0.9, review_accuracy=0.5, human_length=10.0, pseudo_length=30.0, churn=0.6)
    found = alarms(drift, CONFIG)
    assert [alarm.kind for alarm in found] == ["overconfidence", "length_drift", "churn"]
    assert found[2] == Alarm("churn", 0.6, 0.3, "60% of pseudo-labels changed since the last round")


def test_divergence_is_in_nats_with_half_a_count_for_each_type() -> None:
    p, q = (2.5 / 3, 0.5 / 3), (0.5 / 4, 3.5 / 4)
    expected = p[0] * math.log(p[0] / q[0]) + p[1] * math.log(p[1] / q[1])
    assert kl_divergence({"who": 2}, {"when": 3}) == pytest.approx(expected)
    assert kl_divergence({"who": 4}, {"who": 9}) == 0


def test_churn_looks_at_questions_of_both_rounds() -> None:
    assert churn({"a": "x", "b": "y", "c": "z"}, {"a": "x", "b": "w", "d": "v"}) == 1 / 2
    assert churn({"a": "x"}, {"b": "x"}) is None
