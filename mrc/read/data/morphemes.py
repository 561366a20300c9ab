"""Splitting Korean words into morphemes before tokenization, so that no token mixes a noun with its particle.

An answer is a run of whole tokens. Where WordPiece makes one piece of a name and its particle, no run of tokens is the
name alone; splitting words into morphemes first gives the name its own tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mrc.analyzers.base import folded
from mrc.analyzers.morphemes import CONTENT_TAGS, kiwi_morphemes
from mrc.errors import BadCheckpoint, MissingExtra

Ints = NDArray[np.int64]

WORDPIECE: Final = "WordPiece"
_VOWELS_AND_FINALS: Final = range(0x1160, 0x1200)  # Hangul letters that continue a syllable


def check_kiwi(needed_by: str) -> None:
    """Raises: MissingExtra without the Korean analyzer; the message begins with the setting that needs it."""
    if find_spec("kiwipiepy") is None:
        raise MissingExtra(f'{needed_by} needs kiwipiepy: pip install "labeler[ko]"')


def check_wordpiece(tokenizer: Any) -> None:
    """Raises: BadCheckpoint unless the tokenizer is a WordPiece one; others treat a split inside a word as a space."""
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind != WORDPIECE:
        raise BadCheckpoint(
            f"morphemes = true needs a WordPiece tokenizer, and this one is {kind}; "
            "train with morphemes = false or choose a checkpoint with WordPiece"
        )


def kiwi_cuts(texts: Sequence[str]) -> list[Ints]:
    """For each text the sorted offsets, in code points, at which a morpheme starts or ends inside it.

    No cut is inside a morpheme, or before a letter or combining mark that belongs to the character before it.
    """
    return [_cuts(text, [(start, end) for _, _, start, end in kiwi_morphemes(text)]) for text in texts]


def spaced(texts: Sequence[str]) -> list[str]:
    """The texts with a space at each cut, on which a vocabulary for split words is trained."""
    found = []
    for text, places in zip(texts, kiwi_cuts(texts), strict=True):
        edges = [0, *places.tolist(), len(text)]
        found.append(" ".join(text[start:end] for start, end in pairwise(edges)))
    return found


def _cuts(text: str, places: Sequence[tuple[int, int]]) -> Ints:
    ends = {edge for place in places for edge in place if 0 < edge < len(text)}
    within = {inner for start, end in places for inner in range(start + 1, end)}
    return np.array([at for at in sorted(ends - within) if not _continues(text[at])], dtype=np.int64)


def _continues(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or ord(character) in _VOWELS_AND_FINALS


def content_morphemes(text: str) -> list[tuple[int, int, str]]:
    """The content morphemes of a text, in order: start and end in code points, and the folded form."""
    return [
        (start, end, folded(form))
        for form, tag, start, end in kiwi_morphemes(text)
        if tag.partition("-")[0] in CONTENT_TAGS
    ]
