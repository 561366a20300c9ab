"""The questions of a SQuAD-shaped file as `labeler answer` reads and scores them: every one, whatever its golds are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from labeler.core.files import read_text
from labeler.importing.fields.names import Fields
from labeler.importing.fields.values import FieldError, as_id, as_text, kind_name
from labeler.importing.formats.records import given_answers, impossible_flag
from mrc.errors import DataError, SpanMismatch
from mrc.metrics import Metric, Score, score
from mrc.squad import Rejected, anchor, parse_json
from mrc.text import question_id, valid_text

LINES = (".jsonl", ".ndjson")  # names of files with one record a line
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """A question in its context.

    `golds` are the texts that count as right: all of the file, and those at their place in the context, which may be in
    another normal form. `spans` are their places in code points; `faults` the golds that stand nowhere in the context.
    """

    where: str
    id: str
    question: str
    context: str
    golds: tuple[str, ...] = ()
    is_impossible: bool | None = None  # None where the file does not say
    spans: tuple[tuple[int, int], ...] = ()
    faults: tuple[Rejected, ...] = ()

    def score(self, text: str, metric: Metric) -> Score:
        """The score of an answer by the official script.

        Without golds, the empty answer is right by SQuAD 2.0 and for a question that the file calls impossible; else
        none is.
        """
        if not self.golds and not self.is_impossible and metric != "squad_v2":
            return Score(0.0, 0.0)
        return score(text, self.golds, metric)


def read_questions(file: Path) -> list[FileQuestion]:
    """The questions of a file in its order: articles, paragraphs or flat records; a repeated one is there twice.

    Raises: DataError (file and JSON path) for a broken structure, a file without questions, and two questions of one
    id, of which `predictions.json` could hold one answer only; FileError, OSError.
    """
    found = [each for node, where in _documents(file) for each in _questions(node, f"{where}: ", where)]
    if not found:
        raise DataError(f"{file}: no question can be read; a SQuAD-shaped file with contexts and questions is needed")
    first: dict[str, FileQuestion] = {}
    for each in found:
        known = first.setdefault(each.id, each)
        if _content(known) != _content(each):
            raise DataError(
                f"{each.where}: the id {each.id} occurs twice with different content, first at "
                f"{known.where.removeprefix(f'{file}: ')}; give one of the questions another id"
            )
    return found


def _documents(file: Path) -> list[tuple[Any, str]]:
    """The JSON values of a file with their places: one, or one a line."""
    text = read_text(file)[0]
    if file.suffix.lower() not in LINES:
        return [(parse_json(text, where=str(file)), str(file))]
    places = (
        (line, f"{file}: line {number}") for number, line in enumerate(text.splitlines(), start=1) if line.strip()
    )
    return [(parse_json(line, where=where), where) for line, where in places]


def _content(each: FileQuestion) -> tuple[Any, ...]:
    return each.question, each.context, each.golds, each.is_impossible


def _questions(node: Any, dot: str, where: str, context: str | None = None) -> Iterator[FileQuestion]:
    """The questions of a part of the file; `dot` goes before the name of a member in a path."""
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from _questions(each, f"{where}[{number}].", f"{where}[{number}]", context)
        return
    if not isinstance(node, Mapping):
        raise DataError(f"{where}: it must be an object, not {kind_name(node)}")
    for name in ("data", "paragraphs", "qas"):
        if name in node:
            text = _required(node, "context", dot) if name == "qas" else context
            if not isinstance(node[name], list):
                raise DataError(f"{dot}{name}: it must be a list, not {kind_name(node[name])}")
            yield from _questions(node[name], "", f"{dot}{name}", text)
            return
    if context is None and not Fields(node).has("question"):
        raise DataError(f"{dot}data: missing; a list of articles with paragraphs, or of questions, is needed")
    yield _question(node, dot, where, _required(node, "context", dot) if context is None else context)


def _required(node: Mapping[str, Any], role: str, dot: str) -> str:
    """The text of a field that must be there, if only empty. Raises DataError."""
    key, value = Fields(node).find(role)
    if value is None:
        raise DataError(f"{dot}{key or role}: missing; a string is needed")
    return _checked(f"{dot}{key}", lambda: as_text("it", value))


def _question(node: Mapping[str, Any], dot: str, where: str, context: str) -> FileQuestion:
    question, fields = _required(node, "question", dot), Fields(node)
    given = _checked(where, lambda: given_answers(fields)) or []
    impossible = _checked(where, lambda: impossible_flag(fields))
    id_ = _checked(where, lambda: as_id("id", fields.get("id"))) or question_id(
        valid_text(question), valid_text(context)
    )
    place = f"{where} (id {id_})"
    spans, texts, faults = [], [], []
    for text, start in given:
        try:
            span = anchor(context, text, -1 if start is None else start, passage="")
        except SpanMismatch as error:
            faults.extend([Rejected(place, str(error))] if text.strip() or not impossible else [])
            continue
        spans.append((span.start, span.end))
        texts.append(span.text)
    golds = tuple(dict.fromkeys([*(text for text, _ in given), *texts]))
    return FileQuestion(place, id_, question, context, golds, impossible, tuple(dict.fromkeys(spans)), tuple(faults))


def _checked(where: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except FieldError as error:
        raise DataError(f"{where}: {error}") from error
