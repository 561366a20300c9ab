"""Which labels may be exported, and which are left out and why: nothing leaves on two sides of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from db import queries
from db.rows import LabelRow, TrainingRow
from db.vocabulary import HELD_OUT
from labeler.certificates.standing import Standing, in_force, released_labels
from labeler.core.convert import shown_passages
from labeler.labels.browse import TRAINING_ROLES
from labeler.leaks.find import EVALUATION, Leaking, find_leaks

if TYPE_CHECKING:
    from db.engine import Session
    from labeler.leaks.dense import PassageVectors

PURPOSE = {"calibration": "calibration", "dev": "evaluation", "test": "evaluation"}  # of a held-out role
LEAKING = "labels that nearly equal dev or test (list: labeler leaks; export them: --with-leaks)"
UNDONE = "labels in passages whose import was undone"
UNCERTIFIED = "pseudo-labels that no certificate in force covers (--uncertified exports them)"
EXCLUDED = "labels of questions that reviewers rejected as bad"
IN_HELD_OUT = "labels in passages of calibration, dev or test questions"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A label that is not exported, and why. `conflict`: the passage or the question it would meet on another side."""

    question_id: str
    why: str
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """The side of each passage, of each question by its near-equal identity, and the passages of undone imports."""

    passages: Mapping[str, str]
    questions: Mapping[str, tuple[str, str]]  # identity -> side, a question id
    inactive: frozenset[str]


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """The pseudo-labels that may leave: those of the certificate in force and, if asked for, the others."""

    certified: tuple[LabelRow, ...] = ()
    uncertified: tuple[LabelRow, ...] = ()
    certificate: Standing | None = None


def pseudo_labels(session: Session, *, uncertified: bool) -> PseudoLabels:
    """Return the pseudo-labels that may leave.

    A certificate releases the labels that it covers as they were, whatever a later round wrote in their place.
    """
    found = in_force(session)
    certified = released_labels(session, found[0]) if found is not None else []
    covered = {label.question_id for label in certified}
    others = queries.live_labels(session, kinds=["pseudo"], roles=["pool"]) if uncertified else []
    return PseudoLabels(
        tuple(certified),
        tuple(label for label in others if label.question_id not in covered),
        found[1] if found is not None else None,
    )


def exportable_rows(
    session: Session,
    kinds: Sequence[str],
    roles: Sequence[str],
    pseudo: PseudoLabels,
    *,
    with_leaks: bool = False,
) -> tuple[list[TrainingRow], list[LeftOut]]:
    """Return the labels of these kinds and roles to export, by question id, and the live ones left out.

    A label stays on the side of its question: one whose passage, or whose question, nearly equals one on a stricter
    side (test before dev before calibration before training) is left out, unless `with_leaks`.
    """
    training = [role for role in roles if role in TRAINING_ROLES]
    made = [kind for kind in kinds if kind != "pseudo"]
    rows = [row for row in queries.exportable_labels(session, kinds=made) if row.question.role in training]
    live = queries.live_labels(session, kinds=kinds, roles=training)
    if "pseudo" in kinds and "pool" in training:
        chosen = [*pseudo.certified, *pseudo.uncertified]
        rows += queries.usable_labels(session, chosen)
        ids = {label.question_id for label in chosen}
        live = [*(label for label in live if label.question_id not in ids), *chosen]
    rows += _held_out_rows(session, kinds, [role for role in roles if role not in TRAINING_ROLES])
    sides = _sides(session, [*live, *(row.label for row in rows)], {row.question.normalized for row in rows})
    candidates = {row.question.id for row in rows}
    may_leave = {label.id for label in (*pseudo.certified, *pseudo.uncertified)}
    missing = [label for label in live if label.question_id not in candidates]
    excluded = {
        row.id
        for row in queries.questions(session, ids=[label.question_id for label in missing])
        if row.exclusion_reason
    }
    left_out = [
        LeftOut(label.question_id, EXCLUDED) if label.question_id in excluded else _missing(label, sides, may_leave)
        for label in missing
    ]
    kept = []
    for row in sorted(rows, key=lambda row: row.question.id):
        usable = _on_its_side(row, sides)
        fault = _fault(usable, sides)
        if fault is None or (with_leaks and fault.conflict and fault.why != UNDONE):
            kept.append(usable)
            if row.label.texts:
                left_out.append(LeftOut(row.question.id, "golds that do not stand in their context"))
        else:
            left_out.append(fault)
    return kept, left_out


def without_leaks(
    session: Session, rows: Sequence[TrainingRow], vectors: PassageVectors | None
) -> tuple[list[TrainingRow], list[LeftOut]]:
    """Return the labels that stand in, or nearly equal, no passage and no question of dev or test, and the others.

    Labels of dev and test questions themselves are kept; without others, nothing is compared.
    """
    if all(row.question.role in EVALUATION for row in rows):
        return list(rows), []
    leaking = Leaking.of(find_leaks(session, vectors, documents=False))
    kept, left_out = [], []
    for row in rows:
        other = None if row.question.role in EVALUATION else leaking.other(row)
        if other is None:
            kept.append(leaking.without(row))
        else:
            left_out.append(LeftOut(row.question.id, LEAKING, other))
    return kept, left_out


def of_other_roles(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> Iterator[LeftOut]:
    """Yield the labels of held-out questions whose role is not wanted."""
    labels = queries.live_labels(session, kinds=kinds, roles=[role for role in HELD_OUT if role not in roles])
    questions = {row.id: row for row in queries.questions(session, ids=[label.question_id for label in labels])}
    for label in labels:
        role, imported = label.question_role, questions[label.question_id].imported_role
        whose = f"{role} questions" if imported == role else f"{imported} questions now used for {PURPOSE[role]}"
        yield LeftOut(label.question_id, f"labels of {whose} (--role {role} exports them)")


def _held_out_rows(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> list[TrainingRow]:
    """Return the labels of questions that do not train, with training weight 0."""
    found = [one for role in roles for one in queries.labelled_questions(session, role) if one.label.kind in kinds]
    shown = [shown_passages(one.label) for one in found]
    passages = queries.passages(session, {key for keys in shown for key in keys})
    return [
        TrainingRow(one.question, one.label, 0.0, {key: passages[key] for key in keys})
        for one, keys in zip(found, shown, strict=True)
    ]


def _sides(session: Session, labels: Iterable[LabelRow], questions: Iterable[str]) -> Sides:
    passages = {key for label in labels for key in shown_passages(label)}
    return Sides(
        queries.passage_sides(session, passages),
        queries.question_sides(session, questions),
        frozenset(queries.inactive_passages(session)),
    )


def _side(label: LabelRow) -> str:
    return "train" if label.question_role in TRAINING_ROLES else label.question_role


def _missing(label: LabelRow, sides: Sides, may_leave: Set[int]) -> LeftOut:
    """Return why a live label is left out that is on its side of the split."""
    if label.kind == "pseudo" and label.id not in may_leave:
        return LeftOut(label.question_id, UNCERTIFIED)
    return _place_fault(label, sides) or LeftOut(label.question_id, IN_HELD_OUT)


def _on_its_side(row: TrainingRow, sides: Sides) -> TrainingRow:
    """Return the row without the passages shown with a no_answer that are on another side, or inactive."""
    if not row.label.no_answer:
        return row
    usable = {key: each for key, each in row.passages.items() if _why_not(row.label, key, sides) is None}
    return replace(row, passages=usable)


def _fault(row: TrainingRow, sides: Sides) -> LeftOut | None:
    """Return why a label cannot be exported, or None."""
    mine = _side(row.label)
    side, other = sides.questions.get(row.question.normalized, (mine, ""))
    if side != mine:
        why = f"labels of {row.question.role} questions that nearly equal {side} questions"
        return LeftOut(row.question.id, why, other)
    if row.label.no_answer and row.passages:
        return None
    if not shown_passages(row.label):
        nowhere = "labels whose golds do not stand in their context" if row.label.texts else "labels without a passage"
        return LeftOut(row.question.id, nowhere)
    return _place_fault(row.label, sides)


def _place_fault(label: LabelRow, sides: Sides) -> LeftOut | None:
    """Return the first passage in which a label cannot be exported, and why, or None."""
    whys = ((key, _why_not(label, key, sides)) for key in shown_passages(label))
    return next((LeftOut(label.question_id, why, key) for key, why in whys if why is not None), None)


def _why_not(label: LabelRow, passage_id: str, sides: Sides) -> str | None:
    """Return why a label in this passage cannot be exported, or None."""
    if passage_id in sides.inactive:
        return UNDONE
    mine, side = _side(label), sides.passages.get(passage_id)
    if side in (None, mine):
        return None
    return IN_HELD_OUT if mine == "train" else f"labels of {mine} questions in passages of {side} questions"
