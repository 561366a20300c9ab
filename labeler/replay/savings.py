"""Minutes of people that an arm with a certificate takes, against random review and labelling everything. Pure.

Random review is a curve: the seed reader, the rounds of the arm `random`, and at its end the oracle, for which all
labels of the pool are written. Between two points exact match is a straight line in the logarithm of the trusted
labels, and the minutes are one in the labels. Past the last point the line through the first and the last goes on.
Times are assumed: see `labeler.rounds.simulated_reviewer` and `labeler.certify.forecast`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from labeler.certify.forecast import BLIND_SECONDS
from labeler.replay import ORACLE, RANDOM, SUPERVISED, ByHand, Point, Release
from mrc.calibration.selective import Floats
from mrc.metrics import bootstrap_means

AUDITS: Final = 300  # of the certificate that is counted
Played = Mapping[str, Mapping[int, Sequence[Point]]]  # arm -> seed -> the points of its rounds


def by_hand(played: Played, arm: str) -> tuple[ByHand, ...]:
    """Each round of an arm, with a certificate, against random review for the same exact match.

    Over the seeds that the seed reader, the oracle, and the random arm if it is played, have finished too; none where
    the labels of a round were not noted, and none for these arms themselves.
    """
    references = [name for name in (SUPERVISED, RANDOM, ORACLE) if played.get(name)]
    seeds = sorted(set.intersection(*(set(played.get(name, {})) for name in (arm, SUPERVISED, *references))))
    curve = _curve(played, references, seeds) if seeds else []
    if arm in (SUPERVISED, RANDOM, ORACLE) or len(curve) < 2:
        return ()
    last = min(len(played[arm][seed]) for seed in seeds)
    rounds = [[played[arm][seed][number] for seed in seeds] for number in range(1, last)]
    if any(not point.trusted for _, points in curve for point in points):
        return ()
    audit = _audit_minutes(played, seeds)
    return tuple(_by_hand(points, curve, audit) for points in rounds)


def _curve(played: Played, references: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, list[Point]]]:
    """The points of random review over the seeds, each by the arm it is of; only those with more labels than before."""
    every = [(SUPERVISED, [played[SUPERVISED][seed][0] for seed in seeds])]
    if RANDOM in references:
        last = min(len(played[RANDOM][seed]) for seed in seeds)
        every += [(RANDOM, [played[RANDOM][seed][number] for seed in seeds]) for number in range(1, last)]
    if ORACLE in references:
        every.append((ORACLE, [played[ORACLE][seed][-1] for seed in seeds]))
    most = [max((_mean(each, "trusted") for _, each in every[:place]), default=0.0) for place in range(len(every))]
    return [each for each, before in zip(every, most, strict=True) if _mean(each[1], "trusted") > before]


def _by_hand(points: Sequence[Point], curve: Sequence[tuple[str, Sequence[Point]]], audit: float) -> ByHand:
    labels = np.array([_mean(each, "trusted") for _, each in curve])
    minutes = np.array([_minutes(name, each, labels[place] - labels[0]) for place, (name, each) in enumerate(curve)])
    drawn = [_scores(each) for _, each in curve]
    wanted = np.array([_exact_match(points)])
    means = np.array([[_exact_match(each)] for _, each in curve])
    needed = float(minutes_for(wanted, means, labels, minutes)[0])
    low, high = np.quantile(
        minutes_for(_scores(points), np.stack(drawn), labels, minutes), [0.025, 0.975], method="inverted_cdf"
    ).tolist()
    total = _mean(points, "minutes") + audit
    whole = curve[-1][0] == ORACLE
    return ByHand(
        round=points[0].round,
        seeds=len(points),
        exact_match=float(wanted[0]),
        minutes=total,
        audit_minutes=audit,
        random_minutes=_known(needed),
        interval=(_known(low), _known(high)),
        basis=_basis(float(wanted[0]), means[:, 0].tolist(), [name for name, _ in curve]),
        saved=1 - total / needed if 0 < needed < np.inf else None,
        everything_minutes=float(minutes[-1]) if whole else None,
        everything_exact_match=float(means[-1, 0]) if whole else None,
    )


def _known(minutes: float) -> float | None:
    return float(minutes) if np.isfinite(minutes) else None


def minutes_for(wanted: Floats, exact_match: Floats, labels: Floats, minutes: Floats) -> Floats:
    """(S,) minutes of random review until an exact match (S,); infinite where a curve never reaches it.

    The points of the curves have these exact matches (P, S), labels (P,) and minutes (P,).
    """
    found = np.where(wanted <= exact_match[0], 0.0, np.inf)
    for place in range(1, len(labels)):
        ends = exact_match[place - 1], exact_match[place]
        part = slice(place - 1, place + 1)
        here = np.isinf(found) & (wanted <= ends[1])
        found = np.where(here, _along(wanted, ends, labels[part], minutes[part]), found)
    rising = np.isinf(found) & (exact_match[-1] > exact_match[0])
    past = _along(wanted, (exact_match[0], exact_match[-1]), labels[[0, -1]], minutes[[0, -1]])
    return np.where(rising, past, found)


def _along(wanted: Floats, ends: tuple[Floats, Floats], labels: Floats, minutes: Floats) -> Floats:
    """(S,) minutes at which lines have these values; they have these exact matches (S,) at their two ends.

    The ends have these labels (2,) and minutes (2,).
    """
    ratio = labels[1] / labels[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        further = ratio ** ((wanted - ends[0]) / (ends[1] - ends[0])) - 1
        return np.asarray(minutes[0] + (minutes[1] - minutes[0]) * further / (ratio - 1), dtype=np.float64)


def _basis(wanted: float, means: Sequence[float], names: Sequence[str]) -> str:
    """Where on the curve an exact match lies: see `ByHand`."""
    place = next((place for place, each in enumerate(means) if wanted <= each), None)
    if place is None:
        return "extrapolated"
    return "interpolated to all labels" if names[place] == ORACLE else "interpolated"


def _minutes(name: str, points: Sequence[Point], further: float) -> float:
    """Minutes of random review at a point of its curve: the oracle's labels are all written."""
    return further * BLIND_SECONDS / 60 if name == ORACLE else _mean(points, "minutes")


def _scores(points: Sequence[Point]) -> Floats:
    """(S,) exact match of resamples that draw documents as a whole; the same for all points of the same seeds."""
    rows = [row for point in points for row in sorted(point.scores, key=lambda each: each.question_id)]
    clusters = [row.cluster or row.question_id for row in rows]
    return bootstrap_means([row.exact_match for row in rows], clusters, rng=np.random.default_rng(0))


def _exact_match(points: Sequence[Point]) -> float:
    return float(np.mean([row.exact_match for point in points for row in point.scores]))


def _mean(points: Sequence[Point], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in points]))


def _audit_minutes(played: Played, seeds: Sequence[int]) -> float:
    """The minutes of the longest audit of the validity experiments; without any, of as many blind answers."""
    known = [
        each.minutes
        for arm in played.values()
        for seed in seeds
        for point in arm.get(seed, ())
        for each in point.validity
        if each.audits == AUDITS
    ]
    return max(known, default=AUDITS * BLIND_SECONDS / 60)


# --- released labels ------------------------------------------------------------------------------


def releases(seeds: Sequence[Sequence[Point]]) -> tuple[Release, ...]:
    """What a certificate releases after each round of an arm, against writing as many labels; means over seeds.

    It rests on the predictions that the next round begins with, so there is none after the last round.
    """
    found: dict[tuple[int, float], list[tuple[float, ...]]] = {}
    for points in seeds:
        for point in points[1:]:
            before = points[point.round - 1]
            for each in point.validity:
                size = each.population or len(point.judged)
                if each.audits == AUDITS and size:
                    row = (before.human, each.coverage * size, each.audited, before.minutes + each.minutes)
                    found.setdefault((point.round - 1, each.target), []).append(row)
    return tuple(_release(number, target, rows) for (number, target), rows in sorted(found.items()))


def _release(number: int, target: float, rows: Sequence[tuple[float, ...]]) -> Release:
    human, certified, audited, minutes = np.mean(np.array(rows), axis=0).tolist()
    written = (human + certified + audited) * BLIND_SECONDS / 60
    saved = 1 - minutes / written if written else None
    return Release(number, target, len(rows), human, certified, audited, minutes, written, saved)
