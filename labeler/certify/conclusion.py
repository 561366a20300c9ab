"""The end of an audit: the tests, the certificate, the human labels, and the release of what passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import AuditedItem, CertificateItem, CertificateRow, NewLabel, RoundRow
from labeler.certificates.document import FORMAT, sha256_of, statement
from labeler.certificates.verify import facts, result_from, set_tests
from labeler.certify.interim import ends_early, extend, goes_on, without_unanswered_part
from labeler.certify.outcomes import judged, outcomes
from labeler.core.console import exact_percent
from labeler.core.runtime import Runtime
from labeler.review.agreement import Agreement, matcher_of, measure_agreement
from labeler.review.consensus import JUDGEMENT
from labeler.review.judgement import Found
from labeler.rounds.steps.labelling import human_label


def conclude(runtime: Runtime, row: RoundRow) -> RoundRow:
    """reviewed -> closed: test, make the certificate, write the human labels and release what passed.

    reviewed -> in_review: at a look that does not end the audit, the next questions of the draw are added.
    """
    with runtime.database.read() as session:
        certificate = certificates.of_round(session, row.number)
        items = certificates.items(session, certificate.id)
        found = outcomes(runtime, session, row, items)
        early = ends_early(session, row)
        context = _context(runtime, session, row)
    items = [judged(item, found) for item in items]
    if not early and goes_on(items, certificate.plan or {}):
        return extend(runtime, row, certificate, items)
    if early:
        items = without_unanswered_part(items, certificate.plan or {}, found)
    found = {item.question_id: found[item.question_id] for item in items if item.drawn is not None}
    with runtime.database.write() as session:
        document = _document(certificate, items, context) | facts(session, certificate, items)
        recorded = store.record_audit(
            session,
            row.number,
            human=[human_label(each.review) for each in found.values() if each.review and _makes_a_label(each)],
            certified=_released(session, certificate, row, items, document),
            reviews=_considered(session, row, found),
            bad_questions=[key for key, each in found.items() if each.outcome == "bad_question"],
            reason=f"audited or certified in round {row.number}",
        )
        made = document | {"released": recorded.pseudo}
        made = made | {"statement": statement(made)}
        made = made | {"sha256": sha256_of(made)}
        certificates.conclude(session, certificate.id, audited=_audited(items), document=made, sha256=made["sha256"])
        detail = {"certificate": certificate.uid, "certified": (made["certified"] or {}).get("size", 0)}
        store.add_event(session, "certified", detail=detail | {"released": recorded.pseudo}, round_number=row.number)
        gate = {"why": "an audit trains nothing"}
        return store.advance(session, row.number, "reviewed", "closed", promoted=False, gate=gate)


def _audited(items: Sequence[CertificateItem]) -> list[AuditedItem]:
    return [
        AuditedItem(item.rank, item.outcome or "open", item.review_id, item.judgement_id)
        for item in items
        if item.drawn is not None
    ]


def _makes_a_label(each: Found) -> bool:
    return each.review is not None and each.review.verdict in ("answerable", "no_answer")


def _considered(session: Session, row: RoundRow, found: Mapping[str, Found]) -> list[int]:
    """The reviews that are settled. Those of reviewers who contradict each other stay open for the next round."""
    settled = {key for key, each in found.items() if each.review is not None}
    return [each.id for each in queries.reviews(session, round_number=row.number) if each.question_id in settled]


def _context(runtime: Runtime, session: Session, row: RoundRow) -> dict[str, Any]:
    """Who reviewed and how well they agree, and how answers are compared."""
    tasks = {task.id: task for task in queries.tasks(session, round_number=row.number)}
    reviews = queries.reviews(session, round_number=row.number)
    blind = [each for each in reviews if tasks[each.task_id].kind != JUDGEMENT]
    agreement: Agreement = measure_agreement(blind, matcher_of(runtime))
    return {
        "reviewers": sorted({each.reviewer for each in reviews}),
        "agreement": {"pairs": agreement.pairs, "exact": agreement.exact, "verdict": agreement.verdict},
        "minutes": sum(each.seconds or 0.0 for each in reviews) / 60,
    }


def _document(
    certificate: CertificateRow,
    items: Sequence[CertificateItem],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """The certificate, but for the facts of its audit, how many labels it releases, and its hash."""
    planned = dict(certificate.plan or {})
    tests = set_tests(items, planned) if planned["sizes"] else []
    drawn = sorted((item for item in items if item.drawn is not None), key=lambda item: item.drawn or 0)
    result = result_from(items, tests, planned)
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **planned,
        "items": [item.question_id for item in drawn],
        "tests": tests,
        "certified": result,
        "why": _why(planned, tests, result),
        **context,
    }


def _why(planned: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], result: Any) -> str:
    if not planned["sizes"]:
        return "No question of the pool has an answer that could be released."
    if result is None:
        first = tests[0]
        return (
            f"The first set tested failed: {first['correct']} of {first['audited']} audited answers are correct, which "
            f"does not show a precision of {exact_percent(planned['target'])}."
        )
    if tests[-1]["passed"]:
        return "Every set that was planned passed its test."
    return f"Set {tests[-1]['set']} failed its test, and the one before it is certified."


def _released(
    session: Session,
    certificate: CertificateRow,
    row: RoundRow,
    items: Sequence[CertificateItem],
    document: Mapping[str, Any],
) -> list[NewLabel]:
    """The pseudo-labels of the certified set that nobody audited."""
    result = document["certified"]
    if result is None:
        return []
    source = queries.round_(session, document["predictions_of_round"])
    covered = [item for item in items[: result["size"]] if item.drawn is None]
    ids = [item.question_id for item in covered]
    made_by = {entry.question_id: entry for entry in queries.iter_predictions(session, source.number, question_ids=ids)}
    return [
        NewLabel(
            item.question_id,
            (item.answer,),
            train_weight=0.0,
            model_id=made_by[item.question_id].model_id,
            labeller_id=made_by[item.question_id].labeller_id,
            index_fingerprint=made_by[item.question_id].index_fingerprint,
            calibrator_id=source.calibrator_id,
            certificate_id=certificate.id,
            confidence=item.confidence,
            threshold=result["lowest_confidence"],
        )
        for item in covered
    ]
