"""The history of rounds: list, show, compare, revert."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from db import queries, store
from db.engine import Session
from db.rows import LabelRow, RoundRow
from labeler.core.config import Config, changed_settings
from labeler.core.errors import NotReady
from labeler.core.runtime import INDEX_KEY, Runtime
from labeler.evaluation.pseudo_precision import own_pseudo, pseudo_precision
from labeler.evaluation.standing_alarms import standing_alarms
from labeler.rounds.recorded import model_review_of, retriever_summary, revert_retrievers, subset_of
from mrc.errors import MrcError
from mrc.metrics import normalize_answer

if TYPE_CHECKING:
    from labeler.rounds.machine import RoundStatus

EXAMPLES = 10  # changes of answers that a comparison of two rounds shows

Labels = Mapping[str, LabelRow]  # by question id


def predicted(runtime: Runtime, row: RoundRow) -> int:
    """Return how many questions the round has predictions for."""
    with runtime.database.read() as session:
        return len(queries.predicted_ids(session, row.number))


def summary(runtime: Runtime, status: RoundStatus) -> dict[str, Any]:
    """Return a round as `labeler round` prints it."""
    with runtime.database.read() as session:
        counts = queries.counts(session)
        described = _described(runtime, session, status.round)
        raised = [asdict(each) for each in standing_alarms(session)]
    return described | {"alarms": raised, "waiting_for": status.waiting_for, "labels": dict(counts.labels)}


def all_rounds(runtime: Runtime) -> list[dict[str, Any]]:
    """Return every round, reverted ones too, by number."""
    with runtime.database.read() as session:
        return [_described(runtime, session, row) for row in queries.rounds(session)]


def one_round(runtime: Runtime, number: int) -> dict[str, Any]:
    """Return one round with its model, calibrator, settings and events. Raises NotFound."""
    with runtime.database.read() as session:
        row = queries.round_(session, number)
        student = queries.model_of_round(session, number)
        calibrator = queries.calibrator(session, row.calibrator_id) if row.calibrator_id else None
        described = _described(runtime, session, row)
        events = [
            {"at": e.at.isoformat(), "kind": e.kind, **e.detail} for e in queries.events(session, round_number=number)
        ]
    return described | {
        "seed": row.seed,
        "code_version": row.code_version,
        "index": row.index_fingerprint,
        "model": _model(student),
        "calibrator": {"kind": calibrator.kind, **calibrator.metrics} if calibrator else None,
        "config": dict(row.config),
        "changed_settings": changed_settings(Config().resolved(), row.config),
        "events": events,
    }


def _described(runtime: Runtime, session: Session, row: RoundRow) -> dict[str, Any]:
    precision = pseudo_precision(session, row.number, metric=runtime.metric)
    return {
        "round": row.number,
        "kind": row.kind,
        "stage": row.stage,
        "verdict": verdict(row),
        "written": queries.written_counts(session, row.number),
        "pseudo_precision": _rates(precision),
        "labeller": queries.labeller_by_id(session, row.labeller_id).name if row.labeller_id is not None else None,
        "release": row.release,
        "gate": row.gate,
        "scores": (row.gate or {}).get("scores"),
        "retriever": retriever_summary(session, row.number),
        "pool_subset": subset_of(session, row),
        "model_review": model_review_of(session, row.number),
        "opened_at": row.opened_at.isoformat(),
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
    }


def _rates(precision: Any) -> dict[str, Any] | None:
    if precision is None:
        return None
    return {"trained": {"rate": precision.trained.rate, "items": precision.trained.items}}


def verdict(row: RoundRow) -> str:
    """Return the outcome of a round in one word."""
    if row.reverted_at is not None:
        return "reverted"
    if row.promoted is None:
        return "open"
    if row.kind == "audit":
        return "audited"
    return "promoted" if row.promoted else "refused"


def _model(student: Any) -> dict[str, Any] | None:
    if student is None:
        return None
    kept = ("hash", "path", "start", "examples", "seconds", "loss", "training_sha256")
    return {name: value for name, value in asdict(student).items() if name in kept}


def difference(runtime: Runtime, before: int, after: int) -> dict[str, Any]:
    """Return what differs between two rounds: settings, dev scores, counts and pseudo-labels. Raises NotFound."""
    with runtime.database.read() as session:
        rows = [queries.round_(session, number) for number in (before, after)]
        described = [_described(runtime, session, row) for row in rows]
        labels = [{each.question_id: each for each in own_pseudo(session, number)} for number in (before, after)]
        changes = _changes(runtime, *labels)
        examples = _examples(session, changes, *labels)
    return {
        "before": before,
        "after": after,
        "settings": changed_settings(rows[0].config, rows[1].config),
        "scores": {name: [(one["gate"] or {}).get(name) for one in described] for name in ("exact_match", "f1")},
        "written": {name: [one["written"][name] for one in described] for name in described[0]["written"]},
        "pseudo": changes,
        "examples": examples,
    }


def _changes(runtime: Runtime, before: Labels, after: Labels) -> dict[str, list[str]]:
    """Return the ids of questions whose pseudo-label changed, was added or was removed."""

    def answer(label: LabelRow) -> str:
        return normalize_answer(label.answers[0].text, runtime.metric)

    both = before.keys() & after.keys()
    return {
        "changed": sorted(key for key in both if answer(before[key]) != answer(after[key])),
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
    }


def _examples(
    session: Session, changes: Mapping[str, list[str]], before: Labels, after: Labels
) -> list[dict[str, Any]]:
    """Return the first EXAMPLES changes with the question and both answers; None where there is no pseudo-label."""
    listed = [(kind, key) for kind, keys in changes.items() for key in keys][:EXAMPLES]
    questions = {row.id: row.text for row in queries.questions(session, ids=[key for _, key in listed], active=False)}
    return [
        {
            "question_id": key,
            "question": questions[key],
            "change": kind,
            "before": before[key].answers[0].text if key in before else None,
            "after": after[key].answers[0].text if key in after else None,
        }
        for kind, key in listed
    ]


def reverted_by(runtime: Runtime, number: int) -> list[int]:
    """Return the rounds that reverting this one would undo. Raises NotFound."""
    with runtime.database.read() as session:
        queries.round_(session, number)
        return [row.number for row in queries.rounds(session, reverted=False) if row.number >= number]


def revert(runtime: Runtime, number: int, *, with_reviews: bool) -> dict[str, Any]:
    """Undo the rounds from `number` on, and return what that changed. Raises NotFound; Conflict if impossible."""
    with runtime.database.write() as session:
        undone = store.revert(session, number, with_reviews=with_reviews)
        replaced = revert_retrievers(session, undone.rounds)
        best = queries.best_model(session)
        index = queries.get_meta(session, INDEX_KEY)
    return {
        "reverted": list(undone.rounds),
        "withdrawn": undone.labels,
        "restored": undone.restored,
        "reader": f"the reader of round {best.round_number}" if best else "no reader",
        "retrievers": replaced,
        "index": index,
        "next": "labeler index" if replaced and not _usable(runtime, index, without=replaced) else None,
    }


def _usable(runtime: Runtime, index: str | None, *, without: Collection[str]) -> bool:
    """Whether the index exists and uses none of these retrievers."""
    try:
        dense = runtime.index(index).dense if index else None
    except (NotReady, MrcError):
        return False
    return dense is None or dense.encoding.checkpoint not in without
