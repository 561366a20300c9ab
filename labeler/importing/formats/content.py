"""The content of a file of any format: passages, questions, and rejected rows with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labeler.core.files import TextFile, text_fault
from mrc.errors import SpanMismatch
from mrc.squad import Rejected, anchor, as_given, most_frequent_first
from mrc.text import passage_id, question_id
from mrc.types import Passage, Span

MAX_PASSAGE = 1_000_000  # code points; a longer one is a book, not a passage
MAX_QUESTION = 10_000
#: names of splits in files -> role; every question that an export has in its training split has a label
ROLE_OF = {
    **dict.fromkeys(("train", "training", "gold", "pool"), "gold"),
    **dict.fromkeys(("dev", "valid", "val", "validation"), "dev"),
    "test": "test",
    "calibration": "calibration",
}
MAX_ID = 255  # characters of the database column


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """A question with its place in the file. `answers` are spans of `context`, the most frequent first.

    `all_answers`: as in `mrc.types.Example`, in the order of the file with repetitions. `split` and `kind` are what the
    file says: the split that the question belongs to, and how its label was made; empty where it says nothing. `texts`:
    answers as text alone, which stand nowhere in the context, or of a question without a context.
    """

    where: str
    id: str
    text: str
    context: Passage | None
    answers: tuple[Span, ...] = ()
    is_impossible: bool | None = None
    all_answers: tuple[Span, ...] = ()
    split: str = ""
    kind: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """All of a file or folder. `passages` has each text once, contexts of questions included, in file order.

    Passages and questions of a file are read from a temporary file when they are asked for (`filed`).
    """

    sha256: str
    format: str
    passages: Sequence[Passage]
    questions: Sequence[FileQuestion] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()  # choices that the reader made, for the user to know


Part = FileQuestion | Passage | Rejected


def encoding_notes(file: TextFile) -> tuple[str, ...]:
    """Return a note if the encoding of the file was guessed."""
    return (f"{file.path}: not UTF-8, read as {file.encoding}",) if file.guessed else ()


def fault(part: FileQuestion | Passage, *, checked: bool = False) -> str | None:
    """Return why a part cannot be stored, or None. `checked`: its passage was checked before."""
    if isinstance(part, Passage):
        if checked:
            return None
        return _text_fault("passage", part.text, MAX_PASSAGE) or _text_fault("title", part.title or "-", MAX_QUESTION)
    if part.is_impossible is not None and part.context is None:
        return "is_impossible needs a context"
    return (
        _text_fault("question", part.text, MAX_QUESTION)
        or _text_fault("id", part.id, MAX_ID)
        or (None if part.context is None else fault(part.context, checked=checked))
    )


def _text_fault(name: str, text: str, limit: int) -> str | None:
    if not text.strip():
        return f"the {name} is empty"
    if len(text) > limit:
        return f"the {name} has {len(text):,} characters; at most {limit:,} are allowed"
    why = text_fault(text)
    return why and f"the {name} holds {why}"


def make_passage(text: str, title: str = "") -> Passage:
    """Return the passage of a text. Without a valid UTF-8 form its id is empty, and `fault` rejects it."""
    return Passage(passage_id(text) if text_fault(text) is None else "", text, title)


def with_origin(part: Part, fields: Mapping[str, Any]) -> Part:
    """Return a question with what the fields say of its split (`role`, else `split`) and of its label (`kind`).

    A `role` that names no split, such as the role of a speaker, is not one.
    """
    if not isinstance(part, FileQuestion):
        return part
    role, split, kind = (_word(fields.get(name)) for name in ("role", "split", "kind"))
    if not (role or split or kind):
        return part
    return replace(part, split=role if role.lower() in ROLE_OF or not split else split, kind=kind)


def _word(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def make_question(
    where: str,
    *,
    id: str,
    text: str,
    context: Passage | None,
    answers: Iterable[tuple[str, int | None]],
    is_impossible: bool | None,
    place: str = "",
) -> Iterator[FileQuestion | Rejected]:
    """Yield the rejected answers, then the question; `place`: where it is, default: `where`.

    An answer without an offset, or not at its offset, gets the offset of its text if that occurs exactly once. One that
    cannot be placed is rejected and kept as a text, by which a dev or test question is scored.
    """
    given = list(answers)
    spans: list[Span] = []
    unplaced: list[str] = []
    if given and is_impossible:
        yield Rejected(where, "is_impossible is true, but it has answers")
        return
    for answer, start in given:
        if context is None:
            break
        try:
            spans.append(anchor(context.text, answer, -1 if start is None else start, passage=context.id))
        except SpanMismatch as error:
            unplaced.extend([answer] if text_fault(answer) is None else [])
            yield Rejected(where, str(error))
    if given and not spans and not unplaced and context is not None:
        return
    encodable = text_fault(text) is None and (context is None or context.id)
    key = id or (question_id(text, context.text if context else "") if encodable else "-")
    texts = tuple(dict.fromkeys(unplaced if context is not None else (text for text, _ in given)))
    ordered, given_spans = most_frequent_first(spans), as_given(spans)
    yield FileQuestion(place or where, key, text, context, ordered, is_impossible, given_spans, texts=texts)
