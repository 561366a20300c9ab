"""What an analyzer is, and how every one of them sees a text."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # from an argument in a broken encoding; native libraries fail on them


class Analyzer(Protocol):
    """Terms of texts, one list for each text in its order; duplicates count."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]: ...
    def __call__(self, text: str) -> list[str]: ...


class OneByOne(ABC):
    """An analyzer that is given one text at a time."""

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        return map(self, texts)

    @abstractmethod
    def __call__(self, text: str) -> list[str]: ...


def folded(text: str) -> str:
    """The text in NFKC and lower case, so that composed and decomposed Hangul, full-width digits and capitals meet."""
    return unicodedata.normalize("NFKC", text).lower()


def without_surrogates(text: str) -> str:
    """The text with a space for every surrogate."""
    return _SURROGATE.sub(" ", text)
