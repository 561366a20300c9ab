"""Read JSON lines and CSV, line by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labeler.core.errors import ImportRefused
from labeler.core.files import TextFile, detect_encoding, open_text
from labeler.importing.formats.content import Content, Part, gather
from labeler.importing.formats.records import parts

MAX_LINE = 1 << 24  # characters; a longer line is not a record


def read_jsonl(path: Path) -> Content:
    """Read a file with one JSON object per line. Raises ImportRefused (line, column), FileError, OSError."""
    return _read(path, "jsonl", _json_lines)


def read_csv(path: Path) -> Content:
    """Read a comma-, semicolon- or tab-separated file whose first row names the fields.

    Raises ImportRefused (line), FileError, OSError.
    """
    return _read(path, "csv", _csv_rows)


def _read(path: Path, format: str, records: Any) -> Content:
    file = detect_encoding(path)
    return gather(_parts(records(file)), sha256=file.sha256, format=format, notes=encoding_notes(file))


def encoding_notes(file: TextFile) -> tuple[str, ...]:
    """Return a note if the encoding of the file was guessed."""
    return (f"{file.path}: not UTF-8, read as {file.encoding}",) if file.guessed else ()


def _parts(records: Iterator[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Part]]:
    for where, record in records:
        yield from parts(where, record)


def _json_lines(file: TextFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with open_text(file) as lines:
        number = 0
        while line := lines.readline(MAX_LINE + 1):
            number += 1
            where = f"{file.path}: line {number}"
            if len(line) > MAX_LINE:
                raise ImportRefused(f"{where}: over {MAX_LINE:,} characters long; is it a SQuAD file (--format squad)?")
            if line.strip():
                yield where, _json_object(line, where)


def _json_object(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ImportRefused(f"{where} column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ImportRefused(f"{where}: nested too deeply") from error
    if not isinstance(record, dict):
        raise ImportRefused(f"{where}: a JSON object is needed; is it a SQuAD file (--format squad)?")
    return record


def _csv_rows(file: TextFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(MAX_LINE)
    with open_text(file) as lines:
        head = lines.readline(MAX_LINE)
        lines.seek(0)
        rows = csv.reader(lines, delimiter=max(",;\t", key=head.count), strict=True)
        try:
            names = [name.strip() for name in next(rows)]
            _check_header(names, f"{file.path}: line 1")
            for row in rows:
                where = f"{file.path}: line {rows.line_num}"
                if row and len(row) != len(names):
                    raise ImportRefused(f"{where}: {len(row)} cells, but {len(names)} field names")
                if row:
                    yield where, dict(zip(names, row, strict=True))
        except csv.Error as error:
            raise ImportRefused(f"{file.path}: line {rows.line_num}: not CSV: {error}") from error


def _check_header(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImportRefused(f"{where}: the field {twice[0]!r} is named twice")
    if not {"question", "text", "context"} & set(names):
        raise ImportRefused(f"{where}: the first row must name the fields, one of them question, text or context")
