"""Answers from outside as spans of passages, by the rules of import: at an offset, or where a text stands once."""

from __future__ import annotations

from collections.abc import Sequence

from mrc.errors import SpanMismatch
from mrc.text.anchoring import anchor, short
from mrc.types import Passage, Span


def find_span(text: str, passages: Sequence[Passage], *, start: int | None = None, named: bool = False) -> Span | str:
    """The span of an answer in the first passage that has it, or why there is none.

    A passage has the answer where the text stands at the offset, or else where it stands exactly once, or at the offset
    in UTF-16 units (`mrc.text.anchoring`). White space around the text does not count.

    Args:
        text: the answer.
        passages: those that retrieval found, best first, or the one that the answer names.
        start: the offset of the text in its passage.
        named: the passage is the one that the answer names.
    """
    bare = text.strip()
    at = -1 if start is None or start < 0 else start + len(text) - len(text.lstrip())
    if at >= 0:
        for passage in passages:
            if passage.text.startswith(bare, at):
                return Span(passage.id, at, at + len(bare), bare)
    for passage in passages:
        try:
            return anchor(passage.text, bare, at, passage=passage.id)
        except SpanMismatch:
            continue
    return _why_not(bare, passages, start=start, named=named)


def _why_not(text: str, passages: Sequence[Passage], *, start: int | None, named: bool) -> str:
    where = "the passage that it names" if named else f"what was found for the question ({len(passages)} passages)"
    if any(text in passage.text for passage in passages):
        places = "in it" if named else "in every one of them that has it"
        remedy = ": give its offset as answer_start" if start is None else f", and not at answer_start {start}"
        return f"the answer {short(text)} occurs more than once {places}{remedy}"
    if not passages:
        return f"the answer {short(text)} has no passage to stand in: none was found for the question"
    return f"the answer {short(text)} does not occur in {where}"
