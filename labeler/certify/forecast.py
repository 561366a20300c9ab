"""What a certificate will cost and bring, before anything is drawn: audits, minutes, and the coverage to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from db import certificates, queries
from db.engine import Session
from labeler.certify.machine import FEWEST_QUESTIONS, attempt_of, newest_predicted
from labeler.certify.ranking import Plan, Ranking, plan, ranking
from labeler.certify.request import Attempt, Request
from labeler.core.console import exact_percent
from labeler.core.errors import NotReady
from labeler.core.runtime import Runtime
from labeler.review.agreement import matcher_of
from mrc.calibration.looks import LOOKS, Look, planned_looks

BLIND_SECONDS, JUDGEMENT_SECONDS = 60.0, 15.0  # assumed of a person; measured times of blind answers replace the first
ASSUMED_PRECISION = 0.8  # of audited answers, where nothing is known


@dataclass(frozen=True, slots=True)
class CertificateForecast:
    """What `certify --dry-run` says. Expected numbers are None where no stored prediction has a confidence."""

    target: float
    delta: float
    delta_sum: float  # over all attempts of the workspace, this one included
    population: int  # questions without a gold or human label
    ranked: int | None  # of these, with an answer in the newest stored predictions
    audits: int  # blind answers; with looks, at most
    looks: tuple[int, ...]  # after so many of them; the last is the end
    minutes: float
    largest_coverage: float | None  # of the set that the audit is drawn from
    expected_coverage: float | None  # certified in at least half of all draws; 0: probably nothing
    expected_labels: int | None
    predictions_of_round: int | None  # on which these numbers rest
    why: str


def forecast(runtime: Runtime, request: Request) -> CertificateForecast:
    """The forecast for a new certificate. Nothing is written. Raises NotReady where none could be made."""
    with runtime.database.read() as session:
        current = queries.current_round(session)
        if current is not None and current.kind == "audit":
            raise NotReady("an audit is open, and its draw is fixed; run: labeler certify")
        attempt = attempt_of(session, request, target=runtime.config.calibrate.target_precision)
        population = len(queries.pool_to_predict(session))
        if population < FEWEST_QUESTIONS:
            raise NotReady(f"{population} questions of the pool are unlabelled; a certificate needs {FEWEST_QUESTIONS}")
        spent = [row.request["delta"] for row in certificates.certificates(session) if row.seed is not None]
        labeller = queries.labeller(session, request.labeller) if request.labeller is not None else None
        newest = newest_predicted(session, labeller, stored=attempt.stored)
        found = ranking(session, newest.number, matcher_of(runtime)) if newest else None
        seconds = _blind_seconds(session)
    planned = plan(found, attempt) if found is not None else None
    audits = planned.audits if planned is not None else min(attempt.audits, population)
    double = round(audits * runtime.config.review.double_annotation)
    precision = _precision(planned.precisions if planned is not None else ())
    needed = (audits + double) * seconds + audits * (1 - precision) * JUDGEMENT_SECONDS
    expected = planned.expected if planned is not None else None
    return CertificateForecast(
        target=attempt.target,
        delta=attempt.delta,
        delta_sum=sum(spent) + attempt.delta,
        population=population,
        ranked=len(found.items) if found is not None else None,
        audits=audits,
        looks=tuple(look.audits for look in _looks(planned, attempt, audits)),
        minutes=needed / 60,
        largest_coverage=planned.coverage if planned is not None else None,
        expected_coverage=None if expected is None else expected / population,
        expected_labels=None if expected is None else expected,
        predictions_of_round=newest.number if newest else None,
        why=_why(planned, found, expected, target=attempt.target),
    )


def _looks(planned: Plan | None, attempt: Attempt, audits: int) -> tuple[Look, ...]:
    if planned is not None:
        return planned.looks
    return planned_looks(audits, delta=attempt.delta, count=LOOKS if attempt.looks else 1)


def _blind_seconds(session: Session) -> float:
    """The mean time of a blind answer so far, else the assumption."""
    blind = {task.id for task in queries.tasks(session) if task.blind}
    times = [row.seconds for row in queries.reviews(session) if row.task_id in blind and row.seconds is not None]
    return fmean(times) if times else BLIND_SECONDS


def _precision(expected: Sequence[float | None]) -> float:
    return expected[-1] if expected and expected[-1] is not None else ASSUMED_PRECISION


def _why(planned: Plan | None, found: Ranking | None, expected: int | None, *, target: float) -> str:
    if planned is None or found is None:
        return "there are no stored predictions yet: the coverage to expect is known after labeler predict"
    if expected is None:
        return "the stored predictions have no confidence, so nothing is known about their precision"
    if not expected:
        return f"no set looks precise enough to pass at {exact_percent(target)}: lower the target, or label more first"
    return f"by {len(found.evidence)} judged answers and the confidences of the stored predictions"
