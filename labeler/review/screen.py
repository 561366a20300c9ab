"""Texts on a terminal: wrapped by columns, wide characters counted as two, answers marked, nothing that steers it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.rows import AnswerRow, PassageRow, SpanRow, TaskRow

CONTEXT = 24  # characters shown on either side of a place
RULE = 72  # columns of the line between tasks

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_FIRST, _OTHER = "\x1b[30;42m", "\x1b[30;43m"  # black on green, on yellow
_LINE_ENDS = "\n\x0b\x0c\x85\u2028\u2029"
_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # would reorder what stands beside
_HIDDEN = "\ufffd"


@dataclass(frozen=True, slots=True)
class Screen:
    """What a terminal can show. `ansi`: colours; without them answers are marked by brackets."""

    columns: int
    ansi: bool

    def bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_RESET}" if self.ansi else text


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered span to be seen: code points, end exclusive."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """A task as it is put before a person."""

    task: TaskRow
    question: str
    places: tuple[PassageRow, ...]  # in the order of the page
    candidates: tuple[AnswerRow, ...]  # best first; none for a blind task

    @property
    def texts(self) -> dict[str, str]:
        return {place.id: place.text for place in self.places}


def page(item: Item, screen: Screen, *, head: str) -> str:
    """A task for the screen: question, passages with the candidates marked, the candidates with their scores."""
    shown = ["", screen.bold("-" * min(screen.columns, RULE)), head, ""]
    shown += [screen.bold(line) for line in lines(item.question, screen)]
    for number, place in enumerate(item.places, start=1):
        marks = [
            Mark(rank, each.start, each.end)
            for rank, each in enumerate(item.candidates, start=1)
            if each.passage_id == place.id
        ]
        shown += ["", f"passage {number} {one_line(place.title)}".rstrip()]
        shown += lines(place.text, screen, marks=marks, indent="  ")
    if not item.places:
        shown += ["", "no passage was found for it"]
    shown.append("")
    for rank, each in enumerate(item.candidates, start=1):
        shown.append(f"  {rank}  {one_line(each.text)}  ({100 * each.score:.0f} %)")
    return "\n".join([*shown, "? helps"])


def in_context(span: SpanRow, item: Item) -> str:
    """A place with its passage's number and what stands around it, on one line."""
    number = [place.id for place in item.places].index(span.passage_id) + 1
    text = item.texts[span.passage_id]
    before, after = text[max(span.start - CONTEXT, 0) : span.start], text[span.end : span.end + CONTEXT]
    return f"passage {number}: " + one_line(f"{before}[{text[span.start : span.end]}]{after}")


def width(text: str) -> int:
    """Columns that a text takes."""
    return sum(map(_columns, text))


def one_line(text: str) -> str:
    """The text on one line, without characters that steer a terminal."""
    return " ".join("".join(_shown(text)).split())


def lines(text: str, screen: Screen, *, marks: Sequence[Mark] = (), indent: str = "") -> list[str]:
    """The text as lines for the screen. Of marks that overlap only the first given is shown."""
    room = max(screen.columns - width(indent), 2)
    wrapped = _wrap(list(_styled(text, _apart(marks), ansi=screen.ansi)), room)
    return [indent + _painted(line, screen) for line in wrapped]


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _shown(text: str) -> Iterator[str]:
    """What is shown for each code point: itself, a space, a line end, nothing, or a sign that something is there."""
    for place, character in enumerate(text):
        if character == "\r":
            yield "" if text[place + 1 : place + 2] == "\n" else "\n"
        elif character in _LINE_ENDS:
            yield "\n"
        elif character == "\t":
            yield " "
        elif unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING:
            yield _HIDDEN
        else:
            yield character


def _apart(marks: Sequence[Mark]) -> list[Mark]:
    kept: list[Mark] = []
    for mark in marks:
        if all(mark.end <= other.start or other.end <= mark.start for other in kept):
            kept.append(mark)
    return kept


_Styled = tuple[str, int]  # a character, and the number of the mark that it belongs to (0: none)


def _styled(text: str, marks: Sequence[Mark], *, ansi: bool) -> Iterator[_Styled]:
    starts = {mark.start: mark for mark in marks}
    ends = {mark.end for mark in marks}
    inside = 0
    for place, shown in enumerate(_shown(text)):
        if place in ends:
            yield from () if ansi else [("]", inside)]
            inside = 0
        if place in starts:
            inside = starts[place].number
            yield from ((each, inside) for each in (f"{inside}:" if ansi else f"[{inside}:"))
        yield from ((each, inside) for each in shown)
    if inside and not ansi:
        yield "]", inside


def _wrap(characters: Sequence[_Styled], room: int) -> list[list[_Styled]]:
    """Lines of at most `room` columns, broken at a space where there is one, else anywhere but before a mark."""
    found: list[list[_Styled]] = []
    line: list[_Styled] = []
    for each in characters:
        if each[0] == "\n":
            found.append(line)
            line = []
            continue
        line.append(each)
        if width("".join(character for character, _ in line)) > room:
            kept, line = _broken(line)
            found.append(kept)
    return [*found, line]


def _broken(line: list[_Styled]) -> tuple[list[_Styled], list[_Styled]]:
    """An overfull line in two; a space where it is broken goes away."""
    spaces = [place for place, (character, _) in enumerate(line) if character == " "]
    if spaces and spaces[-1] > 0:
        return line[: spaces[-1]], line[spaces[-1] + 1 :]
    return line[:-1], line[-1:]


def _painted(line: Sequence[_Styled], screen: Screen) -> str:
    if not screen.ansi:
        return "".join(character for character, _ in line)
    parts, before = [], 0
    for character, number in line:
        if number != before:
            parts.append(_RESET if number == 0 else _FIRST if number == 1 else _OTHER)
            before = number
        parts.append(character)
    return "".join([*parts, _RESET if before else ""])
