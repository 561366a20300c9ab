"""Names of fields: those that files use for a question, a context, an id and the like, and those that are not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from labeler.importing.fields.values import is_missing

NAMES: dict[str, tuple[str, ...]] = {
    "question": ("question", "query", "question_text", "질문", "질의"),
    "context": ("context", "passage", "paragraph", "passage_text", "contents", "content", "document", "article",
                "지문"),
    "text": ("text",),
    "title": ("title", "doc_title", "document_title", "wikipedia_title", "wiki_title", "page_title", "article_title",
              "doc_name", "document_name", "passage_title", "제목"),
    "document": ("document_identifier", "file_name", "filename", "doc_id", "document_id", "docid", "documentid"),
    "id": ("id", "guid", "qid", "question_id", "questionid", "qas_id", "qa_id", "query_id", "example_id", "sample_id",
           "unique_id", "uid", "uuid", "q_id", "_id"),
    "answers": ("answers", "detected_answers", "gold_answers", "정답"),
    "answer": ("answer", "answer_text", "short_answer"),
    "answer_start": ("answer_start", "start", "answer_start_index", "start_position", "offset"),
    "is_impossible": ("is_impossible", "impossible", "no_answer", "unanswerable", "is_unanswerable"),
    "is_answerable": ("is_answerable", "answerable", "has_answer"),
}  # fmt: skip
SHAPES = frozenset(
    (
        *("qas", "paragraphs", "positive_ctxs", "negative_ctxs", "hard_negative_ctxs", "ctxs", "meta", "data"),
        *("label", "labels", "entities", "annotations", "options"),
        *("question_type", "qa_type", "answer_type", "classtype"),
    )
)  # fields of other shapes than flat records; see shapes.py
ORIGIN = frozenset(("role", "split", "kind"))  # what an export of this tool says of a question
_ROLE = {name: role for role, names in NAMES.items() for name in names}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LOOKS_LIKE_ONE = re.compile(
    r"(^|_)(u?u?id|guid|qid|pid|did|idx|key|no|identifier|url)s?$"
    r"|^(doc|document|title|paragraph|passage|context|article|page|file)(_|name|id|$)|id$"
)
_USUAL = 64  # fields of a record up to which what its keys say is kept
_NO_NAME = re.compile(r"^(|unnamed: \d+|__index_level_\d+__|index|answer_id|is_valid)$")


def plain(key: str) -> str:
    """Return a field name without differences of case, hyphens and humps: `questionId` is `question_id`."""
    return _HUMP.sub("_", str(key)).strip().lower().replace("-", "_").replace(" ", "_")


def is_known(key: str) -> bool:
    """Whether a column is read from a table or a dataset."""
    return plain(key) in _ROLE or plain(key) in SHAPES or key in ORIGIN


class _Shape:
    """What the keys of a record say; records of one file share it. Of keys with one plain name the first counts."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys: dict[str, str] = {}
        for key in keys:
            self.keys.setdefault(plain(key), key)
        self.roles = {
            role: tuple((name, self.keys[name]) for name in names if name in self.keys) for role, names in NAMES.items()
        }
        self.like_ids = [(name, key) for name, key in self.keys.items() if looks_like_id(key)]


_shape = lru_cache(maxsize=256)(_Shape)


class Fields:
    """The fields of a record by what they hold. `used`: the plain names that were asked for and found."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        keys = tuple(record)
        self._shape = _shape(keys) if len(keys) <= _USUAL else _Shape(keys)
        self.used: set[str] = set()

    def get(self, role: str) -> Any:
        """Return the value of the first field of a role that holds something, else of one that is empty, else None."""
        return self.find(role)[1]

    def find(self, role: str) -> tuple[str, Any]:
        """Return the name and the value of `get`; the name is empty where no field has the role."""
        empty: tuple[str, Any] = ("", None)
        for name, key in self._shape.roles[role]:
            value = self._record[key]
            self.used.add(name)
            if not is_missing(value):
                return key, value
            empty = empty if empty[0] else (key, value)
        return empty

    def has(self, role: str) -> bool:
        """Whether some field of the role is there, if only an empty one."""
        return bool(self._shape.roles[role])

    def other(self, name: str) -> Any:
        """Return the value of a field that belongs to one shape."""
        self.used.add(name)
        key = self._shape.keys.get(name)
        return None if key is None else self._record[key]

    def unused(self) -> list[str]:
        """Return the keys that look like an id or a document and were not used."""
        return [
            key for name, key in self._shape.like_ids if name not in self.used and not is_missing(self._record[key])
        ]


def looks_like_id(key: str) -> bool:
    """Whether a key looks like an id or a document."""
    name = plain(key)
    return bool(_LOOKS_LIKE_ONE.search(name)) and not _NO_NAME.match(name)
