"""Read JSON documents of every shape: SQuAD-style articles, lists of records, a corpus as one object, one record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labeler.core.files import detect_encoding
from labeler.core.files.json_stream import Item, json_items
from labeler.importing.fields.names import Fields, is_known
from labeler.importing.fields.values import kind_name
from labeler.importing.formats.content import ROLE_OF, Content, Part, encoding_notes
from labeler.importing.formats.gathering import gather
from labeler.importing.formats.nested import is_nested, node_parts
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import parts
from mrc.errors import DataError
from mrc.squad import Rejected

MAX_KEPT = 100_000  # values of an object that may still turn out to be a record
_LISTS = ("data", "documents", "rows", "records", "examples", "items", "Data")
_ROLES = ("question", "context", "text")


def read_json(path: Path, reading: Reading, *, squad: bool = False) -> Content:
    """Read a JSON document; `squad`: only one with the list `data` of SQuAD.

    Raises DataError (line and column, or JSON path), FileError, OSError.
    """
    file = detect_encoding(path)
    document = _Document(str(path), reading, squad=squad)
    found = document.parts(json_items(file))
    content = gather(found, name=path.name, sha256=file.sha256, format="json", notes=encoding_notes(file))
    return replace(content, format="squad") if document.nested else content


class _Document:
    """One document while it is read. `nested`: it has the list `data`, or articles."""

    def __init__(self, file: str, reading: Reading, *, squad: bool) -> None:
        self._file, self._reading, self._squad = file, reading, squad
        self.nested = False
        self._kept: dict[str, Any] = {}
        self._members = 0  # that were kept, those of equal names too
        self._found = False

    def parts(self, items: Iterator[Item]) -> Iterator[tuple[str, Part]]:
        """Yield the parts of all records, wherever they are in the document."""
        for item in items:
            yield from self._item(item)
        if not self._found or isinstance(Fields(self._kept).get("question"), str):
            yield from self._single()

    def _item(self, item: Item) -> Iterator[tuple[str, Part]]:
        if item.key == "data" or is_nested(item.value):
            self.nested = True
        if item.key == "data" and item.index is None and item.value != [] and not isinstance(item.value, Mapping):
            raise DataError(f"{self._file}: data: it must be a list, not {kind_name(item.value)}")
        if self._squad and item.key != "data":
            return
        if item.key == "data" or (item.key in _LISTS and isinstance(item.value, (Mapping, list))) or _is_listed(item):
            yield from self._element(item, strict=item.key == "data")
        elif item.key == "":
            yield from self._element(item, strict=False)
        elif isinstance(item.value, Mapping) and not self._kept.get("question") and _is_record(item.value):
            self._found = True
            yield from parts(f"{self._file}: {item.place[:60]}", _with_id(item), self._reading)
        else:
            self._keep(item)

    def _element(self, item: Item, *, strict: bool) -> Iterator[tuple[str, Part]]:
        """The parts of an element of a list; what is no object is refused in `data`, elsewhere listed."""
        self._found = True
        if item.index is None and item.value == []:
            return
        value = item.value
        if isinstance(value, Mapping) and isinstance(value.get("row"), Mapping) and "row_idx" in value:
            value = value["row"]  # of a Hugging Face dataset viewer
        if strict or is_nested(value):
            if strict and isinstance(value, Mapping) and not is_nested(value) and not _is_readable(value):
                raise DataError(
                    f"{self._file}: {item.place}.paragraphs: missing; a list of objects with context and qas is needed"
                )
            yield from node_parts(self._file, item.place, value, self._reading)
        elif isinstance(value, Mapping):
            yield from parts(f"{self._file}: {item.place}", _with_split(value, item.key), self._reading)
        else:
            where = f"{self._file}: {item.place}"
            yield where, Rejected(where, f"an object with named fields is needed, not {kind_name(value)}")

    def _keep(self, item: Item) -> None:
        """Keep a member that may be a field of the one record that the document is."""
        self._members += 1
        if self._members > MAX_KEPT:
            raise self._unknown()
        if item.index is None:
            self._kept[item.key] = item.value
            return
        listed = self._kept.setdefault(item.key, [])
        if isinstance(listed, list):
            listed.append(item.value)

    def _single(self) -> Iterator[tuple[str, Part]]:
        if self._squad or not (_is_record(self._kept) or is_nested(self._kept)):
            raise self._unknown()
        if is_nested(self._kept):
            self.nested = True
            yield from node_parts(self._file, "$", self._kept, self._reading)
        else:
            yield from parts(self._file, self._kept, self._reading)

    def _unknown(self) -> DataError:
        keys = ", ".join(str(key)[:40] for key in list(self._kept)[:6]) or "none"
        return DataError(
            f"{self._file}: data: missing; a list of articles (SQuAD) is needed, or a list of records with question, "
            f"context or text; the fields are {keys}"
        )


def _is_record(value: Mapping[str, Any]) -> bool:
    fields = Fields(value)
    return any(isinstance(fields.get(role), str) for role in _ROLES) or isinstance(value.get("data"), Mapping)


def _is_readable(value: Mapping[str, Any]) -> bool:
    fields = Fields(value)
    return any(fields.has(role) for role in _ROLES) or "header" in value or "data" in value or "paragraphs" in value


def _is_listed(item: Item) -> bool:
    """Whether a value is an element of a list of records under a name of its own, such as `train` and `dev`."""
    if item.index is None or not isinstance(item.value, Mapping) or is_known(item.key):
        return False
    return _is_record(item.value) or is_nested(item.value)


def _with_split(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The record with the split whose list it is in, for `--split file`, if it names none."""
    return {"split": key, **value} if key.lower() in ROLE_OF else value


def _with_id(item: Item) -> Mapping[str, Any]:
    """The record of an object of records: the key is its id, if it has no other."""
    return item.value if Fields(item.value).has("id") else {**item.value, "id": item.key}
