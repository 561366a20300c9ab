"""The template language of the synthetic encyclopaedia, and Korean particles.

    kind bridge            an entity type
    : opened year          a relation and the type of its answer, with options
    - {S} opened in {A}.   a statement of it: {S} the subject, {A} the answer
    ? When did {S} open?   a question for it
    + {person} paid.       a sentence without a question

`[a|b]` is a choice (choices nest), `@name` a macro, `{S:은}` the subject with the particle that fits its last sound,
`word~은` the same for a literal word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Variants = tuple[str, ...]  # all expansions of one line

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
_WRITTEN = re.compile(r"(\S)~(은|이었|이라|이|을|과|으로)")
_OPEN_FORM = {"은": "는", "이": "가", "을": "를", "과": "와", "으로": "로", "이었": "였", "이라": "라"}
_RIEUL = 8  # index of the final consonant ㄹ, which takes 로 like a vowel


@dataclass(frozen=True, slots=True)
class Relation:
    """The statements and questions about one property of an entity; `answer` is the type of its values."""

    name: str
    answer: str
    options: tuple[str, ...]
    statements: tuple[Variants, ...]
    questions: tuple[Variants, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """An entity type with its relations and with sentences without a question."""

    name: str
    relations: tuple[Relation, ...]
    fillers: tuple[Variants, ...]


def split_list(text: str, separator: str = " ") -> tuple[str, ...]:
    """The items of a list written as one text."""
    return tuple(text.split(separator))


def particle(word: str, form: str) -> str:
    """The particle `form` (given as after a consonant) in the form that follows `word`; closing quotes are skipped."""
    last = word.rstrip("』》”’)")[-1:]
    code = ord(last) - ord("가") if last else -1
    final = code % 28 if 0 <= code < 11172 else 0
    is_open = final == 0 or (form == "으로" and final == _RIEUL)
    return _OPEN_FORM[form] if is_open else form


def expand(line: str, macros: Mapping[str, str]) -> Variants:
    """All expansions of a line, without choices and macros, in the order written."""
    for name, value in macros.items():
        line = line.replace(name, value)
    forms = [line]
    while any("[" in form for form in forms):
        forms = [form for whole in forms for form in _first_choice(whole)]
    fitted = (_WRITTEN.sub(lambda m: m[1] + particle(m[1], m[2]), form) for form in forms)
    return tuple(dict.fromkeys(fitted))  # a choice inside an option not taken repeats a variant


def _first_choice(form: str) -> list[str]:
    found = _CHOICE.search(form)
    if found is None:
        return [form]
    return [form[: found.start()] + option + form[found.end() :] for option in found[1].split("|")]


def fill(form: str, values: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """The sentence with its slots filled, and where each slot's value starts in it (code points)."""
    text, at, starts = "", 0, {}
    for slot in _SLOT.finditer(form):
        text += form[at : slot.start()]
        value = values[slot[1]]
        starts[slot[1]] = len(text)
        text += value + (particle(value, slot[2]) if slot[2] else "")
        at = slot.end()
    return text + form[at:], starts


def slots(form: str) -> tuple[str, ...]:
    """The names of a variant's slots, left to right."""
    return tuple(slot[1] for slot in _SLOT.finditer(form))


def parse(text: str, macros: Mapping[str, str]) -> dict[str, Kind]:
    """The kinds defined in `text`, by name, in the order written."""
    blocks: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("kind "):
            lines = blocks.setdefault(line.removeprefix("kind "), [])
        else:
            lines.append(line)
    return {name: _kind(name, lines, macros) for name, lines in blocks.items()}


def _kind(name: str, lines: list[str], macros: Mapping[str, str]) -> Kind:
    relations: list[list[str]] = []
    fillers: list[Variants] = []
    for line in lines:
        if line.startswith(":"):
            relations.append([line])
        elif line.startswith("+"):
            fillers.append(expand(line[2:], macros))
        else:
            relations[-1].append(line)
    return Kind(name, tuple(_relation(block, macros) for block in relations), tuple(fillers))


def _relation(block: list[str], macros: Mapping[str, str]) -> Relation:
    name, answer, *options = block[0].removeprefix(":").split()
    lines = {mark: tuple(expand(line[2:], macros) for line in block[1:] if line[0] == mark) for mark in "-?"}
    return Relation(name, answer, tuple(options), lines["-"], lines["?"])
