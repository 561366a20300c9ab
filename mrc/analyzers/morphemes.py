"""Analyzers of Korean: content morphemes, followed by the character bigrams of the same text, in one index.

Morphemes match a word whatever particle or ending it carries; bigrams match names that the dictionary lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import tee
from typing import Any

from mrc.analyzers.base import PerTextAnalyzer, folded, without_surrogates
from mrc.analyzers.characters import Bigram
from mrc.errors import MissingExtra

# Tags of content words: nouns, numerals, foreign and Han words, numbers, verbs, adjectives, roots. NNBC is mecab-ko's
# tag for units of measure, which Kiwi tags NNB.
CONTENT_TAGS = frozenset({"NNG", "NNP", "NNB", "NNBC", "NR", "SL", "SH", "SN", "VV", "VA", "XR"})

# Characters passed to a morphological analyzer in one call: its time grows faster than linearly.
_KIWI_PIECE = 10_000
_MECAB_PIECE = 2_000


class Kiwi:
    """Content morphemes by Kiwi, and bigrams."""

    name = "kiwi+bigram"

    def __init__(self) -> None:
        package = _versions("kiwipiepy", "kiwipiepy_model", needed_by="kiwi+bigram", extra="ko")
        self.version = f"1+kiwi{package[0]}+model{package[1]}+{Bigram.version}"
        self._bigrams = Bigram()

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Lazily; Kiwi processes texts ahead on all cores."""
        for_morphemes, for_bigrams = tee(without_surrogates(folded(text)) for text in texts)
        counted, cut = tee(_pieces(text, _KIWI_PIECE) for text in for_morphemes)
        tokens = kiwi().tokenize(piece for pieces in cut for piece in pieces)
        for pieces, text in zip(counted, for_bigrams, strict=True):
            content = [_kiwi_content(next(tokens)) for _ in pieces]
            yield [form for forms in content for form in forms] + self._bigrams(text)

    def __call__(self, text: str) -> list[str]:
        return next(self.terms([text]))


class MecabKo(PerTextAnalyzer):
    """Content morphemes by mecab-ko, inflected words split into their parts, and bigrams."""

    name = "mecab-ko+bigram"

    def __init__(self) -> None:
        names = ("python-mecab-ko", "python-mecab-ko-dic")
        package, dictionary = _versions(*names, needed_by=self.name, extra="mecab")
        self.version = f"1+mecab{package}+dic{dictionary}+{Bigram.version}"
        self._bigrams = Bigram()

    def __call__(self, text: str) -> list[str]:
        # NUL ends a C string.
        text = without_surrogates(folded(text)).replace("\0", " ")
        morphemes = [morpheme for piece in _pieces(text, _MECAB_PIECE) for morpheme in _mecab().parse(piece)]
        return [form for morpheme in morphemes for form in _mecab_content(morpheme)] + self._bigrams(text)


def _versions(*packages: str, needed_by: str, extra: str) -> list[str]:
    """The versions of installed packages. Raises MissingExtra."""
    try:
        return [version(package) for package in packages]
    except PackageNotFoundError as error:
        raise MissingExtra(
            f'the {needed_by} analyzer needs {error.name}: pip install "labeler[{extra}]", or use --analyzer bigram'
        ) from None


def _pieces(text: str, most: int) -> list[str]:
    """The text, split after white space into pieces of at most `most` characters; at least one piece."""
    pieces, start = [], 0
    while len(text) - start > most:
        limit = start + most
        cut = next((place + 1 for place in range(limit - 1, start, -1) if text[place].isspace()), limit)
        pieces.append(text[start:cut])
        start = cut
    return [*pieces, text[start:]]


def kiwi_morphemes(text: str) -> list[tuple[str, str, int, int]]:
    """Kiwi's morphemes of a text in order: form, tag, start and end in code points, end exclusive.

    Where a syllable holds parts of two morphemes, their spans overlap.
    """
    found, offset = [], 0
    for piece in _pieces(without_surrogates(text), _KIWI_PIECE):
        tokens = kiwi().tokenize(piece)
        found += [(token.form, token.tag, offset + token.start, offset + token.end) for token in tokens]
        offset += len(piece)
    return found


def _kiwi_content(tokens: Iterable[Any]) -> list[str]:
    return [token.form.lower() for token in tokens if token.tag.partition("-")[0] in CONTENT_TAGS]


def _mecab_content(morpheme: Any) -> list[str]:
    feature = morpheme.feature
    if feature.type == "Inflect" and feature.expression:
        parts = [part.split("/")[:2] for part in feature.expression.split("+") if part.count("/") >= 1]
        return [form.lower() for form, tag in parts if tag in CONTENT_TAGS]
    return [morpheme.surface.lower()] if feature.pos.partition("+")[0] in CONTENT_TAGS else []


@cache
def kiwi() -> Any:
    """The Kiwi of this process, which takes seconds to load and 480 MiB. Raises MissingExtra."""
    try:
        from kiwipiepy import Kiwi as Morphemes
    except ImportError:
        raise MissingExtra('Korean morphemes need kiwipiepy: pip install "labeler[ko]"') from None

    return Morphemes(num_workers=-1)  # -1: one for each core


@cache
def _mecab() -> Any:
    from mecab import MeCab

    return MeCab()
