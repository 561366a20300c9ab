"""Read articles and paragraphs with their questions: SQuAD 1.1 and 2.0, KorQuAD 1 and 2, KLUE-MRC, AI Hub, MRQA.

    article    { title?, paragraphs[] }                      SQuAD, KorQuAD 1, KLUE-MRC, AI Hub
    paragraph  { title?, context, qas[] }                    within an article; on its own: KorQuAD 2, MRQA
    question   { id?, question, answers | answer, … }        as a flat record, see records.py

KorQuAD 2 has a page of HTML as its context, and its offsets count in that. A broken structure is refused as a whole; a
question that cannot be used is left out and listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from labeler.importing.fields.names import Fields
from labeler.importing.fields.values import FieldError, as_text, kind_name
from labeler.importing.formats.content import Part, make_passage, with_origin
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import id_of, labelled, parts, question_parts, title_of
from mrc.errors import DataError

_HEADER = "{n} header lines were skipped"


def is_nested(value: Any) -> bool:
    """Whether a value is an article or a paragraph with questions."""
    return isinstance(value, Mapping) and any(isinstance(value.get(name), list) for name in ("paragraphs", "qas"))


def node_parts(file: str, path: str, node: Any, reading: Reading) -> Iterator[tuple[str, Part]]:
    """Yield the parts of an article, a paragraph or a flat record at a JSON path. Raises DataError."""
    where = f"{file}: {path}"
    record = _typed(node, where)
    if set(record) == {"header"}:
        reading.counts[_HEADER] += 1
    elif "paragraphs" in record:
        yield from _article(file, path, record, reading)
    elif "qas" in record:
        yield from _paragraph(file, path, record, reading, title="")
    else:
        yield from parts(where, record, reading)


def _article(file: str, path: str, article: Mapping[str, Any], reading: Reading) -> Iterator[tuple[str, Part]]:
    fields = Fields(article)
    title = _checked(f"{file}: {path}", lambda: title_of(fields, reading))
    reading.ignore(key for key in fields.unused() if key != "paragraphs")
    listed = article["paragraphs"]
    if isinstance(listed, Mapping):
        listed = [listed]
    if not isinstance(listed, list):
        raise DataError(f"{file}: {path}.paragraphs: it must be a list, not {kind_name(listed)}")
    for number, paragraph in enumerate(listed):
        place = f"{path}.paragraphs[{number}]"
        yield from _paragraph(file, place, _typed(paragraph, f"{file}: {place}"), reading, title=title)


def _paragraph(
    file: str, path: str, paragraph: Mapping[str, Any], reading: Reading, *, title: str
) -> Iterator[tuple[str, Part]]:
    where = f"{file}: {path}"
    fields = Fields(paragraph)
    key, value = fields.find("context")
    if value is None:
        raise DataError(f"{where}.context: missing; a text is needed")
    text = _checked(where, lambda: as_text(key, value))
    own = _checked(where, lambda: title or title_of(fields, reading))
    passage = make_passage(text, own)
    yield where, passage
    reading.ignore(key for key in fields.unused() if key != "qas")
    questions = fields.other("qas")
    if questions is None:
        return
    if not isinstance(questions, list):
        raise DataError(f"{where}.qas: it must be a list, not {kind_name(questions)}")
    for number, qa in enumerate(questions):
        at = f"{where}.qas[{number}]"
        asked = Fields(_typed(qa, at))
        if asked.get("question") is None:
            raise DataError(f"{at}.question: missing; a text is needed")
        id_ = _checked(at, lambda asked=asked: id_of(asked, ""))
        place = f"{file}: id {' '.join(id_.split())[:60]}" if id_ else at
        try:
            found = list(question_parts(labelled(at, id_), asked, reading, context=passage, place=place))
        except FieldError as error:
            raise DataError(f"{labelled(at, id_)}: {error}") from error
        origin = qa.get("provenance")
        yield from ((place, with_origin(part, origin if isinstance(origin, Mapping) else {})) for part in found)
        reading.ignore(asked.unused())


def _typed(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: it must be an object, not {kind_name(value)}")
    return value


def _checked(where: str, make: Any) -> str:
    try:
        found: str = make()
    except FieldError as error:
        raise DataError(f"{where}: {error}") from error
    return found
