"""Export labels with their provenance; every answer is checked against its passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from db import queries
from db.rows import LabelRow, TrainingRow
from db.vocabulary import LABEL_KINDS, ROLES
from labeler.core.convert import shown_passages, to_example
from labeler.core.errors import ExportRefused
from labeler.core.files import atomic_folder
from labeler.core.files.outputs import output_file
from labeler.labels.browse import TRAINING_ROLES
from labeler.labels.writers import WRITERS, ExportedLabel, Provenance, write_dataset

if TYPE_CHECKING:
    from db.engine import Database, Session

FORMATS = ("squad", "squad_v2", "jsonl", "csv", "hf")
HELD_OUT = {"calibration": "calibration", "dev": "evaluation", "test": "evaluation"}  # role -> purpose


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Counts of labels written, and `left_out`: counts of live labels that were not, by reason."""

    labels: int
    path: str
    kinds: Mapping[str, int]
    left_out: Mapping[str, int]


def export_labels(
    database: Database,
    path: Path,
    *,
    format: str,
    kinds: Sequence[str] = LABEL_KINDS,
    roles: Sequence[str] = TRAINING_ROLES,
    force: bool = False,
) -> ExportReport:
    """Write live labels of these kinds on questions of these roles to `path`, in question id order.

    Of gold and pool questions only released labels are written, and no answer from a passage that belongs to a dev,
    test or calibration question. A question that several files brought is written once. Equal labels give equal bytes.
    `hf` writes a folder, the other formats one file, atomically; `-` is standard output.

    Raises:
        ExportRefused: there is nothing to export, or an answer is not at its offsets.
        FileError: `check_output` refuses the path; `force` overwrites a foreign file.
        OSError: the place cannot be written.
    """
    _check_known("format", [format], FORMATS)
    _check_known("kind", kinds, LABEL_KINDS)
    _check_known("role", roles, ROLES)
    with database.read() as session:
        found = _exported(session, kinds, roles)
        left_out = _left_out(session, found, kinds, roles)
    usable = [label for label in found if label.example.answers or format != "squad"]
    left_out["labels without an answer, which SQuAD 1.1 cannot store"] = len(found) - len(usable)
    if not usable:
        reasons = "".join(f"; left out: {count} {reason}" for reason, count in left_out.items() if count)
        wanted = f"kinds {', '.join(kinds)}, roles {', '.join(roles)}"
        raise ExportRefused(f"no live label to export: {wanted}{reasons}")
    if format == "hf":
        with atomic_folder(path) as folder:
            write_dataset(usable, folder)
    else:
        with output_file(path, force=force, databases=[database.path] if database.path else []) as file:
            WRITERS[format](usable, file)
    return ExportReport(
        labels=len(usable),
        path=str(path),
        kinds=dict(sorted(Counter(label.provenance.kind for label in usable).items())),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _left_out(
    session: Session, found: Sequence[ExportedLabel], kinds: Sequence[str], roles: Sequence[str]
) -> dict[str, int]:
    """Count live labels of these kinds that are not exported, by reason."""
    training = [role for role in roles if role in TRAINING_ROLES]
    live = queries.live_labels(session, kinds=kinds, roles=training)
    unreleased = sum(label.kind == "pseudo" and not label.released for label in live)
    exported = sum(label.provenance.role in training for label in found)
    counts = Counter({"pseudo-labels that are not released": unreleased})
    counts["labels in passages of calibration, dev or test questions"] = len(live) - unreleased - exported
    if "gold" in roles:
        counts.update(_held_out(session, kinds, [role for role in HELD_OUT if role not in roles]))
    return dict(counts)


def _held_out(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> Iterator[str]:
    """Yield the reason for each live label of these held-out roles."""
    labels = queries.live_labels(session, kinds=kinds, roles=roles)
    questions = {row.id: row for row in queries.questions(session, ids=[label.question_id for label in labels])}
    for label in labels:
        role, imported = label.question_role, questions[label.question_id].imported_role
        if imported == role:
            yield f"labels of {role} questions (--role {role} exports them)"
        else:
            yield f"labels of {imported} questions now used for {HELD_OUT[role]} (--role {role} exports them)"


def _check_known(name: str, values: Iterable[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def _exported(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> list[ExportedLabel]:
    rows = [row for row in queries.exportable_labels(session, kinds=kinds) if row.question.role in roles]
    rows += _evaluation_rows(session, kinds, [role for role in roles if role not in TRAINING_ROLES])
    rows.sort(key=lambda row: row.question.id)
    models = {row.id: row.hash for row in queries.models(session)}
    used = {key for row in rows if (key := row.label.calibrator_id) is not None}
    calibrators = {key: queries.calibrator(session, key).hash for key in sorted(used)}
    shown = [row for row in rows if row.passages]  # a no_answer may have no passage that is not held out
    return [_checked(ExportedLabel(to_example(row), _provenance(row.label, models, calibrators))) for row in shown]


def _evaluation_rows(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> list[TrainingRow]:
    """Return labels of held-out questions, with training weight 0."""
    found = [one for role in roles for one in queries.labelled_questions(session, role) if one.label.kind in kinds]
    shown = [shown_passages(one.label) for one in found]
    passages = queries.passages(session, {key for keys in shown for key in keys})
    return [
        TrainingRow(one.question, one.label, 0.0, {key: passages[key] for key in keys})
        for one, keys in zip(found, shown, strict=True)
    ]


def _provenance(label: LabelRow, models: Mapping[int, str], calibrators: Mapping[int, str]) -> Provenance:
    return Provenance(
        role=label.question_role,
        kind=label.kind,
        round=label.round_number,
        model=models.get(label.model_id) if label.model_id is not None else None,
        index=label.index_fingerprint,
        calibrator=calibrators.get(label.calibrator_id) if label.calibrator_id is not None else None,
        threshold=label.threshold,
        confidence=label.confidence,
        reviewer=label.reviewer,
    )


def _checked(label: ExportedLabel) -> ExportedLabel:
    for span in label.example.answers:
        if label.example.context[span.start : span.end] != span.text:
            place = f"{span.start}-{span.end} of passage {span.passage_id}"
            raise ExportRefused(
                f"question {label.example.id}: its answer is not at {place}; correct it: labeler labels set"
            )
    return label
