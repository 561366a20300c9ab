"""The audit of a certificate, step by step: each writes its results and the round's new stage in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import (
    AuditedItem,
    CertificateItem,
    CertificateRow,
    NewLabel,
    NewPrediction,
    NewTask,
    PredictionRow,
    RoundRow,
)
from labeler.certificates.document import CORRECT, FORMAT, sha256_of, statement
from labeler.certificates.verify import result_from, set_tests
from labeler.certify.ranking import frozen, plan, ranking
from labeler.certify.request import Attempt
from labeler.core.runtime import Runtime
from labeler.review.agreement import Agreement, by_question, by_task, matcher_of, measure_agreement
from labeler.review.consensus import JUDGEMENT
from labeler.review.judgement import Found, by_outcome, found_of
from labeler.rounds.select import doubly_annotated
from labeler.rounds.steps import predicting
from labeler.rounds.steps.labelling import human_label
from labeler.rounds.steps.reviewing import page
from mrc.calibration.certification import draw


def predict(runtime: Runtime, row: RoundRow) -> RoundRow:
    """open -> predicted: the current reader answers the pool, unless stored predictions are certified."""
    with runtime.database.read() as session:
        source = source_of(certificates.of_round(session, row.number))
    if source == row.number:
        return predicting.predict(runtime, row)
    with runtime.database.write() as session:
        return store.advance(session, row.number, "open", "predicted")


def source_of(certificate: CertificateRow) -> int:
    """The round whose predictions are certified: the audit itself, or an earlier one."""
    earlier = certificate.request["predictions_of_round"]
    return certificate.round_number if earlier is None else int(earlier)


def freeze(runtime: Runtime, row: RoundRow) -> RoundRow:
    """predicted -> in_review: fix ranking, sets and order of tests, draw the audit, and add its blind tasks."""
    matcher = matcher_of(runtime)
    with runtime.database.read() as session:
        certificate = certificates.of_round(session, row.number)
        attempt, source = Attempt.of(certificate.request), source_of(certificate)
        found = ranking(session, source, matcher)
        planned = plan(found, attempt)
        seed = attempt.seed or secrets.token_hex(16)
        largest = [item.question_id for item in found.items[: planned.sizes[-1]]] if planned.sizes else []
        drawn = draw(largest, planned.audits, seed=seed)
        predictions = queries.predictions(session, source, question_ids=drawn)
        described = frozen(found, planned, attempt) | _labeller(session, predictions)
    place = {question_id: number for number, question_id in enumerate(drawn)}
    items = [replace(item, drawn=place.get(item.question_id)) for item in found.items]
    pages = {entry.question_id: page(entry, places=runtime.config.review.passages) for entry in predictions}
    double = doubly_annotated(drawn, runtime.config.review.double_annotation, seed=row.seed)
    tasks = [
        NewTask(key, "audit", True, number, pages[key], reviewers=2 if key in double else 1)
        for key, number in place.items()
    ]
    with runtime.database.write() as session:
        certificates.freeze(session, certificate.id, plan=described, seed=seed, items=items)
        if source != row.number:
            _borrow(session, row, predictions)
        store.add_tasks(session, row.number, tasks)
        detail = {"drawn": len(drawn), "ranked": len(items)}
        store.add_event(session, "audit_drawn", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "predicted", "in_review")


def _labeller(session: Session, predictions: Sequence[PredictionRow]) -> dict[str, Any]:
    """Who made the predictions, and with which index."""
    models = {model.id: model for model in queries.models(session)}
    used = sorted({entry.model_id for entry in predictions if entry.model_id is not None})
    named = sorted({entry.labeller_id for entry in predictions if entry.labeller_id is not None})
    others = [queries.labeller_by_id(session, key) for key in named]
    indexes = sorted({entry.index_fingerprint for entry in predictions if entry.index_fingerprint})
    readers = [{"sha256": models[key].hash, "name": models[key].name, "path": models[key].path} for key in used]
    outside = [{"sha256": queries.labeller_sha256(session, row.name), "name": row.name, "path": None} for row in others]
    return {
        "labeller": [*readers, *outside],
        "index": indexes,
    }


def _borrow(session: Session, row: RoundRow, predictions: Sequence[PredictionRow]) -> None:
    """Copy the audited answers of an earlier round: reviewers judge what was frozen, whatever happens there."""
    by_source: dict[tuple[int | None, int | None, str | None], list[NewPrediction]] = {}
    for entry in predictions:
        kept = (entry.question_id, entry.answers[:1], entry.score, entry.null_score, entry.hits, entry.features)
        copied = NewPrediction(*kept, confidence=entry.confidence)
        by_source.setdefault((entry.model_id, entry.labeller_id, entry.index_fingerprint), []).append(copied)
    for (model_id, labeller_id, fingerprint), rows in by_source.items():
        made_by: dict[str, Any] = {"model_id": model_id, "labeller_id": labeller_id, "index_fingerprint": fingerprint}
        store.add_predictions(session, row.number, **made_by, rows=rows)


def conclude(runtime: Runtime, row: RoundRow) -> RoundRow:
    """reviewed -> closed: test, make the certificate, write the human labels and release what passed."""
    with runtime.database.read() as session:
        certificate = certificates.of_round(session, row.number)
        items = certificates.items(session, certificate.id)
        found = _found(runtime, session, row, items)
        earlier = [one.request["delta"] for one in certificates.certificates(session) if one.seed is not None]
        context = _context(runtime, session, row)
    items = [_judged(item, found) for item in items]
    document = _document(certificate, items, found, context | {"delta_sum": sum(earlier)})
    with runtime.database.write() as session:
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
        audited = [
            AuditedItem(item.rank, item.outcome or "open", item.review_id, item.judgement_id)
            for item in items
            if item.drawn is not None
        ]
        certificates.conclude(session, certificate.id, audited=audited, document=made, sha256=made["sha256"])
        detail = {"certificate": certificate.uid, "certified": (made["certified"] or {}).get("size", 0)}
        store.add_event(session, "certified", detail=detail | {"released": recorded.pseudo}, round_number=row.number)
        gate = {"why": "an audit trains nothing"}
        return store.advance(session, row.number, "reviewed", "closed", promoted=False, gate=gate)


def _found(runtime: Runtime, session: Session, row: RoundRow, items: Sequence[CertificateItem]) -> dict[str, Found]:
    """What the audit found about each drawn question."""
    matcher = matcher_of(runtime)
    reviews = by_task(queries.reviews(session, round_number=row.number))
    attempts = by_question(queries.tasks(session, round_number=row.number))
    return {
        item.question_id: found_of(attempts.get(item.question_id, ()), reviews, item.answer, matcher)
        for item in items
        if item.drawn is not None
    }


def _judged(item: CertificateItem, found: Mapping[str, Found]) -> CertificateItem:
    if item.drawn is None:
        return item
    each = found[item.question_id]
    review, judgement = each.review, each.judgement
    return replace(
        item,
        outcome=each.outcome,
        review_id=review.id if review else None,
        judgement_id=judgement.id if judgement else None,
    )


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
        "metric": runtime.metric,
        "reviewer": row.reviewer,
        "reviewers": sorted({each.reviewer for each in reviews}),
        "simulated": row.reviewer == "simulated",
        "agreement": {"pairs": agreement.pairs, "exact": agreement.exact, "verdict": agreement.verdict},
        "minutes": sum(each.seconds or 0.0 for each in reviews) / 60,
    }


def _document(
    certificate: CertificateRow,
    items: Sequence[CertificateItem],
    found: Mapping[str, Found],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """The certificate, but for how many labels it releases and its hash."""
    planned = dict(certificate.plan or {})
    tests = set_tests(items, planned) if planned["sizes"] else []
    drawn = sorted((item for item in items if item.drawn is not None), key=lambda item: item.drawn or 0)
    result = result_from(items, tests, planned)
    return {
        "format": FORMAT,
        "id": certificate.uid,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "round": certificate.round_number,
        "correct_means": CORRECT,
        **planned,
        "seed": certificate.seed,
        "seed_was_drawn": certificate.request["seed"] is None,
        "items": [item.question_id for item in drawn],
        "outcomes": by_outcome(found),
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
            f"does not show a precision of {planned['target']:.0%}."
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
