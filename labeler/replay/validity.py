"""The validity experiment: predictions are frozen, and the audit of a certificate is drawn from them again and again.

A draw *misses* if it certifies a set whose true precision is below the target. Ours is the plan and the tests of
`labeler certify`; naive is the lowest confidence whose measured precision on as many judged questions, drawn from the
whole pool, reaches the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from labeler.certify.forecast import BLIND_SECONDS, JUDGEMENT_SECONDS
from labeler.certify.ranking import Plan, Ranking, plan
from labeler.certify.request import DELTA, Attempt
from labeler.replay import Validity
from mrc.calibration.certification import certified, required, run_tests
from mrc.calibration.intervals import exact_interval
from mrc.calibration.selective import Bools, Floats, release_threshold

TARGETS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_TARGETS: Final = 3  # the highest that the reader can reach
LEAST_COVERAGE: Final = 0.1  # of the pool, that must have a precision for it to be in reach
AUDITS: Final = (150, 300)
DRAWS: Final = 500


def validity(found: Ranking, known: Mapping[str, bool], *, seed: int, draws: int = DRAWS) -> tuple[Validity, ...]:
    """The experiment for the highest targets in reach; empty where an answer of the ranking is not known to be right.

    Args:
        found: the frozen ranking, its population and the evidence that plans rest on.
        known: whether the answer to a question is right, by question id.
        seed: of the draws.
    """
    if not found.items or any(item.question_id not in known for item in found.items):
        return ()
    right = np.array([known[item.question_id] for item in found.items], dtype=np.bool_)
    reached = {target: _reach(right, target) / len(found.population) for target in TARGETS}
    targets = [target for target in TARGETS if reached[target] >= LEAST_COVERAGE][-MOST_TARGETS:]
    return tuple(
        _redrawn(found, right, _attempt(target, audits), oracle=reached[target], seed=seed, draws=draws)
        for target in targets
        for audits in AUDITS
    )


def _attempt(target: float, audits: int) -> Attempt:
    return Attempt(
        target=target, delta=DELTA, delta_shared=DELTA, attempts=1, attempt=1, audits=audits, stored=True, seed=None
    )


def _reach(right: Bools, target: float) -> int:
    """The size of the largest prefix of the ranking that has a precision."""
    counts = enumerate(np.cumsum(right).tolist(), start=1)
    return max((size for size, count in counts if count >= required(size, target=target)), default=0)


def _redrawn(found: Ranking, right: Bools, attempt: Attempt, *, oracle: float, seed: int, draws: int) -> Validity:
    """One target and number of audits, drawn again and again."""
    rng = np.random.default_rng([seed, attempt.audits, round(100 * attempt.target)])
    planned, population = plan(found, attempt), len(found.population)
    confidence = np.array([-np.inf if item.confidence is None else item.confidence for item in found.items])
    missed = naive = 0
    kept, wrong = [0.0], 0
    for _ in range(draws):
        if planned.sizes:
            ranks = rng.choice(planned.sizes[-1], planned.audits, replace=False)
            size = _certified(planned, ranks, right, attempt)
            missed += _misses(size, right, attempt.target)
            wrong += int((~right[ranks]).sum())
            kept.append(size / population)
        naive += _misses(_naive(confidence, right, attempt, rng), right, attempt.target)
    seconds = planned.audits * BLIND_SECONDS + wrong / draws * JUDGEMENT_SECONDS
    coverage = sum(kept) / draws
    return Validity(attempt.target, attempt.audits, attempt.delta, draws, missed, naive, coverage, oracle, seconds / 60)


def _certified(planned: Plan, ranks: Any, right: Bools, attempt: Attempt) -> int:
    """How many of the most confident answers one draw certifies."""
    tests = run_tests(
        planned.sizes,
        ranks.tolist(),
        right[ranks].tolist(),
        start=planned.start - 1,
        target=attempt.target,
        looks=planned.looks,
    )
    last = certified(tests)
    return last.size if last else 0


def _naive(confidence: Floats, right: Bools, attempt: Attempt, rng: np.random.Generator) -> int:
    """How many answers a threshold releases that is drawn on as many judged questions of the whole ranking."""
    sample = rng.choice(len(right), min(attempt.audits, len(right)), replace=False)
    rule = release_threshold(confidence[sample], right[sample], target=attempt.target)
    return 0 if rule.threshold is None else int((confidence >= rule.threshold).sum())


def _misses(size: int, right: Bools, target: float) -> bool:
    return size > 0 and int(right[:size].sum()) < required(size, target=target)


def pooled(rows: Iterable[tuple[int, Validity]]) -> list[dict[str, Any]]:
    """The experiments of all seeds by round, target and audits: misses are added up, with their 95% interval.

    Args:
        rows: round and experiment; those of a target that a seed could not reach are missing.
    """
    groups: dict[tuple[int, float, int], list[Validity]] = {}
    for number, each in rows:
        groups.setdefault((number, each.target, each.audits), []).append(each)
    return [_pooled(number, groups[number, target, audits]) for number, target, audits in sorted(groups)]


def _pooled(number: int, group: Sequence[Validity]) -> dict[str, Any]:
    draws, missed = sum(each.draws for each in group), sum(each.missed for each in group)
    low, high = exact_interval(missed, draws)
    return {
        "round": number,
        "target": group[0].target,
        "audits": group[0].audits,
        "delta": group[0].delta,
        "seeds": len(group),
        "draws": draws,
        "miss_rate": missed / draws,
        "interval": [low, high],
        "naive_miss_rate": sum(each.naive_missed for each in group) / draws,
        "coverage": float(np.mean([each.coverage for each in group])),
        "oracle_coverage": float(np.mean([each.oracle for each in group])),
        "audit_minutes": float(np.mean([each.minutes for each in group])),
    }
