"""Find a typed answer in passages: exact matches, and near ones."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator, Mapping

from db.rows import SpanRow
from mrc.text.graphemes import whole_graphemes

SHORTEST_PART = 2  # characters in common that are worth showing


def occurrences(text: str, passages: Mapping[str, str]) -> list[SpanRow]:
    """Return every exact occurrence in the passages (id -> text), in their order; overlapping ones too.

    One that cuts a grapheme is none: a letter without its accent, half an emoji.
    """
    found = []
    for key, passage in passages.items():
        start = passage.find(text) if text else -1
        while start >= 0:
            end = start + len(text)
            if whole_graphemes(passage, start, end) == (start, end):
                found.append(SpanRow(text, key, start, end))
            start = passage.find(text, start + 1)
    return found


def near(text: str, passages: Mapping[str, str]) -> list[SpanRow]:
    """Return occurrences that differ only in Unicode normal form, case or white space, in the passages' order."""
    wanted = "".join(folded for folded, _, _ in _folded(text))
    found = []
    for key, passage in passages.items():
        starts, ends, whole = {}, {}, ""  # offset in the folded text -> in the passage, at borders of characters
        for folded, start, end in _folded(passage):
            starts[len(whole)] = start
            whole += folded
            ends[len(whole)] = end
        at = whole.find(wanted) if wanted else -1
        while at >= 0:
            if at in starts and at + len(wanted) in ends:
                start, end = starts[at], ends[at + len(wanted)]
                found.append(SpanRow(passage[start:end], key, start, end))
            at = whole.find(wanted, at + 1)
    return found


def longest_part(text: str, passages: Mapping[str, str]) -> str:
    """Return the longest part of the text that is in a passage, as typed; empty below SHORTEST_PART characters."""
    best = ""
    for passage in passages.values():
        matcher = difflib.SequenceMatcher(None, text, passage, autojunk=False)
        match = matcher.find_longest_match()
        if match.size > len(best):
            best = text[match.a : match.a + match.size]
    return best if len(best.strip()) >= SHORTEST_PART else ""


def _folded(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (folded text, start, end) of each character with its combining marks; nothing for white space."""
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and _joins(text[end]):
            continue
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[start:end]).casefold())
        folded = "".join(folded.split())
        if folded:
            yield folded, start, end
        start = end


def _joins(character: str) -> bool:
    """Whether a character joins the one before: a combining mark, or a later part of a Hangul syllable."""
    return unicodedata.combining(character) != 0 or "\u1160" <= character <= "\u11ff"
