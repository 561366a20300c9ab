"""Analyzers of the languages with a Snowball stemmer: stems of the words that are no function words."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import Stemmer

from mrc.analyzers.base import PerTextAnalyzer, folded
from mrc.analyzers.characters import marks
from mrc.analyzers.stop_words import FUNCTION_WORDS, STEMMERS

#: names of the analyzers; `english` is one of its own, with its own words
STEMMING = tuple(sorted(name for name in STEMMERS.values() if name != "english" and name in Stemmer.algorithms()))

_JOINERS = dict.fromkeys((0xAD, 0x200C, 0x200D))  # soft hyphen, zero-width (non-)joiner: within words, and optional
_TURKISH_I = str.maketrans("Iİ", "ıi")


class Snowball(PerTextAnalyzer):
    """Snowball stems of the words of a language that are no function words.

    Words are runs of letters, digits and marks: a vowel sign of Hindi or Tamil is part of its word, and an apostrophe
    parts an elided article from its noun. Source: Porter, "Snowball: a language for stemming algorithms", 2001.
    """

    def __init__(self, name: str) -> None:
        """`name` is one of `STEMMING`."""
        self.name = name
        self.version = f"1+snowball{Stemmer.version()}+unicode{unicodedata.unidata_version}"
        code = next(code for code, each in STEMMERS.items() if each == name)
        self._stop_words = function_words(code)
        self._stem = Stemmer.Stemmer(name).stemWords

    def __call__(self, text: str) -> list[str]:
        if self.name == "turkish":
            text = unicodedata.normalize("NFC", text).translate(_TURKISH_I)
        stems: list[str] = self._stem([word for word in words(text) if word not in self._stop_words])
        return stems


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    return _word().findall(folded(text.translate(_JOINERS)))


@cache
def _word() -> re.Pattern[str]:
    """Letters and digits with the marks on them; compiled when the first text is analyzed."""
    return re.compile(rf"[^\W_]+(?:[{marks()}]+[^\W_]*)*")


def function_words(code: str) -> frozenset[str]:
    """The function words of a language, folded as `words` folds them."""
    return frozenset(words(FUNCTION_WORDS[code]))
