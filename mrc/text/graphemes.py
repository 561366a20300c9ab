"""Graphemes, what a reader of a text sees as one character, and characters that are seen as nothing.

A combining mark, the letters of a decomposed syllable, the parts of an emoji or flag and a variation selector are one
grapheme with the character before them. Two halves of a surrogate pair count as the character that they encode.

Source: Unicode Standard Annex 29, extended grapheme clusters, as the `regex` module implements them.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import regex
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_GRAPHEME: Final = regex.compile(r"\X")
#: Characters that may be one grapheme with a neighbour; without them every character is one, apart from CR LF.
_JOINING: Final = regex.compile(
    r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}\p{GCB=Prepend}\p{GCB=Regional_Indicator}"
    r"\p{GCB=L}\p{GCB=V}\p{GCB=T}\ud800-\udfff]"
)
_BLANK: Final = regex.compile(r"\s|(?![\ud800-\udfff])\p{GCB=Control}")
_SPACE: Final = regex.compile(r"[\s\x1c-\x1f]")  # as str.isspace
_CHARACTER: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)
_TABLED: Final = 0x20000  # ideographs alone lie between here and the variation selectors and tags
_SELECTORS: Final = 0xE0000


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text, (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def blank(codes: NDArray[np.uint32]) -> Bools:
    """(N,) whether code points show nothing: white space, controls and format characters such as U+200B."""
    return np.asarray(_table(_BLANK)[np.minimum(codes, _TABLED)])


def white_space(codes: NDArray[np.uint32]) -> Bools:
    """(N,) whether code points are white space."""
    return np.asarray(_table(_SPACE)[np.minimum(codes, _TABLED)])


def joining(codes: NDArray[np.uint32]) -> Bools:
    """(N,) whether code points may be one grapheme with a neighbour."""
    return np.asarray(_table(_JOINING)[np.minimum(codes, _TABLED)] | (codes >= _SELECTORS))


@cache
def _table(kind: regex.Pattern[str]) -> Bools:
    """Whether each code point below `_TABLED` is of this kind; the entry behind them is False."""
    found = np.zeros(_TABLED + 1, dtype=np.bool_)
    found[[match.start() for match in kind.finditer("".join(map(chr, range(_TABLED))))]] = True
    return found


@lru_cache(maxsize=256)
def grapheme_edges(text: str) -> Ints | None:
    """The offsets, from 0 to the length of the text, at which graphemes start or end; None if each character is one."""
    if text.isascii() or not joining(code_points(text)).any():
        return None
    places = [match.start() for match in _CHARACTER.finditer(text)]
    paired = len(places) < len(text)
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if paired else text
    edges = [places[match.start()] for match in _GRAPHEME.finditer(whole)]
    return np.array([*edges, len(text)], dtype=np.int64)


def outward(edges: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Spans widened to the nearest edges."""
    return edges[np.searchsorted(edges, starts, side="right") - 1], edges[np.searchsorted(edges, ends, side="left")]


def whole_graphemes(text: str, start: int, end: int) -> tuple[int, int]:
    """The span `[start, end)` widened so that it cuts no grapheme."""
    edges = grapheme_edges(text)
    if edges is None:
        return start, end
    first, last = outward(edges, np.array([start]), np.array([end]))
    return int(first[0]), int(last[0])


def graphemes(text: str) -> list[str]:
    """The graphemes of a text, in order."""
    edges = grapheme_edges(text)
    return list(text) if edges is None else [text[start:end] for start, end in pairwise(edges.tolist())]
