"""Analyzers of words and character n-grams; they need no dictionary."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import Stemmer

from mrc.analyzers.base import PerTextAnalyzer, folded

# Scripts whose words become bigrams: Hangul (syllables and letters), kana, Han.
_CJK = r"\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_CJK_START = re.compile(rf"[{_CJK}]")
_ENGLISH_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_GRAM = 4

# fmt: off
STOP_WORDS = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "did", "do", "does", "for", "from", "had", "has", "have",
    "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "of", "on", "or", "she", "that", "the",
    "their", "them", "they", "this", "to", "was", "were", "what", "when", "where", "which", "who", "whom", "whose",
    "why", "will", "with", "would",
])
# fmt: on


class Whitespace(PerTextAnalyzer):
    """Words separated by white space, unchanged."""

    name = "whitespace"
    version = "1"

    def __call__(self, text: str) -> list[str]:
        return text.split()


class Bigram(PerTextAnalyzer):
    """Character bigrams within words of Hangul, kana and Han; other words and numbers whole.

    A word of one character is one term. A particle attached to a Korean word changes one bigram, not all of them.
    """

    name = "bigram"
    version = f"1+unicode{unicodedata.unidata_version}"

    def __call__(self, text: str) -> list[str]:
        terms: list[str] = []
        for word in _WORD.findall(folded(text)):
            if len(word) > 1 and _CJK_START.match(word):
                terms += map("".join, pairwise(word))
            else:
                terms.append(word)
        return terms


class English(PerTextAnalyzer):
    """Snowball stems of the words that are not stop words. Source: Porter, "Snowball" (English stemmer), 2001."""

    name = "english"

    def __init__(self) -> None:
        self.version = f"1+snowball{Stemmer.version()}"
        self._stem = Stemmer.Stemmer("english").stemWords

    def __call__(self, text: str) -> list[str]:
        return self._stems(_content_words(text))

    def _stems(self, words: list[str]) -> list[str]:
        stems: list[str] = self._stem(words)
        return stems


class EnglishGrams(English):
    """The stems, followed by the character 4-grams of the words with a boundary mark at both ends.

    4-grams match derived words and spelling variants of names. Source: McNamee & Mayfield, "Character n-gram
    tokenization for European language text retrieval", 2004; there across words, here within them.
    """

    name = "english+4gram"

    def __call__(self, text: str) -> list[str]:
        words = _content_words(text)
        marked = [f"_{word}_" for word in words]
        return self._stems(words) + [
            f"#{word[start : start + _GRAM]}" for word in marked for start in range(max(1, len(word) - _GRAM + 1))
        ]


def _content_words(text: str) -> list[str]:
    return [word for word in _ENGLISH_WORD.findall(folded(text).replace("’", "'")) if word not in STOP_WORDS]
