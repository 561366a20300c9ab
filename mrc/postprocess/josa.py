"""Korean particles (josa) at the end of an answer: two annotators may mark the same noun with or without its particle.

Many particles have two forms, and the last syllable before them decides which: 은, 이, 을, 과 follow a final consonant
(batchim), 는, 가, 를, 와 a vowel; 으로 follows a final consonant other than ㄹ, 로 a vowel or ㄹ. So 바다이 cannot be
바다 with a particle, and 서울으로 cannot be 서울.

Source: the Standard Korean Dictionary of the National Institute of Korean Language, entries of the particles named.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Ending = Literal["vowel", "rieul", "consonant", "unknown"]

_AFTER_CONSONANT = "은 이 을 과 아 이랑 이나 이며 이고 이다 이라 이라고 이라는 이란 이었다 이었고 이든 이자 이여"
_AFTER_VOWEL = "는 가 를 와 야 랑 나 며 고 다 라 라고 라는 란 였다 였고 든 자 여"
_AFTER_CONSONANT_BUT_RIEUL = "으로 으로는 으로도 으로만 으로서 으로써 으로부터"
_AFTER_VOWEL_OR_RIEUL = "로 로는 로도 로만 로서 로써 로부터"
_AFTER_ANY = (
    "에 에는 에도 에만 에서 에서는 에서도 에서만 에서의 에서부터 에게 에게는 에게도 에게서 께 께서 께서는 한테 한테서 "
    "의 도 만 만을 만은 만이 부터 부터는 부터의 까지 까지는 까지도 까지의 처럼 보다 보다는 마다 조차 마저 밖에 "
    "뿐 하고 입니다 이다 이었다 였으며 이었으며"
)


def _forms() -> dict[str, frozenset[Ending]]:
    """Particle -> the endings that it may follow. An unknown ending may be followed by every form."""
    after: tuple[tuple[str, tuple[Ending, ...]], ...] = (
        (_AFTER_CONSONANT, ("consonant", "rieul")),
        (_AFTER_VOWEL, ("vowel",)),
        (_AFTER_CONSONANT_BUT_RIEUL, ("consonant",)),
        (_AFTER_VOWEL_OR_RIEUL, ("vowel", "rieul")),
        (_AFTER_ANY, ("consonant", "rieul", "vowel")),
    )
    found: dict[str, frozenset[Ending]] = {}
    for names, endings in after:
        for name in names.split():
            found[name] = found.get(name, frozenset[Ending]()) | {*endings, "unknown"}
    return found


PARTICLES = _forms()
_FIRST_SYLLABLE, _LAST_SYLLABLE = "가", "힣"
_FINALS = 28  # of a Hangul syllable: none, and 27 consonants
_RIEUL = 8  # place of ㄹ among them
# Digits as they are read: 영 일 이 삼 사 오 육 칠 팔 구. A final zero is 영, 십, 백, 천 or 만, all of which end in a
# consonant other than ㄹ.
_DIGITS: dict[str, Ending] = dict(zip("0123456789", ("consonant", "rieul", "vowel", "consonant", "vowel", "vowel",
                                                     "consonant", "rieul", "rieul", "vowel"), strict=True))  # fmt: skip
# After a number these are units: 3만 (30,000), 20도 (degrees), 5과 (lesson), 종로2가 (block), 9자 (letters).
_UNITS = "만도과가자여"
_POWERS_OF_TEN = "십백천"  # 3천만 is 30 million, not "only 3천"
_BRACKETS = frozenset(")]}>〉》」』】")


def equal_but_josa(a: str, b: str) -> bool:
    """Whether two texts are equal, or one is the other plus one particle that may follow it."""
    short, long = sorted((unicodedata.normalize("NFC", a), unicodedata.normalize("NFC", b)), key=len)
    if short == long:
        return True
    return bool(short) and long.startswith(short) and _may_follow(short, long[len(short) :])


def _may_follow(stem: str, particle: str) -> bool:
    if particle not in PARTICLES or stem[-1].isspace():
        return False
    if (stem[-1] in _DIGITS and particle[0] in _UNITS) or (stem[-1] in _POWERS_OF_TEN and particle[0] == "만"):
        return False
    ending = _ending(stem)
    return ending is not None and ending in PARTICLES[particle]


def _ending(stem: str) -> Ending | None:
    """The ending of the last letter or digit of a text, ignoring quotation marks; None without any.

    Unknown after a bracket (its content or the text before it may be read) and for scripts other than Hangul.
    """
    for character in reversed(stem):
        if _FIRST_SYLLABLE <= character <= _LAST_SYLLABLE:
            final = (ord(character) - ord(_FIRST_SYLLABLE)) % _FINALS
            return "vowel" if final == 0 else "rieul" if final == _RIEUL else "consonant"
        if character in _DIGITS:
            return _DIGITS[character]
        if character in _BRACKETS or character.isalnum():
            return "unknown"
    return None
