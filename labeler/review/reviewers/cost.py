"""What reviewing cost: minutes, and money at a price, for each label and for each point of exact match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.rows import ReviewRow

SPLIT = "dev"  # on which the gain is measured


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of people so far. Money is None without a price, the rest where nothing is known."""

    minutes: float | None  # of the reviews whose time is known
    untimed: int  # reviews whose time is not known
    money: float | None
    labels: int  # live labels made of reviews
    minutes_per_label: float | None
    money_per_label: float | None
    em_points: float | None  # gained on dev by the reader in use over the first one; points of 100
    minutes_per_point: float | None  # None where nothing was gained
    money_per_point: float | None


def cost(session: Session, reviews: Iterable[ReviewRow], *, hourly_rate: float | None) -> Cost:
    """The cost of these reviews. `hourly_rate`: the price of an hour of people."""
    reviews = list(reviews)
    times = [review.seconds for review in reviews if review.seconds is not None]
    minutes = sum(times) / 60 if times else None
    labels = len(queries.live_labels(session, kinds=["human"]))
    points = _em_points(session)
    return Cost(
        minutes=minutes,
        untimed=len(reviews) - len(times),
        money=_priced(minutes, hourly_rate),
        labels=labels,
        minutes_per_label=(per_label := _share(minutes, labels)),
        money_per_label=_priced(per_label, hourly_rate),
        em_points=points,
        minutes_per_point=(per_point := _share(minutes, points)),
        money_per_point=_priced(per_point, hourly_rate),
    )


def _em_points(session: Session) -> float | None:
    """The gain of the reader in use over the first one, by their newest evaluations in the same mode."""
    best = queries.best_model(session)
    if best is None:
        return None
    newest = {(row.model_id, row.summary["mode"]): row for row in queries.evaluations(session, split=SPLIT)}
    for mode in ("end_to_end", "given"):
        first = min((model for model, each in newest if each == mode), default=None)
        if first is not None and (best.id, mode) in newest and first != best.id:
            scores = [float(newest[model, mode].summary["exact_match"]) for model in (best.id, first)]
            return 100 * (scores[0] - scores[1])
    return None


def _share(minutes: float | None, parts: float | None) -> float | None:
    return None if minutes is None or not parts or parts < 0 else minutes / parts


def _priced(minutes: float | None, hourly_rate: float | None) -> float | None:
    return None if minutes is None or hourly_rate is None else minutes / 60 * hourly_rate
