"""The audit of a certificate, drawn again and again from a frozen ranking whose right answers are known. Pure.

A draw *misses* if it certifies a set whose true precision is below the target. Ours is the plan and the tests of
`labeler certify`; naive is the lowest confidence whose measured precision on as many judged questions reaches the
target; BH is conformal selection by these questions, which bounds the mean over draws and not each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeler.certify.ranking import Plan, Ranking, plan
from labeler.certify.request import DELTA, Attempt
from mrc.calibration.certification import certified, required, run_tests
from mrc.calibration.conformal import conformal_selection
from mrc.calibration.selective import Bools, Floats, release_threshold


@dataclass(frozen=True, slots=True)
class Judged:
    """Confidences of questions and whether their answers are right."""

    confidence: Floats
    right: Bools


@dataclass(frozen=True, slots=True)
class Redrawn:
    """All draws of one target and number of audits. `missed`, `naive_missed`, `bh_missed`: counts; the others: means
    over draws."""

    draws: int
    missed: int
    naive_missed: int
    bh_missed: int
    coverage: float  # certified share of the population
    audited: float  # asked questions outside the certified set: their answers are labels too
    asked: float  # audits; with looks fewer than planned
    wrong: float  # of the asked ones, answers that the reviewers called wrong


def an_attempt(target: float, audits: int, *, delta: float = DELTA, looks: bool = False) -> Attempt:
    """An only attempt at a certificate of the stored predictions."""
    return Attempt(
        target=target,
        delta=delta,
        delta_shared=delta,
        attempts=1,
        attempt=1,
        audits=audits,
        stored=True,
        seed=None,
        looks=looks,
    )


def redraw(
    found: Ranking,
    right: Bools,
    attempt: Attempt,
    *,
    rng: np.random.Generator,
    draws: int,
    noise: float | None = None,
    naive_from: Judged | None = None,
) -> Redrawn:
    """Draw the audit again and again.

    Args:
        found: the frozen ranking, its population and the evidence that plans rest on.
        right: whether each answer of the ranking is right.
        attempt: the target, delta and the number of audits.
        rng: of the draws.
        draws: how many.
        noise: share of the judgements that are flipped, either way; 0 draws the same audits as any other share.
        naive_from: the questions of which the naive threshold is chosen on as many as there are audits; None: those of
            the ranking.
    """
    planned, population = plan(found, attempt), len(found.population)
    confidence = np.array([-np.inf if item.confidence is None else item.confidence for item in found.items])
    source = naive_from or Judged(confidence, right)
    missed = naive = bh = kept = audited = asked = wrong = 0
    for _ in range(draws):
        if planned.sizes:
            ranks = rng.choice(planned.sizes[-1], planned.audits, replace=False)
            judged = _judged(right[ranks], noise, rng)
            size, count = _audited(planned, ranks.tolist(), judged.tolist(), target=attempt.target)
            missed += _misses(size, right, attempt.target)
            kept, audited = kept + size, audited + int((ranks[:count] >= size).sum())
            asked, wrong = asked + count, wrong + int((~judged[:count]).sum())
        sample = _sample(source, attempt, noise, rng)
        least = release_threshold(sample.confidence, sample.right, target=attempt.target).threshold
        naive += least is not None and _misses(int((confidence >= least).sum()), right, attempt.target)
        size = conformal_selection(confidence, sample.confidence, sample.right, target=attempt.target)
        bh += _misses(size, right, attempt.target)
    return Redrawn(
        draws=draws,
        missed=missed,
        naive_missed=naive,
        bh_missed=bh,
        coverage=kept / draws / population,
        audited=audited / draws,
        asked=asked / draws,
        wrong=wrong / draws,
    )


def reach(right: Bools, target: float) -> int:
    """The size of the largest prefix of a ranking that has a precision; 0 for none."""
    counts = enumerate(np.cumsum(right).tolist(), start=1)
    return max((size for size, count in counts if count >= required(size, target=target)), default=0)


def _judged(right: Bools, noise: float | None, rng: np.random.Generator) -> Bools:
    return right if noise is None else right ^ (rng.random(len(right)) < noise)


def _audited(planned: Plan, ranks: Sequence[int], judged: Sequence[bool], *, target: float) -> tuple[int, int]:
    """The size of the set that one draw certifies, 0 for none, and how many of its questions were asked."""
    size = 0
    for number, look in enumerate(planned.looks, start=1):
        seen = ranks[: look.audits], judged[: look.audits]
        last = certified(
            run_tests(planned.sizes, *seen, start=planned.start - 1, target=target, looks=planned.looks[:number])
        )
        size = last.size if last else 0
        if size >= planned.enough:
            return size, look.audits
    return size, planned.looks[-1].audits


def _sample(source: Judged, attempt: Attempt, noise: float | None, rng: np.random.Generator) -> Judged:
    """As many judged questions as there are audits."""
    sample = rng.choice(len(source.right), min(attempt.audits, len(source.right)), replace=False)
    return Judged(source.confidence[sample], _judged(source.right[sample], noise, rng))


def _misses(size: int, right: Bools, target: float) -> bool:
    """Whether the most confident `size` answers have less than the target precision; nothing misses nothing."""
    return size > 0 and int(right[:size].sum()) < required(size, target=target)
