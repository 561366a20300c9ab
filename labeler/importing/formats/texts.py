"""Read plain-text and Markdown files, and folders of them, as passages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from labeler.core.console import storable
from labeler.core.errors import ImportRefused
from labeler.core.files import read_text, refuse_outside_links
from labeler.importing.formats.content import Content, Part, encoding_notes, make_passage
from labeler.importing.formats.gathering import gather
from mrc.squad import Rejected
from mrc.text import split_passages

SUFFIXES = (".txt", ".md", ".markdown")
MANY, SHORT = 200_000, 20  # paragraphs, and characters of one on average, from which a file is no running text
_BREAK = re.compile(r"\n[^\S\n]*\n")
_SHOWN = 5  # names of files in a message
_NOT_TAKEN = "not a text file: of a folder, .txt and .md files are imported; name other files to import them"
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*\r?$", flags=re.MULTILINE)


def read_texts(path: Path) -> Content:
    """Read a text file, or every .txt and .md file under a folder in the order of their paths; others are rejected.

    A document's title is the first heading of a Markdown file, else the path without its suffix.
    Raises ImportRefused for a folder without such files; FileError, also for a link out of the folder; OSError.
    """
    if path.is_dir():
        refuse_outside_links(path)
    files, others = ([path], []) if path.is_file() else _text_files(path)
    if not files:
        held = f"; it has {_names(others, path)}: name the files to import" if others else ""
        raise ImportRefused(f"{path}: no .txt or .md file in it{held}")
    notes: list[str] = []
    digest = hashlib.sha256()
    listed = ((str(file), Rejected(str(file), _NOT_TAKEN)) for file in others)
    content = gather(chain(_parts(path, files, notes, digest), listed), name=path.name, sha256="", format="text")
    return replace(content, sha256=digest.hexdigest(), notes=tuple(notes))


def _parts(path: Path, files: list[Path], notes: list[str], digest: hashlib._Hash) -> Iterator[tuple[str, Part]]:
    """Yield the passages of the files, one file in memory at a time; what they are adds to the notes and the digest."""
    folder = path if path.is_dir() else path.parent
    for file in files:
        if path.is_dir() and file.stat().st_size == 0:  # common in a folder; a single empty file is an error
            notes.append(f"{file}: the file is empty and was skipped")
            continue
        text, known = read_text(file)
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\n{known.sha256}\n".encode("utf-8", "surrogateescape"))
        notes += encoding_notes(known)
        yield from _passages(file, text, name)


def _text_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder that are texts, packed or not, and the others but hidden ones."""
    texts, others = [], []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        if _plain_name(file).endswith(SUFFIXES):
            texts.append(file)
        elif not any(part.startswith(".") for part in file.relative_to(folder).parts):
            others.append(file)
    return texts, others


def _plain_name(file: Path) -> str:
    return file.name.lower().removesuffix(".gz")


def _names(files: list[Path], folder: Path) -> str:
    shown = ", ".join(file.relative_to(folder).as_posix() for file in files[:_SHOWN])
    return f"{shown} and {len(files) - _SHOWN} more" if len(files) > _SHOWN else shown


def _passages(file: Path, text: str, name: str) -> Iterator[tuple[str, Part]]:
    title = _title(file, text, name)
    many = next(islice(_BREAK.finditer(text), MANY, None), None)
    if many is not None and many.end() < MANY * SHORT:
        raise ImportRefused(f"{file}: over {MANY:,} paragraphs of under {SHORT} characters; is it running text?")
    for start, end in split_passages(text):
        yield f"{file}: characters {start}-{end}", make_passage(text[start:end], title)


def _title(file: Path, text: str, name: str) -> str:
    heading = None if _plain_name(file).endswith(".txt") else _HEADING.search(text)
    return heading.group(1) if heading else storable(name.removesuffix(".gz").rpartition(".")[0] or name)
