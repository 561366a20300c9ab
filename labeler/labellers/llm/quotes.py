"""Quotes of language models as spans: verbatim, or in other white space, quotation marks or letter forms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

from mrc.errors import SpanMismatch
from mrc.text.anchoring import anchor, short
from mrc.text.graphemes import graphemes
from mrc.types import Passage, Span

LONGEST_ANSWER: Final = 300  # characters; a longer one is a passage, not an answer
_MARKS: Final = str.maketrans(
    dict.fromkeys("“”„‟«»「」『』〝〞＂", '"') | dict.fromkeys("‘’‚‛′`＇", "'") | dict.fromkeys("–—−‐‑", "-")
)
_SENTENCE: Final = re.compile(r"[.?!。！？…][\"'”’」』)\]]*\s+|\n")


def place_answer(answer: str, quote: str, number: int, passages: Sequence[Passage]) -> Span | str:
    """The span of an answer within its quote, in the passage that it names or else in the first that has the quote.

    Both the quote in its passage and the answer in its quote must stand exactly once. Returns the reason where there is
    no such span: what stands in no passage is never an answer.
    """
    if len(answer) > LONGEST_ANSWER:
        return f"the answer has {len(answer):,} characters; at most {LONGEST_ANSWER} are an answer"
    if not answer.strip() or not quote.strip():
        return f"the {'answer' if quote.strip() else 'quote'} is empty, though a passage is named"
    named = [passages[number - 1]] if 0 < number <= len(passages) else []
    others = [each for each in passages if each not in named]
    reasons = []
    for passage in (*named, *others):
        outer = find_once(passage.text, quote)
        if isinstance(outer, str):
            reasons.append(outer)
            continue
        inner = find_once(passage.text[outer[0] : outer[1]], answer)
        if isinstance(inner, str):
            return f"the answer {short(answer)} {inner} its quote"
        start, end = outer[0] + inner[0], outer[0] + inner[1]
        return Span(passage.id, start, end, passage.text[start:end])
    twice = next((reason for reason in reasons if reason == TWICE), None)
    return f"the quote {short(quote)} {twice or ABSENT} {'a passage' if twice else 'the passages shown'}"


ABSENT, TWICE = "does not stand in", "stands more than once in"


def find_once(text: str, part: str) -> tuple[int, int] | str:
    """The only place of a part in a text, as it is written or else folded; or why there is none, as a verb."""
    bare = part.strip()
    try:
        span = anchor(text, bare, -1, passage="")
    except SpanMismatch:
        if text.count(bare) > 1:
            return TWICE
    else:
        return span.start, span.end
    folded, origin = _folded(text)
    wanted = _folded(bare)[0]
    first = folded.find(wanted) if wanted else -1
    if first < 0:
        return ABSENT
    if folded.find(wanted, first + 1) >= 0:
        return TWICE
    start, end = origin[first][0], origin[first + len(wanted) - 1][1]
    return ABSENT if start is None or end is None else (start, end)


@lru_cache(maxsize=64)
def _folded(text: str) -> tuple[str, list[tuple[int | None, int | None]]]:
    """The text with one space for white space, plain quotation marks and composed letters; and for each character the
    offsets at which it starts and ends in the text, None inside of a letter that became several."""
    pieces = graphemes(text)
    edges = list(accumulate(map(len, pieces), initial=0))
    characters: list[str] = []
    origin: list[tuple[int | None, int | None]] = []
    for piece, start, end in zip(pieces, edges, edges[1:], strict=False):
        if piece.isspace():
            if characters and characters[-1] == " ":
                origin[-1] = (origin[-1][0], end)
            else:
                characters.append(" ")
                origin.append((start, end))
            continue
        folded = unicodedata.normalize("NFKC", piece).translate(_MARKS)
        for place, character in enumerate(folded):
            characters.append(character)
            origin.append((start if place == 0 else None, end if place == len(folded) - 1 else None))
    return "".join(characters), origin


def sentence_around(text: str, start: int, end: int) -> str:
    """The sentence of a text that has the span, without white space around it."""
    cuts = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    first = max(cut for cut in cuts if cut <= start)
    last = min(cut for cut in cuts if cut >= end)
    return text[first:last].strip()
