"""The forecast of labels, audits, minutes and money until a target is reached, or the statement that it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from labeler.core.config import Config
from labeler.planning.curve import GAIN, GAIN_SPREAD, SEED_NOISE, Curve, fit_curve
from labeler.planning.evidence import Evidence, Reviewing
from labeler.planning.release import coverage, needed_precision
from labeler.rounds.simulated_reviewer import SECONDS

Floats = NDArray[np.float64]

LOW, HIGH = 0.1, 0.9  # quantiles of the 80% range
LIKELY: Final = 0.5  # a target that fewer curves reach is called out of reach
STEPS: Final = 200  # numbers of labels at which a release is looked up
FEW_CONFIDENCES: Final = 50  # with fewer, no release is forecast


@dataclass(frozen=True, slots=True)
class Range:
    """The median of a forecast and its 80% range; None: more than the pool can give."""

    low: float | None
    median: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted: an exact match, or a number of released pseudo-labels of a precision; None: neither."""

    exact_match: float | None = None
    released: int | None = None
    precision: float = 0.85
    delta: float = 0.1
    audits: int = 300


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The forecast with so many further labels: exact match, and released pseudo-labels where they are forecast."""

    labels: int
    exact_match: Range
    released: Range | None


@dataclass(frozen=True, slots=True)
class PlanForecast:
    """What a target costs.

    `verdict`: reached; forecast; prior: a range by assumption alone, because one number of labels was seen;
    unreachable; insufficient: nothing can be said. `labels` are further trusted ones, by review; `rounds` of the review
    budget; `minutes` of people, audits included; `money` None without a price. `probability` that the pool suffices.
    """

    verdict: str
    why: str
    target: Target
    exact_match: float | None = None  # of the current reader on dev
    now: Range | None = None  # of a reader with these labels, by the curve: seeds differ
    trained_on: int | None = None  # its trusted labels
    questions: int = 0  # of dev
    readers: int = 0  # that the curve rests on
    pool: int = 0
    probability: float | None = None
    labels: Range | None = None
    reviews: Range | None = None
    rounds: Range | None = None
    audits: int = 0
    minutes: Range | None = None
    money: Range | None = None
    curve: tuple[CurvePoint, ...] = ()
    assumptions: tuple[str, ...] = field(default=())


def plan(evidence: Evidence, config: Config, target: Target, *, hourly_rate: float | None = None) -> PlanForecast:
    """The forecast for a target from what the rounds have shown. `hourly_rate`: the price of an hour of people."""
    why_not = missing(evidence, target)
    if why_not:
        return PlanForecast("insufficient", why_not, target, pool=evidence.pool)
    curve = curve_of(evidence, seed=config.round.seed)
    released = _released(evidence, curve, target)
    wanted = _wanted(evidence, curve, target, released)
    audits = _audits(evidence, target)
    newest = evidence.readers[-1]
    priced = _priced(evidence.reviewing, config, wanted, audits, hourly_rate) if wanted is not None else {}
    probability = float(np.mean(np.isfinite(wanted))) if wanted is not None else None
    verdict, why = _verdict(evidence, curve, target, wanted, released)
    return PlanForecast(
        verdict=verdict,
        why=why,
        target=target,
        exact_match=_measured(evidence),
        now=_range(curve.level),
        trained_on=newest.labels,
        questions=len(newest.exact_match),
        readers=len(evidence.readers),
        pool=evidence.pool,
        probability=probability,
        audits=audits,
        curve=_points(evidence, config, curve, released),
        assumptions=_assumptions(evidence, curve, target),
        **priced,
    )


def missing(evidence: Evidence, target: Target) -> str | None:
    """Why nothing can be forecast, with the command that helps; None where something can."""
    if evidence.current is None:
        return "no reader has been trained yet; run: labeler train"
    if not evidence.readers or not evidence.readers[-1].exact_match:
        return "no reader has been scored on dev questions; add some with: labeler import FILE --as dev"
    if target.released is not None and len(evidence.confidences) < FEW_CONFIDENCES:
        found = len(evidence.confidences)
        return f"{found} questions have a calibrated confidence, {FEW_CONFIDENCES} are needed; run: labeler round"
    return None


def curve_of(evidence: Evidence, *, seed: int) -> Curve:
    """The curve through the readers seen."""
    newest = evidence.readers[-1]
    asked = list(newest.exact_match)
    documents = [newest.documents.get(key) or key for key in asked]
    scores = [[each.exact_match[key] for key in asked] for each in evidence.readers]
    return fit_curve([each.labels for each in evidence.readers], scores, documents, seed=seed)


def _released(evidence: Evidence, curve: Curve, target: Target) -> Callable[[float], Floats] | None:
    """(S,) pseudo-labels that an audit releases after so many further labels; None without confidences."""
    if len(evidence.confidences) < FEW_CONFIDENCES:
        return None
    precision = needed_precision(target.precision, delta=target.delta, audits=target.audits)
    share = coverage(np.asarray(evidence.confidences, dtype=np.float64), precision=precision)

    def released(further: float) -> Floats:
        left = max(evidence.pool - further / evidence.reviewing.labels, 0.0)
        return left * share(curve.exact_match(curve.labels + further))

    return released


def _wanted(
    evidence: Evidence, curve: Curve, target: Target, released: Callable[[float], Floats] | None
) -> Floats | None:
    """(S,) further labels until the target; infinite where the pool does not suffice. None without a target."""
    most = evidence.pool * evidence.reviewing.labels
    if _reached(evidence, target):
        return np.zeros(len(curve.level))
    if target.exact_match is not None:
        further = curve.labels_for(target.exact_match) - curve.labels
        return np.where(further <= most, np.maximum(further, 0.0), np.inf)
    if target.released is None or released is None:
        return None
    found: Floats = np.full(len(curve.level), np.inf)
    for further in reversed(np.linspace(0.0, most, STEPS).tolist()):
        found = np.where(released(further) >= target.released, further, found)
    return found


def _audits(evidence: Evidence, target: Target) -> int:
    """Audits of one certificate; an exact match needs none."""
    return 0 if target.released is None else min(target.audits, evidence.pool)


def _priced(
    reviewing: Reviewing, config: Config, wanted: Floats, audits: int, hourly_rate: float | None
) -> dict[str, Any]:
    """Labels as reviews, rounds, minutes and money."""
    reviews = wanted / reviewing.labels
    minutes = (reviews * reviewing.seconds + audits * SECONDS["written"]) / 60
    budget = config.review.review_budget
    return {
        "labels": _range(wanted, rounded=True),
        "reviews": _range(reviews, rounded=True),
        "rounds": _range(np.ceil(reviews / budget)) if budget else None,
        "minutes": _range(minutes),
        "money": None if hourly_rate is None else _range(minutes / 60 * hourly_rate),
    }


def _verdict(
    evidence: Evidence,
    curve: Curve,
    target: Target,
    wanted: Floats | None,
    released: Callable[[float], Floats] | None,
) -> tuple[str, str]:
    basis = "prior" if not curve.informed else "forecast"
    resting = _resting(evidence, curve)
    if wanted is None:
        return basis, resting
    if _reached(evidence, target):
        return "reached", f"the current reader reaches {100 * _measured(evidence):.1f} on {_dev(evidence)}"
    if target.released is not None and float(np.median(wanted)) == 0:
        return "reached", f"an audit of today's answers is expected to release so many; {resting}"
    share = float(np.mean(np.isfinite(wanted)))
    if share < LIKELY:
        return "unreachable", f"{_ceiling(evidence, curve, target, released)}; {resting}"
    return basis, resting


def _reached(evidence: Evidence, target: Target) -> bool:
    return target.exact_match is not None and _measured(evidence) >= target.exact_match


def _measured(evidence: Evidence) -> float:
    """Dev exact match of the current reader, else of the newest one that was scored."""
    of_current = [each for each in evidence.readers if each.round == evidence.current]
    scores = (of_current or evidence.readers)[-1].exact_match
    return sum(scores.values()) / len(scores)


def _dev(evidence: Evidence) -> str:
    count = len(evidence.readers[-1].exact_match)
    return f"{count} dev question{'' if count == 1 else 's'}"


def _resting(evidence: Evidence, curve: Curve) -> str:
    if curve.informed:
        return f"a curve through {len(evidence.readers)} readers on {_dev(evidence)}"
    count = "one reader" if len(evidence.readers) == 1 else f"{len(evidence.readers)} readers with as many labels"
    return f"only {count} was seen, so how fast exact match grows is assumed and not measured"


def _ceiling(evidence: Evidence, curve: Curve, target: Target, released: Callable[[float], Floats] | None) -> str:
    """What the whole pool would give."""
    most = evidence.pool * evidence.reviewing.labels
    if target.exact_match is not None:
        low, median, high = (100 * end for end in np.quantile(curve.exact_match(curve.labels + most), [LOW, 0.5, HIGH]))
        reached = f"an exact match of {median:.1f} (80% range {low:.1f} to {high:.1f})"
        return f"with all {evidence.pool} questions of the pool reviewed, the forecast is {reached}"
    assert released is not None
    steps = np.linspace(0.0, most, 21).tolist()
    best = max((float(np.median(released(further))), -further) for further in steps)
    return f"the most that is forecast are {best[0]:.0f} released pseudo-labels, after {-best[1]:.0f} further labels"


def further_labels(evidence: Evidence, config: Config, rounds: int) -> int:
    """The labels of so many rounds of the review budget, at most those that the pool gives."""
    most = math.floor(evidence.pool * evidence.reviewing.labels)
    return min(round(config.review.review_budget * evidence.reviewing.labels * rounds), most)


def _points(
    evidence: Evidence, config: Config, curve: Curve, released: Callable[[float], Floats] | None
) -> tuple[CurvePoint, ...]:
    """The curve now and after one, two, three, five and ten rounds of the review budget, and with the whole pool."""
    most = math.floor(evidence.pool * evidence.reviewing.labels)
    further = sorted({further_labels(evidence, config, count) for count in (0, 1, 2, 3, 5, 10)} | {most})
    return tuple(
        CurvePoint(
            labels,
            _range(curve.exact_match(curve.labels + labels)),
            _range(released(labels), rounded=True) if released else None,
        )
        for labels in further
    )


def _assumptions(evidence: Evidence, curve: Curve, target: Target) -> tuple[str, ...]:
    reviewing = evidence.reviewing
    measured = f"measured on {reviewing.measured} reviews" if reviewing.measured else "assumed, no review was timed yet"
    found = [
        f"{'before the rounds, ' if curve.informed else ''}doubling the trusted labels adds "
        f"{100 * GAIN:.1f} points of exact match, give or take {100 * GAIN_SPREAD:.1f}",
        f"one training differs from the next by {100 * SEED_NOISE:.1f} points",
        f"a review takes {reviewing.seconds:.0f} s and makes {reviewing.labels:.2f} labels ({measured})",
        "settings, readers and ways of selecting stay as they are",
    ]
    if target.released is not None:
        audit = f"an audit takes {SECONDS['written']:.0f} s"
        found.append(f"{audit}, and a better reader ranks its answers as well as today's")
    return tuple(found)


def _range(values: Floats, *, rounded: bool = False) -> Range:
    """The median and the 80% range; infinite ends are None."""
    ends = np.quantile(values, [LOW, 0.5, HIGH], method="inverted_cdf").tolist()
    return Range(*(None if math.isinf(end) else float(math.ceil(end)) if rounded else end for end in ends))
