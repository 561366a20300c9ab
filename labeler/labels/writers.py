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

SAFE_CSV = "safe_csv"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of a cell that spreadsheets take for a formula


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance of a label; a part that its kind does not have is None."""

    role: str  # of the question
    kind: str  # gold, human, pseudo
    round: int | None
    model: str | None  # hash
    labeller: str | None  # that made a pseudo-label instead of a model
    index: str | None  # fingerprint
    calibrator: str | None  # hash
    threshold: float | None  # of release, at that time
    confidence: float | None
    reviewer: str | None
    vouched_by: str = "people"  # people, certificate, nobody
    certificate: str | None = None  # id of the one that released a pseudo-label
    precision: float | None = None  # estimated, of pseudo-labels that nobody vouches for
    precision_low: float | None = None  # its 95% interval; of certified ones, what the certificate guarantees
    precision_high: float | None = None


@dataclass(frozen=True, slots=True)
class ExportedLabel:
    """A question with its answers in one passage, and their provenance."""

    example: Example
    provenance: Provenance


SPLITS = {"gold": "train", "pool": "train", "dev": "validation", "test": "test", "calibration": "calibration"}
NO_TEXT, NO_NUMBER = "", -1  # in JSON lines, in place of a part of the provenance that a label does not have


def split_of(label: ExportedLabel) -> str:
    """Return the name of the split that a label is exported in."""
    return SPLITS[label.provenance.role]


def _record(label: ExportedLabel) -> dict[str, Any]:
    """Return one label as a flat record, which `labeler import` reads."""
    example = label.example
    golds = example.all_answers or example.answers
    return {
        "id": example.id,
        "title": example.title,
        "context": example.context,
        "question": example.question,
        "answers": {
            "text": [span.text for span in golds],
            "answer_start": [span.start for span in golds],
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
    """Write one record a line, each column of one type from the first line on.

    Readers such as `datasets` take the types of the columns from the first megabytes of a file. So no value is null,
    and a label with an answer comes first: a list that is empty so far has no type.
    """
    first = next((number for number, label in enumerate(labels) if label.example.answers), 0)
    for label in (labels[first], *labels[:first], *labels[first + 1 :]):
        file.write(json.dumps(_typed(_record(label)), ensure_ascii=False) + "\n")


def _typed(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with `NO_TEXT` or `NO_NUMBER` in place of None, and rates as numbers with a point."""
    missing = {"round": NO_NUMBER} | dict.fromkeys(_RATES, float(NO_NUMBER))
    return {
        name: missing.get(name, NO_TEXT) if value is None else float(value) if name in _RATES else value
        for name, value in record.items()
    }


_RATES = ("threshold", "confidence", "precision", "precision_low", "precision_high")


def _write_csv(
    labels: Sequence[ExportedLabel], file: TextIO, *, cell: Callable[[Any], Any] = lambda value: value
) -> None:
    rows = [_record(label) for label in labels]
    # Quoted throughout: before Python 3.13, a lone carriage return in a cell does not make the writer quote it.
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        ]
        cells = row | {"answers": json.dumps(answers, ensure_ascii=False)}
        writer.writerow({name: cell(value) for name, value in cells.items()})


def _write_safe_csv(labels: Sequence[ExportedLabel], file: TextIO) -> None:
    """Write CSV whose cells no spreadsheet runs: an apostrophe precedes what could begin a formula."""
    _write_csv(labels, file, cell=_inert)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_dataset(labels: Sequence[ExportedLabel], folder: Path) -> None:
    """Write the labels as a `DatasetDict` of the `datasets` package, one dataset for each split."""
    from labeler.importing.formats.hf import quiet_datasets

    datasets = quiet_datasets()
    records: dict[str, list[dict[str, Any]]] = {}
    for label in labels:
        records.setdefault(split_of(label), []).append(_record(label))
    features = _features(datasets)
    splits = {
        name: datasets.Dataset.from_list(records[name], features=features)
        for name in dict.fromkeys(SPLITS.values())
        if name in records
    }
    datasets.DatasetDict(splits).save_to_disk(str(folder))


def _features(datasets: Any) -> Any:
    text, number = datasets.Value("string"), datasets.Value("float64")
    return datasets.Features(
        {
            **dict.fromkeys(("id", "title", "context", "question"), text),
            "answers": {"text": datasets.Sequence(text), "answer_start": datasets.Sequence(datasets.Value("int32"))},
            "is_impossible": datasets.Value("bool"),
            **dict.fromkeys(("role", "kind"), text),
            "round": datasets.Value("int32"),
            **dict.fromkeys(("model", "labeller", "index", "calibrator"), text),
            **dict.fromkeys(("threshold", "confidence"), number),
            **dict.fromkeys(("reviewer", "vouched_by", "certificate"), text),
            **dict.fromkeys(("precision", "precision_low", "precision_high"), number),
        }
    )


#: writers of the formats that are one file
WRITERS: Mapping[str, Callable[[Sequence[ExportedLabel], TextIO], None]] = {
    "squad": lambda labels, file: _write_squad(labels, file, "squad"),
    "squad_v2": lambda labels, file: _write_squad(labels, file, "squad_v2"),
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    SAFE_CSV: _write_safe_csv,
}
