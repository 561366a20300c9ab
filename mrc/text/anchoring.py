"""Anchoring: finding the place of a gold answer in its context, also where the two are in different normal forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Final, Literal

from mrc.errors import SpanMismatch
from mrc.text.graphemes import grapheme_edges, graphemes
from mrc.types import Span

_FOLDS: Final[tuple[Literal["NFD", "NFKD"], ...]] = (
    "NFD",
    "NFKD",
)  # equal letters, then equal up to width and the like
_FORMS: Final[tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...]] = ("NFC", "NFD", "NFKC", "NFKD")


def anchor(context: str, text: str, start: int, *, passage: str) -> Span:
    """The span of an answer: at its offset, or else at the only place where it occurs.

    Only whole graphemes are an occurrence. If the text does not occur as it is written, it is looked for in the same
    normal form as the context: composed or decomposed, of full or half width; the span is that of the context. Of
    several occurrences the one counts to which the offset points in UTF-16 units, with CR LF as one character or in
    another normal form.

    Raises: SpanMismatch where the text is empty, occurs nowhere, or more than once but not at `start`.
    """
    if not text.strip():
        raise SpanMismatch("the answer is empty")
    if start >= 0 and context.startswith(text, start):
        return Span(passage, start, start + len(text), text)
    places = _occurrences(context, text)
    if not places:
        raise SpanMismatch(f"the answer {short(text)} does not occur in the context")
    if len(places) > 1:
        places = [place for place in places if start in _other_counts(context[: place[0]])]
    if len(places) != 1:
        raise SpanMismatch(f"the answer {short(text)} is not at offset {start} and occurs more than once")
    first, last = places[0]
    return Span(passage, first, last, context[first:last])


def short(text: str, limit: int = 40) -> str:
    """The text in quotes for a message, shortened."""
    return repr(text if len(text) <= limit else f"{text[:limit]}…")


def _occurrences(context: str, text: str) -> list[tuple[int, int]]:
    """All places of the text as it is written, or else in the first fold in which it occurs."""
    edges = grapheme_edges(context)
    known = None if edges is None else frozenset(edges.tolist())
    found = [(at, at + len(text)) for at in _find_all(context, text)]
    found = [place for place in found if known is None or known.issuperset(place)]
    if found or (context.isascii() and text.isascii()):
        return found
    for form in _FOLDS:
        folded, places = _folded(context, form)
        wanted = unicodedata.normalize(form, text)
        spans = ((at, at + len(wanted)) for at in _find_all(folded, wanted))
        if found := [(places[first], places[last]) for first, last in spans if first in places and last in places]:
            return found
    return []


@lru_cache(maxsize=16)
def _folded(context: str, form: Literal["NFD", "NFKD"]) -> tuple[str, dict[int, int]]:
    """The context folded, and the offset in the context of each grapheme's edge in the folded text."""
    pieces = graphemes(context)
    folded = [unicodedata.normalize(form, piece) for piece in pieces]
    edges = zip(accumulate(map(len, folded), initial=0), accumulate(map(len, pieces), initial=0), strict=True)
    return "".join(folded), dict(reversed(list(edges)))  # the first edge of those at one place


def _find_all(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _other_counts(before: str) -> set[int]:
    """The lengths of a text as other programs count it."""
    utf16 = len(before) + sum(character > "\uffff" for character in before)
    return {utf16, len(before.replace("\r\n", "\n")), *(len(unicodedata.normalize(form, before)) for form in _FORMS)}
