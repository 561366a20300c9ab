"""Read plain-text and Markdown files, and folders of them, as passages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from labeler.core.errors import ImportRefused
from labeler.core.files import read_text, refuse_outside_links
from labeler.importing.formats.content import Content, Part, gather, make_passage
from labeler.importing.formats.tables import encoding_notes
from mrc.text import split_passages

SUFFIXES = frozenset({".txt", ".md", ".markdown"})
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*\r?$", flags=re.MULTILINE)


def read_texts(path: Path) -> Content:
    """Read a text file, or every .txt and .md file under a folder in the order of their paths.

    A document's title is the first heading of a Markdown file, else the path without its suffix.
    Raises ImportRefused for a folder without such files; FileError, also for a link out of the folder; OSError.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        refuse_outside_links(path)
    files = [path] if path.is_file() else _text_files(path)
    if not files:
        raise ImportRefused(f"{path}: no .txt or .md file in it")
    found: list[tuple[str, Part]] = []
    notes: list[str] = []
    digest = hashlib.sha256()
    for file in files:
        if path.is_dir() and file.stat().st_size == 0:  # common in a folder; a single empty file is an error
            notes.append(f"{file}: the file is empty and was skipped")
            continue
        text, known = read_text(file)
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\n{known.sha256}\n".encode("utf-8", "surrogateescape"))
        notes += encoding_notes(known)
        found += _passages(file, text, name)
    return gather(found, sha256=digest.hexdigest(), format="text", notes=tuple(notes))


def _text_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)


def _passages(file: Path, text: str, name: str) -> Iterator[tuple[str, Part]]:
    title = _title(file, text, name)
    for start, end in split_passages(text):
        yield f"{file}: characters {start}-{end}", make_passage(text[start:end], title)


def _title(file: Path, text: str, name: str) -> str:
    heading = _HEADING.search(text) if file.suffix.lower() != ".txt" else None
    return heading.group(1) if heading else name.removesuffix(file.suffix)
