"""Analyzers: they turn a text into the terms by which it is indexed and searched.

All of them except `whitespace` and `wordpiece:FOLDER` first apply compatibility normalisation (NFKC) and lower case.
`name` and `version` are part of an index's fingerprint, as a new version of a library may tokenise differently.
"""

from __future__ import annotations

import logging

from mrc.analyzers import plugins
from mrc.analyzers.base import Analyzer
from mrc.analyzers.characters import Bigram, English, EnglishGrams, Whitespace
from mrc.analyzers.languages import (
    LANGUAGES,
    UNDETERMINED,
    UNDETERMINED_LATIN,
    Language,
    detect_language,
    has_analyzer,
    text_language,
)
from mrc.analyzers.morphemes import Kiwi, MecabKo
from mrc.analyzers.stemming import STEMMING, Snowball
from mrc.analyzers.stop_words import STEMMERS
from mrc.analyzers.wordpiece import PREFIX, WordPiece
from mrc.errors import MissingExtra

__all__ = [
    "ANALYZERS",
    "LANGUAGES",
    "Analyzer",
    "Bigram",
    "English",
    "EnglishGrams",
    "Kiwi",
    "Language",
    "MecabKo",
    "Snowball",
    "Whitespace",
    "WordPiece",
    "check_name",
    "detect_language",
    "get_analyzer",
    "text_language",
]

logger = logging.getLogger(__name__)

_SHORT = {"kiwi": "kiwi+bigram", "mecab-ko": "mecab-ko+bigram"}
ANALYZERS = (
    *("auto", "bigram", "kiwi+bigram", "mecab-ko+bigram", "english", "english+4gram", "whitespace", *_SHORT),
    *STEMMING,
)


def check_name(name: str) -> None:
    """Raise ValueError, listing the known names, unless an analyzer has this name; it is not loaded."""
    wordpiece = name.startswith(PREFIX) and name != PREFIX
    if name not in ANALYZERS and not wordpiece and name not in plugins.names():
        raise ValueError(f"analyzer must be one of {_known()}, got {name!r}")


def get_analyzer(name: str, language: str | None = None) -> Analyzer:
    """The analyzer of this name; `auto` is the best installed one for `language`, one of `LANGUAGES`.

    For a language without one, `auto` logs a warning that says what to choose, and indexes words whole.

    `wordpiece:FOLDER` is the tokenizer of a checkpoint; other names are looked up among the entry points of the group
    `labeler.analyzers`.

    Raises:
        BadAnalyzer: a plugin analyzer cannot be loaded.
        BadCheckpoint: the folder behind `wordpiece:` holds no tokenizer.
        MissingExtra: the analyzer needs a package that is not installed.
        ValueError: unknown name, or `auto` without a language.
    """
    match _SHORT.get(name, name):
        case "bigram":
            return Bigram()
        case "kiwi+bigram":
            return Kiwi()
        case "mecab-ko+bigram":
            return MecabKo()
        case "english":
            return English()
        case "english+4gram":
            return EnglishGrams()
        case "whitespace":
            return Whitespace()
        case "auto" if language is not None:
            return _best(language)
        case stemmer if stemmer in STEMMING:
            return Snowball(stemmer)
    if name.startswith(PREFIX):
        return WordPiece(name.removeprefix(PREFIX))
    if name in plugins.names():
        return plugins.PluginAnalyzer(name)
    raise ValueError(
        f"unknown analyzer {name!r} for language {language!r}; use one of {_known()}; auto needs a language"
    )


def _best(language: str) -> Analyzer:
    """What `auto` chooses for a language."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    if not has_analyzer(language):
        logger.warning(
            "%s; their words are indexed %s: choose another one with --analyzer: bigram, whitespace, wordpiece:FOLDER, "
            "or a stemmer such as german (`labeler index --analyzer x` lists all)",
            "the language of the passages is not recognised"
            if language.startswith(UNDETERMINED)
            else f"there is no analyzer for the language of the passages ({language})",
            "by English stems" if language == UNDETERMINED_LATIN else "whole",
        )
    if language in ("en", UNDETERMINED_LATIN):
        return English()
    if language == "ko":
        return _best_korean()
    stemmer = STEMMERS.get(language)
    return Snowball(stemmer) if stemmer in STEMMING else Bigram()


def _best_korean() -> Analyzer:
    try:
        return Kiwi()
    except MissingExtra:
        logger.warning('kiwipiepy is not installed; Korean is indexed by bigrams instead: pip install "labeler[ko]"')
        return Bigram()


def _known() -> str:
    return ", ".join((*ANALYZERS, f"{PREFIX}FOLDER", *plugins.names()))
