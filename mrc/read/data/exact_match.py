"""Exact-match features of tokens: words that question and passage share, and how many of them are near; levels 0-11.

Source: Chen et al. 2017, Reading Wikipedia to Answer Open-Domain Questions, section 3.2, exact match.

Words are compared as written, as stems or as Korean morphemes; stop words (the, who, ...) never count. Levels are
computed on the whole passage, independently of its windows:

    passage token    nearness (0-5) * 2 + (1 if its own word occurs in the question)
    question token   1 if its word occurs in the passage, else 0

Nearness is the share of the question's distinct words that occur within 24 tokens, in fifths, rounded up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import Stemmer
from numpy.typing import NDArray

from mrc.analyzers.base import folded
from mrc.analyzers.characters import STOP_WORDS
from mrc.read.data.morphemes import check_kiwi, content_morphemes

Ints = NDArray[np.int64]
Spans = list[tuple[int, int, str]]  # in order: start and end in code points, and the form to compare
Finder = Callable[[Sequence[str]], list[Spans]]

KINDS: Final = ("words", "stems", "morphemes")
NEARNESS: Final = 5  # levels of it above 0
NEAR: Final = 24  # tokens on each side
MATCH_LEVELS: Final = 2 * (NEARNESS + 1)
NOTHING: Final = 0  # term of a token without a content word

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class ExactMatch:
    """Assigns terms to tokens, equal for equal words; `levels` are computed from them."""

    def __init__(self, kind: str) -> None:
        """Raises: MissingExtra for morphemes without their analyzer."""
        self.kind = kind
        self._spans = _FINDERS[kind]()

    def terms(self, texts: Sequence[str], offsets: Sequence[Ints]) -> list[Ints]:
        """For each text the terms (N,): a number for the first content word that each token (N, 2) touches, else 0."""
        found = self._spans(texts)
        return [_terms(spans, places) for spans, places in zip(found, offsets, strict=True)]


def _words() -> Finder:
    return lambda texts: [[(*word.span(), folded(word[0])) for word in _content(text)] for text in texts]


def _stems() -> Finder:
    stem = Stemmer.Stemmer("english").stemWord
    return lambda texts: [[(*word.span(), stem(folded(word[0]))) for word in _content(text)] for text in texts]


def _morphemes() -> Finder:
    check_kiwi("exact_match_features = morphemes")
    return lambda texts: [content_morphemes(text) for text in texts]


_FINDERS: Final = {"words": _words, "stems": _stems, "morphemes": _morphemes}


def _content(text: str) -> Iterator[re.Match[str]]:
    return (word for word in _WORD.finditer(text) if folded(word[0]).replace("’", "'") not in STOP_WORDS)


def _terms(spans: Spans, offsets: Ints) -> Ints:
    if not spans or not len(offsets):
        return np.zeros(len(offsets), dtype=np.int64)
    starts, ends = (np.array([span[side] for span in spans]) for side in (0, 1))
    numbers = np.array([_number(form) for _, _, form in spans], dtype=np.int64)
    first = np.minimum(np.searchsorted(ends, offsets[:, 0], side="right"), len(spans) - 1)
    touches = (starts[first] < offsets[:, 1]) & (offsets[:, 0] < ends[first])
    return np.where(touches, numbers[first], NOTHING)


def _number(form: str) -> int:
    """A hash of 63 bits, the same in every process; never 0."""
    return int.from_bytes(hashlib.blake2b(form.encode(), digest_size=8).digest()) >> 1 or 1


def levels(question: Ints, passage: Ints) -> tuple[Ints, Ints]:
    """Levels of the question's tokens (Q,) and of the passage's (N,), from their terms."""
    asked = np.unique(question[question != NOTHING])
    shared = np.isin(question, passage) & (question != NOTHING)
    near = nearness(passage, asked, reach=NEAR, steps=NEARNESS)
    return shared.astype(np.int64), 2 * near + np.isin(passage, asked)


def nearness(passage: Ints, asked: Ints, *, reach: int, steps: int) -> Ints:
    """For each passage value (N,) the share of the distinct `asked` within `reach` places, as a level 0-`steps`."""
    if not len(asked) or not len(passage):
        return np.zeros(len(passage), dtype=np.int64)
    counts = np.zeros((len(asked), len(passage) + 1), dtype=np.int64)
    np.cumsum(passage[None, :] == asked[:, None], axis=1, out=counts[:, 1:])
    at = np.arange(len(passage))
    near = counts[:, np.minimum(at + reach + 1, len(passage))] > counts[:, np.maximum(at - reach, 0)]  # (asked, N)
    return np.asarray(-(-near.sum(axis=0) * steps // len(asked)), dtype=np.int64)
