"""Rounds told and undone: list, show, compare, revert."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from db import queries, store
from db.engine import Session
from db.rows import RoundRow
from labeler.core.config import changed_settings
from labeler.core.errors import NotReady
from labeler.core.runtime import INDEX_KEY, Runtime
from labeler.evaluation.pseudo_precision import own_pseudo, pseudo_precision
from labeler.rounds.machine import RoundStatus
from labeler.rounds.retriever import loop
from mrc.errors import MrcError
from mrc.metrics import normalize_answer


def predicted(runtime: Runtime, row: RoundRow) -> int:
    """How many questions the round has predictions for."""
    with runtime.database.read() as session:
        return len(queries.predicted_ids(session, row.number))


def summary(runtime: Runtime, status: RoundStatus) -> dict[str, Any]:
    """A round as `labeler round` tells it."""
    with runtime.database.read() as session:
        counts = queries.counts(session)
        told = _told(runtime, session, status.round)
    return told | {"waiting_for": status.waiting_for, "labels": dict(counts.labels)}


def all_rounds(runtime: Runtime) -> list[dict[str, Any]]:
    """Every round, reverted ones too, by number."""
    with runtime.database.read() as session:
        return [_told(runtime, session, row) for row in queries.rounds(session)]


def one_round(runtime: Runtime, number: int) -> dict[str, Any]:
    """All that is known of one round. Raises NotFound."""
    with runtime.database.read() as session:
        row = queries.round_(session, number)
        student = queries.model_of_round(session, number)
        calibrator = queries.calibrator(session, row.calibrator_id) if row.calibrator_id else None
        told = _told(runtime, session, row)
        events = [
            {"at": e.at.isoformat(), "kind": e.kind, **e.detail} for e in queries.events(session, round_number=number)
        ]
    return told | {
        "seed": row.seed,
        "code_version": row.code_version,
        "index": row.index_fingerprint,
        "model": _model(student),
        "calibrator": {"kind": calibrator.kind, **calibrator.metrics} if calibrator else None,
        "config": dict(row.config),
        "events": events,
    }


def _told(runtime: Runtime, session: Session, row: RoundRow) -> dict[str, Any]:
    precision = pseudo_precision(session, row.number, metric=runtime.metric)
    return {
        "round": row.number,
        "kind": row.kind,
        "stage": row.stage,
        "verdict": verdict(row),
        "written": queries.written_counts(session, row.number),
        "pseudo_precision": _rates(precision),
        "release": row.release,
        "gate": row.gate,
        "retriever": loop.summary(session, row.number),
        "opened_at": row.opened_at.isoformat(),
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
    }


def _rates(precision: Any) -> dict[str, Any] | None:
    if precision is None:
        return None
    return {
        name: {"rate": checked.rate, "items": checked.items}
        for name, checked in (("released", precision.released), ("trained", precision.trained))
    }


def verdict(row: RoundRow) -> str:
    """What became of a round, in one word."""
    if row.reverted_at is not None:
        return "reverted"
    if row.promoted is None:
        return "open"
    return "promoted" if row.promoted else "refused"


def _model(student: Any) -> dict[str, Any] | None:
    if student is None:
        return None
    kept = ("hash", "path", "start", "examples", "seconds", "loss", "training_sha256")
    return {name: value for name, value in asdict(student).items() if name in kept}


def difference(runtime: Runtime, before: int, after: int) -> dict[str, Any]:
    """What differs between two rounds: settings, marks, and the pseudo-labels they wrote. Raises NotFound."""
    with runtime.database.read() as session:
        rows = [queries.round_(session, number) for number in (before, after)]
        told = [_told(runtime, session, row) for row in rows]
        labels = [own_pseudo(session, number) for number in (before, after)]
    texts = [
        {row.question_id: normalize_answer(row.answers[0].text, runtime.metric) for row in part} for part in labels
    ]
    both = texts[0].keys() & texts[1].keys()
    return {
        "config": changed_settings(rows[0].config, rows[1].config),
        "marks": {name: [(one["gate"] or {}).get(name) for one in told] for name in ("exact_match", "f1")},
        "written": {name: [one["written"][name] for one in told] for name in told[0]["written"]},
        "pseudo": {
            "came": sorted(texts[1].keys() - texts[0].keys()),
            "went": sorted(texts[0].keys() - texts[1].keys()),
            "changed": sorted(key for key in both if texts[0][key] != texts[1][key]),
        },
    }


def revert(runtime: Runtime, number: int, *, with_reviews: bool) -> dict[str, Any]:
    """What undoing the rounds from `number` on did. Raises NotFound; Conflict where that cannot be undone."""
    with runtime.database.write() as session:
        undone = store.revert(session, number, with_reviews=with_reviews)
        taken = loop.take_back(session, undone.rounds)
        best = queries.best_model(session)
        index = queries.get_meta(session, INDEX_KEY)
    return {
        "reverted": list(undone.rounds),
        "withdrawn": undone.labels,
        "restored": undone.restored,
        "reader": f"the reader of round {best.round_number}" if best else "no reader",
        "retrievers": taken,
        "index": index,
        "next": "labeler index" if taken and not _stands(runtime, index, without=taken) else None,
    }


def _stands(runtime: Runtime, index: str | None, *, without: Collection[str]) -> bool:
    """Whether there is such an index, and it finds passages without any of these retrievers."""
    try:
        dense = runtime.index(index).dense if index else None
    except (NotReady, MrcError):
        return False
    return dense is None or dense.encoding.checkpoint not in without
