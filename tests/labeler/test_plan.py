"""Forecasts: they hold the truth of made curves as often as they say, and say when nothing can be said."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeler.core.config import Config
from labeler.planning.curve import GAIN, Curve, fit_curve
from labeler.planning.evidence import Evidence, ReaderSeen, Reviewing
from labeler.planning.plan import Range, Target, plan
from labeler.planning.release import coverage, needed_precision
from tests.commands import new_workspace, ok, run

CONFIG = Config()
QUESTIONS = 800


def truth(labels: float, *, ceiling: float, first: float, bend: float) -> float:
    """EM by an inverse power law that is `first` at 500 labels."""
    return ceiling - (ceiling - first) * (labels / 500) ** -bend


def answered(rates: Sequence[float], rng: np.random.Generator, *, questions: int = QUESTIONS) -> list[list[float]]:
    """Right or wrong of each reader: questions are easy or hard for all of them, seeds and some answers differ."""
    hardness = rng.uniform(size=questions)
    rows = []
    for rate in rates:
        level = rate + rng.normal(0, 0.012)
        right = hardness < level
        again = rng.random(questions) < 0.15
        right[again] = rng.random(int(again.sum())) < level
        rows.append(right.astype(float).tolist())
    return rows


SHAPES = [
    {"ceiling": 0.55, "first": 0.33, "bend": 0.5},
    {"ceiling": 0.90, "first": 0.33, "bend": 0.12},
    {"ceiling": 0.42, "first": 0.35, "bend": 0.9},
    {"ceiling": 0.70, "first": 0.50, "bend": 0.25},
]


@pytest.mark.parametrize("labels", [(500, 650, 800), (500, 1000, 2000, 4000)], ids=["a narrow start", "a wide one"])
def test_the_80_percent_range_holds_the_truth_about_as_often_as_it_says(labels: tuple[int, ...]) -> None:
    """Of made inverse power laws, at twice and three times as many labels as were seen."""
    rng, held, asked = np.random.default_rng(0), 0, 0
    for shape in SHAPES:
        for seed in range(25):
            rows = answered([truth(n, **shape) for n in labels], rng)
            curve = fit_curve(labels, rows, None, seed=seed, samples=400)
            for further in (2 * labels[-1], 3 * labels[-1]):
                low, high = np.quantile(curve.exact_match(further), [0.1, 0.9])
                held += low <= truth(further, **shape) <= high
                asked += 1
    assert 0.72 <= held / asked <= 0.99


def test_with_many_wide_rounds_the_median_is_near_the_truth() -> None:
    labels = (300, 600, 1200, 2400, 4800)
    shape = {"ceiling": 0.75, "first": 0.35, "bend": 0.3}
    rows = answered([truth(n, **shape) for n in labels], np.random.default_rng(3), questions=5000)
    curve = fit_curve(labels, rows, None, seed=0)
    assert float(np.median(curve.exact_match(9600))) == pytest.approx(truth(9600, **shape), abs=0.025)
    straight = curve.gain[curve.bend == 0]
    assert float(np.std(straight)) < 0.006, "what was seen narrows the assumption, whose spread is .02"


def test_labels_for_is_the_inverse_of_exact_match() -> None:
    bends = np.array([0.0, 0.1, 0.5, 1.0])
    curve = Curve(1000, np.full(4, 0.4), np.full(4, 0.05), bends, informed=True)
    for target in (0.41, 0.45, 0.48):
        for place, labels in enumerate(curve.labels_for(target).tolist()):
            assert curve.exact_match(labels)[place] == pytest.approx(target)
    assert curve.labels_for(0.4).tolist() == [1000] * 4
    assert curve.labels_for(0.3).tolist() == [1000] * 4


def test_a_curve_that_ends_below_the_target_never_reaches_it() -> None:
    """With exponent 1 all further labels give twice what the first doubling gives: .4 + 2 * .05."""
    curve = Curve(1000, np.full(3, 0.4), np.array([0.05, 0.05, 0.0]), np.array([1.0, 0.0, 0.0]), informed=True)
    assert curve.labels_for(0.51).tolist() == [math.inf, 1000 * 2 ** (0.11 / 0.05), math.inf]


def test_one_reader_gives_the_prior_and_says_so() -> None:
    rows = answered([0.4], np.random.default_rng(0))
    curve = fit_curve([500], rows, None, seed=0)
    assert not curve.informed
    assert float(np.median(curve.gain)) == pytest.approx(GAIN, abs=0.003)
    assert float(np.median(curve.level)) == pytest.approx(float(np.mean(rows)), abs=0.01)


def test_two_readers_with_as_many_labels_say_nothing_about_growth() -> None:
    rows = answered([0.4, 0.4], np.random.default_rng(0))
    curve = fit_curve([500, 500], rows, None, seed=0)
    assert not curve.informed
    assert float(np.median(curve.gain)) == pytest.approx(GAIN, abs=0.003)


def test_questions_of_one_document_are_drawn_together() -> None:
    rng = np.random.default_rng(1)
    of_document = np.repeat(rng.random(80) < 0.4, 10).astype(float).tolist()
    alone = fit_curve([500], [of_document], None, seed=0)
    together = fit_curve([500], [of_document], [place // 10 for place in range(800)], seed=0)
    assert np.std(together.level) > 1.5 * np.std(alone.level)


@pytest.mark.parametrize("labels", [(), (0,)])
def test_no_reader_and_no_labels_are_no_curve(labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="trusted labels"):
        fit_curve(labels, [[1.0]] * len(labels), None, seed=0)


# --- plans ----------------------------------------------------------------------------------------


def seen(*readers: tuple[int, float], pool: int = 5000, confidences: Sequence[float] = (), **more: Any) -> Evidence:
    """Readers of (labels, EM) on 400 dev questions, exactly."""
    found = []
    for number, (labels, rate) in enumerate(readers):
        right = {f"q{place:03}": float(place < round(400 * rate)) for place in range(400)}
        found.append(ReaderSeen(number, labels, right, dict.fromkeys(right)))
    current = len(found) - 1 if found else None
    reviewing = Reviewing(30.0, 1.0, 0)
    return Evidence(**{"readers": found, "current": current, "pool": pool, "confidences": confidences,
                       "reviewing": reviewing} | more)  # fmt: skip


GROWING = ((500, 0.30), (1000, 0.35), (2000, 0.40))


def test_without_a_reader_or_dev_questions_nothing_is_forecast() -> None:
    nothing = plan(seen(), CONFIG, Target(exact_match=0.5))
    assert (nothing.verdict, nothing.labels, nothing.curve) == ("insufficient", None, ())
    assert "labeler train" in nothing.why
    unscored = plan(seen(current=0), CONFIG, Target(exact_match=0.5))
    assert unscored.verdict == "insufficient"
    assert "--as dev" in unscored.why


def test_a_target_that_is_reached_costs_nothing() -> None:
    found = plan(seen(*GROWING), CONFIG, Target(exact_match=0.4), hourly_rate=20)
    assert found.verdict == "reached"
    assert "40.0 on 400 dev questions" in found.why
    assert found.labels == found.minutes == found.money == Range(0, 0, 0)


def test_a_target_in_reach_costs_labels_reviews_rounds_minutes_and_money() -> None:
    """Five points a doubling: .43 is .6 doublings away, so 2000 * (2^.6 - 1) = 1031 labels on a straight line; the
    assumption of 3.5 points a doubling, and curves that bend, make it more."""
    found = plan(seen(*GROWING), CONFIG, Target(exact_match=0.43), hourly_rate=24)
    assert (found.verdict, found.audits, found.readers) == ("forecast", 0, 3)
    assert found.labels is not None
    assert found.minutes is not None
    assert found.money is not None
    assert found.rounds is not None
    assert found.labels.low < 1031 < (found.labels.high or math.inf)  # type: ignore[operator]
    assert 1031 < found.labels.median < 2200  # type: ignore[operator]
    assert found.reviews == found.labels
    assert found.minutes.median == pytest.approx(found.labels.median / 2, abs=1)  # type: ignore[operator]
    assert found.money.median == pytest.approx(found.minutes.median / 60 * 24)  # type: ignore[operator]
    assert found.rounds.median == math.ceil(found.labels.median / 300)  # type: ignore[operator]
    assert found.probability is not None
    assert found.probability > 0.5


def test_reviews_that_make_no_label_are_paid_too() -> None:
    whole = plan(seen(*GROWING), CONFIG, Target(exact_match=0.43))
    half = plan(seen(*GROWING, reviewing=Reviewing(30.0, 0.5, 100)), CONFIG, Target(exact_match=0.43))
    assert half.reviews is not None
    assert whole.reviews is not None
    assert half.reviews.low == pytest.approx(2 * whole.reviews.low, abs=2)  # type: ignore[operator]
    assert any("measured on 100 reviews" in each for each in half.assumptions)


@pytest.mark.parametrize("pool", [200, 0])
def test_a_target_beyond_the_pool_is_said_to_be_out_of_reach(pool: int) -> None:
    found = plan(seen(*GROWING, pool=pool), CONFIG, Target(exact_match=0.6))
    assert found.verdict == "unreachable"
    assert found.probability == 0
    assert found.labels == Range(None, None, None)
    assert re.search(
        rf"with all {pool} questions of the pool reviewed, the forecast is an exact match of \d+\.", found.why
    )


def test_readers_that_do_not_improve_reach_little() -> None:
    flat = plan(seen((500, 0.4), (1000, 0.4), (2000, 0.4), (4000, 0.4)), CONFIG, Target(exact_match=0.5))
    assert flat.verdict == "unreachable"


def test_one_round_gives_a_range_by_assumption() -> None:
    found = plan(seen((500, 0.4)), CONFIG, Target(exact_match=0.43))
    assert found.verdict == "prior"
    assert "only one reader was seen" in found.why
    assert "assumed and not measured" in found.why
    assert any("doubling the trusted labels adds 3.5 points" in each for each in found.assumptions)
    assert found.labels is not None
    assert found.labels.median is not None


def test_without_a_target_the_curve_alone_is_forecast() -> None:
    found = plan(seen(*GROWING), CONFIG, Target())
    assert (found.verdict, found.labels, found.probability) == ("forecast", None, None)
    assert [point.labels for point in found.curve] == [0, 300, 600, 900, 1500, 3000, 5000]
    medians = [point.exact_match.median for point in found.curve]
    assert medians == sorted(medians, key=lambda value: value or 0)


def test_equal_evidence_gives_an_equal_forecast() -> None:
    one, other = (plan(seen(*GROWING), CONFIG, Target(exact_match=0.43)) for _ in range(2))
    assert one == other


# --- releases -------------------------------------------------------------------------------------


def test_the_precision_that_an_audit_must_show_is_that_of_the_exact_test() -> None:
    """Of 29 audits all must be right for .9 at .05: .9^28 = .052, .9^29 = .047."""
    assert needed_precision(0.9, delta=0.05, audits=29) == 1.0
    assert needed_precision(0.9, delta=0.05, audits=28) > 1.0
    assert needed_precision(0.85, delta=0.1, audits=300) == pytest.approx(0.88, abs=0.005)


def test_coverage_grows_with_the_level_and_falls_with_the_precision() -> None:
    confidences = np.linspace(0.02, 0.98, 500)
    some = coverage(confidences, precision=0.8)
    shares = some(np.array([0.3, 0.5, 0.7, 0.9])).tolist()
    assert shares == sorted(shares)
    assert shares[1] == pytest.approx(0.375, abs=0.01)  # the best c of .02 to .98 have a mean of .98 - .96 c / 2
    assert coverage(confidences, precision=0.9)(np.array([0.5]))[0] < shares[1]
    assert coverage(confidences, precision=1.01)(np.array([0.9]))[0] == 0


CONFIDENCES = np.linspace(0.02, 0.85, 300).tolist()


def test_a_release_costs_audits_and_shrinks_the_pool_it_comes_from() -> None:
    target = Target(released=500, precision=0.7)
    found = plan(seen(*GROWING, confidences=CONFIDENCES), CONFIG, target)
    assert found.verdict in ("forecast", "reached")
    assert found.audits == 300
    assert found.minutes is not None
    assert found.minutes.low is not None
    assert found.minutes.low >= 300
    last = found.curve[-1]
    assert last.released == Range(0, 0, 0), "with the whole pool reviewed nothing is left to release"


def test_more_released_labels_than_the_pool_can_give_are_out_of_reach() -> None:
    found = plan(seen(*GROWING, confidences=CONFIDENCES), CONFIG, Target(released=4999, precision=0.7))
    assert found.verdict == "unreachable"
    assert "the most that is forecast are" in found.why


def test_a_release_needs_confidences() -> None:
    found = plan(seen(*GROWING, confidences=CONFIDENCES[:49]), CONFIG, Target(released=10))
    assert found.verdict == "insufficient"
    assert "labeler round" in found.why


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_is_missing_before_the_first_training(tmp_path: Path) -> None:
    folder = new_workspace(tmp_path / "ws")
    found = ok("plan", "-w", folder, "--target-em", "0.5")["forecast"]
    assert found["verdict"] == "insufficient"
    assert "no reader has been trained yet" in run("plan", "-w", folder).out


def test_after_the_baseline_the_command_gives_a_range_and_changes_nothing(baseline: Path) -> None:
    before = (baseline / "labeler.db").read_bytes()
    found = ok("plan", "-w", baseline, "--target-em", "0.99", "--hourly-rate", "30")["forecast"]
    assert (found["verdict"], found["readers"], found["questions"]) == ("unreachable", 1, 30)
    said = run("plan", "-w", baseline).out
    assert "a range by assumption: only one reader was seen" in said
    assert "further labels" in said
    assert "assumed: doubling the trusted labels adds" in said
    assert (baseline / "labeler.db").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [("--target-em", "0.5", "--target-released", "5"), ("--target-em", "1.5"), ("--target-em", "0"),
     ("--target-released", "0"), ("--audits", "0"), ("--hourly-rate", "-1")],
)  # fmt: skip
def test_wrong_targets_are_wrong_usage(options: tuple[str, ...], baseline: Path) -> None:
    assert run("plan", "-w", baseline, *options).code == 2


def test_reviews_measured_by_fewer_than_twenty_are_assumed(baseline: Path) -> None:
    from labeler.planning.evidence import gather
    from tests.worlds import at

    with at(baseline) as runtime, runtime.database.read() as session:
        evidence = gather(session, runtime.config)
    assert evidence.reviewing == Reviewing(0.5 * 60 + 0.5 * 35, 1.0, 0)
    (reader,) = evidence.readers
    assert (reader.round, reader.labels) == (0, 48)
    assert len(reader.exact_match) == 30
    assert dataclasses.asdict(evidence)["pool"] > 0
