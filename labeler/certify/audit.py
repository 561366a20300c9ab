"""The audit of a certificate: predictions, the frozen ranking, the draw, and its blind tasks."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from db import certificates, queries, store
from db.engine import Session
from db.rows import CertificateRow, NewPrediction, NewTask, PredictionRow, RoundRow
from labeler.certify.ranking import frozen, plan, ranking
from labeler.certify.request import Attempt
from labeler.core.runtime import Runtime
from labeler.review.agreement import matcher_of
from labeler.rounds.select import doubly_annotated
from labeler.rounds.steps import predicting
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
    first = range(planned.looks[0].audits if planned.looks else 0)
    place = dict(zip(drawn, first, strict=False))
    items = [replace(item, drawn=place.get(item.question_id)) for item in found.items]
    tasks = blind_tasks(runtime, row, drawn, predictions, places=first)
    with runtime.database.write() as session:
        certificates.freeze(session, certificate.id, plan=described, seed=seed, items=items)
        if source != row.number:
            _borrow(session, row, predictions)
        store.add_tasks(session, row.number, tasks)
        detail = {"drawn": len(first), "planned": len(drawn), "ranked": len(items)}
        store.add_event(session, "audit_drawn", detail=detail, round_number=row.number)
        return store.advance(session, row.number, "predicted", "in_review")


def blind_tasks(
    runtime: Runtime, row: RoundRow, drawn: Sequence[str], predictions: Sequence[PredictionRow], *, places: range
) -> list[NewTask]:
    """The blind tasks for these places of the draw."""
    pages = {entry.question_id: page(entry, places=runtime.config.review.passages) for entry in predictions}
    double = doubly_annotated(drawn, runtime.config.review.double_annotation, seed=row.seed)
    return [
        NewTask(key, "audit", True, place, pages[key], reviewers=2 if key in double else 1)
        for place, key in enumerate(drawn)
        if place in places
    ]


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
