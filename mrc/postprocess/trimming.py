"""Spans whose ends say too much: a Korean particle behind a noun, a bracket or quotation mark without its partner."""

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
_INTERVAL = re.compile(r"[\[(]\s*[^\s,()\[\]]+\s*,\s*[^\s,()\[\]]+\s*[\])]")  # [0, 1) is closed as it should be
_DECADE = re.compile(r"(?<!\w)['’]\d\ds?(?![\w'’])")  # '90s, '69


def without_josa(question: str, text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the Korean particles at its end, each found by tagging the text around it; never nothing.

    The word that is left must occur elsewhere in passage or question without that particle behind it: 제주도, 나이 and
    국가 keep their ends, whatever their last syllables are elsewhere.

    Raises: MissingExtra without kiwipiepy.
    """
    if not text.endswith(_ENDINGS, start, end) or not _may_be_shorter(question, text, start, end):
        return start, end  # most spans: tagging is dear
    places = _particles_before(text, start, end)  # the last particle first
    return start, next((place for place in reversed(places) if _stands_alone(question, text, start, place, end)), end)


def _may_be_shorter(question: str, text: str, start: int, end: int) -> bool:
    """Whether the span's last word stands alone when cut anywhere: without that no particle would be dropped."""
    first = max(start + 1, end - len(text[start:end].split()[-1]))
    places = (place for place in range(first, end) if text[start:place].strip())
    return any(_stands_alone(question, text, start, place, end) for place in places)


def _particles_before(text: str, start: int, end: int) -> list[int]:
    """Where the particles begin that end the span one behind the other, the last one first; something is left."""
    first = _word_start(text, max(0, end - TAGGED * 2 // 3))
    last = _word_end(text, min(len(text), end + TAGGED // 3))
    begin_of = {first + stop: first + begin for begin, stop in _particles(text[first:last])}
    found, place = [], end
    while (place := begin_of.get(place, start)) > start and text[start:place].strip():
        found.append(place)
    return found


def _word_start(text: str, place: int) -> int:
    """The start of the word at a place, which is not further than `TAGGED` behind it."""
    edge = max(0, place - TAGGED)
    return next((at for at in range(place, edge, -1) if text[at - 1].isspace()), edge)


def _word_end(text: str, place: int) -> int:
    edge = min(len(text), place + TAGGED)
    return next((at for at in range(place, edge) if text[at].isspace()), edge)


@lru_cache(maxsize=16_384)
def _particles(text: str) -> tuple[tuple[int, int], ...]:
    """Where the particles of a text stand, but for those that are contracted with what they follow."""
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
    """Where these words begin in a text, not within another word."""
    found, at = [], text.find(words)
    while at >= 0:
        if at == 0 or not text[at - 1].isalnum():
            found.append(at)
        at = text.find(words, at + 1)
    return found


def with_paired_brackets(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with the partner of an unpaired bracket or quotation mark where that adjoins, else without the mark.

    A mark without a partner is dropped at an edge only; within the span it may be part of the answer.
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
    """One step of the repair; the span itself where there is none to take."""
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
    """Whether the mark at `last` closes what the mark at `first` opens."""
    mark = text[first]
    return text[last] == _PARTNER.get(mark, mark) or _INTERVAL.fullmatch(text, first, last + 1) is not None


def _unpaired(text: str, start: int, end: int) -> set[int]:
    """Where the brackets and quotation marks of a span stand that have no partner in it.

    An apostrophe and the marks of feet and inches need none; a straight mark pairs with the one before it.
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
    """Whether the mark is that of feet, inches, a decade or a plural's genitive: 5'10", '90s, the Beatles'.

    Behind a digit or an s it may also close a quotation: it does where one is open.
    """
    mark, before, behind = text[at], text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if _DECADE.match(text, at):
        return True
    measure = mark in _STRAIGHT and before.isdecimal() and not (behind.isascii() and behind.isalpha())
    genitive = mark in "'’" and before in ("s", "S") and not behind.isalnum()
    return (measure or genitive) and not _quotation_is_open(text, at)


def _quotation_is_open(text: str, at: int) -> bool:
    """Whether the last quotation mark of the kind before this place is an opening one."""
    closing = text[at]
    for place in range(at - 1, -1, -1):
        mark = text[place]
        if mark == _PARTNER.get(closing):
            return True
        if mark == closing and not _within_a_word(text, place) and not _DECADE.match(text, place):
            before, behind = text[place - 1 : place] if place else " ", text[place + 1]
            return mark in _STRAIGHT and not behind.isspace() and (before.isspace() or before in _BEFORE_A_QUOTATION)
    return False
