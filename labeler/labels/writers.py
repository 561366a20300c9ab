"""Write exported labels in each format, with their provenance."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from mrc.squad import write_squad
from mrc.types import Example


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance of a label; a part that its kind does not have is None."""

    role: str  # of the question
    kind: str  # gold, human, pseudo
    round: int | None
    model: str | None  # hash
    index: str | None  # fingerprint
    calibrator: str | None  # hash
    threshold: float | None  # of release, at that time
    confidence: float | None
    reviewer: str | None


@dataclass(frozen=True, slots=True)
class ExportedLabel:
    """A question with its answers in one passage, and their provenance."""

    example: Example
    provenance: Provenance


def _record(label: ExportedLabel) -> dict[str, Any]:
    """Return one label as a flat record, which `labeler import` reads."""
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
                qa["provenance"] = provenance[qa["id"]]  # the official scripts ignore unknown fields
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


def write_dataset(labels: Sequence[ExportedLabel], folder: Path) -> None:
    """Write the labels as a dataset of the `datasets` package."""
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


#: writers of the formats that are one file
WRITERS: Mapping[str, Callable[[Sequence[ExportedLabel], TextIO], None]] = {
    "squad": lambda labels, file: _write_squad(labels, file, "squad"),
    "squad_v2": lambda labels, file: _write_squad(labels, file, "squad_v2"),
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
