"""Read flat records (a JSON line, a CSV row, a row of a dataset) as questions and passages.

| field           | meaning                                                                                     |
|-----------------|---------------------------------------------------------------------------------------------|
| `question`      | the question; a record without one is a passage                                             |
| `context`       | the passage that the question was asked on; optional                                        |
| `text`          | the passage, in a record without a question or context; the answer, in one with both        |
| `title`         | title of the document that the passage belongs to; default: the document's id or file name  |
| `id`            | id of the question; default: a hash of question and context                                 |
| `answers`       | `[{"text", "answer_start"}]`, `{"text": […], "answer_start": […]}`, or a list of texts       |
| `answer`        | instead of `answers`: one text, with its offset `answer_start` in code points, or as above  |
| `is_impossible` | the context does not answer the question                                                    |
| `role`, `split` | the split of the question, for `--split file`                                               |
| `kind`          | how its label was made; pseudo: by a model                                                  |

Other names of these fields are in fields/names.py, records of other shapes in shapes.py. In CSV a cell of `answers` is
JSON or what Python prints, and an empty cell is a missing field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from labeler.importing.fields.names import Fields
from labeler.importing.fields.values import Answer, FieldError, answers_of, as_flag, as_id, as_text, is_missing
from labeler.importing.formats.content import FileQuestion, Part, make_passage, make_question, with_origin
from labeler.importing.formats.reading import UNLABELLED, Reading
from labeler.importing.formats.shapes import expand
from mrc.squad import Rejected
from mrc.types import Passage

_YES_NO = frozenset(("yes", "no", "예", "네", "아니요", "아니오"))
_TYPES = ("question_type", "qa_type", "answer_type", "classtype", "type")
_EMPTY_TAKEN = "{n} questions with an empty answer and without is_impossible were taken as unanswerable (--empty none)"
_EMPTY_REFUSED = "the answer is empty, and no is_impossible says why; --empty none takes it as unanswerable"
_PLAUSIBLE = "{n} unanswerable questions of KLUE-MRC have plausible answers, which were left out"
_TITLED = "documents have no title; their ids or file names are used as titles"
_SHOWN_ID = 60  # characters of an id in a place


def parts(where: str, record: Mapping[str, Any], reading: Reading) -> Iterator[tuple[str, Part]]:
    """Yield the passages and questions of one record and its rejected parts, each with its place."""
    try:
        for each in expand(record, reading):
            yield from _parts(where, each, reading)
    except FieldError as error:
        yield where, Rejected(where, str(error))


def _parts(where: str, record: Mapping[str, Any], reading: Reading) -> Iterator[tuple[str, Part]]:
    fields = Fields(record)
    where = labelled(where, id_of(fields, ""))
    try:
        if as_text("question", fields.get("question")):
            found = question_parts(where, fields, reading, context=_context(fields, reading))
            yield from ((where, with_origin(part, record)) for part in found)
        else:
            yield where, _passage(fields, reading)
    except FieldError as error:
        yield where, Rejected(where, str(error))
    reading.ignore(fields.unused())


def labelled(where: str, id_: str) -> str:
    """Return a place with the id of its question."""
    shown = id_ if len(id_) <= _SHOWN_ID else f"{id_[:_SHOWN_ID]}…"
    return f"{where} (id {' '.join(shown.split())})" if shown else where


def id_of(fields: Fields, prefix: str) -> str:
    """Return the id that a record gives its question, with a prefix; empty where it gives none."""
    found = as_id("id", fields.get("id"))
    return f"{prefix}{found}" if found else ""


def title_of(fields: Fields, reading: Reading) -> str:
    """Return the title of a record's document, or else its file name or id."""
    title = as_id("title", fields.get("title"))
    if title:
        return title
    meta = fields.other("meta")
    if isinstance(meta, Mapping):
        title = as_id("title", Fields(meta).get("title")) or as_id("meta.name", meta.get("name"))
    name = title or as_id("document", fields.get("document"))
    if name and not title:
        reading.counts[_TITLED] = 1
    return name


def _passage(fields: Fields, reading: Reading) -> Passage:
    text = as_text("text", fields.get("text")) or as_text("context", fields.get("context"))
    if not text:
        raise FieldError("neither a question nor a text; see the documented field names")
    return make_passage(text, title_of(fields, reading))


def _context(fields: Fields, reading: Reading) -> Passage | None:
    """The passage of a question: its context, or the text of a record that has no context."""
    text = as_text("context", fields.get("context")) or as_text("text", fields.get("text"))
    return make_passage(text, title_of(fields, reading)) if text else None


def question_parts(
    where: str, fields: Fields, reading: Reading, *, context: Passage | None, place: str = ""
) -> Iterator[Part]:
    """Yield the question of a record and its rejected answers.

    Args:
        where: the place of the record, for what is rejected.
        place: the place of the question; default: `where`.

    Raises: FieldError.
    """
    given = given_answers(fields)
    impossible = impossible_flag(fields)
    if _is_plausible(fields):
        reading.counts[_PLAUSIBLE] += 1
    if given is not None:
        kind = _other_kind(fields, given, context)
        if kind:
            reading.kinds[kind] += 1
            yield Rejected(where, f"a {kind} question: its answer is no span of the context")
            return
        impossible, why = _without_answer(given, impossible, context, reading)
        if why:
            yield Rejected(where, why)
            return
    empty_counts = impossible is False or any(text.strip() for text, _ in given or ())  # as a gold of a scored question
    texts = [answer for answer in given or () if answer[0].strip() or (not impossible and (answer[0] or empty_counts))]
    found = list(
        make_question(
            where,
            id=id_of(fields, reading.options.id_prefix),
            text=as_text("question", fields.get("question")),
            context=context,
            answers=texts,
            is_impossible=impossible,
            place=place,
        )
    )
    lost = texts and context is not None and not any(isinstance(each, FileQuestion) and each.answers for each in found)
    kind = _named_kind(fields) if lost else ""
    if kind:
        reading.kinds[kind] += 1
        found = [each for each in found if isinstance(each, Rejected) or kind.rpartition(" ")[2].isdigit()]
    yield from found


def given_answers(fields: Fields) -> list[Answer] | None:
    """Return the answers of a record; None where it has no field for them, or null. Raises FieldError."""
    start = fields.get("answer_start")
    if _is_plausible(fields):
        return []
    for role in ("answers", "answer"):
        key, value = fields.find(role)
        if key and value is not None:
            return answers_of(role, value, start, strict=role == "answers")
    if fields.has("context") and fields.has("answer_start") and not is_missing(fields.get("text")):
        return answers_of("text", fields.get("text"), start, strict=False)
    return None


def _is_plausible(fields: Fields) -> bool:
    """Whether the answers are plausible ones of an unanswerable question, as in KLUE-MRC of the Hugging Face hub."""
    klue = fields.other("guid") is not None and fields.other("question_type") is not None
    if not klue or impossible_flag(fields) is not True or fields.get("answers") is None:
        return False
    return any(text.strip() for text, _ in answers_of("answers", fields.get("answers")))


def impossible_flag(fields: Fields) -> bool | None:
    """Return whether a record says that its question has no answer; None where it says nothing. Raises FieldError."""
    flag = as_flag("is_impossible", fields.get("is_impossible"))
    if flag is None:
        answerable = as_flag("is_answerable", fields.get("is_answerable"))
        return None if answerable is None else not answerable
    return flag


def _without_answer(
    given: list[Answer], impossible: bool | None, context: Passage | None, reading: Reading
) -> tuple[bool | None, str]:
    """Whether the question is unanswerable, where its file may say so by an empty answer; or why it is rejected."""
    if impossible is not None or context is None or any(text for text, _ in given):
        return impossible, ""
    if reading.options.empty == UNLABELLED:
        return None, ""
    if reading.options.empty == "reject":
        return None, _EMPTY_REFUSED
    reading.counts[_EMPTY_TAKEN] += 1
    return True, ""


def _other_kind(fields: Fields, given: list[Answer], context: Passage | None) -> str:
    """The kind of a question that is not answered by a span; empty where it may be."""
    if context is None or any(_stands(context.text, *answer) for answer in given):
        return ""
    texts = {text.strip().casefold() for text, _ in given}
    if _options(fields):
        return "multiple-choice"
    return "yes/no" if texts and texts <= _YES_NO and not all(text in context.text for text, _ in given) else ""


def _stands(context: str, text: str, start: int | None) -> bool:
    return bool(text) and start is not None and start >= 0 and context.startswith(text, start)


def _options(fields: Fields) -> bool:
    answers = fields.get("answers")
    inner = answers.get("options") if isinstance(answers, Mapping) else None
    return any(isinstance(each, list) and each for each in (fields.other("options"), inner))


def _named_kind(fields: Fields) -> str:
    """The kind that a record names itself, such as `question_type 3`."""
    for name in _TYPES:
        value = fields.other(name)
        if isinstance(value, str | int) and not is_missing(value):
            return f"{name} {str(value)[:_SHOWN_ID]}"
    return ""
