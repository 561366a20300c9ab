"""Analyzers: the terms under which a text is indexed and searched.

Compatibility normalisation (NFKC) and lower case come first everywhere but in `whitespace`, so that composed and
decomposed Hangul, full-width digits and capitals meet. `name` and `version` go into the fingerprint of an index:
a new version of a library may cut words in another way.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, pairwise, tee
from typing import Any, Literal, Protocol

import Stemmer

from mrc.errors import MissingExtra

logger = logging.getLogger(__name__)

Language = Literal["ko", "en"]
ANALYZERS = ("auto", "bigram", "kiwi", "english", "whitespace")

# Scripts whose words are cut into bigrams: Hangul (syllables and letters), kana, Han.
_CJK = r"\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_CJK_START = re.compile(rf"[{_CJK}]")
_ENGLISH_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_HANGUL = re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_LETTER = re.compile(r"[^\W\d_]")

# Kiwi's tags of words that carry content: nouns, numerals, foreign and Han words, numbers, verbs, adjectives, roots.
_CONTENT_TAGS = frozenset({"NNG", "NNP", "NNB", "NR", "SL", "SH", "SN", "VV", "VA", "XR"})

# fmt: off
_STOP_WORDS = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "did", "do", "does", "for", "from", "had", "has", "have",
    "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "of", "on", "or", "she", "that", "the",
    "their", "them", "they", "this", "to", "was", "were", "what", "when", "where", "which", "who", "whom", "whose",
    "why", "will", "with", "would",
])
# fmt: on
_NO_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), " ")  # from an argument in a broken encoding; Kiwi fails on them

_LANGUAGE_SAMPLE = 200  # texts looked at to tell the language
_HANGUL_SHARE = 0.1  # Korean texts name much in Latin letters, English ones hardly anything in Hangul


class Analyzer(Protocol):
    """Terms of texts, one list for each text in its order; duplicates count."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]: ...
    def __call__(self, text: str) -> list[str]: ...


class _OneByOne(ABC):
    """An analyzer that is given one text at a time."""

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        return map(self, texts)

    @abstractmethod
    def __call__(self, text: str) -> list[str]: ...


class Whitespace(_OneByOne):
    """Words as they stand between white space."""

    name = "whitespace"
    version = "1"

    def __call__(self, text: str) -> list[str]:
        return text.split()


class Bigram(_OneByOne):
    """Pairs of neighbouring characters within words of Hangul, kana and Han; other words and numbers whole.

    A word of one character is a term of its own. Particles glued to a Korean word cost one bigram, not the word.
    """

    name = "bigram"
    version = f"1+unicode{unicodedata.unidata_version}"

    def __call__(self, text: str) -> list[str]:
        terms: list[str] = []
        for word in _WORD.findall(_folded(text)):
            if len(word) > 1 and _CJK_START.match(word):
                terms += map("".join, pairwise(word))
            else:
                terms.append(word)
        return terms


class English(_OneByOne):
    """Snowball stems of the words that are not stop words. Source: Porter, "Snowball" (English stemmer), 2001."""

    name = "english"

    def __init__(self) -> None:
        self.version = f"1+snowball{Stemmer.version()}"
        self._stem = Stemmer.Stemmer("english").stemWords

    def __call__(self, text: str) -> list[str]:
        words = _ENGLISH_WORD.findall(_folded(text).replace("’", "'"))
        stems: list[str] = self._stem([word for word in words if word not in _STOP_WORDS])
        return stems


class Kiwi:
    """Content morphemes and, behind them, the bigrams of the same text, as terms of one index.

    Morphemes find a word whatever particle or ending it carries; bigrams find names that the dictionary lacks.
    """

    name = "kiwi"

    def __init__(self) -> None:
        try:
            self.version = f"1+kiwi{version('kiwipiepy')}+model{version('kiwipiepy_model')}+{Bigram.version}"
        except PackageNotFoundError as error:
            raise MissingExtra(
                f'the kiwi analyzer needs {error.name}: pip install "labeler[ko]", or use --analyzer bigram'
            ) from None
        self._bigrams = Bigram()

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Streams; Kiwi works ahead on all cores."""
        for_morphemes, for_bigrams = tee(_folded(text).translate(_NO_SURROGATES) for text in texts)
        for tokens, text in zip(_kiwi().tokenize(for_morphemes), for_bigrams, strict=True):
            content = [token.form.lower() for token in tokens if token.tag.partition("-")[0] in _CONTENT_TAGS]
            yield content + self._bigrams(text)

    def __call__(self, text: str) -> list[str]:
        return next(self.terms([text]))


def get_analyzer(name: str, language: Language | None = None) -> Analyzer:
    """The analyzer of that name; `auto` is the best one installed for `language`.

    Raises:
        MissingExtra: the analyzer asked for by name needs a package that is not installed.
        ValueError: no such name, or `auto` without a language.
    """
    match name:
        case "whitespace":
            return Whitespace()
        case "bigram":
            return Bigram()
        case "english":
            return English()
        case "kiwi":
            return Kiwi()
        case "auto" if language == "en":
            return English()
        case "auto" if language == "ko":
            return _best_korean()
    raise ValueError(f"no analyzer {name!r} for {language!r}: one of {', '.join(ANALYZERS)}; auto needs ko or en")


def detect_language(texts: Iterable[str]) -> Language:
    """`ko` where at least a tenth of the letters of the first 200 texts is Hangul, else `en`."""
    sample = "\n".join(islice(texts, _LANGUAGE_SAMPLE))
    hangul = len(_HANGUL.findall(sample))
    return "ko" if hangul and hangul >= _HANGUL_SHARE * len(_LETTER.findall(sample)) else "en"


def _best_korean() -> Analyzer:
    try:
        return Kiwi()
    except MissingExtra:
        logger.warning('kiwipiepy is not installed, bigrams index Korean instead: pip install "labeler[ko]"')
        return Bigram()


@cache
def _kiwi() -> Any:
    """One Kiwi for the process: it takes seconds to load and 480 MiB."""
    from kiwipiepy import Kiwi as Morphemes

    return Morphemes(num_workers=-1)  # -1: one for each core


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
