"""Read JSON lines and CSV, line by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from labeler.core.errors import ImportRefused
from labeler.core.files import TextFile, detect_encoding, open_text
from labeler.core.files.json_stream import bounded_integer, bounded_real
from labeler.importing.fields.names import Fields
from labeler.importing.formats.content import Content, Part, encoding_notes
from labeler.importing.formats.gathering import gather
from labeler.importing.formats.nested import is_nested, node_parts
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import parts

MAX_BLANK = 1_000_000  # empty lines of a file
MAX_LINE = 1 << 24  # characters; a longer line is not a record
_DECODER = json.JSONDecoder(parse_int=bounded_integer, parse_float=bounded_real)


def read_jsonl(path: Path, reading: Reading) -> Content:
    """Read a file with one JSON object per line. Raises ImportRefused (line, column), FileError, OSError."""
    return _read(path, "jsonl", json_lines, reading)


def read_csv(path: Path, reading: Reading) -> Content:
    """Read a comma-, semicolon- or tab-separated file whose first row names the fields.

    Raises ImportRefused (line), FileError, OSError.
    """
    return _read(path, "csv", csv_rows, reading)


def _read(path: Path, format: str, records: Any, reading: Reading) -> Content:
    file = detect_encoding(path)
    found = _parts(records(file), reading)
    return gather(found, name=path.name, sha256=file.sha256, format=format, notes=encoding_notes(file))


def _parts(records: Iterator[tuple[str, Mapping[str, Any]]], reading: Reading) -> Iterator[tuple[str, Part]]:
    for where, record in records:
        if set(record) == {"header"}:  # the first line of MRQA
            continue
        if is_nested(record):
            file, _, place = where.rpartition(": ")
            yield from node_parts(file, place, record, reading)
        else:
            yield from parts(where, record, reading)


def json_lines(file: TextFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place and the object of each line that is not empty. Raises ImportRefused (line, column)."""
    with open_text(file) as lines:
        number = blank = 0
        while line := lines.readline(MAX_LINE + 1):
            number += 1
            where = f"{file.path}: line {number}"
            if len(line) > MAX_LINE:
                raise ImportRefused(f"{where}: over {MAX_LINE:,} characters long; is it a SQuAD file (--format squad)?")
            if line.strip():
                yield where, _json_object(line, where)
            else:
                blank = _one_more_blank(blank, where)


def _json_object(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        cut = "" if line.endswith("\n") else "; the file ends within it: get the file again"
        raise ImportRefused(f"{where} column {error.colno}: not JSON: {error.msg}{cut}") from error
    except RecursionError as error:
        raise ImportRefused(f"{where}: nested too deeply") from error
    if not isinstance(record, dict):
        raise ImportRefused(f"{where}: a JSON object is needed; is it a SQuAD file (--format squad)?")
    return record


def csv_rows(
    file: TextFile, *, check_header: Callable[[list[str], str], None] | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place and the fields of each row. Raises ImportRefused (line).

    `check_header`: refuses field names that do not do; default: one of them is question, text or context.
    """
    csv.field_size_limit(MAX_LINE)
    with open_text(file) as lines:
        head = lines.readline(MAX_LINE)
    delimiter = "\t" if _is_dpr(head.rstrip("\r\n").split("\t")) else max(",;\t", key=head.count)
    with open_text(file) as lines:
        rows = csv.reader(_bounded_lines(lines, file), delimiter=delimiter, strict=True)
        try:
            first = next(rows)
            names = [name.strip() for name in first]
            if delimiter == "\t" and _is_dpr(first):
                names = ["question", "answers"]
                yield f"{file.path}: line 1", dict(zip(names, first, strict=True))
            _refuse_repeated(names, f"{file.path}: line 1")
            (check_header or _check_header)(names, f"{file.path}: line 1")
            blank = 0
            for row in rows:
                where = f"{file.path}: line {rows.line_num}"
                if row and len(row) != len(names):
                    raise ImportRefused(f"{where}: {len(row)} cells, but {len(names)} field names")
                if row:
                    yield where, dict(zip(names, row, strict=True))
                else:
                    blank = _one_more_blank(blank, where)
        except StopIteration:
            raise ImportRefused(f"{file.path}: line 1: the first row must name the fields; the file has none") from None
        except csv.Error as error:
            raise ImportRefused(f"{file.path}: line {rows.line_num}: not CSV: {error}") from error


def _one_more_blank(blank: int, where: str) -> int:
    """Return the number of empty lines. Raises ImportRefused where there are very many."""
    if blank >= MAX_BLANK:
        raise ImportRefused(f"{where}: over {MAX_BLANK:,} empty lines; is it what it should be?")
    return blank + 1


def _bounded_lines(lines: TextIO, file: TextFile) -> Iterator[str]:
    """The lines of a file. A cell may have several; one of twice the longest cell is no row."""
    number = 0
    while line := lines.readline(2 * MAX_LINE + 1):
        number += 1
        if len(line) > 2 * MAX_LINE:
            raise ImportRefused(f"{file.path}: line {number}: over {2 * MAX_LINE:,} characters long; is it CSV?")
        yield line


def _is_dpr(row: list[str]) -> bool:
    """Whether a row is one of DPR's qa.csv, which names no fields: a question and the list of its answers."""
    return len(row) == 2 and row[1].startswith("[") and row[1].rstrip().endswith("]")


def _refuse_repeated(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ImportRefused(f"{where}: the field {twice[0][:40]!r} is named twice")


def _check_header(names: list[str], where: str) -> None:
    fields = Fields(dict.fromkeys(names))
    if not any(fields.has(role) for role in ("question", "text", "context")):
        raise ImportRefused(f"{where}: the first row must name the fields, one of them question, text or context")
