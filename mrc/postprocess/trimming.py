"""Trimming spans: a Korean particle after a noun, a bracket or quotation mark without its partner."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from mrc.analyzers.morphemes import kiwi_morphemes
from mrc.postprocess.josa import PARTICLES

TAGGED: Final = 60  # code points around the end of a span that are tagged together
_ENDINGS = tuple(PARTICLES)

_OPENING = "([{<《〈「『【“‘"
_CLOSING = ")]}>》〉」』】”’"
_PARTNER = dict(zip(_OPENING + _CLOSING, _CLOSING + _OPENING, strict=True))
_STRAIGHT = "\"'"
_MARKS = _OPENING + _CLOSING + _STRAIGHT
_BEFORE_A_QUOTATION = _OPENING + _STRAIGHT + "-–—/"
_INTERVAL = re.compile(r"[\[(]\s*[^\s,()\[\]]+\s*,\s*[^\s,()\[\]]+\s*[\])]")  # [0, 1) is balanced
_DECADE = re.compile(r"(?<!\w)['’]\d\ds?(?![\w'’])")  # '90s, '69


def without_josa(question: str, text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the Korean particles at its end, found by tagging the text around it; never empty.

    The remaining word must occur elsewhere in passage or question without that particle after it: 제주도, 나이 and 국가
    keep their last syllables, which are particles elsewhere.

    Raises: MissingExtra without kiwipiepy.
    """
    if not text.endswith(_ENDINGS, start, end) or not _may_be_shorter(question, text, start, end):
        return start, end  # most spans; tagging is slow
    places = _particles_before(text, start, end)  # the last particle first
    return start, next((place for place in reversed(places) if _stands_alone(question, text, start, place, end)), end)


def _may_be_shorter(question: str, text: str, start: int, end: int) -> bool:
    """Whether some prefix of the span's last word occurs alone; otherwise no particle could be dropped."""
    first = max(start + 1, end - len(text[start:end].split()[-1]))
    places = (place for place in range(first, end) if text[start:place].strip())
    return any(_stands_alone(question, text, start, place, end) for place in places)


def _particles_before(text: str, start: int, end: int) -> list[int]:
    """Starts of the consecutive particles at the end of the span, the last one first; never the whole span."""
    first = _word_start(text, max(0, end - TAGGED * 2 // 3))
    last = _word_end(text, min(len(text), end + TAGGED // 3))
    begin_of = {first + stop: first + begin for begin, stop in _particles(text[first:last])}
    found, place = [], end
    while (place := begin_of.get(place, start)) > start and text[start:place].strip():
        found.append(place)
    return found


def _word_start(text: str, place: int) -> int:
    """The start of the word at a place, at most `TAGGED` before it."""
    edge = max(0, place - TAGGED)
    return next((at for at in range(place, edge, -1) if text[at - 1].isspace()), edge)


def _word_end(text: str, place: int) -> int:
    edge = min(len(text), place + TAGGED)
    return next((at for at in range(place, edge) if text[at].isspace()), edge)


@lru_cache(maxsize=16_384)
def _particles(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of the particles of a text, except for those contracted with the word before."""
    found = kiwi_morphemes(text)
    return tuple((begin, stop) for form, tag, begin, stop in found if tag[0] == "J" and text[begin:stop] == form)


def _stands_alone(question: str, text: str, start: int, place: int, end: int) -> bool:
    """Whether the last word of `text[start:place]` occurs elsewhere without the particles `text[place:end]`."""
    word, particles = text[start:place].split()[-1], text[place:end]
    elsewhere = [at for at in _places(text, word) if at + len(word) != place]
    return any(
        not where.startswith(particles, at + len(word))
        for where, places in ((text, elsewhere), (question, _places(question, word)))
        for at in places
    )


def _places(text: str, words: str) -> list[int]:
    """Starts of the words in a text, except inside another word."""
    found, at = [], text.find(words)
    while at >= 0:
        if at == 0 or not text[at - 1].isalnum():
            found.append(at)
        at = text.find(words, at + 1)
    return found


def with_paired_brackets(text: str, start: int, end: int) -> tuple[int, int]:
    """The span extended by the adjoining partner of an unpaired bracket or quotation mark, else without that mark.

    An unpaired mark is dropped only at an end of the span; inside it may be part of the answer.
    """
    lone = _unpaired(text, start, end)
    while lone:
        first, last = _repaired(text, start, end, lone)
        left = _unpaired(text, first, last)
        if len(left) >= len(lone) or not text[first:last].strip():
            break
        start, end, lone = first, last, left
    return start, end


def _repaired(text: str, start: int, end: int, lone: Collection[int]) -> tuple[int, int]:
    """One step of the repair, or the span itself."""
    if end < len(text) and any(_opens(text[at]) and _paired(text, at, end) for at in lone):
        return start, end + 1
    if start and any(_closes(text[at]) and _paired(text, start - 1, at) for at in lone):
        return start - 1, end
    if start in lone:
        return end - len(text[start + 1 : end].lstrip()), end
    if end - 1 in lone:
        return start, start + len(text[start : end - 1].rstrip())
    return start, end


def _opens(mark: str) -> bool:
    return mark in _OPENING + _STRAIGHT


def _closes(mark: str) -> bool:
    return mark in _CLOSING + _STRAIGHT


def _paired(text: str, first: int, last: int) -> bool:
    """Whether the mark at `last` is the partner of the mark at `first`."""
    mark = text[first]
    return text[last] == _PARTNER.get(mark, mark) or _INTERVAL.fullmatch(text, first, last + 1) is not None


def _unpaired(text: str, start: int, end: int) -> set[int]:
    """Positions of the brackets and quotation marks of a span without a partner in it.

    Apostrophes and marks of feet and inches need none; a straight mark pairs with the one before it.
    """
    waiting: list[int] = []
    lone: set[int] = set()
    for at in range(start, end):
        mark = text[at]
        if mark not in _MARKS or (start < at < end - 1 and _within_a_word(text, at)):
            continue
        if mark in _STRAIGHT:
            same = [place for place in waiting if text[place] == mark]
            waiting = [place for place in waiting if place not in same] if same else [*waiting, at]
        elif mark in _OPENING:
            waiting.append(at)
        elif waiting and _paired(text, waiting[-1], at):
            waiting.pop()
        else:
            lone.add(at)
    return {at for at in lone.union(waiting) if not _needs_no_partner(text, at)}


def _within_a_word(text: str, at: int) -> bool:
    """Whether the mark is an apostrophe between letters."""
    return text[at] in "'’" and text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()


def _needs_no_partner(text: str, at: int) -> bool:
    """Whether the mark means feet, inches, a decade or a plural genitive: 5'10", '90s, the Beatles'.

    After a digit or an s it may also close a quotation, and does if one is open.
    """
    mark, before, behind = text[at], text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if _DECADE.match(text, at):
        return True
    measure = mark in _STRAIGHT and before.isdecimal() and not (behind.isascii() and behind.isalpha())
    genitive = mark in "'’" and before in ("s", "S") and not behind.isalnum()
    return (measure or genitive) and not _quotation_is_open(text, at)


def _quotation_is_open(text: str, at: int) -> bool:
    """Whether the last quotation mark of the same kind before this place is an opening one."""
    closing = text[at]
    for place in range(at - 1, -1, -1):
        mark = text[place]
        if mark == _PARTNER.get(closing):
            return True
        if mark == closing and not _within_a_word(text, place) and not _DECADE.match(text, place):
            before, behind = text[place - 1 : place] if place else " ", text[place + 1]
            return mark in _STRAIGHT and not behind.isspace() and (before.isspace() or before in _BEFORE_A_QUOTATION)
    return False
