"""Questions whose answers are texts alone, as in NQ-open: their answers are placed in passages that are retrieved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from labeler.importing.formats import Content, FileQuestion
from labeler.importing.formats.filed import batches, filed_questions
from labeler.importing.formats.shapes import anchored
from mrc.types import Passage, Span

AT_ONCE = 1000  # questions that are retrieved at a time

#: questions -> the passages retrieved for each, best first; None without an index
Retrieve = Callable[[Sequence[str]], Sequence[Sequence[Passage]] | None]


def place_answers(name: str, content: Content, retrieve: Retrieve) -> Content:
    """Return the content with the answers placed that stand exactly once in one of the passages of their question.

    The first such passage becomes the context. A note counts the questions with and without a place.
    """
    questions = filed_questions(content.questions)
    texts_alone = [each.number for each in questions.all_keys() if each.texts and each.place is None]
    placed = 0
    for some in batches(texts_alone, AT_ONCE):
        found = retrieve([questions.text(number) for number in some])
        if found is None:
            count = len(texts_alone)
            note = (
                f"{name}: {count:,} questions have answers as text alone; with an index (labeler index) they are placed"
            )
            return replace(content, notes=(*content.notes, note))
        for number, passages in zip(some, found, strict=True):
            question = _placed(questions[number], passages)
            placed += question.context is not None
            questions.put(number, question)
    if not texts_alone:
        return content
    note = (
        f"{name}: of {len(texts_alone):,} questions with answers as text alone, {placed:,} have an answer exactly once "
        "in a passage that the index finds; it became their context"
    )
    return replace(content, notes=(*content.notes, note))


def _placed(question: FileQuestion, passages: Sequence[Passage]) -> FileQuestion:
    found = anchored(question.texts, [{"id": each.id, "context": each.text} for each in passages])
    if found is None:
        return question
    (context,) = (each for each in passages if each.id == found[0]["id"])
    starts = [(answer["answer_start"], answer["text"]) for answer in found[1]]
    spans = tuple(Span(context.id, start, start + len(text), text) for start, text in starts)
    return replace(question, context=context, answers=spans, all_answers=spans, texts=())
