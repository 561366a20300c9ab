"""The interface of an analyzer, and the normalisation that all of them share."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # from wrongly decoded input; native libraries fail on them


class Analyzer(Protocol):
    """Turns texts into terms: one list for each text, in the order of the text, repetitions kept."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]: ...
    def __call__(self, text: str) -> list[str]: ...


class PerTextAnalyzer(ABC):
    """An analyzer that processes one text at a time."""

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        return map(self, texts)

    @abstractmethod
    def __call__(self, text: str) -> list[str]: ...


def folded(text: str) -> str:
    """The text in NFKC and lower case, so that composed and decomposed Hangul, full-width digits and capitals match."""
    return unicodedata.normalize("NFKC", text).lower()


def without_surrogates(text: str) -> str:
    """The text with every surrogate replaced by a space."""
    return _SURROGATE.sub(" ", text)


def list_of_texts(texts: Iterable[str], name: str) -> list[str]:
    """The texts as a list. Raises TypeError for one string, for anything else that is no list, and for other items.

    A string is a sequence of strings too: without this check, `search("why")` would run three queries.
    """
    if isinstance(texts, str):
        raise TypeError(f"{name} must be a list of strings, not one string; put it in brackets: [text]")
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be a list of strings, not {type(texts).__name__}")
    found = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a list of strings; item {place} is {type(text).__name__}")
    return found


def one_text(text: str, name: str, *, many: str = "") -> str:
    """The text. Raises TypeError for anything else; `many` is what takes a list."""
    if not isinstance(text, str):
        hint = f"; for a list use {many}" if many else ""
        raise TypeError(f"{name} must be one string, not {type(text).__name__}{hint}")
    return text
