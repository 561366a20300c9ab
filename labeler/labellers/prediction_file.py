"""Files of predictions: JSON lines, CSV, lists of records, and SQuAD's predictions.json and nbest_predictions.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labeler.core.errors import ImportRefused
from labeler.core.files import TextFile, detect_encoding, open_text
from labeler.core.files.json_stream import bounded_integer, bounded_real
from labeler.importing.fields.names import plain
from labeler.importing.fields.values import kind_name
from labeler.importing.formats import detect_format
from labeler.importing.formats.content import encoding_notes
from labeler.importing.formats.tables import csv_rows, json_lines
from labeler.labellers.prediction_records import IDS, LISTS, TEXTS, FileAnswer, Part, nbest_answers, record_answers
from mrc.squad import Rejected

FORMATS: Final = ("auto", "json", "jsonl", "csv")
MAX_DOCUMENT: Final = 1 << 27  # characters of a JSON document, which is read as a whole: about 2 GiB of memory
DATASET: Final = ("data", "paragraphs", "qas")  # fields of a SQuAD file


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """The answers of a file in its order, and the parts of it that are none."""

    sha256: str
    format: str
    answers: tuple[FileAnswer, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def read_predictions(name: str, *, format: str = "auto") -> PredictionFile:
    """Read a file of predictions. Raises ImportRefused, FileError, OSError."""
    path = Path(name)
    chosen = detect_format(name) if format == "auto" else format
    if chosen not in FORMATS[1:] or path.is_dir():
        raise ImportRefused(f"{name}: predictions are read from JSON, JSON lines or CSV; give --format json|jsonl|csv")
    file = detect_encoding(path)
    parts = list(_parts(file, chosen))
    answers = tuple(part for part in parts if isinstance(part, FileAnswer))
    rejected = tuple(part for part in parts if isinstance(part, Rejected))
    return PredictionFile(file.sha256, chosen, answers, rejected, (*encoding_notes(file), *_notes(name, answers)))


def file_sha256(read: PredictionFile, labeller: str) -> str:
    """The hash by which the import of a file for a labeller is known."""
    return hashlib.sha256(f"{read.sha256} {read.format} {labeller}".encode()).hexdigest()


def _notes(name: str, answers: tuple[FileAnswer, ...]) -> Iterator[str]:
    missing = sum(each.score is None for each in answers)
    if missing:
        yield f"{name}: {missing:,} of {len(answers):,} answers have no score; answers are ranked in their order then"


def _parts(file: TextFile, format: str) -> Iterator[Part]:
    if format == "json":
        yield from _document(file)
        return
    if format == "jsonl":
        records = json_lines(file)
    else:
        records = csv_rows(file, check_header=_check_header)
    for where, record in records:
        yield from record_answers(where, record)


def _check_header(names: list[str], where: str) -> None:
    known = {plain(name) for name in names}
    if not known & set(IDS) or not known & {*TEXTS, *LISTS}:
        raise ImportRefused(
            f"{where}: the first row must name the fields, one of them the question's ({', '.join(IDS[:4])}) and one "
            f"the answer's ({', '.join(TEXTS[:3])})"
        )


class _Members(dict[str, Any]):
    """An object of a JSON document; `repeated`: the names that it has more than once."""

    repeated: tuple[str, ...] = ()


def _members(pairs: list[tuple[str, Any]]) -> _Members:
    found = _Members(reversed(pairs))  # of equal names the first counts
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.repeated = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return found


def _document(file: TextFile) -> Iterator[Part]:
    """The answers of a JSON document: question id -> answer or list of answers, or a list of records."""
    try:
        value = json.loads(
            _whole(file), parse_int=bounded_integer, parse_float=bounded_real, object_pairs_hook=_members
        )
    except json.JSONDecodeError as error:
        raise ImportRefused(f"{file.path}: line {error.lineno} column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ImportRefused(f"{file.path}: nested too deeply") from error
    if isinstance(value, list):
        yield from _records(file, value)
    elif isinstance(value, _Members):
        yield from _by_question(file, value)
    else:
        raise ImportRefused(f"{file.path}: an object or a list of predictions is needed, not {kind_name(value)}")


def _whole(file: TextFile) -> str:
    """The text of a document. Raises ImportRefused for a very long one."""
    with open_text(file) as stream:
        text = stream.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise ImportRefused(
            f"{file.path}: over {MAX_DOCUMENT:,} characters in one JSON document; write the predictions as JSON lines, "
            "or in several files"
        )
    return text


def _records(file: TextFile, value: list[Any]) -> Iterator[Part]:
    for number, record in enumerate(value, 1):
        where = f"{file.path}: record {number}"
        if isinstance(record, Mapping):
            yield from record_answers(where, record)
        else:
            yield Rejected(where, f"a record must be an object, not {kind_name(record)}")


def _by_question(file: TextFile, value: _Members) -> Iterator[Part]:
    if any(isinstance(value.get(name), list) for name in DATASET):
        raise ImportRefused(
            f"{file.path}: a dataset, not predictions: import it --as gold or --as pool, and then what a model answered"
        )
    records = next((value[name] for name in ("predictions", "results") if isinstance(value.get(name), list)), None)
    if records is not None and any(isinstance(record, Mapping) and _has_id(record) for record in records):
        yield from _records(file, records)
        return
    if _has_id(value) and not {plain(key) for key in value}.isdisjoint((*TEXTS, *LISTS)):
        yield from record_answers(str(file.path), value)
        return
    for key in value.repeated:
        yield Rejected(f"{file.path}: {key[:60]}", "the question stands twice in the file; its first answer counts")
    for key, item in reversed(value.items()):
        yield from _answers_of(f"{file.path}: {key[:60]}", key, item)


def _has_id(record: Mapping[str, Any]) -> bool:
    return not {plain(key) for key in record}.isdisjoint(IDS)


def _answers_of(where: str, key: str, item: Any) -> Iterator[Part]:
    if isinstance(item, str) or item is None:
        yield from record_answers(where, {"text": item}, key)
    elif isinstance(item, list):
        yield from nbest_answers(where, key, item)
    elif isinstance(item, Mapping):
        yield from record_answers(where, item, key)
    else:
        yield Rejected(where, f"an answer must be text, a list or an object, not {kind_name(item)} (a file of scores?)")
