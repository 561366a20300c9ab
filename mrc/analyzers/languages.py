"""The language of texts, from their scripts and function words, and what `auto` makes of it.

Source: function words as features of languages, Grefenstette, "Comparing two language identification schemes", 1995.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Final, Literal, NamedTuple

from mrc.analyzers.base import folded
from mrc.analyzers.characters import HANGUL, STOP_WORDS, UNSPACED
from mrc.analyzers.stemming import STEMMING, function_words, words
from mrc.analyzers.stop_words import FUNCTION_WORDS, STEMMERS

Language = Literal["ko", "en"]

UNDETERMINED: Final = "und"  # ISO 639-2: no language found
UNDETERMINED_LATIN: Final = "und-Latn"  # nor one that is written in Latin letters
BIGRAM_LANGUAGES: Final = ("ja", "zh", "th", "lo", "km", "my")  # written without spaces
LANGUAGES: Final = ("ko", "en", *BIGRAM_LANGUAGES, *FUNCTION_WORDS, UNDETERMINED, UNDETERMINED_LATIN)

_HANGUL = re.compile(f"[{HANGUL}]")
_LETTER = re.compile(r"[^\W\d_]")
_LANGUAGE_SAMPLE = 200  # texts from which the language is detected
_TEXT_SAMPLE = 5000  # characters of each that are looked at
_HANGUL_SHARE = 0.1  # Korean texts hold many Latin letters, English texts hardly any Hangul
_KANA_SHARE = 0.1  # of kana and Han: Japanese has a third and more, Chinese none but in names
_LETTERS_OF_A_WORD = {"kana": 2, "han": 2, "th": 4, "lo": 4, "km": 4, "my": 4}  # so that they weigh as much as words
_FEW_WORDS = 20  # in fewer words a language needs this many function words to be told from English
_FEW_MATCHES = 3
_FUNCTION_WORD_SHARE = 0.05  # of the words of a text in a known language; English has 0.3, Turkish 0.1

_SCRIPTS = {  # of words; a script of one language gives that language
    "Latn": r"a-z\u00df-\u024f\u1e00-\u1eff",
    "Cyrl": r"\u0400-\u052f",
    "Arab": r"\u0600-\u06ff\u0750-\u077f",
    "Deva": r"\u0900-\u097f",
    "Hebr": r"\u0590-\u05ff",
    "el": r"\u0370-\u03ff\u1f00-\u1fff",
    "hy": r"\u0530-\u058f",
    "ta": r"\u0b80-\u0bff",
}


class _Patterns(NamedTuple):
    """What a language is recognised by."""

    unspaced: dict[str, re.Pattern[str]]  # a letter of each script without spaces
    unspaced_run: re.Pattern[str]  # letters of any of them
    script: re.Pattern[str]  # a letter of one of `_SCRIPTS`, as the group of its name


@cache
def _patterns() -> _Patterns:
    """Compiled when the first text is looked at, as that takes longer than many commands."""
    return _Patterns(
        unspaced={name: re.compile(f"[{letters}]") for name, letters in UNSPACED.items()},
        unspaced_run=re.compile(f"[{''.join(UNSPACED.values())}]+"),
        script=re.compile("|".join(f"(?P<{name}>[{letters}])" for name, letters in _SCRIPTS.items())),
    )


def detect_language(texts: Iterable[str]) -> Language:
    """`ko` if at least a tenth of the letters in the first 200 texts is Hangul, else `en`."""
    sample = "\n".join(islice(texts, _LANGUAGE_SAMPLE))
    return "ko" if _is_korean(sample) else "en"


def text_language(texts: Iterable[str]) -> str:
    """The language of the first 200 texts, one of `LANGUAGES`; of mixed texts, that of most of their words.

    It is decided in this order: Korean as by `detect_language`; a script without spaces, if it holds at least half of
    the words; the script of most words, where one language is written in it; the language with the largest share of
    function words. Texts of a few words without any count as English.
    """
    sample = list(islice(texts, _LANGUAGE_SAMPLE))
    if _is_korean("\n".join(sample)):
        return "ko"
    text = folded("\n".join(each[:_TEXT_SAMPLE] for each in sample))
    find = _patterns()
    spaced = Counter(words(find.unspaced_run.sub(" ", text)))
    unspaced = {name: len(each.findall(text)) / _LETTERS_OF_A_WORD[name] for name, each in find.unspaced.items()}
    total = sum(count for word, count in spaced.items() if not word.isdigit())
    return _unspaced(unspaced) if 0 < sum(unspaced.values()) >= total else _spaced(spaced)


def has_analyzer(language: str) -> bool:
    """Whether `auto` has an analyzer for a language, or words are indexed whole."""
    return language in ("ko", "en", *BIGRAM_LANGUAGES) or STEMMERS.get(language) in STEMMING


def _is_korean(sample: str) -> bool:
    hangul = len(_HANGUL.findall(sample))
    return bool(hangul and hangul >= _HANGUL_SHARE * len(_LETTER.findall(sample)))


def _unspaced(found: dict[str, float]) -> str:
    """The language of the most frequent script without spaces."""
    chinese = found.pop("han")
    japanese = found.pop("kana")
    both = chinese + japanese
    other = max(found, key=lambda name: found[name])
    if found[other] > both:
        return other
    return "ja" if japanese >= _KANA_SHARE * both else "zh"


def _spaced(counts: Counter[str]) -> str:
    """The language of words, with how often each occurs."""
    scripts: dict[str, Counter[str]] = {}
    for word, count in counts.items():
        letter = _patterns().script.search(word)
        if letter is not None:
            scripts.setdefault(str(letter.lastgroup), Counter())[word] = count
    if not scripts:
        return "en" if not any(_LETTER.search(word) for word in counts) else UNDETERMINED
    script, mine = max(scripts.items(), key=lambda item: (item[1].total(), item[0]))
    return script if script in FUNCTION_WORDS else _by_function_words(mine, latin=script == "Latn")


def _by_function_words(counts: Counter[str], *, latin: bool) -> str:
    """The language whose function words are the most frequent."""
    matches = {code: sum(counts[word] for word in profile) for code, profile in _profiles().items()}
    best = max(matches, key=lambda code: (matches[code], code == "en"))
    total = counts.total()
    if latin and total < _FEW_WORDS and matches[best] < _FEW_MATCHES:
        return "en"
    if matches[best] < _FUNCTION_WORD_SHARE * total:
        return UNDETERMINED_LATIN if latin else UNDETERMINED
    return best


@cache
def _profiles() -> dict[str, frozenset[str]]:
    return {"en": STOP_WORDS} | {code: function_words(code) for code in FUNCTION_WORDS}
