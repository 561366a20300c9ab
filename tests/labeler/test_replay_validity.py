"""The validity experiment of a replay: audits drawn again and again from frozen predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db.rows import CertificateItem, SpanRow
from labeler.certify.ranking import Ranking
from labeler.evaluation.pseudo_precision import JudgedAnswer
from labeler.evaluation.scoring import QuestionScore
from labeler.replay import Arm, Design, Point, Run, Validity
from labeler.replay.page import format_replay, write_page
from labeler.replay.points import points, write_point
from labeler.replay.results import results
from labeler.replay.validity import DRAWS, pooled, validity
from mrc.calibration.selective import aurc

SPAN = SpanRow("x", "p", 0, 1)


def frozen(right: list[bool], confidence: list[float], *, evidence: int = 200) -> tuple[Ranking, dict[str, bool]]:
    """A ranking of answers in falling confidence; evidence is every k-th of them."""
    items = [CertificateItem(rank, f"q{rank}", SPAN, value, value) for rank, value in enumerate(confidence)]
    step = max(1, len(items) // max(1, evidence))
    known = {item.question_id: each for item, each in zip(items, right, strict=True)}
    return (
        Ranking(1, list(known), items, {}, np.array(confidence[::step]), np.array(right[::step], dtype=np.bool_)),
        known,
    )


def graded(size: int = 2000, *, seed: int = 0) -> tuple[Ranking, dict[str, bool]]:
    """Calibrated confidences from 1 down to 0, and answers that are right as often as they say."""
    confidence = np.linspace(0.99, 0.01, size)
    right = np.random.default_rng(seed).random(size) < confidence
    return frozen(right.tolist(), confidence.tolist())


def test_certificates_miss_at_most_as_often_as_promised_and_a_naive_threshold_more_often() -> None:
    ranking, known = graded()
    found = validity(ranking, known, seed=0)
    assert [(each.target, each.audits) for each in found] == [
        (target, audits) for target in (0.8, 0.85, 0.9) for audits in (150, 300)
    ], "the three highest targets that a tenth of the pool has"
    for each in found:
        assert each.draws == DRAWS
        assert each.missed <= 0.1 * each.draws + 2 * (0.09 * each.draws) ** 0.5
        assert each.missed < each.naive_missed
        assert each.bh_missed is not None
        assert each.missed < each.bh_missed, "it bounds the mean over draws and not each of them"
        assert 0 <= each.coverage <= each.oracle + 0.05
        assert each.audits * 60 / 60 <= each.minutes <= each.audits * 75 / 60
    assert validity(ranking, known, seed=0) == found, "the same seed draws the same audits"
    assert validity(ranking, known, seed=1) != found


def test_a_pool_that_is_all_right_is_certified_whole_and_never_missed() -> None:
    ranking, known = frozen([True] * 1000, np.linspace(0.9, 0.5, 1000).tolist())
    for each in validity(ranking, known, seed=0, draws=50):
        assert (each.missed, each.naive_missed, each.oracle) == (0, 0, 1.0)
        assert each.coverage == pytest.approx(1.0)
        assert each.minutes == each.audits, "nobody judges an answer that was given blind"


def test_there_is_no_experiment_where_no_target_is_in_reach_or_an_answer_is_unknown() -> None:
    ranking, known = frozen([False] * 300, np.linspace(0.9, 0.5, 300).tolist())
    assert validity(ranking, known, seed=0) == ()
    ranking, known = graded(300)
    assert validity(ranking, {key: known[key] for key in list(known)[1:]}, seed=0) == ()
    assert validity(replace(ranking, items=[]), known, seed=0) == ()


def test_answers_without_confidence_can_be_certified_but_not_promised() -> None:
    right = [True] * 190 + [False] * 10
    items = [CertificateItem(rank, f"q{rank}", SPAN, None, None) for rank in range(200)]
    known = dict(zip((item.question_id for item in items), right, strict=True))
    ranking = Ranking(1, list(known), items, {}, np.array([]), np.array([], dtype=np.bool_))
    assert {each.missed for each in validity(ranking, known, seed=0, draws=20)} == {0}


def test_misses_of_seeds_are_added_up_and_shares_averaged() -> None:
    one = Validity(0.8, 300, 0.1, 500, 10, 200, 0.2, 0.4, 300.0)
    two = replace(one, missed=40, naive_missed=300, coverage=0.4, oracle=0.5, minutes=320.0, bh_missed=150)
    (row,) = pooled([(1, one), (1, two)])
    assert row["bh_miss_rate"] is None, "one of them did not note it"
    assert pooled([(1, replace(one, bh_missed=50)), (1, two)])[0]["bh_miss_rate"] == 0.2
    assert (row["draws"], row["miss_rate"], row["naive_miss_rate"]) == (1000, 0.05, 0.5)
    assert (row["coverage"], row["oracle_coverage"]) == (pytest.approx(0.3), pytest.approx(0.45))
    assert (row["round"], row["seeds"], row["audit_minutes"]) == (1, 2, 310.0)
    low, high = row["interval"]
    assert 0.037 < low < 0.05 < high < 0.066  # Clopper-Pearson of 50 in 1,000: .0373 to .0654
    assert [each["round"] for each in pooled([(2, one), (1, one)])] == [1, 2]


def test_the_experiment_is_stored_with_the_round_and_shown(tmp_path: Path) -> None:
    arm = Arm("mine", ())
    design = Design(Path("f.json"), tmp_path, (Arm("supervised", ()), arm), (), "", None, "en", rounds=1, seeds=1)
    each = Validity(0.8, 300, 0.1, 500, 10, 200, 0.2, 0.4, 300.0)
    start = Point(0, 0, 0.0, 0, None, True, 1.0, ())
    run = Run(design, 0, arm)
    run.folder.mkdir(parents=True)
    write_point(run, start)
    write_point(run, replace(start, round=1, validity=(each,)))
    assert points(run)[1].validity == (each,)
    scored = replace(start, scores=())
    assert scored == points(run)[0]
    played = {"supervised": {0: [_scored(start)]}, "mine": {0: [_scored(point) for point in points(run)]}}
    replay = results(design, played)
    assert replay.results["mine"].validity[0]["miss_rate"] == 0.02
    assert "2.0 (1.0 to 3.6)" in format_replay(replay)
    assert "naive missed" in write_page(replay).read_text(encoding="utf-8")
    assert "naive missed" not in format_replay(results(design, {"supervised": {0: [_scored(start)]}}))


def test_confidences_of_all_seeds_are_compared_with_the_readers_own_probability(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    judged = tuple(
        JudgedAnswer(f"p{place // 4}", float(sure), float(rng.random()), bool(rng.random() < sure))
        for place, sure in enumerate(rng.random(400))
    )
    arms = (Arm("supervised", ()), Arm("mine", ()))
    design = Design(Path("f.json"), tmp_path, arms, (), "", None, "en", rounds=1, seeds=1)
    start = _scored(Point(0, 0, 0.0, 0, None, True, 1.0, ()))
    run = Run(design, 0, arms[1])
    run.folder.mkdir(parents=True)
    write_point(run, start)
    write_point(run, replace(start, round=1, judged=judged))
    replay = results(design, {"supervised": {0: [start]}, "mine": {0: points(run)}})
    assert replay.results["mine"].points[0].confidence is None
    found = replay.results["mine"].points[1].confidence
    assert found is not None
    confidence, right = (np.array([getattr(each, name) for each in judged]) for name in ("confidence", "right"))
    assert found.values["aurc"].mean == aurc(confidence, right)
    assert found.values["ece"].mean < 0.1, "calibrated by construction"
    for name, side in (("aurc", -1), ("auroc", 1), ("brier", -1)):
        change = found.changes[name]
        assert side * change.low > 0, "chance ranks worse, beyond chance"
        assert side * change.high > 0
    assert f"{found.values['aurc'].mean:.3f} (" in format_replay(replay)
    assert "better low" in write_page(replay).read_text(encoding="utf-8")


def _scored(point: Point) -> Point:
    return replace(point, scores=(QuestionScore("q", "d", 1.0, 1.0),))
