"""Running a certificate from wherever its audit is. Killed and started again, it ends in the same state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import CertificateRow, LabellerRow, RoundRow
from labeler import __version__
from labeler.certificates.standing import Standing, standing_of
from labeler.certify import audit, conclusion
from labeler.certify.interim import ACCEPTED, LookResult, looks_so_far
from labeler.certify.request import Attempt, Request, check_same, next_attempt
from labeler.core.errors import NotReady
from labeler.core.round_settings import LLM
from labeler.core.runtime import Runtime, with_settings
from labeler.rounds import machine
from labeler.rounds.recorded import subset_of
from labeler.rounds.resolved_settings import of_round, resolve_index
from labeler.rounds.steps import human_review, reviewing
from labeler.rounds.steps.opening import questions_of, refuse_while_open

FEWEST_QUESTIONS = 20  # of a pool: the smallest set is a fortieth of it, and at least one

STEPS: Mapping[str, Callable[[Runtime, RoundRow], RoundRow]] = {
    "open": audit.predict,
    "predicted": audit.freeze,
    "in_review": reviewing.review,
    "reviewed": conclusion.conclude,
}


@dataclass(frozen=True, slots=True)
class Certified:
    """The result of a run: the certificate, or what it waits for."""

    certificate: Mapping[str, Any] | None  # the document
    standing: Standing
    waiting_for: str | None
    looks: tuple[LookResult, ...] = ()  # of an audit that waits: what the looks so far showed


def run(runtime: Runtime, request: Request, *, reviewer: str | None = None, accept_partial: bool = False) -> Certified:
    """Resume the open audit, or begin one, and run it until its certificate is made or reviews are missing.

    Args:
        request: what to certify; of an open audit nothing of it may change.
        reviewer: who reviews, if it changes: studio, people or simulated.
        accept_partial: conclude with the reviews so far; questions without one count as errors.

    Raises:
        NotReady: a round is open, there is nothing to certify, or something must be done first.
        ConfigError: the request does not fit the plan of earlier attempts.
    """
    row = machine.current(runtime)
    if row is not None and row.kind != "audit":
        refuse_while_open(row)
    if row is None and (done := machine.finished_unreported(runtime, "certify")):
        return _result(runtime, done[-1], None)
    if row is None and accept_partial:
        raise NotReady("no audit is waiting for reviews; run: labeler certify")
    row = _open(runtime, request, reviewer) if row is None else _check_open(runtime, row, request)
    runtime = of_round(runtime, row)
    if reviewer is not None and row.reviewer != reviewer:
        row = reviewing.change_reviewer(runtime, row, reviewer)
    if accept_partial:
        row = _accept_partial(runtime, row)
    while row.is_open:
        after = STEPS[row.stage](runtime, row)
        if after.stage == row.stage:
            return _result(runtime, after, human_review.waiting_for(runtime, after))
        row = after
    return _result(runtime, row, None)


def made(runtime: Runtime, uid: str) -> Certified:
    """A certificate that was made, by its id or the first characters of it. Raises NotFound, NotReady."""
    with runtime.database.read() as session:
        row = certificates.certificate(session, uid)
        standing = standing_of(session, row)
    if row.document is None:
        raise NotReady(f"certificate {row.uid[:12]} is not made: {standing.why}; `labeler certify list` shows all")
    return Certified(row.document, standing, None)


def _accept_partial(runtime: Runtime, row: RoundRow) -> RoundRow:
    """The round with its open tasks withdrawn, to be concluded at this look."""
    if row.stage == "in_review":
        return human_review.accept_partial(runtime, row)
    if row.stage == "reviewed":
        with runtime.database.write() as session:
            store.add_event(session, ACCEPTED, detail={"withdrawn": 0}, round_number=row.number)
    return row


def _result(runtime: Runtime, row: RoundRow, waiting_for: str | None) -> Certified:
    with runtime.database.read() as session:
        stored = certificates.of_round(session, row.number)
        standing = standing_of(session, stored)
        looks = looks_so_far(runtime, session, row) if waiting_for is not None else ()
    return Certified(stored.document, standing, waiting_for, looks)


def _check_open(runtime: Runtime, row: RoundRow, request: Request) -> RoundRow:
    with runtime.database.read() as session:
        check_same(request, certificates.of_round(session, row.number))
    return row


def _open(runtime: Runtime, request: Request, reviewer: str | None) -> RoundRow:
    """Open the audit of a new certificate in one transaction."""
    config = runtime.config
    chosen = reviewer or config.round.reviewer
    if chosen == LLM:  # an audit is answered by people
        chosen = config.llm.then
    if chosen == "none":
        raise NotReady("an audit needs a reviewer; name one: labeler certify --reviewer studio (or file, terminal)")
    reviewing.check_reviewer(runtime, chosen)
    with runtime.database.read() as session:
        attempt = attempt_of(session, request, target=config.calibrate.target_precision)
        labeller = queries.labeller(session, request.labeller) if request.labeller is not None else None
        source, fingerprint = choose_source(runtime, session, attempt, labeller)
        teacher = queries.best_model(session) if labeller is None and source is None else None
    config = with_settings(
        config, workspace={"language": runtime.language, "metric": runtime.metric}, round={"reviewer": chosen}
    )
    with runtime.database.write() as session:
        number = queries.next_round_number(session)
        row = store.open_round(
            session,
            "audit",
            config=config.resolved(),
            seed=config.round.seed + number,
            code_version=__version__,
            teacher_id=teacher.id if teacher is not None else None,
            labeller_id=labeller.id if labeller is not None and source is None else None,
            index_fingerprint=fingerprint,
            reviewer=chosen,
        )
        kept = {"predictions_of_round": source, "labeller": request.labeller}
        certificates.add(session, row.number, request=attempt.as_json() | kept)
        if source is None:
            groups = questions_of(session, config, teacher, labeller)
            store.plan_predictions(session, row.number, groups, chunk_size=config.round.chunk_size)
        store.add_event(session, "round_opened", detail={"kind": "audit"}, round_number=row.number)
        return row


def attempt_of(session: Session, request: Request, *, target: float) -> Attempt:
    """The attempt that a request makes; those before it, given up or not, have spent their part of delta."""
    return next_attempt(request, _drawn(certificates.certificates(session)), target=target)


def _drawn(rows: list[CertificateRow]) -> list[CertificateRow]:
    """The attempts whose audit was drawn: before that nothing of the truth was seen."""
    return [row for row in rows if row.seed is not None]


def choose_source(
    runtime: Runtime, session: Session, attempt: Attempt, labeller: LabellerRow | None = None
) -> tuple[int | None, str | None]:
    """The round whose stored predictions are certified (None: the audit predicts), and the index to read with.

    Stored predictions are taken where `--stored` asks for it, or where the current reader made them of the whole pool
    with the current index. The answers of a labeller are taken as they are now, or with `--stored` as its newest round
    took them.

    Raises NotReady: too few questions, no predictions, or no reader or index.
    """
    pool = queries.pool_to_predict(session)
    if len(pool) < FEWEST_QUESTIONS:
        raise NotReady(
            f"{len(pool)} questions of the pool have no gold or human label, and a certificate needs at least "
            f"{FEWEST_QUESTIONS}: review them instead (labeler round)"
        )
    newest = newest_predicted(session, labeller, stored=attempt.stored)
    if attempt.stored:
        if newest is None:
            raise NotReady("no predictions are stored; run: labeler predict (or certify without --stored)")
        return newest.number, newest.index_fingerprint
    if labeller is not None:
        return None, resolve_index(runtime, runtime.config)[1]
    best = runtime.best_model()
    _, fingerprint = resolve_index(runtime, runtime.config)
    same = newest is not None and (newest.teacher_id, newest.index_fingerprint) == (best.id, fingerprint)
    if newest is not None and same and not (subset_of(session, newest) or {}).get("left_out"):
        return newest.number, fingerprint
    runtime.reader(best)  # raises for a damaged one before an audit depends on it
    return None, fingerprint


def newest_predicted(session: Session, labeller: LabellerRow | None, *, stored: bool) -> RoundRow | None:
    """The newest round with stored predictions of a labeller, else of readers, or with `stored` of anyone."""
    found = [queries.round_(session, number) for number in queries.predicted_rounds(session)]
    wanted = labeller.id if labeller is not None else None
    anyone = stored and labeller is None
    return next((row for row in reversed(found) if anyone or row.labeller_id == wanted), None)
