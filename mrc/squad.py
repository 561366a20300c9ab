"""SQuAD-style JSON <-> `Example`: SQuAD 1.1 and 2.0, KorQuAD 1.0, KLUE-MRC (whose ids are called `guid`).

    data[] { title?, paragraphs[] { context, qas[] { id | guid, question, answers[]? { text, answer_start },
                                                     is_impossible? } } }

A file with a broken structure is refused; a question that cannot be used is left out and listed.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from mrc import files
from mrc.errors import DataError, SpanMismatch
from mrc.text import passage_id, question_id
from mrc.text.anchoring import anchor as anchor
from mrc.types import Example, Passage, Span

logger = logging.getLogger(__name__)

SquadVersion = Literal["squad", "squad_v2"]
_VERSION_FIELD: dict[SquadVersion, str] = {"squad": "1.1", "squad_v2": "v2.0"}  # what the official scripts expect
_JSON_NAMES = {str: "a string", list: "a list", dict: "an object", int: "an integer", bool: "true or false"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row left out: `where` names the file, the JSON path and the id; `why` the reason."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class _Paragraph:
    title: str
    context: str
    qas: list[Any]
    path: str


def parse_squad(text: str, *, where: str) -> Mapping[str, Any]:
    """The JSON object in the text. Raises: DataError naming line and column, or the type found instead."""
    return _typed(parse_json(text, where=where), dict, where, "the file")


def parse_json(text: str, *, where: str) -> Any:
    """The JSON value in the text. Raises: DataError naming line and column."""
    try:
        return files.parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: line {error.lineno} column {error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:
        raise DataError(f"{where}: not SQuAD JSON: {error}") from error


def read_squad(data: Mapping[str, Any], *, where: str) -> tuple[list[Example], list[Rejected]]:
    """The usable questions in file order, and the rejected rows with the reason.

    An answer that is not at its offset is moved if its text occurs exactly once in the context, else rejected; a
    question without remaining answers is rejected. Equal spans are merged, the most frequent first (ties to the
    earlier start, then the shorter), so `answers[0]` is used for training. `plausible_answers` are ignored. Equal
    ids are not checked here. `where` is the file's name for messages.

    Raises: DataError (file and JSON path) where a field is missing or of the wrong type.
    """
    examples: list[Example] = []
    rejected: list[Rejected] = []
    moved = 0
    for paragraph in _paragraphs(data, where):
        problem = _text_problem(paragraph.context, "context")
        if problem:
            rejected.append(Rejected(paragraph.path, f"{problem}; its {len(paragraph.qas)} questions are left out"))
            continue
        for number, qa in enumerate(paragraph.qas):
            example, bad, shifted = _question(qa, paragraph, f"{paragraph.path}.qas[{number}]")
            examples.extend([example] if example else [])
            rejected.extend(bad)
            moved += shifted
    if moved:
        logger.warning("%s: %d answers moved to the only place in their context where they occur", where, moved)
    return examples, rejected


def read_contexts(data: Mapping[str, Any], *, where: str) -> tuple[list[Passage], list[Rejected]]:
    """Every paragraph once, in file order, also those without questions; empty ones are listed as rejected."""
    passages: dict[str, Passage] = {}
    rejected: list[Rejected] = []
    for paragraph in _paragraphs(data, where):
        problem = _text_problem(paragraph.context, "context")
        if problem:
            rejected.append(Rejected(paragraph.path, problem))
            continue
        passage = Passage(passage_id(paragraph.context), paragraph.context, paragraph.title)
        passages.setdefault(passage.id, passage)
    return list(passages.values()), rejected


def _paragraphs(data: Mapping[str, Any], where: str) -> Iterator[_Paragraph]:
    root = _typed(data, dict, where, "the file")
    for i, article in enumerate(_field(root, "data", list, where, dot=": ")):
        path = f"{where}: data[{i}]"
        title = _field(_typed(article, dict, path), "title", str, path, default="")
        for j, paragraph in enumerate(_field(article, "paragraphs", list, path)):
            at = f"{path}.paragraphs[{j}]"
            context = _field(_typed(paragraph, dict, at), "context", str, at)
            yield _Paragraph(title, context, _field(paragraph, "qas", list, at), at)


def _question(qa: Any, paragraph: _Paragraph, path: str) -> tuple[Example | None, list[Rejected], int]:
    """The example if it is usable, its rejected rows, and the number of moved answers."""
    fields = _typed(qa, dict, path)
    question = _field(fields, "question", str, path)
    id_ = _field(fields, "id" if "id" in fields else "guid", str, path, default="")
    impossible = _field(fields, "is_impossible", bool, path, default=None)
    answers = list(_answers(fields, path))
    problem = _text_problem(question, "question") or _text_problem(id_ or "-", "id")
    if not problem and impossible and answers:
        problem = "is_impossible is true, yet it has answers"
    label = f"{path} (id {id_})" if id_ else path
    if problem:
        return None, [Rejected(label, problem)], 0
    passage = passage_id(paragraph.context)
    spans: list[Span] = []
    rejected: list[Rejected] = []
    moved = 0
    for text, start in answers:
        try:
            span = anchor(paragraph.context, text, start, passage=passage)
        except SpanMismatch as error:
            rejected.append(Rejected(label, str(error)))
            continue
        spans.append(span)
        moved += span.start != start
    if answers and not spans:
        return None, rejected, moved
    key = id_ or question_id(question, paragraph.context)
    golds = most_frequent_first(spans), paragraph.title, impossible, as_given(spans)
    return Example(key, question, paragraph.context, *golds), rejected, moved


def most_frequent_first(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The distinct spans, the most frequent first; ties to the earlier start, then the shorter."""
    given = tuple(spans)
    if len(given) < 2:
        return given
    counts = Counter(given)
    return tuple(sorted(counts, key=lambda span: (-counts[span], span.start, span.end)))


def as_given(spans: Sequence[Span]) -> tuple[Span, ...]:
    """All spans in their order, repetitions kept; empty where `most_frequent_first` gives the same."""
    return () if len(spans) < 2 or tuple(spans) == most_frequent_first(spans) else tuple(spans)


def _answers(qa: Mapping[str, Any], path: str) -> Iterator[tuple[str, int]]:
    for number, answer in enumerate(_field(qa, "answers", list, path, default=[])):
        at = f"{path}.answers[{number}]"
        fields = _typed(answer, dict, at)
        yield _field(fields, "text", str, at), _field(fields, "answer_start", int, at)


def write_squad(examples: Iterable[Example], *, version: SquadVersion) -> dict[str, Any]:
    """The JSON object that the official scripts of SQuAD 1.1 (`squad`) or 2.0 (`squad_v2`) load.

    Examples of equal title share an article, of equal context a paragraph, in order of first appearance.
    Raises: DataError for a repeated id, an unlabelled question, and an impossible one in `squad`, which has none.
    """
    articles: dict[str, dict[str, list[dict[str, Any]]]] = {}
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"question id {example.id} occurs twice; ids in a SQuAD file must be unique")
        seen.add(example.id)
        contexts = articles.setdefault(example.title, {})
        contexts.setdefault(example.context, []).append(_qa(example, version))
    data = [
        {"title": title, "paragraphs": [{"context": context, "qas": qas} for context, qas in contexts.items()]}
        for title, contexts in articles.items()
    ]
    return {"version": _VERSION_FIELD[version], "data": data}


def _qa(example: Example, version: SquadVersion) -> dict[str, Any]:
    if not example.answers and not example.is_impossible:
        raise DataError(f"question {example.id} has no label; leave it out of a SQuAD file")
    if not example.answers and version == "squad":
        raise DataError(f"question {example.id} has no answer, which SQuAD 1.1 cannot express; write squad_v2")
    golds = example.all_answers or example.answers
    answers = [{"text": span.text, "answer_start": span.start} for span in golds]
    qa: dict[str, Any] = {"id": example.id, "question": example.question, "answers": answers}
    return qa | {"is_impossible": not answers} if version == "squad_v2" else qa


_REQUIRED: Any = object()


def _field(
    fields: Mapping[str, Any], name: str, kind: type[T], path: str, *, default: Any = _REQUIRED, dot: str = "."
) -> T:
    """The field's value, or the default where it is absent or null. Raises DataError at `path.name`."""
    value = fields.get(name)
    if value is None:
        if default is _REQUIRED:
            raise DataError(f"{path}{dot}{name}: missing; {_JSON_NAMES[kind]} is needed")
        return default  # type: ignore[no-any-return]  # of the caller's own type
    return _typed(value, kind, f"{path}{dot}{name}")


def _typed(value: Any, kind: type[T], path: str, what: str = "it") -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"{path}: {what} must be {_JSON_NAMES[kind]}, not {type(value).__name__}")
    return value


def _text_problem(text: str, name: str) -> str | None:
    if not text.strip():
        return f"the {name} is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the {name} has half a surrogate pair at character {error.start}; write the character itself"
    return None
