"""Analyzers of words and character n-grams; they need no dictionary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import Stemmer

from mrc.analyzers.base import PerTextAnalyzer, folded

# Character classes of scripts, letters and marks without digits and punctuation.
HANGUL = r"\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
KANA = r"\u3041-\u30ff\u31f0-\u31ff"
HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
THAI = r"\u0e01-\u0e3a\u0e40-\u0e4e"
LAO = r"\u0e81-\u0ece\u0edc-\u0edf"
KHMER = r"\u1780-\u17d3\u17d7\u17dc\u17dd"
MYANMAR = r"\u1000-\u103f\u1050-\u108f\u109a-\u109f\ua9e0-\ua9ef\uaa60-\uaa7f"
UNSPACED = {"kana": KANA, "han": HAN, "th": THAI, "lo": LAO, "km": KHMER, "my": MYANMAR}  # written without spaces


_BIGRAMS = HANGUL + "".join(UNSPACED.values())


@cache
def marks() -> str:
    """The combining marks, for a character class: vowel signs and accents are part of a word, though no letters.

    Those beyond the BMP belong to scripts that are hardly written, and make the class twenty times as slow.
    """
    return "".join(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char)[0] == "M")


class _Patterns(NamedTuple):
    """What `Bigram` looks for. Words are of the scripts of `_BIGRAMS`, or of other letters and digits."""

    word: re.Pattern[str]
    marked_word: re.Pattern[str]  # with the marks on other letters and digits
    bigrams_start: re.Pattern[str]
    mark: re.Pattern[str]
    character: re.Pattern[str]  # with the marks on it


@cache
def _patterns() -> _Patterns:
    """Compiled when the first text is analyzed, as that takes longer than many commands."""
    others = re.sub(f"[{_BIGRAMS}]", "", marks())
    return _Patterns(
        word=re.compile(rf"[{_BIGRAMS}]+|[^\W_{_BIGRAMS}]+"),
        marked_word=re.compile(rf"[{_BIGRAMS}]+|[^\W_{_BIGRAMS}]+(?:[{others}]+[^\W_{_BIGRAMS}]*)*"),
        bigrams_start=re.compile(f"[{_BIGRAMS}]"),
        mark=re.compile(f"[{marks()}]"),
        character=re.compile(rf".[{marks()}]*", flags=re.DOTALL),
    )


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
    """Character bigrams within words of Hangul, kana, Han, Thai, Lao, Khmer and Myanmar; other words whole.

    A character is a letter with its vowel signs and tone marks. A word of one character is one term. A particle
    attached to a Korean word changes one bigram, not all of them.
    """

    name = "bigram"
    version = f"1+unicode{unicodedata.unidata_version}+marks"

    def __call__(self, text: str) -> list[str]:
        terms: list[str] = []
        text = folded(text)
        find = _patterns()
        marked = find.mark.search(text) is not None
        for word in (find.marked_word if marked else find.word).findall(text):
            if len(word) > 1 and find.bigrams_start.match(word):
                terms += _bigrams(find.character.findall(word) if marked else word)
            else:
                terms.append(word)
        return terms


def _bigrams(characters: Sequence[str]) -> Iterable[str]:
    """The pairs of neighbouring characters; a single one is returned whole."""
    return map("".join, pairwise(characters)) if len(characters) > 1 else characters


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
