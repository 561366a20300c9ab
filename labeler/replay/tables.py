"""The further tables of a replay: people's minutes, confidences and certificates; and the lines about forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labeler.core.console import percent
from labeler.replay import ByHand, ConfidenceQuality, Replay

CONFIDENCE = (
    "Confidences of the pool's answers, by the hidden answers, and the change from MaxProb with its 95% interval; "
    "AURC, ECE and Brier score are better low, AUROC high"
)
CONFIDENCE_HEADER = ("arm", "round", "AURC", "AUROC", "ECE", "Brier")
VALIDITY = (
    "Certificates drawn again and again from frozen predictions, in %; missed: certified below the target, at most 10 "
    "are promised; naive: a threshold on as many judged questions; BH: conformal selection by them (Benjamini-Hochberg)"
)
VALIDITY_HEADER = (
    "arm", "round", "target", "audits", "missed", "naive missed", "BH missed", "certified", "oracle's",
    "minutes of the audit",
)  # fmt: skip
BY_HAND = (
    "Minutes of people with a certificate of 300 audits counted, against random review and against labelling the whole "
    "pool, for the same EM; exact match is a straight line in the logarithm of the labels between the rounds of random "
    "review, to the oracle, and past its end where that is said"
)
BY_HAND_HEADER = (
    "arm", "round", "EM", "minutes", "of the audit", "random review", "95% interval", "how", "saved", "whole pool",
    "its EM",
)  # fmt: skip
RELEASES = (
    "Labels that leave with a certificate of 300 audits, by the predictions that the next round begins with: human "
    "ones, the certified set, the audit's answers outside it; and the minutes to write as many by hand"
)
RELEASES_HEADER = (
    "arm", "after round", "target", "seeds", "human", "certified", "audited", "minutes", "written by hand", "saved",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A caption and its rows."""

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def further_tables(replay: Replay) -> list[Table]:
    """The tables that have rows."""
    found = (
        Table(BY_HAND, BY_HAND_HEADER, by_hand_rows(replay)),
        Table(RELEASES, RELEASES_HEADER, release_rows(replay)),
        Table(CONFIDENCE, CONFIDENCE_HEADER, confidence_rows(replay)),
        Table(VALIDITY, VALIDITY_HEADER, validity_rows(replay)),
    )
    return [each for each in found if each.rows]


def by_hand_rows(replay: Replay) -> list[tuple[Any, ...]]:
    """Each round of each arm against random review for the same exact match."""
    return [
        (
            name,
            each.round,
            percent(each.exact_match),
            f"{each.minutes:.0f}",
            f"{each.audit_minutes:.0f}",
            _minutes(each.random_minutes),
            f"{_minutes(each.interval[0])} to {_minutes(each.interval[1])}",
            each.basis,
            _saved(each),
            "-" if each.everything_minutes is None else f"{each.everything_minutes:.0f}",
            "-" if each.everything_exact_match is None else percent(each.everything_exact_match),
        )
        for name, result in replay.results.items()
        for each in result.by_hand
    ]


def _minutes(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _saved(each: ByHand) -> str:
    return "-" if each.saved is None else f"{100 * each.saved:.0f}%"


def release_rows(replay: Replay) -> list[tuple[Any, ...]]:
    """What a certificate releases after each round of each arm."""
    return [
        (
            name,
            each.after,
            percent(each.target),
            each.seeds,
            f"{each.human:.0f}",
            f"{each.certified:.0f}",
            f"{each.audited:.0f}",
            f"{each.minutes:.0f}",
            f"{each.written_minutes:.0f}",
            "-" if each.saved is None else f"{100 * each.saved:.0f}%",
        )
        for name, result in replay.results.items()
        for each in result.releases
    ]


def confidence_rows(replay: Replay) -> list[tuple[Any, ...]]:
    """The quality of the confidences that each round of each arm began with."""
    return [
        (name, point.round, *(_with_change(point.confidence, each) for each in point.confidence.values))
        for name, result in replay.results.items()
        for point in result.points
        if point.confidence is not None
    ]


def _with_change(found: ConfidenceQuality, name: str) -> str:
    value, change = found.values[name], found.changes[name]
    return f"{value.mean:.3f} ({change.mean:+.3f}: {change.low:+.3f} to {change.high:+.3f})"


def validity_rows(replay: Replay) -> list[tuple[Any, ...]]:
    """The certificates of all arms, drawn again and again."""
    return [
        (
            name,
            each["round"],
            percent(each["target"]),
            each["audits"],
            f"{percent(each['miss_rate'])} ({percent(each['interval'][0])} to {percent(each['interval'][1])})",
            percent(each["naive_miss_rate"]),
            percent(each["bh_miss_rate"]),
            percent(each["coverage"]),
            percent(each["oracle_coverage"]),
            f"{each['audit_minutes']:.0f}",
        )
        for name, result in replay.results.items()
        for each in result.validity
    ]


def forecast_lines(replay: Replay) -> list[str]:
    """What `labeler plan` said after each round about later ones, against what they brought."""
    return [
        f"{name}: after round {each.after}, plan forecast EM {percent(each.forecast)} on dev ({percent(each.low)} to "
        f"{percent(each.high)}) for round {each.round}, which brought {percent(each.exact_match)}; in the 80% range "
        f"for {each.held} of {each.seeds} seeds, in that of one training for {each.held_single}; off by "
        f"{100 * each.error:.1f} points on average"
        for name, result in replay.results.items()
        for each in result.forecasts
    ]
