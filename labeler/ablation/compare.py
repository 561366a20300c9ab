"""Marks of arms side by side: means over seeds, paired intervals by document, McNemar's test. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labeler.ablation import Mark, Measured, Trained
from mrc.metrics import Interval, bootstrap_interval, mcnemar, paired_interval

BOOTSTRAP_SEED = 0
Floats = NDArray[np.float64]
Marks = Mapping[int, tuple[Mark, ...]]  # seed -> marks of the same questions, in one order


def marks_of(runs: Iterable[Trained], parts: Sequence[str], how: str) -> Marks:
    """The marks of an arm on some parts taken together, of the seeds that were marked on each of them."""
    return {
        run.seed: tuple(mark for part in parts for mark in run.marks[part, how])
        for run in runs
        if all((part, how) in run.marks for part in parts)
    }


def measured(own: Marks, base: Marks | None) -> Measured | None:
    """An arm's marks against those of the plain reader on the same questions and seeds; None where it has none.

    A question's mark is the mean over the seeds, so the interval speaks of questions, drawn by whole documents, and
    of these seeds. Raises ValueError where two seeds, or the two arms, were marked on different questions.
    """
    if not own:
        return None
    exact, f1 = _means(own, sorted(own))
    clusters = [mark.document for mark in own[min(own)]]
    mean = bootstrap_interval(exact, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))
    change = f1_change = p = None
    shared = sorted(own.keys() & (base or {}).keys())
    if base and shared:
        _check_paired([*own.values(), *base.values()])
        (after, f1_after), (before, f1_before) = _means(own, shared), _means(base, shared)
        change = _paired(after, before, clusters)
        f1_change = _paired(f1_after, f1_before, clusters)
        p = two_sided(_column(own[shared[0]], "exact_match"), _column(base[shared[0]], "exact_match"))
    return Measured(
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


def _paired(after: Floats, before: Floats, clusters: Sequence[str]) -> Interval:
    return paired_interval(after, before, clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))


def _means(marks: Marks, seeds: Sequence[int]) -> tuple[Floats, Floats]:
    """Exact match and F1 of each question, `(N,)` each, means over the seeds."""
    _check_paired([marks[seed] for seed in seeds])
    exact = np.mean([_column(marks[seed], "exact_match") for seed in seeds], axis=0)
    f1 = np.mean([_column(marks[seed], "f1") for seed in seeds], axis=0)
    return exact, f1


def _column(marks: Sequence[Mark], name: str) -> Floats:
    return np.array([getattr(mark, name) for mark in marks], dtype=np.float64)


def _check_paired(many: Sequence[Sequence[Mark]]) -> None:
    if len({tuple(mark.question_id for mark in marks) for marks in many}) > 1:
        raise ValueError("not paired: two readers were marked on different questions")
