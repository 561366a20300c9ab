"""A series of rounds that ends by a stop rule: where it began, what it has spent, and why it stopped.

The series is one value in the database, and the rules see closed rounds alone: killed anywhere, or waiting for
reviews in between, the same command goes on and stops after the same round.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import LabelRow, ReviewRow, RoundRow
from labeler.core.runtime import Runtime, with_settings
from labeler.evaluation.pseudo_precision import own_pseudo
from labeler.rounds import history
from labeler.rounds.machine import RoundStatus
from labeler.rounds.recorded import retriever_summary
from labeler.rounds.stopping import Churn, Limits, Outcome, Spent, Stop, stop
from mrc.metrics import normalize_answer

KEY = "round_series"  # in meta


@dataclass(frozen=True, slots=True)
class Series:
    """A series of rounds; `first` is the number of its first round."""

    first: int
    stopped: Stop | None = None


def begin(runtime: Runtime) -> Series:
    """The series that has not stopped yet, else a new one, which starts with the open round or the next.

    A series that stopped in a command that was killed before it could say so is returned as stopped.
    """
    with runtime.database.write() as session:
        known = json.loads(queries.get_meta(session, KEY) or "null")
        if known and (known["stopped"] is None or _unreported(runtime, known)):
            return Series(known["first"], Stop(**known["stopped"]) if known["stopped"] else None)
        current = queries.current_round(session)
        series = Series(current.number if current else queries.next_round_number(session))
        store.set_meta(session, KEY, json.dumps({"first": series.first, "stopped": None}))
        return series


def _unreported(runtime: Runtime, known: dict[str, Any]) -> bool:
    killed = runtime.interrupted
    return killed is not None and killed.name == "round" and datetime.fromisoformat(known["at"]) >= killed.since


def last_closed(runtime: Runtime, series: Series) -> list[dict[str, Any]]:
    """The summary of the newest closed round of the series, if there is one."""
    with runtime.database.read() as session:
        rounds = _closed(session, series)
    return [history.summary(runtime, RoundStatus(row, None)) for row in rounds[-1:]]


def decide(runtime: Runtime, series: Series, limits: Limits) -> Stop | None:
    """Why the series stops now, which is stored; None while a round is open, or another one may pay."""
    if series.stopped is not None:
        return series.stopped
    with runtime.database.write() as session:
        if queries.current_round(session) is not None:
            return None
        rounds = _closed(session, series)
        outcomes = [_outcome(runtime, session, row) for row in rounds if row.kind == "loop"]
        pool = not rounds or bool(queries.pool_to_predict(session))
        coverage_gain = _coverage_gain(session, rounds)
        found = stop(outcomes, _spent(session, series, rounds), limits, coverage_gain=coverage_gain, pool=pool)
        if found is not None:
            stopped = {"rule": found.rule, "why": found.why}
            at = datetime.now(UTC).isoformat()
            store.set_meta(session, KEY, json.dumps({"first": series.first, "stopped": stopped, "at": at}))
            store.add_event(session, "series_stopped", detail={"first": series.first, **stopped})
        return found


def within_budget(runtime: Runtime, series: Series, limits: Limits) -> Runtime:
    """The runtime whose next round asks for no more reviews than are left. An open round keeps its budget."""
    review = runtime.config.review
    with runtime.database.read() as session:
        if limits.reviews is None or queries.current_round(session) is not None:
            return runtime
        left = limits.reviews - len(_reviews(session, series))
    questions = max(1, int(left / (1 + review.double_annotation)))
    if questions >= review.review_budget:
        return runtime
    return runtime.with_config(with_settings(runtime.config, review={"review_budget": questions}))


def _closed(session: Session, series: Series) -> list[RoundRow]:
    rounds = queries.rounds(session, reverted=False)
    return [row for row in rounds if _is_of(series, row) and row.closed_at is not None]


def _is_of(series: Series, row: RoundRow) -> bool:
    """Whether a round belongs to the series; the audit of a certificate belongs to none."""
    return row.number >= series.first and row.kind != "audit"


def _spent(session: Session, series: Series, rounds: Sequence[RoundRow]) -> Spent:
    reviews = _reviews(session, series)
    return Spent(len(rounds), len(reviews), _minutes(reviews))


def _reviews(session: Session, series: Series) -> list[ReviewRow]:
    """The reviews of the series' rounds, reverted ones too: people have done them."""
    numbers = [row.number for row in queries.rounds(session) if _is_of(series, row)]
    return [review for number in numbers for review in queries.reviews(session, round_number=number)]


def _minutes(reviews: Sequence[ReviewRow]) -> float:
    """Minutes of these reviews; one without a time counts as the mean of those with one."""
    times = [review.seconds for review in reviews if review.seconds is not None]
    return len(reviews) * fmean(times) / 60 if times else 0.0


def _coverage_gain(session: Session, rounds: Sequence[RoundRow]) -> float | None:
    """By how much of the pool the newest certificate covers more than the one before, if one was made since the last of
    these rounds was opened; a certificate of nothing covers 0."""
    made = [row for row in certificates.certificates(session) if row.document is not None and row.withdrawn_at is None]
    if not rounds or not made or made[-1].made_at is None or made[-1].made_at < rounds[-1].opened_at:
        return None
    covered = [float(((row.document or {}).get("certified") or {}).get("coverage", 0.0)) for row in made]
    return covered[-1] - (covered[-2] if len(covered) > 1 else 0.0)


def _outcome(runtime: Runtime, session: Session, row: RoundRow) -> Outcome:
    gate = row.gate or {}
    retriever = retriever_summary(session, row.number)
    changed = bool(retriever and retriever["promoted"])
    judged = not gate.get("unpowered", True) and not changed  # the gate reads with the index of before
    return Outcome(
        number=row.number,
        promoted=bool(row.promoted) or changed,
        gain=gate["exact_match_change"] if judged else None,
        churn=_churn(runtime, session, row),
    )


def _churn(runtime: Runtime, session: Session, row: RoundRow) -> Churn | None:
    """The churn against the round before; None where its reader is still the teacher: equal answers say nothing."""
    earlier = [each for each in queries.rounds(session, reverted=False) if each.number < row.number]
    before = next((each for each in reversed(earlier) if each.kind == "loop"), None)
    if before is None or (before.teacher_id, before.labeller_id) == (row.teacher_id, row.labeller_id):
        return None
    old, new = (_answers(runtime, own_pseudo(session, each.number)) for each in (before, row))
    both = old.keys() & new.keys()
    return Churn(sum(old[key] != new[key] for key in both), len(both))


def _answers(runtime: Runtime, labels: Sequence[LabelRow]) -> dict[str, str]:
    return {label.question_id: normalize_answer(label.answers[0].text, runtime.metric) for label in labels}
