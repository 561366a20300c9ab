"""Questions whose answers are texts alone, as in NQ-open: their answers are placed in passages that are retrieved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from labeler.importing.formats import Content, FileQuestion
from labeler.importing.formats.shapes import anchored
from mrc.types import Passage, Span

#: questions -> the passages retrieved for each, best first; None without an index
Retrieve = Callable[[Sequence[str]], Sequence[Sequence[Passage]] | None]


def place_answers(name: str, content: Content, retrieve: Retrieve) -> Content:
    """Return the content with the answers placed that stand exactly once in one of the passages of their question.

    The first such passage becomes the context. A note counts the questions with and without a place.
    """
    texts_alone = [each for each in content.questions if _is_open(each)]
    if not texts_alone:
        return content
    found = retrieve([each.text for each in texts_alone])
    if found is None:
        count = len(texts_alone)
        note = f"{name}: {count:,} questions have answers as text alone; with an index (labeler index) they are placed"
        return replace(content, notes=(*content.notes, note))
    placed = [_placed(each, passages) for each, passages in zip(texts_alone, found, strict=True)]
    following = iter(placed)
    questions = tuple(next(following) if _is_open(each) else each for each in content.questions)
    contexts = {each.context.id: each.context for each in placed if each.context is not None}
    count = sum(each.context is not None for each in placed)
    note = (
        f"{name}: of {len(placed):,} questions with answers as text alone, {count:,} have an answer exactly once in a "
        "passage that the index finds; it became their context"
    )
    passages = {each.id: each for each in content.passages}
    return replace(
        content, questions=questions, passages=tuple((passages | contexts).values()), notes=(*content.notes, note)
    )


def _is_open(question: FileQuestion) -> bool:
    return bool(question.texts) and question.context is None


def _placed(question: FileQuestion, passages: Sequence[Passage]) -> FileQuestion:
    found = anchored(question.texts, [{"id": each.id, "context": each.text} for each in passages])
    if found is None:
        return question
    (context,) = (each for each in passages if each.id == found[0]["id"])
    starts = [(answer["answer_start"], answer["text"]) for answer in found[1]]
    spans = tuple(Span(context.id, start, start + len(text), text) for start, text in starts)
    return replace(question, context=context, answers=spans, all_answers=spans, texts=())
