"""Analyzers: they turn a text into the terms by which it is indexed and searched.

All of them except `whitespace` and `wordpiece:FOLDER` first apply compatibility normalisation (NFKC) and lower case.
`name` and `version` are part of an index's fingerprint, as a new version of a library may tokenise differently.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal

from mrc.analyzers import plugins
from mrc.analyzers.base import Analyzer
from mrc.analyzers.characters import Bigram, English, EnglishGrams, Whitespace
from mrc.analyzers.morphemes import Kiwi, MecabKo
from mrc.analyzers.wordpiece import PREFIX, WordPiece
from mrc.errors import MissingExtra

__all__ = [
    "ANALYZERS",
    "Analyzer",
    "Bigram",
    "English",
    "EnglishGrams",
    "Kiwi",
    "Language",
    "MecabKo",
    "Whitespace",
    "WordPiece",
    "check_name",
    "detect_language",
    "get_analyzer",
]

logger = logging.getLogger(__name__)

Language = Literal["ko", "en"]

_SHORT = {"kiwi": "kiwi+bigram", "mecab-ko": "mecab-ko+bigram"}
ANALYZERS = ("auto", "bigram", "kiwi+bigram", "mecab-ko+bigram", "english", "english+4gram", "whitespace", *_SHORT)

_HANGUL = re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_LETTER = re.compile(r"[^\W\d_]")
_LANGUAGE_SAMPLE = 200  # texts from which the language is detected
_HANGUL_SHARE = 0.1  # Korean texts hold many Latin letters, English texts hardly any Hangul


def check_name(name: str) -> None:
    """Raise ValueError, listing the known names, unless an analyzer has this name; it is not loaded."""
    wordpiece = name.startswith(PREFIX) and name != PREFIX
    if name not in ANALYZERS and not wordpiece and name not in plugins.names():
        raise ValueError(f"analyzer must be one of {_known()}, got {name!r}")


def get_analyzer(name: str, language: Language | None = None) -> Analyzer:
    """The analyzer of this name; `auto` is the best installed one for `language`.

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
            return English() if language == "en" else _best_korean()
    if name.startswith(PREFIX):
        return WordPiece(name.removeprefix(PREFIX))
    if name in plugins.names():
        return plugins.PluginAnalyzer(name)
    raise ValueError(f"unknown analyzer {name!r} for language {language!r}; use one of {_known()}; auto needs ko or en")


def detect_language(texts: Iterable[str]) -> Language:
    """`ko` if at least a tenth of the letters in the first 200 texts is Hangul, else `en`."""
    sample = "\n".join(islice(texts, _LANGUAGE_SAMPLE))
    hangul = len(_HANGUL.findall(sample))
    return "ko" if hangul and hangul >= _HANGUL_SHARE * len(_LETTER.findall(sample)) else "en"


def _best_korean() -> Analyzer:
    try:
        return Kiwi()
    except MissingExtra:
        logger.warning('kiwipiepy is not installed; Korean is indexed by bigrams instead: pip install "labeler[ko]"')
        return Bigram()


def _known() -> str:
    return ", ".join((*ANALYZERS, f"{PREFIX}FOLDER", *plugins.names()))
