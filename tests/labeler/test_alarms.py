"""Alarms of a round."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labeler.core.round_settings import GateConfig
from labeler.evaluation.alarms import (
    Alarm,
    Drift,
    Measured,
    alarms,
    kl_divergence,
    measure_churn,
    measure_lengths,
    measure_overconfidence,
    measure_types,
)
from mrc.calibration.intervals import exact_interval

CONFIG = GateConfig()


def measured(value: float, *, spread: float = 0.02, items: int = 100) -> Measured:
    return Measured(value, value - spread, value + spread, items)


@pytest.mark.parametrize(
    ("drift", "kind"),
    [
        (Drift(overconfidence=measured(0.06)), "overconfidence"),
        (Drift(type_divergence=measured(0.11)), "type_drift"),
        (Drift(length_change=measured(0.21)), "length_drift"),
        (Drift(length_change=measured(-0.21)), "length_drift"),
        (Drift(churn=measured(0.31)), "churn"),
    ],
)
def test_an_alarm_is_raised_above_its_limit(drift: Drift, kind: str) -> None:
    (alarm,) = alarms(drift, CONFIG)
    assert alarm.kind == kind
    assert alarm.value > alarm.limit
    assert alarm.low <= alarm.value <= alarm.high
    assert alarm.items == 100


@pytest.mark.parametrize(
    "drift",
    [
        Drift(),
        Drift(overconfidence=measured(0.05)),
        Drift(overconfidence=measured(-0.4)),  # underconfidence raises none
        Drift(type_divergence=measured(0.1)),
        Drift(length_change=measured(0.2)),
        Drift(length_change=measured(-0.2)),
        Drift(churn=measured(0.3)),
    ],
)
def test_no_alarm_is_raised_up_to_its_limit(drift: Drift) -> None:
    assert alarms(drift, CONFIG) == ()


def test_alarms_are_raised_in_one_order_with_their_items_and_intervals() -> None:
    drift = Drift(
        Measured(0.6, 0.4, 0.7, 50),
        Measured(0.69, 0.5, 0.9, 80),
        Measured(2.0, 1.5, 2.5, 80),
        Measured(0.6, 0.5, 0.7, 9),
    )
    assert alarms(drift, CONFIG) == (
        Alarm(
            "overconfidence", 0.6, 0.4, 0.7, 50, 0.05, True,
            "confidence is 60 points above the accuracy in 50 blind reviews (95% interval +40 to +70): "
            "do not trust the confidence",
        ),
        Alarm(
            "type_drift", 0.69, 0.5, 0.9, 80, 0.1, False,
            "80 pseudo-labels have other question types than the pool (KL divergence 0.69 nats, "
            "95% interval 0.50 to 0.90)",
        ),
        Alarm(
            "length_drift", 2.0, 1.5, 2.5, 80, 0.2, False,
            "80 pseudo-labels are 200% longer than human answers (95% interval 150 to 250)",
        ),
        Alarm(
            "churn", 0.6, 0.5, 0.7, 9, 0.3, False,
            "60% of 9 pseudo-labels changed since the last round (95% interval 50 to 70)",
        ),
    )  # fmt: skip
    (shorter,) = alarms(Drift(length_change=Measured(-0.75, -0.8, -0.6, 1)), CONFIG)
    assert (shorter.value, shorter.low, shorter.high) == (0.75, 0.6, 0.8)
    assert shorter.message == "1 pseudo-label is 75% shorter than human answers (95% interval 60 to 80)"


@pytest.mark.parametrize(
    ("low", "blocks", "verdict"), [(0.051, True, "do not trust the confidence"), (0.05, False, "this may be chance")]
)
def test_overconfidence_blocks_a_release_only_where_it_is_more_than_chance(
    low: float, blocks: bool, verdict: str
) -> None:
    (alarm,) = alarms(Drift(overconfidence=Measured(0.3, low, 0.5, 20)), CONFIG)
    assert alarm.blocks is blocks
    assert alarm.message.endswith(verdict)


@pytest.mark.parametrize("drift", ["type_divergence", "length_change", "churn"])
def test_other_alarms_never_block(drift: str) -> None:
    (alarm,) = alarms(Drift(**{drift: Measured(5.0, 4.0, 6.0, 1000)}), CONFIG)
    assert not alarm.blocks


def test_overconfidence_is_the_mean_confidence_minus_the_accuracy_with_its_exact_interval() -> None:
    found = measure_overconfidence(0.8, correct=12, items=20)
    low, high = exact_interval(12, 20)
    assert found == Measured(pytest.approx(0.2), pytest.approx(0.8 - high), pytest.approx(0.8 - low), 20)
    assert measure_overconfidence(None, correct=0, items=0) is None
    assert measure_overconfidence(0.9, correct=0, items=0) is None


def test_one_wrong_answer_is_no_proof_and_ten_are() -> None:
    one, ten = (measure_overconfidence(0.95, correct=0, items=items) for items in (1, 10))
    assert not alarms(Drift(overconfidence=one), CONFIG)[0].blocks
    assert alarms(Drift(overconfidence=ten), CONFIG)[0].blocks


def test_the_exact_interval_is_that_of_the_tables() -> None:
    """Clopper and Pearson: 8 of 10 is 44.4 to 97.5%; none of n is up to 1 - .025^(1 / n)."""
    assert exact_interval(8, 10) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert exact_interval(0, 10) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert exact_interval(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1.0)


def test_unknown_measurements_are_none() -> None:
    assert measure_types({}, {"who": 1}) is None
    assert measure_types({"who": 1}, {}) is None
    assert measure_lengths([], [3]) is None
    assert measure_lengths([3], []) is None
    assert measure_lengths([3], [0, 0]) is None, "no human answer has a length"


def test_the_interval_of_types_narrows_with_more_labels() -> None:
    few, many = (measure_types({"who": 9 * n, "when": n}, {"who": 50, "when": 50}) for n in (1, 100))
    assert few is not None
    assert many is not None
    assert (few.items, many.items) == (10, 1000)
    assert many.low <= many.value <= many.high
    assert many.high - many.low < few.high - few.low


def test_the_interval_of_lengths_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        found = measure_lengths(rng.poisson(12, 60).tolist(), rng.poisson(10, 40).tolist())
        assert found is not None
        held += found.low <= 0.2 <= found.high
    assert 0.9 < held / 300 < 0.99


def test_divergence_is_in_nats_with_half_a_count_for_each_type() -> None:
    p, q = (2.5 / 3, 0.5 / 3), (0.5 / 4, 3.5 / 4)
    expected = p[0] * math.log(p[0] / q[0]) + p[1] * math.log(p[1] / q[1])
    assert kl_divergence({"who": 2}, {"when": 3}) == pytest.approx(expected)
    assert kl_divergence({"who": 4}, {"who": 9}) == 0


def test_churn_looks_at_questions_of_both_rounds() -> None:
    assert measure_churn({"a": "x", "b": "y", "c": "z"}, {"a": "x", "b": "w", "d": "v"}) == Measured(
        1 / 2, *exact_interval(1, 2), 2
    )
    assert measure_churn({"a": "x"}, {"b": "x"}) is None
