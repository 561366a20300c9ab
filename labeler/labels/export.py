"""Labels out of a workspace, every answer checked against its passage once more, with where it came from beside it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from db import queries
from db.rows import LabelRow, TrainingRow
from db.vocabulary import LABEL_KINDS, ROLES
from labeler.core.convert import shown_passages, to_example
from labeler.core.errors import ExportRefused
from labeler.core.files import atomic_folder, atomic_write
from mrc.squad import write_squad
from mrc.types import Example

if TYPE_CHECKING:
    from db.engine import Database, Session

FORMATS = ("squad", "squad_v2", "jsonl", "csv", "hf")
TEACHING = ("gold", "pool")  # roles exported unless others are asked for


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a label came from; a part that its kind does not have is None."""

    role: str  # of the question
    kind: str  # gold, human, pseudo
    round: int | None
    model: str | None  # hash
    index: str | None  # fingerprint
    calibrator: str | None  # hash
    threshold: float | None  # of release, as it stood
    confidence: float | None
    reviewer: str | None


@dataclass(frozen=True, slots=True)
class ExportedLabel:
    """A question with its golds in one passage, and their provenance."""

    example: Example
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written. `left_out`: live labels of these kinds and roles that were not, by the reason."""

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
    roles: Sequence[str] = TEACHING,
) -> ExportReport:
    """What was written to `path`: live labels of these kinds on questions of these roles, in question id order.

    Of the gold and pool roles only what may leave: pseudo-labels that were released, no answer from a passage that
    belongs to dev, test or calibration. Golds leave once each, however often the file that brought them had them. Equal
    contents give equal bytes. `hf` writes a folder, the others one file,
    whole or not at all.

    Raises:
        ExportRefused: there is nothing to export, or an answer does not stand in its passage.
        FileError, OSError: the place cannot be written.
    """
    _check_known("format", [format], FORMATS)
    _check_known("kind", kinds, LABEL_KINDS)
    _check_known("role", roles, ROLES)
    with database.read() as session:
        found = _exported(session, kinds, roles)
        teaching = [role for role in roles if role in TEACHING]
        live = queries.live_labels(session, kinds=kinds, roles=teaching)
    unreleased = sum(not label.released for label in live)
    barred = len(live) - unreleased - sum(label.provenance.role in teaching for label in found)
    usable = [label for label in found if label.example.answers or format != "squad"]
    if not usable:
        held = f" ({unreleased} pseudo-labels are not released)" if unreleased else ""
        raise ExportRefused(f"no live label to export: kinds {', '.join(kinds)}, questions of {', '.join(roles)}{held}")
    if format == "hf":
        with atomic_folder(path) as folder:
            _write_dataset(usable, folder)
    else:
        with atomic_write(path) as file:
            _WRITERS[format](usable, file)
    left_out = {
        "pseudo-labels that are not released": unreleased,
        "labels on passages that belong to calibration, dev or test": barred,
        "no_answer labels, which SQuAD 1.1 cannot say": len(found) - len(usable),
    }
    return ExportReport(
        labels=len(usable),
        path=str(path),
        kinds=dict(sorted(Counter(label.provenance.kind for label in usable).items())),
        left_out={why: count for why, count in left_out.items() if count},
    )


def _check_known(name: str, values: Iterable[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def _exported(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> list[ExportedLabel]:
    rows = [row for row in queries.exportable_labels(session, kinds=kinds) if row.question.role in roles]
    rows += _evaluation_rows(session, kinds, [role for role in roles if role not in TEACHING])
    rows.sort(key=lambda row: row.question.id)
    models = {row.id: row.hash for row in queries.models(session)}
    used = {key for row in rows if (key := row.label.calibrator_id) is not None}
    calibrators = {key: queries.calibrator(session, key).hash for key in sorted(used)}
    shown = [row for row in rows if row.passages]  # a no_answer whose passages are all held out has nothing to show
    return [_checked(ExportedLabel(to_example(row), _provenance(row.label, models, calibrators))) for row in shown]


def _evaluation_rows(session: Session, kinds: Sequence[str], roles: Sequence[str]) -> list[TrainingRow]:
    """Labels of held-out questions; these teach with weight 0."""
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
            raise ExportRefused(f"question {label.example.id}: its answer does not stand at {place}; mend the label")
    return label


def _record(label: ExportedLabel) -> dict[str, Any]:
    """One label as a flat record; `labeler import` reads it back."""
    example = label.example
    return {
        "id": example.id,
        "title": example.title,
        "context": example.context,
        "question": example.question,
        "answers": {
            "text": [span.text for span in example.answers],
            "answer_start": [span.start for span in example.answers],
        },
        "is_impossible": not example.answers,
        **asdict(label.provenance),
    }


def _write_squad(labels: Sequence[ExportedLabel], file: TextIO, version: Literal["squad", "squad_v2"]) -> None:
    data = write_squad([label.example for label in labels], version=version)
    provenance = {label.example.id: asdict(label.provenance) for label in labels}
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                qa["provenance"] = provenance[qa["id"]]  # the official scripts look at the fields that they know
    json.dump(data, file, ensure_ascii=False)
    file.write("\n")


def _write_jsonl(labels: Sequence[ExportedLabel], file: TextIO) -> None:
    for label in labels:
        file.write(json.dumps(_record(label), ensure_ascii=False) + "\n")


def _write_csv(labels: Sequence[ExportedLabel], file: TextIO) -> None:
    rows = [_record(label) for label in labels]
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        ]
        writer.writerow(row | {"answers": json.dumps(answers, ensure_ascii=False)})


def _write_dataset(labels: Sequence[ExportedLabel], folder: Path) -> None:
    from labeler.importing.formats.hf import quiet_datasets

    datasets = quiet_datasets()
    text, number = datasets.Value("string"), datasets.Value("float64")
    features = datasets.Features(
        {
            **dict.fromkeys(("id", "title", "context", "question"), text),
            "answers": {"text": datasets.Sequence(text), "answer_start": datasets.Sequence(datasets.Value("int32"))},
            "is_impossible": datasets.Value("bool"),
            **dict.fromkeys(("role", "kind"), text),
            "round": datasets.Value("int32"),
            **dict.fromkeys(("model", "index", "calibrator"), text),
            **dict.fromkeys(("threshold", "confidence"), number),
            "reviewer": text,
        }
    )
    datasets.Dataset.from_list([_record(label) for label in labels], features=features).save_to_disk(str(folder))


_WRITERS: Mapping[str, Callable[[Sequence[ExportedLabel], TextIO], None]] = {
    "squad": lambda labels, file: _write_squad(labels, file, "squad"),
    "squad_v2": lambda labels, file: _write_squad(labels, file, "squad_v2"),
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
