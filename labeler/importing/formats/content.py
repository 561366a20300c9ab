"""What a file brings, whatever its format: passages, questions, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from labeler.core.files import text_fault
from mrc.errors import SpanMismatch
from mrc.squad import Rejected, anchor
from mrc.text import passage_id, question_id
from mrc.types import Example, Passage, Span

MAX_PASSAGE = 1_000_000  # code points; longer ones are books, and would be read whole into every batch
MAX_QUESTION = 10_000
MAX_ID = 255  # of the database's column


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """One question with its place in the file. `answers` are spans of `context`, the most frequent first."""

    where: str
    id: str
    text: str
    context: Passage | None
    answers: tuple[Span, ...] = ()
    is_impossible: bool | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """All of a file or folder. `passages` hold each text once, the contexts of questions too, in file order."""

    sha256: str
    format: str
    passages: tuple[Passage, ...]
    questions: tuple[FileQuestion, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()  # choices made for the user that they may want to know


Part = FileQuestion | Passage | Rejected


def gather(parts: Iterable[tuple[str, Part]], *, sha256: str, format: str, notes: tuple[str, ...] = ()) -> Content:
    """The content made of parts, each with its place; what fails a check is listed as rejected at that place."""
    passages: dict[str, Passage] = {}
    questions: list[FileQuestion] = []
    rejected: list[Rejected] = []
    for where, part in parts:
        why = fault(part)
        if isinstance(part, Rejected):
            rejected.append(part)
        elif why is not None:
            rejected.append(Rejected(where, why))
        elif isinstance(part, Passage):
            passages.setdefault(part.id, part)
        else:
            questions.append(part)
            if part.context is not None:
                passages.setdefault(part.context.id, part.context)
    return Content(sha256, format, tuple(passages.values()), tuple(questions), tuple(rejected), notes)


def fault(part: Part) -> str | None:
    """Why a part cannot be stored, or None."""
    if isinstance(part, Rejected):
        return None
    if isinstance(part, Passage):
        return _text_fault("passage", part.text, MAX_PASSAGE) or _text_fault("title", part.title or "-", MAX_QUESTION)
    if part.is_impossible is not None and part.context is None:
        return "is_impossible without a context: it can be said of a passage only"
    return (
        _text_fault("question", part.text, MAX_QUESTION)
        or _text_fault("id", part.id, MAX_ID)
        or (None if part.context is None else fault(part.context))
    )


def _text_fault(name: str, text: str, limit: int) -> str | None:
    if not text.strip():
        return f"the {name} is empty"
    if len(text) > limit:
        return f"the {name} is {len(text):,} characters long, {limit:,} are allowed"
    why = text_fault(text)
    return why and f"the {name} holds {why}"


def make_passage(text: str, title: str = "") -> Passage:
    """The passage of a text. The id of one that UTF-8 cannot carry is empty; `fault` refuses it by its text."""
    return Passage(passage_id(text) if text_fault(text) is None else "", text, title)


def from_example(example: Example, where: str) -> FileQuestion:
    """The question of a SQuAD-style example."""
    context = make_passage(example.context, example.title)
    return FileQuestion(where, example.id, example.question, context, example.answers, example.is_impossible)


def make_question(
    where: str,
    *,
    id: str,
    text: str,
    context: Passage | None,
    answers: Iterable[tuple[str, int | None]],
    is_impossible: bool | None,
) -> Iterator[FileQuestion | Rejected]:
    """The question, if anything of it can be used, after the answers of it that cannot.

    An answer without an offset, or not at its offset, is placed where its text stands if it does so exactly once.
    """
    given = list(answers)
    spans: Counter[Span] = Counter()
    if given and context is None:
        yield Rejected(where, "an answer without the context that it stands in")
        return
    if given and is_impossible:
        yield Rejected(where, "is_impossible is true, yet it has answers")
        return
    for answer, start in given:
        try:
            assert context is not None
            spans[anchor(context.text, answer, -1 if start is None else start, passage=context.id)] += 1
        except SpanMismatch as error:
            yield Rejected(where, str(error))
    if given and not spans:
        return
    ordered = sorted(spans, key=lambda span: (-spans[span], span.start, span.end))
    encodable = text_fault(text) is None and (context is None or context.id)
    key = id or (question_id(text, context.text if context else "") if encodable else "-")
    yield FileQuestion(where, key, text, context, tuple(ordered), is_impossible)
