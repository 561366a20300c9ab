"""Minutes of people: an arm with a certificate against random review and against labelling the whole pool."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labeler.evaluation.pseudo_precision import JudgedAnswer
from labeler.evaluation.scoring import QuestionScore
from labeler.replay import ORACLE, RANDOM, SUPERVISED, Arm, Design, Point, Validity
from labeler.replay.page import format_replay, write_page
from labeler.replay.results import results
from labeler.replay.savings import AUDITS, by_hand, minutes_for, releases

QUESTIONS = 400
AUDIT = 320.0
EXPERIMENT = Validity(0.7, AUDITS, 0.1, 500, 5, 250, 0.2, 0.3, AUDIT, population=4000, audited=100.0)


def at(number: int, rate: float, *, human: int, minutes: float, seed: int = 0) -> Point:
    """A point whose reader has this share of the questions right; gold is 1,000 labels."""
    right = np.random.default_rng(seed).permutation(QUESTIONS) < rate * QUESTIONS
    scores = tuple(
        QuestionScore(f"q{place:03}", f"d{place // 4}", float(each), 0.0) for place, each in enumerate(right)
    )
    return Point(number, human, minutes, 0, None, True, 1.0, scores, trusted=1000 + human)


START = at(0, 0.30, human=0, minutes=0.0)
PLAYED = {
    SUPERVISED: {0: [START]},
    "mine": {0: [START, replace(at(1, 0.40, human=200, minutes=100.0), validity=(EXPERIMENT,))]},
    RANDOM: {0: [START, at(1, 0.35, human=1000, minutes=900.0)]},
    ORACLE: {0: [START, replace(at(1, 0.45, human=0, minutes=0.0), trusted=5000)]},
}
DESIGN = Design(Path("f.json"), Path(), tuple(Arm(name, ()) for name in PLAYED), (), "", None, "en", rounds=1, seeds=1)


def test_minutes_for_the_same_exact_match_are_found_on_the_curve_of_random_review() -> None:
    (found,) = by_hand(PLAYED, "mine")
    assert (found.round, found.seeds, found.exact_match) == (1, 1, 0.40)
    assert (found.minutes, found.audit_minutes) == (100 + AUDIT, AUDIT)
    # from 2,000 labels (35%, 900 min) to 5,000 (45%, 4,000 labels written in 4,000 min): half the way in the logarithm
    labels = 2000 * (5000 / 2000) ** 0.5
    expected = 900 + (4000 - 900) * (labels - 2000) / 3000
    assert found.random_minutes == pytest.approx(expected)
    assert found.basis == "interpolated to all labels"
    assert found.saved == pytest.approx(1 - (100 + AUDIT) / expected)
    assert (found.everything_minutes, found.everything_exact_match) == (4000, 0.45)
    low, high = found.interval
    assert low is not None
    assert low < expected
    assert high is None or high > expected


@pytest.mark.parametrize(
    ("rate", "basis", "minutes"),
    [
        (0.30, "interpolated", 0.0),
        (0.25, "interpolated", 0.0),
        (0.325, "interpolated", 900 * (2**0.5 - 1)),
        (0.35, "interpolated", 900.0),
        (0.45, "interpolated to all labels", 4000.0),
        (0.60, "extrapolated", 4000 * (5**2 - 1) / 4),
    ],
)
def test_what_is_interpolated_and_what_is_extrapolated_is_said(rate: float, basis: str, minutes: float) -> None:
    played = PLAYED | {"mine": {0: [START, at(1, rate, human=200, minutes=100.0)]}}
    (found,) = by_hand(played, "mine")
    assert found.basis == basis
    assert found.random_minutes == pytest.approx(minutes)
    assert found.audit_minutes == AUDITS, "without an experiment an audit is so many blind answers of a minute"
    assert (found.saved is None) == (minutes == 0)


def test_random_review_that_gains_nothing_never_gets_there() -> None:
    worse = PLAYED | {
        RANDOM: {0: [START, at(1, 0.29, human=1000, minutes=900.0)]},
        ORACLE: {0: [START, replace(at(1, 0.28, human=0, minutes=0.0), trusted=5000)]},
    }
    (found,) = by_hand(worse, "mine")
    assert (found.random_minutes, found.saved, found.basis) == (None, None, "extrapolated")
    assert found.interval[1] is None


def test_the_curve_is_of_the_arms_that_were_played_and_of_the_seeds_they_share() -> None:
    without = {name: each for name, each in PLAYED.items() if name != RANDOM}
    (found,) = by_hand(without, "mine")
    labels = 1000 * 5 ** (0.10 / 0.15)
    assert found.random_minutes == pytest.approx(labels - 1000), "from the seed reader to the oracle"
    early = {name: each for name, each in PLAYED.items() if name != ORACLE}
    (found,) = by_hand(early, "mine")
    assert (found.basis, found.everything_minutes) == ("extrapolated", None)
    assert found.random_minutes == pytest.approx(900 * (4 - 1)), "twice the gain: four times the labels"
    assert by_hand({SUPERVISED: PLAYED[SUPERVISED], "mine": PLAYED["mine"]}, "mine") == ()
    assert by_hand(PLAYED | {RANDOM: {1: PLAYED[RANDOM][0]}}, "mine") == (), "no seed was played in both"
    assert [by_hand(PLAYED, name) for name in (SUPERVISED, RANDOM, ORACLE)] == [(), (), ()]


def test_points_whose_labels_do_not_grow_or_were_not_noted_are_left_out() -> None:
    still = PLAYED | {RANDOM: {0: [START, at(1, 0.35, human=0, minutes=900.0)]}}
    without = {name: each for name, each in PLAYED.items() if name != RANDOM}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert by_hand(still, "mine") == by_hand(without, "mine")
    unknown = PLAYED | {RANDOM: {0: [START, replace(at(1, 0.35, human=9, minutes=9.0), trusted=0)]}}
    assert by_hand(unknown, "mine") == by_hand(without, "mine")
    blank = {name: {0: [replace(each, trusted=0) for each in seeds[0]]} for name, seeds in PLAYED.items()}
    assert by_hand(blank, "mine") == ()


def test_curves_of_resamples_are_followed_each_by_itself() -> None:
    curves = np.array([[0.3, 0.3], [0.4, 0.3], [0.5, 0.6]])
    found = minutes_for(np.array([0.4, 0.45]), curves, np.array([100.0, 200.0, 400.0]), np.array([0.0, 100.0, 300.0]))
    assert found == pytest.approx([100.0, 100 + 200 * (2**0.5 - 1)])


def test_a_release_counts_human_labels_so_far_and_certified_ones_against_writing_them() -> None:
    second = replace(at(2, 0.4, human=400, minutes=210.0), validity=(replace(EXPERIMENT, coverage=0.3),))
    first, later = releases([[*PLAYED["mine"][0], second]])
    assert (first.after, first.target, first.human, first.certified) == (0, 0.7, 0.0, 0.2 * 4000)
    assert first.audited == 100
    assert (first.minutes, first.written_minutes) == (AUDIT, 900.0)
    assert first.saved == pytest.approx(1 - AUDIT / 900)
    assert (later.after, later.human, later.certified) == (1, 200.0, 0.3 * 4000)
    assert (later.minutes, later.written_minutes) == (100 + AUDIT, 1500.0)
    few = replace(EXPERIMENT, audits=150)
    assert releases([[START, replace(second, round=1, validity=(few,))]]) == (), (
        "other numbers of audits are not counted"
    )


def test_the_pool_of_older_files_is_as_large_as_its_judged_answers() -> None:
    judged = tuple(JudgedAnswer("p", 0.5, 0.5, True) for _ in range(50))
    old = replace(PLAYED["mine"][0][1], validity=(replace(EXPERIMENT, population=0),), judged=judged)
    (found,) = releases([[START, old]])
    assert found.certified == pytest.approx(10)
    assert releases([[START, replace(old, judged=())]]) == ()


def test_the_tables_show_minutes_and_releases(tmp_path: Path) -> None:
    replay = results(replace(DESIGN, folder=tmp_path), PLAYED)
    assert replay.results["mine"].by_hand == by_hand(PLAYED, "mine")
    text = format_replay(replay)
    assert "Minutes of people with a certificate of 300 audits counted" in text
    assert "interpolated to all labels" in text
    assert "Labels that leave with a certificate of 300 audits" in text
    page = write_page(replay).read_text(encoding="utf-8")
    assert "interpolated to all labels" in page
    assert "written by hand" in page
    alone = results(replace(DESIGN, folder=tmp_path), {SUPERVISED: PLAYED[SUPERVISED]})
    assert "certificate" not in format_replay(alone)
