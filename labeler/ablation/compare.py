"""Scores of arms side by side: means over seeds, paired intervals by document, McNemar's test. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labeler.ablation import ArmScores, RunResult
from labeler.evaluation.scoring import QuestionScore
from mrc.metrics import Interval, bootstrap_interval, mcnemar, paired_interval

BOOTSTRAP_SEED = 0
Floats = NDArray[np.float64]
ScoresBySeed = Mapping[int, tuple[QuestionScore, ...]]  # of the same questions, in one order
Clusters = Sequence[str | None]


def scores_by_seed(runs: Iterable[RunResult], parts: Sequence[str], how: str) -> ScoresBySeed:
    """The scores of an arm on some parts taken together, of the seeds that were scored on each of them."""
    return {
        run.seed: tuple(each for part in parts for each in run.scores[part, how])
        for run in runs
        if all((part, how) in run.scores for part in parts)
    }


def aggregate(own: ScoresBySeed, base: ScoresBySeed | None) -> ArmScores | None:
    """An arm's scores against those of the base arm on the same questions and seeds; None where it has none.

    A question's score is the mean over the seeds, so the interval covers questions, drawn by whole documents, for
    these seeds. Raises ValueError where two seeds, or the two arms, were scored on different questions.
    """
    if not own:
        return None
    exact, f1 = _means(own, sorted(own))
    clusters = [each.cluster for each in own[min(own)]]
    mean = bootstrap_interval(exact, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))
    change = f1_change = p = None
    shared = sorted(own.keys() & (base or {}).keys())
    if base and shared:
        _check_paired([*own.values(), *base.values()])
        (after, f1_after), (before, f1_before) = _means(own, shared), _means(base, shared)
        change = _paired(after, before, clusters)
        f1_change = _paired(f1_after, f1_before, clusters)
        p = two_sided(_column(own[shared[0]], "exact_match"), _column(base[shared[0]], "exact_match"))
    return ArmScores(
        questions=len(clusters),
        seeds=len(own),
        exact_match=mean.mean,
        f1=float(np.mean(f1)),
        interval=(mean.low, mean.high),
        change=change,
        f1_change=f1_change,
        p=p,
    )


def two_sided(after: Floats, before: Floats) -> float:
    """McNemar's exact p-value for "they differ": twice the smaller one-sided one, at most 1."""
    return min(1.0, 2 * min(mcnemar(after, before), mcnemar(before, after)))


def _paired(after: Floats, before: Floats, clusters: Clusters) -> Interval:
    return paired_interval(after, before, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _means(scores: ScoresBySeed, seeds: Sequence[int]) -> tuple[Floats, Floats]:
    """Exact match and F1 of each question, `(N,)` each, means over the seeds."""
    _check_paired([scores[seed] for seed in seeds])
    exact = np.mean([_column(scores[seed], "exact_match") for seed in seeds], axis=0)
    f1 = np.mean([_column(scores[seed], "f1") for seed in seeds], axis=0)
    return exact, f1


def _column(scores: Sequence[QuestionScore], name: str) -> Floats:
    return np.array([getattr(each, name) for each in scores], dtype=np.float64)


def _check_paired(many: Sequence[Sequence[QuestionScore]]) -> None:
    if len({tuple(each.question_id for each in scores) for scores in many}) > 1:
        raise ValueError("not paired: two readers were scored on different questions")
