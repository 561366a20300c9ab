"""Read files of every format as `Content`: squad, jsonl, csv, text (folders too), hf; auto goes by the name."""

from __future__ import annotations

from pathlib import Path

from labeler.core.errors import ImportRefused
from labeler.importing.formats.content import Content, FileQuestion

__all__ = ["FORMATS", "Content", "FileQuestion", "detect_format", "read_content"]

FORMATS = ("auto", "squad", "jsonl", "csv", "text", "hf")

_SUFFIXES = {
    ".json": "squad",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".md": "text",
    ".markdown": "text",
}


def detect_format(name: str) -> str:
    """Return the format of a file by its name, of a folder by its files. Raises ImportRefused."""
    from labeler.importing.formats.hf import is_saved_dataset

    path = Path(name)
    if path.is_dir():
        return "hf" if is_saved_dataset(path) else "text"
    if not path.exists():
        raise ImportRefused(f"{name}: no such file or folder; a dataset on the hub needs --format hf")
    known = _SUFFIXES.get(path.suffix.lower())
    if known is None:
        raise ImportRefused(f"{name}: the name does not show the format; give --format {'|'.join(FORMATS[1:])}")
    return known


def read_content(name: str, *, format: str = "auto", all_splits: bool = False) -> Content:
    """Read a file, folder or hub dataset, with `all_splits` every split of a saved dataset.

    Raises ImportRefused, FileError, mrc.errors.DataError, OSError.
    """
    format = detect_format(name) if format == "auto" else format
    if format == "hf":
        from labeler.importing.formats.hf import read_dataset

        return read_dataset(name, all_splits=all_splits)
    from labeler.importing.formats import squad, tables, texts

    path = Path(name)
    if path.is_dir() and format != "text":
        raise ImportRefused(f"{name}: is a folder, a {format} file is needed")
    readers = {
        "squad": squad.read_squad_file,
        "jsonl": tables.read_jsonl,
        "csv": tables.read_csv,
        "text": texts.read_texts,
    }
    return readers[format](path)
