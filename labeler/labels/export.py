"""Export labels with their provenance; every answer is checked against its passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from db import queries
from db.rows import LabelRow, TrainingRow
from db.vocabulary import LABEL_KINDS, ROLES
from labeler.certificates.standing import Standing
from labeler.certificates.uncertified import EstimatedPrecision, estimated_precision
from labeler.core.convert import to_example
from labeler.core.errors import ExportRefused
from labeler.core.files import atomic_folder
from labeler.core.files.outputs import output_file
from labeler.evaluation.standing_alarms import RoundAlarm, check_release, standing_alarms
from labeler.labels.browse import TRAINING_ROLES
from labeler.labels.dataset_card import dataset_card
from labeler.labels.exportable import (
    LeftOut,
    PseudoLabels,
    exportable_rows,
    of_other_roles,
    pseudo_labels,
    without_leaks,
)
from labeler.labels.writers import SAFE_CSV, WRITERS, ExportedLabel, Provenance, split_of, write_dataset
from mrc.metrics import Metric

if TYPE_CHECKING:
    from db.engine import Database, Session
    from labeler.leaks.dense import PassageVectors

FORMATS = ("squad", "squad_v2", "jsonl", "csv", "hf")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Counts of labels written, and `left_out`: counts of live labels that were not, by reason.

    `conflicts` lists those of them that would stand on two sides of a split.
    """

    labels: int
    path: str
    kinds: Mapping[str, int]
    splits: Mapping[str, int]
    left_out: Mapping[str, int]
    conflicts: Sequence[LeftOut]
    alarms: Sequence[RoundAlarm] = ()  # those in force
    certificate: Standing | None = None  # in force: it vouches for the pseudo-labels written
    uncertified: EstimatedPrecision | None = None  # of pseudo-labels written that nobody vouches for


def export_labels(
    database: Database,
    path: Path,
    *,
    format: str,
    kinds: Sequence[str] = LABEL_KINDS,
    roles: Sequence[str] = TRAINING_ROLES,
    force: bool = False,
    safe_csv: bool = False,
    despite_alarms: bool = False,
    with_leaks: bool = False,
    vectors: PassageVectors | None = None,
    uncertified: bool = False,
    metric: Metric = "squad",
) -> ExportReport:
    """Write live labels of these kinds on questions of these roles to `path`, in question id order.

    Of gold and pool questions only released labels are written; a pseudo-label is released by the certificate in force.
    With `uncertified` the other pseudo-labels are written too; their columns say that nobody vouches for them. No
    passage and no question is written on two sides of the split, nor nearly equal ones; see `exportable_rows`. A
    question that several files brought is written once. Equal labels give equal bytes. `hf` writes a folder, the other
    formats one file, atomically; `-` is standard output. `safe_csv`: no cell of CSV is a formula in a spreadsheet.
    `despite_alarms`: pseudo-labels leave although an alarm says not to trust their confidence. `with_leaks`: labels
    leave that stand in, or nearly equal, a passage or a question of dev or test; else they are left out. `vectors`: of
    the passages, to find such in other words. `metric`: compares answers with reviews for the estimate.

    Raises:
        ReleaseStopped: an alarm stops the export of pseudo-labels.
        ExportRefused: there is nothing to export, or an answer is not at its offsets.
        FileError: `check_output` refuses the path; `force` overwrites a foreign file.
        OSError: the place cannot be written.
    """
    _check_known("format", [format], FORMATS)
    _check_known("kind", kinds, LABEL_KINDS)
    _check_known("role", roles, ROLES)
    with database.read() as session:
        pseudo = pseudo_labels(session, uncertified=uncertified)
        rows, left_out = _selected(session, kinds, roles, pseudo, with_leaks=with_leaks, vectors=vectors)
        check_release(session, _predicted_in(rows, pseudo), despite=despite_alarms)
        raised = standing_alarms(session)
        vouching = _vouching(session, rows, pseudo, metric)
        found = _exported(session, rows, vouching)
    if format == "squad":
        found, unanswered = _answered(found)
        left_out += unanswered
    if not found:
        _refuse_empty(kinds, roles, left_out)
    written = SAFE_CSV if safe_csv and format == "csv" else format
    _write(found, path, format=written, force=force, databases=[database.path] if database.path else [])
    return _reported(found, path, left_out, vouching, raised)


def _reported(
    found: Sequence[ExportedLabel],
    path: Path,
    left_out: Sequence[LeftOut],
    vouching: _Vouching,
    raised: Sequence[RoundAlarm],
) -> ExportReport:
    return ExportReport(
        labels=len(found),
        path=str(path),
        kinds=_counted(label.provenance.kind for label in found),
        splits=_counted(split_of(label) for label in found),
        left_out=_reasons(left_out),
        conflicts=tuple(one for one in left_out if one.conflict),
        alarms=raised,
        certificate=vouching.certificate,
        uncertified=vouching.estimate,
    )


def _reasons(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """How many labels were left out, by reason, the most frequent first."""
    return dict(Counter(one.why for one in left_out).most_common())


def _selected(
    session: Session,
    kinds: Sequence[str],
    roles: Sequence[str],
    pseudo: PseudoLabels,
    *,
    with_leaks: bool,
    vectors: PassageVectors | None,
) -> tuple[Sequence[TrainingRow], list[LeftOut]]:
    """The labels to write, and those that are left out, each with its reason."""
    rows, left_out = exportable_rows(session, kinds, roles, pseudo, with_leaks=with_leaks)
    if not with_leaks:
        rows, leaking = without_leaks(session, rows, vectors)
        left_out += leaking
    if "gold" in roles:
        left_out += of_other_roles(session, kinds, roles)
    return rows, left_out


def _answered(labels: Sequence[ExportedLabel]) -> tuple[list[ExportedLabel], list[LeftOut]]:
    """The labels with an answer, and the others."""
    why = "labels without an answer, which SQuAD 1.1 cannot store"
    left_out = [LeftOut(label.example.id, why) for label in labels if not label.example.answers]
    return [label for label in labels if label.example.answers], left_out


def _refuse_empty(kinds: Sequence[str], roles: Sequence[str], left_out: Sequence[LeftOut]) -> NoReturn:
    """Raise ExportRefused because no label is left, with the reasons."""
    reasons = "".join(f"; left out: {count} {reason}" for reason, count in _reasons(left_out).items())
    wanted = f"kinds {', '.join(kinds)}, roles {', '.join(roles)}"
    raise ExportRefused(f"no live label to export: {wanted}{reasons}")


def _write(labels: Sequence[ExportedLabel], path: Path, *, format: str, force: bool, databases: Sequence[Path]) -> None:
    if format == "hf":
        with atomic_folder(path) as folder:
            write_dataset(labels, folder)
            (folder / "README.md").write_text(dataset_card(labels, name=path.name), encoding="utf-8")
        return
    with output_file(path, force=force, databases=databases) as file:
        WRITERS[format](labels, file)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _check_known(name: str, values: Iterable[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def _predicted_in(rows: Sequence[TrainingRow], pseudo: PseudoLabels) -> set[int | None]:
    """The rounds whose confidences the pseudo-labels to export rest on."""
    certified = {label.id for label in pseudo.certified}
    source = pseudo.certificate.predictions_of_round if pseudo.certificate else None
    made = [row.label for row in rows if row.label.kind == "pseudo"]
    return {source if label.id in certified else label.round_number for label in made}


@dataclass(frozen=True, slots=True)
class _Vouching:
    """Who vouches for a label."""

    certificate: Standing | None
    certified: frozenset[int]  # ids of its labels
    estimate: EstimatedPrecision | None

    def columns(self, label: LabelRow) -> dict[str, Any]:
        """The columns of a label that say who vouches for it, and its precision."""
        if label.kind != "pseudo":
            return {}
        if self.certificate is not None and label.id in self.certified:
            return {
                "vouched_by": "certificate",
                "certificate": self.certificate.certificate,
                "precision_low": self.certificate.unseen_precision_at_least,
            }
        known = self.estimate
        return {
            "vouched_by": "nobody",
            "precision": known.precision if known else None,
            "precision_low": known.low if known else None,
            "precision_high": known.high if known else None,
        }


def _vouching(session: Session, rows: Sequence[TrainingRow], pseudo: PseudoLabels, metric: Metric) -> _Vouching:
    """Who vouches for these labels, with the estimated precision of those for whom nobody does."""
    others = {label.id for label in pseudo.uncertified}
    loose = [row.label for row in rows if row.label.id in others]
    estimate = estimated_precision(session, loose, metric) if loose else None
    return _Vouching(pseudo.certificate, frozenset(label.id for label in pseudo.certified), estimate)


def _exported(session: Session, rows: Sequence[TrainingRow], vouching: _Vouching) -> list[ExportedLabel]:
    models = {row.id: row.hash for row in queries.models(session)}
    used = {key for row in rows if (key := row.label.calibrator_id) is not None}
    calibrators = {key: queries.calibrator(session, key).hash for key in sorted(used)}
    named = {row.id: row.name for row in queries.labellers(session)}
    return [
        _checked(ExportedLabel(to_example(row), _provenance(row.label, models, named, calibrators, vouching)))
        for row in rows
    ]


def _provenance(
    label: LabelRow,
    models: Mapping[int, str],
    labellers: Mapping[int, str],
    calibrators: Mapping[int, str],
    vouching: _Vouching,
) -> Provenance:
    return Provenance(
        role=label.question_role,
        kind=label.kind,
        round=label.round_number,
        model=models.get(label.model_id) if label.model_id is not None else None,
        labeller=labellers.get(label.labeller_id) if label.labeller_id is not None else None,
        index=label.index_fingerprint,
        calibrator=calibrators.get(label.calibrator_id) if label.calibrator_id is not None else None,
        threshold=label.threshold,
        confidence=label.confidence,
        reviewer=label.reviewer,
        **vouching.columns(label),
    )


def _checked(label: ExportedLabel) -> ExportedLabel:
    for span in label.example.answers:
        if label.example.context[span.start : span.end] != span.text:
            place = f"{span.start}-{span.end} of passage {span.passage_id}"
            raise ExportRefused(
                f"question {label.example.id}: its answer is not at {place}; correct it: labeler labels set"
            )
    return label
