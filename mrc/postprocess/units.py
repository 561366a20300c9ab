"""Extending spans that end inside a number, before its unit, or inside a date.

A unit is included if the question asks for it: "42 km" answers "how far", 42 answers "which number". A number word
(million, 만) always belongs to its number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from mrc.analyzers import Language

# Digits, with thousands separators or decimals unless more points and digits follow: 1921.3.1 is no number.
_NUMBER = re.compile(r"(?<!\d\.)(?<!\d)(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?!\.?\d)|\d+")
_MAX_UNITS: Final = 4  # included one after another: 3만 5천 명

_ENGLISH_POWERS = "hundred|thousand|million|billion|trillion|dozen"
_KOREAN_POWERS = "십만|백만|천만|십억|백억|천억|십|백|천|만|억|조(?![각직])"

# Units, and patterns of the questions that ask for them, besides the unit itself.
_ENGLISH: Final = (
    ("%|per ?cent|percentage points?", r"\bper ?cent|percentage|proportion|share|fraction|\brate\b"),
    (
        "dollars?|cents?|euros?|pounds?|yen|francs?|US dollars?|USD",
        r"\bhow much\b|\bcost|\bprice|\bpa(y|id)\b",
    ),
    (
        "km|m|cm|mm|mi|ft|kilomet(?:er|re)s?|met(?:er|re)s?|miles?|feet|foot|inch(?:es)?|yards?|light[- ]years?",
        r"\bhow (far|long|tall|high|wide|deep|large|big)\b|\bdistance|\blength|\bheight|\bwidth|\bdepth|\baltitude",
    ),
    (
        "acres?|hectares?|ha|km2|km²|sq mi|square (?:miles?|kilomet(?:er|re)s?|met(?:er|re)s?|feet)",
        r"\bhow (large|big|much)\b|\barea\b|\bsize\b",
    ),
    ("kg|g|tons?|tonnes?|kilograms?|grams?|lbs?", r"\bhow (heavy|much)\b|\bweigh|\bmass\b"),
    ("years?|months?|weeks?|days?|hours?|minutes?|seconds?", r"\bhow (long|old)\b|\bduration\b|\bage\b"),
    ("°[CF]|degrees?(?: (?:Celsius|Fahrenheit))?", r"\btemperature|\bhow (hot|cold|warm)\b"),
    ("a\\.?m\\.?|p\\.?m\\.?|AM|PM", r"\bwhat time\b|\bwhen\b"),
    ("BCE?|CE|AD", r"\bwhen\b|\byear\b|\bcentury\b"),
)
_KOREAN: Final = (
    ("년(?!간)", r"언제|어느 ?해|[년연]도"),
    ("월", r"언제|며칠|날짜"),
    ("일", r"언제|며칠|날짜"),
    ("시(?!간)|분|초", r"언제|시각"),
    ("년간|개월|주일|일간|시간", r"얼마나|얼마 ?동안|기간"),
    ("세|살", r"나이|연령"),
    ("명|인", r"인원|사람은|사람이"),
    ("%|퍼센트|프로", r"퍼센트|프로|%|[율률](?:은|이|\W|$)"),
    ("원|달러|엔|유로|파운드|위안", r"얼마|금액|가격|비용|돈"),
    ("km|m|cm|mm|킬로미터|미터|센티미터|리", r"얼마나|거리|길이|높이|너비|깊이"),
    ("㎢|km²|㎡|m²|헥타르|평", r"얼마나|넓이|면적|크기"),
    ("kg|g|t|톤|킬로그램|그램", r"얼마나|무게|중량"),
    ("도|℃|°C", r"온도|기온|각도"),
    ("개|회|번|차|차례|위|권|편|점|층|곳|대|척|마리|종|가지|호|장|기|배|표|석|골|승|패|쪽|건|동|가구|세대|부", r"(?!)"),
)
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DATES: Final = {
    "en": re.compile(
        rf"(?:{_MONTHS})[a-z]*\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|"
        rf"\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTHS})[a-z]*\.?(?:,? \d{{4}})?"
    ),
    "ko": re.compile(
        r"\d+ ?년 ?\d+ ?월(?: ?\d+ ?일)?|\d+ ?월 ?\d+ ?일|"
        r"(?<!\d)(?<!\d\.)\d{4}\. ?(?:1[0-2]|0?[1-9])\. ?(?:3[01]|[12]\d|0?[1-9])(?!\.?\d)"  # 1921. 3. 1
    ),
}
_ASKS_FOR_A_DATE: Final = {
    "en": re.compile(r"\bwhen\b|\b(what|which) (date|day)\b", re.IGNORECASE),
    "ko": re.compile(r"언제|며칠|날짜"),
}


@dataclass(frozen=True, slots=True)
class _Unit:
    """Patterns of a unit after a number (group `unit`) and of the questions that ask for it."""

    follows: re.Pattern[str]
    asked: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Units:
    power_ends: re.Pattern[str]  # a span that ends in a number word
    power_follows: re.Pattern[str]
    units: tuple[_Unit, ...]


def to_unit_boundary(question: str, text: str, start: int, end: int, *, language: Language) -> tuple[int, int]:
    """The span `text[start:end]` extended to the whole number, its unit or its date; never shorter."""
    begin, stop = _number_around(text, start), _number_around(text, end)
    start, end = (begin[0] if begin else start), (stop[1] if stop else end)
    for _ in range(_MAX_UNITS):
        taken = _unit_behind(question, text, start, end, language)
        if taken == end:
            break
        end = taken
    return start, _end_of_date(question, text, start, end, language)


def _number_around(text: str, place: int) -> tuple[int, int] | None:
    """The number that contains a place, not at its ends."""
    if not 0 < place < len(text) or not (text[place - 1].isdecimal() or text[place].isdecimal()):
        return None
    first = place
    while first and not text[first - 1].isspace():
        first -= 1
    for number in _NUMBER.finditer(text, first):
        if number.start() >= place:
            return None
        if number.end() > place:
            return number.start(), number.end()
    return None


def _unit_behind(question: str, text: str, start: int, end: int, language: Language) -> int:
    """The end of the number word or unit directly after the span's last number; `end` where there is none."""
    known = _units(language)
    if not (text[end - 1].isdecimal() or known.power_ends.search(text[start:end])):
        return end
    if power := known.power_follows.match(text, end):
        return power.end()
    for unit in known.units:
        found = unit.follows.match(text, end)
        if found and (unit.asked.search(question) or _named(question, found["unit"], language)):
            return found.end()
    return end


@cache
def _units(language: Language) -> _Units:
    if language == "ko":
        powers, gap = _KOREAN_POWERS, " ?"
        power_follows = rf" ?(?:{powers})|(?<=[십백천만억조]) ?\d[\d,]*(?:{powers})"  # 3만 5천
    else:
        powers, gap = _ENGLISH_POWERS, "[ -]?"
        power_follows = rf"[ -]?(?:{powers})(?![A-Za-z])"
    return _Units(
        re.compile(rf"\d[ -]?(?:{powers})$"),
        re.compile(power_follows),
        tuple(
            _Unit(re.compile(rf"{gap}(?P<unit>{unit})(?![A-Za-z])"), re.compile(asked, re.IGNORECASE))
            for unit, asked in (_KOREAN if language == "ko" else _ENGLISH)
        ),
    )


def _named(question: str, unit: str, language: Language) -> bool:
    """Whether a question contains the unit: "몇 명", "how many miles"."""
    if language == "ko":
        return re.search(rf"몇 ?{re.escape(unit)}", question) is not None
    return re.search(rf"\b{re.escape(unit.rstrip('s'))}s?\b", question, re.IGNORECASE) is not None


def _end_of_date(question: str, text: str, start: int, end: int, language: Language) -> int:
    """The end of the date that the span starts, where the question asks for a date."""
    if not _ASKS_FOR_A_DATE[language].search(question):
        return end
    date = _DATES[language].match(text, start)
    return max(end, date.end()) if date else end
