"""Read SQuAD 1.1 and 2.0, KorQuAD 1 and KLUE-MRC files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labeler.core.files import TextFile, read_text
from labeler.importing.formats.content import Content, Part, from_example, gather, with_origin
from labeler.importing.formats.tables import encoding_notes
from mrc.squad import parse_squad, read_contexts, read_squad


def read_squad_file(path: Path) -> Content:
    """Read a SQuAD-style file. Raises DataError (line and column, or JSON path), FileError, OSError."""
    data, file = _parse(path)
    return gather(_parts(data, str(path)), sha256=file.sha256, format="squad", notes=encoding_notes(file))


def _parse(path: Path) -> tuple[Mapping[str, Any], TextFile]:
    text, file = read_text(path)  # freed on return: a large file is not in memory twice
    return parse_squad(text, where=str(path)), file


def _parts(data: Mapping[str, Any], where: str) -> Iterator[tuple[str, Part]]:
    passages, empty = read_contexts(data, where=where)
    examples, rejected = read_squad(data, where=where)
    provenance = _provenance(data)
    yield from ((where, passage) for passage in passages)
    for example in examples:
        place = f"{where}: id {example.id}"
        yield place, with_origin(from_example(example, place), provenance.get(example.id, {}))
    bare = {row.where for row in rejected}  # both lists have a paragraph that is rejected
    yield from ((row.where, row) for row in [*rejected, *(row for row in empty if row.where not in bare)])


def _provenance(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what exports of this tool say of each question beside SQuAD's fields, by id."""
    paragraphs = (paragraph for article in data["data"] for paragraph in article["paragraphs"])
    qas = (qa for paragraph in paragraphs for qa in paragraph.get("qas") or ())
    return {str(qa["id"]): qa["provenance"] for qa in qas if "id" in qa and isinstance(qa.get("provenance"), dict)}
