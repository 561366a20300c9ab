"""Interim looks: an audit whose draw is asked part by part, and which ends once enough is certified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import CertificateItem, CertificateRow, Json, RoundRow
from labeler.certificates.verify import looks_done, result_from, set_tests
from labeler.certify.audit import blind_tasks
from labeler.certify.outcomes import judged, outcomes
from labeler.core.runtime import Runtime
from labeler.review.judgement import Found
from mrc.calibration.certification import draw

ACCEPTED = "accepted_partial"  # the event after which an audit concludes with the answers so far


@dataclass(frozen=True, slots=True)
class LookResult:
    """What one look at an audit showed."""

    audits: int  # judged by then
    certified: int  # answers that a certificate would cover if the audit ended here
    coverage: float  # of the population


def look_results(items: Sequence[CertificateItem], plan: Json) -> tuple[LookResult, ...]:
    """The result of each look that is done. `items`: the ranking with the outcomes of the drawn ones."""
    return tuple(_result_at(items, plan, look.audits) for look in looks_done(plan, _asked(items)))


def _result_at(items: Sequence[CertificateItem], plan: Json, audits: int) -> LookResult:
    seen = _first(items, audits)
    found = result_from(seen, set_tests(seen, plan), plan)
    return LookResult(audits, found["size"] if found else 0, found["coverage"] if found else 0.0)


def _asked(items: Sequence[CertificateItem]) -> int:
    return sum(item.drawn is not None for item in items)


def _first(items: Sequence[CertificateItem], audits: int) -> list[CertificateItem]:
    """The ranking as if only so many questions had been asked."""
    return [_unasked(item) if item.drawn is not None and item.drawn >= audits else item for item in items]


def _unasked(item: CertificateItem) -> CertificateItem:
    return replace(item, drawn=None, outcome=None, review_id=None, judgement_id=None)


def goes_on(items: Sequence[CertificateItem], plan: Json) -> bool:
    """Whether the audit goes on after this look: questions are left, and not enough is certified."""
    asked = _asked(items)
    if not plan["looks"] or asked >= plan["looks"][-1]["audits"]:
        return False
    return _result_at(items, plan, asked).certified < int(plan["enough"])


def ends_early(session: Session, row: RoundRow) -> bool:
    """Whether somebody asked to conclude with the answers so far."""
    return any(event.kind == ACCEPTED for event in queries.events(session, round_number=row.number))


def without_unanswered_part(
    items: Sequence[CertificateItem], plan: Json, found: Mapping[str, Found]
) -> list[CertificateItem]:
    """The ranking without the newest part of the draw, if a look came before it and nobody answered any of it."""
    done = looks_done(plan, _asked(items))
    if len(done) < 2:
        return list(items)
    before = done[-2].audits
    newest = [item for item in items if item.drawn is not None and item.drawn >= before]
    untouched = all(found[item.question_id] == Found("open", None) for item in newest)
    return _first(items, before) if untouched else list(items)


def extend(runtime: Runtime, row: RoundRow, certificate: CertificateRow, items: Sequence[CertificateItem]) -> RoundRow:
    """reviewed -> in_review: ask the questions up to the next look, blind as those before."""
    plan: Mapping[str, Any] = certificate.plan or {}
    asked = _asked(items)
    until = next(look["audits"] for look in plan["looks"] if look["audits"] > asked)
    largest = [item.question_id for item in items[: plan["sizes"][-1]]]
    drawn = draw(largest, plan["audits"], seed=certificate.seed or "")
    places = range(asked, until)
    rank = {item.question_id: item.rank for item in items}
    with runtime.database.read() as session:
        predictions = queries.predictions(session, row.number, question_ids=drawn[asked:until])
    tasks = blind_tasks(runtime, row, drawn, predictions, places=places)
    detail = {"audits": asked, "certified": _result_at(items, plan, asked).certified}
    with runtime.database.write() as session:
        certificates.draw_more(session, certificate.id, {rank[drawn[place]]: place for place in places})
        store.add_tasks(session, row.number, tasks)
        store.add_event(session, "audit_look", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "reviewed", "in_review")


def looks_so_far(runtime: Runtime, session: Session, row: RoundRow) -> tuple[LookResult, ...]:
    """The looks before the part of the draw that is being answered."""
    certificate = certificates.of_round(session, row.number)
    plan = certificate.plan
    items = certificates.items(session, certificate.id)
    if plan is None or not (done := looks_done(plan, _asked(items))[:-1]):
        return ()
    seen = _first(items, done[-1].audits)
    found = outcomes(runtime, session, row, seen)
    return look_results([judged(item, found) for item in seen], plan)
