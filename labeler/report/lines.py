"""The table of rounds: what each learned from, how its student did, what was decided."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from db import queries
from db.engine import Session
from db.rows import EvaluationRow, ModelRow, ReviewRow, RoundRow
from labeler.report.data import Audit, Measure, RoundLine, Score, Taught, Training
from mrc.calibration.selective import ReleaseRule

SPLITS = ("dev", "test")


def round_lines(
    session: Session,
    rounds: Sequence[RoundRow],
    reviews: Sequence[ReviewRow],
    newest: Mapping[tuple[int, str], EvaluationRow],
) -> tuple[RoundLine, ...]:
    best = queries.best_model(session)
    models = {model.id: model for model in queries.models(session)}
    lines = []
    for row in rounds:
        snapshot = queries.release(session, row.number)
        seen = [review for review in reviews if review.round_number <= row.number]
        times = [review.seconds for review in seen if review.seconds is not None]
        line = RoundLine(
            number=row.number,
            kind=row.kind,
            stage=row.stage,
            outcome=_outcome(row),
            is_best=best is not None and best.id == row.student_id,
            training=_training(models.get(row.student_id or 0)),
            taught=_taught(session, row.number),
            released=snapshot.count if snapshot else 0,
            scores={split: _score(newest[key]) for split in SPLITS if (key := (row.student_id or 0, split)) in newest},
            gate=row.gate["why"] if row.gate else None,
            release=_release_rule(row),
            audit=_audit(row),
            reviews=len(seen),
            minutes=sum(times) / 60 if times or not seen else None,
        )
        lines.append(line)
    return tuple(lines)


def _outcome(row: RoundRow) -> str:
    if row.reverted_at is not None:
        return "reverted"
    if row.promoted is None:
        return "open"
    return "promoted" if row.promoted else "refused"


def _training(model: ModelRow | None) -> Training | None:
    return None if model is None else Training(model.examples, model.seconds, model.loss)


def _taught(session: Session, round_number: int) -> Taught:
    counts: Counter[tuple[str, bool]] = Counter()
    for (kind, released, _), count in queries.training_counts(session, round_number).items():
        counts[kind, kind == "pseudo" and released] += count
    return Taught(
        gold=counts["gold", False],
        human=counts["human", False],
        pseudo_released=counts["pseudo", True],
        pseudo_kept=counts["pseudo", False],
    )


def _release_rule(row: RoundRow) -> ReleaseRule | None:
    if not row.release:
        return None
    return ReleaseRule(**{field.name: row.release[field.name] for field in dataclasses.fields(ReleaseRule)})


def _audit(row: RoundRow) -> Audit | None:
    audit = row.release.get("audit") if row.release else None
    return Audit(audit["released_correct"], audit["released_items"]) if audit and audit["released_items"] else None


def newest_evaluations(session: Session) -> dict[tuple[int, str], EvaluationRow]:
    """The newest evaluation of each model on each split: end to end, or on given passages where there is no other."""
    rows = sorted(queries.evaluations(session), key=lambda row: (row.summary["mode"] == "end_to_end", row.id))
    return {(row.model_id, row.split): row for row in rows}


def _score(row: EvaluationRow) -> Score:
    return Score(
        exact_match=Measure(row.summary["exact_match"], *row.summary["intervals"]["exact_match"]),
        f1=Measure(row.summary["f1"], *row.summary["intervals"]["f1"]),
        questions=row.summary["questions"],
        given=row.summary["mode"] != "end_to_end",
    )
