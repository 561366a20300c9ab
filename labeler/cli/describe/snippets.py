"""Parts of passages on one line: the sentence of an answer, and the words that a question matches."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labeler.core.console import emphasis

WIDTH = 160  # characters of a snippet
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)\]]*\s+|\n+")

Analyze = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Match:
    """A word of a passage that shares terms with the question: offsets in the passage, end exclusive."""

    start: int
    end: int
    terms: frozenset[str]


def answer_sentence(text: str, start: int, end: int, *, width: int = WIDTH) -> str:
    """The sentence that holds text[start:end], with the answer emphasised, cut to about `width` characters."""
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
    whole = max(place for place in ends if place <= start), min(place for place in ends if place >= end)
    return _cut(text, [(start, end)], whole, _window(whole, start, end, width))


def matched_snippet(text: str, question: str, analyze: Analyze, *, width: int = WIDTH) -> str:
    """The part of the passage that matches the most terms of the question, with the matching words emphasised."""
    matches = matched_words(text, question, analyze)
    best, whole = _densest(matches, width), (0, len(text))
    window = _window(whole, best[0].start, best[-1].end, width) if best else (0, min(len(text), width))
    return _cut(text, [(match.start, match.end) for match in matches], whole, window)


def matched_words(text: str, question: str, analyze: Analyze) -> list[Match]:
    """The words of a text that share a term with the question, in order."""
    asked = frozenset(analyze(question))
    words = ((word, asked.intersection(analyze(word.group()))) for word in _WORD.finditer(text))
    return [Match(word.start(), word.end(), shared) for word, shared in words if shared]


def _densest(matches: Sequence[Match], width: int) -> Sequence[Match]:
    """The run of matches within `width` characters that has the most different terms; the first of equal ones."""
    best: Sequence[Match] = ()
    most = 0
    for first, match in enumerate(matches):
        run = [match, *(other for other in matches[first + 1 :] if other.end - match.start <= width)]
        terms = len(frozenset[str]().union(*(each.terms for each in run)))
        if terms > most:
            best, most = run, terms
    return best


def _window(whole: tuple[int, int], start: int, end: int, width: int) -> tuple[int, int]:
    """A range of at most `width` characters of the whole around [start, end), which it always holds."""
    low, high = whole
    if high - low <= width:
        return whole
    spare = max(width - (end - start), 0)
    first = max(low, min(start - spare // 2, high - width))
    return min(first, start), max(min(high, first + width), end)


def _cut(text: str, spans: Sequence[tuple[int, int]], whole: tuple[int, int], window: tuple[int, int]) -> str:
    """The window on one line, with … where the whole goes on, and the spans inside the window emphasised."""
    inside = [(start, end) for start, end in spans if window[0] <= start and end <= window[1]]
    (low, high), (first, last) = whole, _whole_words(text, whole, window, inside)
    before, after = emphasis()
    parts, place = ["…" if text[low:first].strip() else ""], first
    for start, end in inside:
        parts += [text[place:start], before, text[start:end], after]
        place = end
    parts += [text[place:last], "…" if text[last:high].strip() else ""]
    return " ".join("".join(parts).split())


def _whole_words(
    text: str, whole: tuple[int, int], window: tuple[int, int], spans: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """The window without the parts of words at its ends, as far as no span is lost."""
    (low, high), (first, last) = whole, window
    marked = (spans[0][0], spans[-1][1]) if spans else (last, first)
    after, before = text.find(" ", first, marked[0]), text.rfind(" ", marked[1], last)
    return first if first == low or after < 0 else after + 1, last if last == high or before < 0 else before
