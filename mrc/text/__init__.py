"""Text: ids of passages and questions, normalising questions for matching, splitting long text into passages."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Sentence marks and spaces at the end of a question; removing all punctuation would make "C#" and "C" equal.
_TRAILING = " .?!,;:。、"

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_HEADINGS = re.compile(r"#{1,6}[^\S\n][^\n]*(?:\s*\n#{1,6}[^\S\n][^\n]*)*")
# Places to split a long paragraph, the best kind first; a piece ends where the match ends.
_CUTS = (
    re.compile(r"[.?!…。！？][\"'”’」』)\]]*\s+|[。！？]"),
    re.compile(r"\n"),
    re.compile(r"\s+"),
)


def passage_id(text: str) -> str:
    """The id of a passage: the first 32 hexadecimal digits of the SHA-256 of its exact UTF-8 text.

    Raises:
        UnicodeEncodeError: the text holds a lone surrogate, which UTF-8 cannot encode.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def valid_text(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def question_id(question: str, context: str) -> str:
    """The id of a question without one in its file: a hash of the exact question and its context."""
    return passage_id(f"{passage_id(context)}\n{question}")


def normalize(text: str) -> str:
    """A question normalised for matching: NFKC, case folded, single spaces, no sentence marks at the end.

    Idempotent. A text of sentence marks alone keeps them.
    Source: Unicode 16, section 3.13.5, "compatibility caseless match".
    """
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    collapsed = " ".join(folded.split())
    return collapsed.rstrip(_TRAILING) or collapsed


def split_passages(text: str, max_chars: int = 1000) -> list[tuple[int, int]]:
    """The passages of a long plain or Markdown text as `[start, end)` offsets, in order, without white space around.

    Blank lines separate passages; a Markdown heading stays with the paragraph under it where both fit. A paragraph of
    more than `max_chars` code points is split at the last sentence end that fits, else at a line end, a space, or
    anywhere. Every character except white space is in exactly one passage.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars must be at least 1, got {max_chars}")
    passages: list[tuple[int, int]] = []
    for start, end in _blocks(text):
        if passages and end - passages[-1][0] <= max_chars and _HEADINGS.fullmatch(text, *passages[-1]):
            passages[-1] = (passages[-1][0], end)
        else:
            passages += _pieces(text, start, end, max_chars)
    return passages


def _blocks(text: str) -> list[tuple[int, int]]:
    breaks = [match.span() for match in _BLANK_LINES.finditer(text)]
    starts = [0, *(end for _, end in breaks)]
    ends = [*(start for start, _ in breaks), len(text)]
    return [block for block in map(_trim, [text] * len(starts), starts, ends) if block[0] < block[1]]


def _pieces(text: str, start: int, end: int, max_chars: int) -> list[tuple[int, int]]:
    pieces = []
    while end - start > max_chars:
        cut = _last_cut(text, start, start + max_chars)
        pieces.append(_trim(text, start, cut))
        start = _trim(text, cut, end)[0]
    return [*pieces, (start, end)]


def _last_cut(text: str, start: int, limit: int) -> int:
    """The end of the piece that starts at `start`, with nothing but white space behind `limit`."""
    for kind in _CUTS:
        # One character of look-ahead: a space right behind the limit is as good a cut as one within it.
        ends = [match.end() for match in kind.finditer(text, start, limit + 1)]
        fitting = [end for end in ends if _trim(text, start, end)[1] <= limit]
        if fitting:
            return fitting[-1]
    return limit


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space at its ends; empty where there is nothing else."""
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():  # no slice: the rest of a long text would be copied for each piece
        start += 1
    return start, end
