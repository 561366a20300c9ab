"""The validity experiment of a replay: the audits of certificates, drawn again and again from a round's predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from labeler.certify.forecast import BLIND_SECONDS, JUDGEMENT_SECONDS
from labeler.certify.ranking import Ranking
from labeler.replay import Validity
from labeler.replay.redraw import an_attempt, reach, redraw
from mrc.calibration.intervals import exact_interval
from mrc.calibration.selective import Bools

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
    population = len(found.population)
    targets = [target for target in TARGETS if reach(right, target) / population >= LEAST_COVERAGE][-MOST_TARGETS:]
    return tuple(
        _redrawn(found, right, target, audits, seed=seed, draws=draws) for target in targets for audits in AUDITS
    )


def _redrawn(found: Ranking, right: Bools, target: float, audits: int, *, seed: int, draws: int) -> Validity:
    """One target and number of audits, drawn again and again."""
    rng = np.random.default_rng([seed, audits, round(100 * target)])
    attempt, population = an_attempt(target, audits), len(found.population)
    drawn = redraw(found, right, attempt, rng=rng, draws=draws)
    seconds = drawn.asked * BLIND_SECONDS + drawn.wrong * JUDGEMENT_SECONDS
    return Validity(
        target=target,
        audits=audits,
        delta=attempt.delta,
        draws=draws,
        missed=drawn.missed,
        naive_missed=drawn.naive_missed,
        bh_missed=drawn.bh_missed,
        coverage=drawn.coverage,
        oracle=reach(right, target) / population,
        minutes=seconds / 60,
        population=population,
        audited=drawn.audited,
    )


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
        "bh_miss_rate": _bh_miss_rate(group),
        "coverage": float(np.mean([each.coverage for each in group])),
        "oracle_coverage": float(np.mean([each.oracle for each in group])),
        "audit_minutes": float(np.mean([each.minutes for each in group])),
    }


def _bh_miss_rate(group: Sequence[Validity]) -> float | None:
    """None where a replay of an older version did not note it."""
    counts = [each.bh_missed for each in group if each.bh_missed is not None]
    return sum(counts) / sum(each.draws for each in group) if len(counts) == len(group) else None
