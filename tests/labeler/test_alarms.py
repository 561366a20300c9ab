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


def test_alarms_are_raised_in_one_order_with_their_numbers() -> None:
    drift = Drift(
        mean_confidence=0.9,
        review_accuracy=0.3,
        pool_types={"who": 50, "when": 50},
        pseudo_types={"who": 100, "when": 0},
        human_length=10.0,
        pseudo_length=30.0,
        churn=0.6,
    )
    p, q = (100.5 / 101, 0.5 / 101), (0.5, 0.5)
    divergence = sum(one * math.log(one / other) for one, other in zip(p, q, strict=True))
    assert alarms(drift, CONFIG) == (
        Alarm(
            "overconfidence",
            pytest.approx(0.6),
            0.05,
            "confidence is 60 points above the accuracy in review: do not trust the release threshold",
        ),
        Alarm(
            "type_drift",
            pytest.approx(divergence),
            0.1,
            f"pseudo-labels have other question types than the pool (KL divergence {divergence:.2f} nats)",
        ),
        Alarm("length_drift", pytest.approx(2.0), 0.2, "pseudo-labels are 200% longer than human answers"),
        Alarm("churn", 0.6, 0.3, "60% of pseudo-labels changed since the last round"),
    )
    (shorter,) = alarms(Drift(human_length=20.0, pseudo_length=5.0), CONFIG)
    assert (shorter.value, shorter.message) == (0.75, "pseudo-labels are 75% shorter than human answers")


def test_unknown_measurements_raise_no_alarm() -> None:
    assert alarms(Drift(review_accuracy=0.1), CONFIG) == ()
    assert alarms(Drift(pool_types={"who": 1}, pseudo_types={}), CONFIG) == ()
    assert alarms(Drift(human_length=10.0), CONFIG) == ()
    assert alarms(Drift(human_length=0.0, pseudo_length=10.0), CONFIG) == (), "no human answer has a length"


def test_divergence_is_in_nats_with_half_a_count_for_each_type() -> None:
    p, q = (2.5 / 3, 0.5 / 3), (0.5 / 4, 3.5 / 4)
    expected = p[0] * math.log(p[0] / q[0]) + p[1] * math.log(p[1] / q[1])
    assert kl_divergence({"who": 2}, {"when": 3}) == pytest.approx(expected)
    assert kl_divergence({"who": 4}, {"who": 9}) == 0


def test_churn_looks_at_questions_of_both_rounds() -> None:
    assert churn({"a": "x", "b": "y", "c": "z"}, {"a": "x", "b": "w", "d": "v"}) == 1 / 2
    assert churn({"a": "x"}, {"b": "x"}) is None
