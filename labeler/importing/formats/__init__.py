"""Read files of every format as `Content`; `auto` goes by the name and the first lines. See docs/formats.md."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

from labeler.core.errors import FileError, ImportRefused
from labeler.core.files import detect_encoding, open_text
from labeler.importing.formats.content import Content, FileQuestion
from labeler.importing.formats.reading import EMPTY, UNLABELLED, Reading, ReadOptions, StudioMap, parse_studio_map

__all__ = [
    "EMPTY",
    "FORMATS",
    "UNLABELLED",
    "Content",
    "FileQuestion",
    "ReadOptions",
    "StudioMap",
    "detect_format",
    "parse_studio_map",
    "read_content",
]

FORMATS = ("auto", "squad", "json", "jsonl", "csv", "text", "parquet", "hf")

_SUFFIXES = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".md": "text",
    ".markdown": "text",
    ".parquet": "parquet",
}
_LINES = 1000  # of which two with content are looked at
_SNIFFED = 1 << 20  # characters of a line that are looked at; longer ones go by the name


def detect_format(name: str) -> str:
    """Return the format of a file by its name and first lines, of a folder by its files. Raises ImportRefused."""
    from labeler.importing.formats.hf import is_saved_dataset

    path = Path(name)
    if path.is_dir():
        return "hf" if is_saved_dataset(path) else "text"
    if not path.exists():
        raise ImportRefused(f"{name}: no such file or folder; a dataset on the hub needs --format hf")
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    known = _SUFFIXES.get(plain.suffix.lower())
    if known is None:
        raise ImportRefused(f"{name}: the name does not show the format; give --format {'|'.join(FORMATS[1:])}")
    return _json_format(path, known) if known in ("json", "jsonl") else known


def _json_format(path: Path, named: str) -> str:
    """Return json or jsonl: many files of records, one a line, are called .json, and the other way round."""
    try:
        with open_text(detect_encoding(path)) as file:
            lines = (line for line in islice(iter(lambda: file.readline(_SNIFFED), ""), _LINES) if line.strip())
            first, second = next(lines, ""), next(lines, "")
    except (FileError, UnicodeError):
        return named  # its reader says what is wrong
    if len(first) >= _SNIFFED:
        return named
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "json" if first.strip() in ("[", "{") or first.lstrip().startswith("[") else named
    if isinstance(value, list):
        return "json" if not second and value and isinstance(value[0], dict) else named
    return "jsonl" if second.lstrip().startswith("{") and isinstance(value, dict) else named


def read_content(name: str, *, format: str = "auto", options: ReadOptions | None = None) -> Content:
    """Read a file, folder or hub dataset.

    Raises ImportRefused, FileError, mrc.errors.DataError, mrc.errors.MissingExtra, OSError.
    """
    reading = Reading(options or ReadOptions())
    content = _read(name, detect_format(name) if format == "auto" else format, reading)
    return replace(content, notes=(*content.notes, *reading.notes(name)))


def _read(name: str, format: str, reading: Reading) -> Content:
    from labeler.importing.formats import documents, hf, parquet, tables, texts

    path = Path(name)
    if path.is_dir() and format not in ("text", "hf"):
        raise ImportRefused(f"{name}: is a folder, a {format} file is needed")
    match format:
        case "hf":
            return hf.read_dataset(name, reading)
        case "squad" | "json":
            return documents.read_json(path, reading, squad=format == "squad")
        case "jsonl":
            return tables.read_jsonl(path, reading)
        case "csv":
            return tables.read_csv(path, reading)
        case "parquet":
            return parquet.read_parquet(path, reading)
    return texts.read_texts(path)
