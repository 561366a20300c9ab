"""The curves of a replay: means over seeds, and changes from the seed reader with intervals by document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labeler.evaluation.pseudo_precision import JudgedAnswer
from labeler.replay import ORACLE, SUPERVISED, ArmResult, ConfidenceQuality, CurvePoint, Design, Point, Replay
from labeler.replay.forecasts import forecast_checks
from labeler.replay.savings import Played, by_hand, releases
from labeler.replay.validity import pooled
from mrc.calibration.quality import quality
from mrc.metrics import Interval, paired_interval

BOOTSTRAP_SEED = 0
QUALITY = ("aurc", "auroc", "ece", "brier")


def results(design: Design, played: Played) -> Replay:
    """The curves of all arms, over the seeds that are finished for the arm and for the supervised one."""
    starts = {seed: points[0] for seed, points in played.get(SUPERVISED, {}).items()}
    found = {}
    for arm in design.arms:
        seeds = sorted(played.get(arm.name, {}).keys() & starts.keys())
        if seeds:
            pairs = [(played[arm.name][seed], starts[seed]) for seed in seeds]
            result = _result(arm.name, arm.settings, pairs)
            found[arm.name] = replace(result, by_hand=by_hand(played, arm.name))
    oracle = found[ORACLE].points[-1].change.mean if ORACLE in found else 0.0
    if oracle > 0:
        gaps = {name: each.points[-1].change.mean / oracle for name, each in found.items()}
        found = {name: replace(each, gap_closed=gaps[name]) for name, each in found.items()}
    return Replay(found, sum(len(point.scores) for point in starts.values()), design.folder)


def _result(name: str, settings: tuple[str, ...], seeds: Sequence[tuple[Sequence[Point], Point]]) -> ArmResult:
    rounds = range(len(seeds[0][0]))
    changes = [_mean(points[-1], "exact_match") - _mean(start, "exact_match") for points, start in seeds]
    return ArmResult(
        arm=name,
        settings=settings,
        seeds=len(seeds),
        points=tuple(_curve_point([(points[number], start) for points, start in seeds]) for number in rounds),
        gap_closed=None,
        spread=float(np.std([_mean(points[-1], "exact_match") for points, _ in seeds], ddof=1)) if seeds[1:] else None,
        lowest_change=min(changes),
        seconds=float(np.mean([sum(point.seconds for point in points if point.round) for points, _ in seeds])),
        forecasts=forecast_checks([points for points, _ in seeds]),
        releases=releases([points for points, _ in seeds]),
        validity=pooled((point.round, each) for points, _ in seeds for point in points for each in point.validity),
    )


def _curve_point(pairs: Sequence[tuple[Point, Point]]) -> CurvePoint:
    """The means over seeds of the points of one round, each with the seed reader of its seed."""
    points = [point for point, _ in pairs]
    precisions = [point.precision for point in points if point.precision is not None]
    return CurvePoint(
        round=points[0].round,
        labels=float(np.mean([point.human for point in points])),
        minutes=float(np.mean([point.minutes for point in points])),
        exact_match=float(np.mean([_mean(point, "exact_match") for point in points])),
        f1=float(np.mean([_mean(point, "f1") for point in points])),
        change=_change(pairs, "exact_match"),
        f1_change=_change(pairs, "f1"),
        taught=float(np.mean([point.taught for point in points])),
        precision=float(np.mean(precisions)) if precisions else None,
        promoted=sum(point.promoted for point in points),
        ranking={
            name: float(np.mean([point.ranking[name] for point in points]))
            for name in points[0].ranking
            if all(name in point.ranking for point in points)
        },
        confidence=_confidence([each for point in points for each in point.judged]),
    )


def _confidence(judged: Sequence[JudgedAnswer]) -> ConfidenceQuality | None:
    """The quality of the confidences of all seeds; None without any."""
    if not judged:
        return None
    values, changes = quality(
        np.array([each.confidence for each in judged]),
        np.array([each.probability for each in judged]),
        np.array([each.right for each in judged], dtype=np.bool_),
        [each.cluster for each in judged],
        seed=BOOTSTRAP_SEED,
    )
    return ConfidenceQuality({name: values[name] for name in QUALITY}, {name: changes[name] for name in QUALITY})


def _change(pairs: Sequence[tuple[Point, Point]], name: str) -> Interval:
    """The mean change of a score over all questions of all seeds; documents are drawn as a whole, in all seeds.

    Raises: ValueError where two readers of a seed were scored on different questions.
    """
    after, before, clusters = [], [], []
    for point, start in pairs:
        known = {each.question_id: each for each in start.scores}
        if known.keys() != {each.question_id for each in point.scores}:
            raise ValueError("not paired: two readers were scored on different questions")
        for each in point.scores:
            after.append(getattr(each, name))
            before.append(getattr(known[each.question_id], name))
            clusters.append(each.cluster)
    return paired_interval(after, before, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _mean(point: Point, name: str) -> float:
    return float(np.mean([getattr(each, name) for each in point.scores]))
