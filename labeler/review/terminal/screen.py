"""Tasks as text for a terminal: wrapped by display width, answers highlighted, control characters removed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.rows import AnswerRow, PassageRow, ReviewRow, SpanRow, TaskRow
from labeler.core.console import UNPRINTABLE

CONTEXT = 24  # characters shown on either side of a span
RULE = 72  # columns of the line between tasks
KEYS = "Enter accept, 1-9 pick, a type, f search, n no answer, s skip, ? more"
KEYS_OF_A_JUDGEMENT = "Enter it says the same, d it does not, s skip, ? more"
KEYS_WITHOUT_CANDIDATES = "a type, f search, n no answer, s skip, ? more"

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_BEST, _OTHER = "\x1b[30;42m", "\x1b[30;43m"  # black on green, on yellow
_LINE_ENDS = "\n\x0b\x0c\x85\u2028\u2029"
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Screen:
    """A terminal's width and colours. Without `ansi`, answers are marked by brackets."""

    columns: int
    ansi: bool

    def bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_RESET}" if self.ansi else text


@dataclass(frozen=True, slots=True)
class Highlight:
    """A numbered span to be highlighted: code points, end exclusive."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with everything that the reviewer sees."""

    task: TaskRow
    question: str
    passages: tuple[PassageRow, ...]  # in the order shown
    candidates: tuple[AnswerRow, ...]  # best first; empty for a blind task
    own: ReviewRow | None = None  # of a judgement: the blind answer to compare with

    @property
    def texts(self) -> dict[str, str]:
        """Passage id -> its text."""
        return {passage.id: passage.text for passage in self.passages}


def format_task(view: TaskView, screen: Screen, *, header: str) -> str:
    """The question, the passages with the candidates highlighted, the candidates with their scores, the keys."""
    shown = ["", screen.bold("-" * min(screen.columns, RULE)), header, ""]
    shown += [screen.bold(line) for line in wrap(view.question, screen)]
    for number, passage in enumerate(view.passages, start=1):
        highlights = [
            Highlight(rank, each.start, each.end)
            for rank, each in enumerate(view.candidates, start=1)
            if each.passage_id == passage.id
        ]
        shown += ["", f"passage {number} {one_line(passage.title)}".rstrip()]
        shown += wrap(passage.text, screen, highlights=highlights, indent="  ")
    if not view.passages:
        shown += ["", "no passage was found for this question"]
    shown.append("")
    for rank, each in enumerate(view.candidates, start=1):
        shown.append(f"  {rank}  {one_line(each.text)}  ({100 * each.score:.0f} %)")
    if view.own is not None:
        given = one_line(view.own.answer.text) if view.own.answer else view.own.verdict.replace("_", " ")
        shown += ["", f"Second step. The blind answer was: {given}. Does the answer above say the same?"]
    keys = KEYS_OF_A_JUDGEMENT if view.own is not None else KEYS
    return "\n".join([*shown, keys if view.candidates else KEYS_WITHOUT_CANDIDATES])


def format_passages(passages: Sequence[PassageRow], screen: Screen, *, first: int) -> str:
    """Passages found later, numbered from `first`, and the keys."""
    shown: list[str] = []
    for number, passage in enumerate(passages, start=first):
        shown += ["", f"passage {number} {one_line(passage.title)}".rstrip(), *wrap(passage.text, screen, indent="  ")]
    return "\n".join([*shown, "", KEYS_WITHOUT_CANDIDATES])


def snippet(span: SpanRow, view: TaskView) -> str:
    """The span in brackets with its passage's number and the text around it, on one line."""
    number = [passage.id for passage in view.passages].index(span.passage_id) + 1
    text = view.texts[span.passage_id]
    before, after = text[max(span.start - CONTEXT, 0) : span.start], text[span.end : span.end + CONTEXT]
    return f"passage {number}: " + one_line(f"{before}[{text[span.start : span.end]}]{after}")


def width(text: str) -> int:
    """The number of columns that a text takes: wide characters count as two."""
    return sum(map(_columns, text))


def one_line(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join("".join(_printable(text)).split())


def wrap(text: str, screen: Screen, *, highlights: Sequence[Highlight] = (), indent: str = "") -> list[str]:
    """The text as lines of at most the screen's width. Of overlapping highlights only the first one is shown."""
    columns = max(screen.columns - width(indent), 2)
    lines = _wrap(list(_numbered(text, _without_overlaps(highlights), ansi=screen.ansi)), columns)
    return [indent + _colour(line, screen) for line in lines]


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(text: str) -> Iterator[str]:
    """What is printed for each code point: itself, a space, a line end, nothing, or the replacement character."""
    for position, character in enumerate(text):
        if character == "\r":
            yield "" if text[position + 1 : position + 2] == "\n" else "\n"
        elif character in _LINE_ENDS:
            yield "\n"
        elif character == "\t":
            yield " "
        elif UNPRINTABLE.match(character):
            yield _REPLACEMENT
        else:
            yield character


def _without_overlaps(highlights: Sequence[Highlight]) -> list[Highlight]:
    kept: list[Highlight] = []
    for each in highlights:
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    return kept


_Numbered = tuple[str, int]  # a character, and the number of its highlight (0: none)


def _numbered(text: str, highlights: Sequence[Highlight], *, ansi: bool) -> Iterator[_Numbered]:
    """The printable characters with their highlights; each highlight begins with its number."""
    starts = {each.start: each for each in highlights}
    ends = {each.end for each in highlights}
    inside = 0
    for position, printed in enumerate(_printable(text)):
        if position in ends:
            yield from () if ansi else [("]", inside)]
            inside = 0
        if position in starts:
            inside = starts[position].number
            yield from ((each, inside) for each in (f"{inside}:" if ansi else f"[{inside}:"))
        yield from ((each, inside) for each in printed)
    if inside and not ansi:
        yield "]", inside


def _wrap(characters: Sequence[_Numbered], columns: int) -> list[list[_Numbered]]:
    """Lines of at most `columns`, broken at a space if possible, else before the last character that fits."""
    lines: list[list[_Numbered]] = []
    line: list[_Numbered] = []
    for each in characters:
        if each[0] == "\n":
            lines.append(line)
            line = []
            continue
        line.append(each)
        if width("".join(character for character, _ in line)) > columns:
            kept, line = _break(line)
            lines.append(kept)
    return [*lines, line]


def _break(line: list[_Numbered]) -> tuple[list[_Numbered], list[_Numbered]]:
    """An overfull line in two; the space where it is broken is dropped."""
    spaces = [position for position, (character, _) in enumerate(line) if character == " "]
    if spaces and spaces[-1] > 0:
        return line[: spaces[-1]], line[spaces[-1] + 1 :]
    return line[:-1], line[-1:]


def _colour(line: Sequence[_Numbered], screen: Screen) -> str:
    if not screen.ansi:
        return "".join(character for character, _ in line)
    parts, before = [], 0
    for character, number in line:
        if number != before:
            parts.append(_RESET if number == 0 else _BEST if number == 1 else _OTHER)
            before = number
        parts.append(character)
    return "".join([*parts, _RESET if before else ""])
