"""When a series of rounds has converged, or has spent its budget. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Rule = Literal["refused", "churn", "gain", "rounds", "reviews", "minutes", "pool"]

MAX_REFUSED: Final = 2  # rounds in a row
MIN_CHURN: Final = 0.03  # share of pseudo-labels whose answer changed; below it another round teaches the same
MIN_COMPARED: Final = 100  # pseudo-labels in two rounds; of fewer, a share of 3% cannot be told from 0
MIN_GAIN: Final = 0.005  # of dev exact match
MIN_COVERAGE_GAIN: Final = 0.02  # of the share of the pool that certificates cover


@dataclass(frozen=True, slots=True)
class Churn:
    """Of the pseudo-labels that two rounds have in common, those whose answer changed."""

    changed: int
    compared: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a closed round of a pool changed. None: not known."""

    number: int
    promoted: bool  # its reader, or its retriever
    gain: float | None  # of dev exact match, end to end, 0-1; None where too few questions judged it
    churn: Churn | None  # against the round before; None where both were predicted by one reader


@dataclass(frozen=True, slots=True)
class Limits:
    """What a series may spend; None: no limit."""

    rounds: int | None = None
    reviews: int | None = None
    minutes: float | None = None  # of reviewing


@dataclass(frozen=True, slots=True)
class Spent:
    """What a series has spent so far."""

    rounds: int
    reviews: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The rule that stops a series, and a sentence with its numbers."""

    rule: Rule
    why: str


def stop(
    outcomes: Sequence[Outcome],
    spent: Spent,
    limits: Limits,
    *,
    coverage_gain: float | None = None,
    pool: bool = True,
) -> Stop | None:
    """The first rule that stops the series, in the order of `Rule`; None: another round may pay.

    Args:
        outcomes: of the series' rounds that predicted the pool, oldest first.
        coverage_gain: by which the certified share of the pool rose with the newest certificate, if one was made since
            the last round began; None: none was.
        pool: whether questions without a label of people are left.
    """
    rules = (_refused(outcomes), _churn(outcomes), _gain(outcomes, coverage_gain), *_budget(spent, limits))
    found = next((each for each in rules if each is not None), None)
    if found is None and not pool:
        return Stop("pool", "no question of the pool is left to label")
    return found


def _refused(outcomes: Sequence[Outcome]) -> Stop | None:
    last = outcomes[-MAX_REFUSED:]
    if len(last) < MAX_REFUSED or any(each.promoted for each in last):
        return None
    return Stop("refused", f"the last {MAX_REFUSED} rounds were refused ({' and '.join(str(e.number) for e in last)})")


def _churn(outcomes: Sequence[Outcome]) -> Stop | None:
    churn = outcomes[-1].churn if outcomes else None
    if churn is None or churn.compared < MIN_COMPARED or churn.changed / churn.compared >= MIN_CHURN:
        return None
    share = 100 * churn.changed / churn.compared
    return Stop(
        "churn",
        f"{churn.changed} of {churn.compared} pseudo-labels ({share:.1f}%) changed in round {outcomes[-1].number}, "
        f"less than {100 * MIN_CHURN:g}%",
    )


def _gain(outcomes: Sequence[Outcome], coverage_gain: float | None) -> Stop | None:
    """A refused round has no gain, but its human labels teach the next one: two of them are their own rule."""
    if not outcomes or not outcomes[-1].promoted or outcomes[-1].gain is None or outcomes[-1].gain >= MIN_GAIN:
        return None
    if coverage_gain is not None and coverage_gain >= MIN_COVERAGE_GAIN:
        return None
    covered = "" if coverage_gain is None else f", certified coverage by {100 * coverage_gain:+.1f} points"
    return Stop(
        "gain",
        f"EM on dev changed by {100 * outcomes[-1].gain:+.1f} points in round {outcomes[-1].number}, less than "
        f"{100 * MIN_GAIN:+g}{covered}",
    )


def _budget(spent: Spent, limits: Limits) -> Iterator[Stop]:
    if limits.rounds is not None and spent.rounds >= limits.rounds:
        yield Stop("rounds", f"the limit of {limits.rounds} rounds is reached")
    if limits.reviews is not None and spent.reviews >= limits.reviews:
        yield Stop("reviews", f"{spent.reviews} of at most {limits.reviews} reviews were done")
    if limits.minutes is not None and spent.minutes >= limits.minutes:
        yield Stop("minutes", f"{spent.minutes:.0f} of at most {limits.minutes:g} minutes of reviewing were spent")
