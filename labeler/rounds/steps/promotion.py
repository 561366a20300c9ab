"""trained -> closed: the gate compares the student with the current reader on dev, and its verdict takes effect.

A retriever that the round trained is judged separately: either may be promoted without the other.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from db import queries, store
from db.rows import ModelRow, RoundRow
from db.store import RoundChanges
from labeler.core.runtime import Runtime
from labeler.evaluation import reader_metrics
from labeler.evaluation.alarms import alarms
from labeler.reading import tuning
from labeler.rounds.drift import measure_drift
from labeler.rounds.gate import Verdict, compare, first_reader
from labeler.rounds.retriever.promotion import apply_outcome, judge_encoder
from labeler.rounds.steps import retrying


def close(runtime: Runtime, row: RoundRow) -> RoundRow:
    """Close the round: promote its student, or withdraw its pseudo-labels and restore the earlier ones."""
    with runtime.database.read() as session:
        student = queries.model_of_round(session, row.number)
        best = queries.best_model(session)
    assert student is not None, "a trained round has its student"
    student, verdict, again = _better_of_two(runtime, row, student, best)
    encoder = judge_encoder(runtime, row)
    with runtime.database.read() as session:
        drift = measure_drift(runtime, session, row)
    raised = alarms(drift, runtime.config.gate) if row.kind == "loop" else ()
    gate = asdict(verdict) | {
        "alarms": [asdict(alarm) for alarm in raised],
        "scores": _scores(runtime, row, student, best),
        "retried": again,
    }
    with runtime.database.write() as session:
        if not verdict.promoted:
            store.withdraw_round(session, row.number, reason=f"round {row.number} was refused")
        if encoder is not None:
            apply_outcome(session, row, encoder)
        store.make_student(session, row.number, student.id, other=retrying.SECOND)
        detail = {"promoted": verdict.promoted, "why": verdict.why}
        store.add_event(session, "closed", detail=detail, round_number=row.number)
        changes: RoundChanges = {"gate": gate, "promoted": verdict.promoted, "student_id": student.id}
        return store.advance(session, row.number, "trained", "closed", **changes)


def _better_of_two(
    runtime: Runtime, row: RoundRow, student: ModelRow, best: ModelRow | None
) -> tuple[ModelRow, Verdict, dict[str, Any] | None]:
    """The student with its verdict; of two where the first fell into a bad seed, and then what is stored about that."""
    verdict = judge(runtime, row, student, best)
    again = retrying.retried(runtime, row, student, best, verdict)
    if again is None or again.model is None:
        return student, verdict, again.outcome([verdict], 0) if again else None
    other = judge(runtime, row, again.model, best)
    better = retrying.is_better(other, verdict, second_loss=again.model.loss, first_loss=student.loss)
    outcome = again.outcome([verdict, other], int(better))
    return (again.model, other, outcome) if better else (student, verdict, outcome)


def judge(runtime: Runtime, row: RoundRow, student: ModelRow, best: ModelRow | None) -> Verdict:
    """The verdict on dev, with the round's own index, whatever was indexed since.

    The post-processing rules of both readers are tuned on dev first. The first reader of a workspace is promoted.
    """
    index = row.index_fingerprint
    if not reader_metrics.scorable(runtime, "dev", index=index):
        return compare((), (), runtime.config.gate, seed=row.seed)
    for model in (student, best):
        if model is not None:
            tuning.tune(runtime, model, index=index)
    after = reader_metrics.question_scores(runtime, student, "dev", index=index)
    before = reader_metrics.question_scores(runtime, best, "dev", index=index) if best else after
    verdict = compare(after, before, runtime.config.gate, seed=row.seed)
    return verdict if best else first_reader(verdict)


def _scores(
    runtime: Runtime, row: RoundRow, student: ModelRow, best: ModelRow | None
) -> dict[str, dict[str, Any] | None] | None:
    """The dev scores of the student and of the reader before it, with intervals; None without dev questions."""
    index = row.index_fingerprint
    if not reader_metrics.scorable(runtime, "dev", index=index):
        return None
    before = asdict(reader_metrics.reader_scores(runtime, best, "dev", index=index)) if best else None
    return {"student": asdict(reader_metrics.reader_scores(runtime, student, "dev", index=index)), "before": before}
