"""Read a JSON document value by value, so that neither a large file nor a hostile one has to fit into memory.

An array is read element by element; an object member by member, and a member that is an array element by element.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from labeler.core.files import TextFile, open_text
from mrc.errors import DataError

BLOCK = 1 << 20  # characters read at a time
MAX_VALUE = 1 << 27  # bytes of one value's text
MAX_TOKENS = 1 << 22  # numbers, texts, lists and objects in one value
MAX_DEPTH = 200_000  # of a value that is given as text
_DENSE = 1 << 22  # characters from which tokens are counted
_MAX_DIGITS = 20  # of an integer; a longer one stays text, as no id or offset is one
_NUMBER = frozenset(("", *".eE+-0123456789"))
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A value of a document: member `key` of the object (empty: the document is an array), element `index` of it."""

    key: str
    index: int | None
    value: Any

    @property
    def place(self) -> str:
        """The JSON path from the root."""
        return self.key if self.index is None else f"{self.key}[{self.index}]"


def json_items(
    file: TextFile, *, deep: Callable[[str], Any] | None = None, constant: Callable[[str], Any] = float
) -> Iterator[Item]:
    """Yield the values of a JSON file. An empty array is one item without an index.

    Args:
        deep: makes a value of the text of one that is nested too deeply to be parsed; without it, that is an error.
        constant: makes a value of NaN and Infinity.

    Raises: DataError (file, line and column) where it is no JSON, a value is too large, or more text follows.
    """
    with open_text(file) as stream:
        reader = _Reader(stream, str(file.path), deep, constant)
        match reader.peek():
            case "[":
                yield from reader.array("")
            case "{":
                yield from reader.object()
            case _:
                kind = json.dumps(reader.value())[:20]
                raise DataError(f"{file.path}: the file must be an object or a list, not {kind}")
        if reader.peek():
            raise reader.error("more text after the end; one record a line is read with --format jsonl")


class _Reader:
    """A window on the document: `text` from its position in the file on, `at` the next character in it."""

    def __init__(
        self, stream: TextIO, where: str, deep: Callable[[str], Any] | None, constant: Callable[[str], Any]
    ) -> None:
        self._stream, self._where, self._deep = stream, where, deep
        self._text, self._at, self._ended = "", 0, False
        self._line, self._column = 1, 1  # of the first character of the text
        self._decoder = json.JSONDecoder(parse_int=bounded_integer, parse_float=bounded_real, parse_constant=constant)

    def array(self, key: str) -> Iterator[Item]:
        """Yield the elements of the array that starts here."""
        self._at += 1
        index = 0
        if self.peek() == "]":
            self._at += 1
            yield Item(key, None, [])
            return
        while True:
            yield Item(key, index, self.value())
            index += 1
            if self._separator("]"):
                return

    def object(self) -> Iterator[Item]:
        """Yield the members of the object that starts here."""
        self._at += 1
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                raise self.error("not JSON: Expecting property name enclosed in double quotes")
            key = self.value()
            if self.peek() != ":":
                raise self.error("not JSON: Expecting ':' delimiter")
            self._at += 1
            if self.peek() == "[":
                yield from self.array(key)
            else:
                yield Item(key, None, self.value())
            if self._separator("}"):
                return

    def _separator(self, end: str) -> bool:
        """Skip a comma or the end; return whether it was the end."""
        found = self.peek()
        if found not in (",", end) or not found:
            raise self.error("not JSON: Expecting ',' delimiter")
        self._at += 1
        return found == end

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end of the file."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """Return the value that starts here."""
        self.peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
                more = self._text[end : end + 1] in _NUMBER  # a number may go on in the next block
                if not more or not self._more():
                    self._at = end
                    return found
            except json.JSONDecodeError as error:
                begin, certain = self._at, _is_certain(error, len(self._text))
                if certain or not self._more():
                    raise self.error(f"not JSON: {error.msg}", at=error.pos - begin + self._at) from error
            except RecursionError as error:
                if self._deep is None:
                    raise DataError(f"{self._where}: not JSON that can be read: nested too deeply") from error
                return self._deep(self._whole())

    def _whole(self) -> str:
        """Return the text of the list or object that starts here, found by its brackets."""
        depth, quoted, at = 0, False, self._at
        while True:
            match = _TOKEN.search(self._text, at)
            if match is None or (match.end() == len(self._text) and match[0][0] == "\\"):
                done = (match.start() if match else len(self._text)) - self._at
                if not self._more():
                    raise self.error("not JSON: a list or object does not end")
                at = self._at + done
                continue
            at = match.end()
            if match[0] == '"':
                quoted = not quoted
            elif not quoted and match[0][0] != "\\":
                depth += 1 if match[0] in "[{" else -1
                if depth > MAX_DEPTH:
                    raise self.error("not JSON that can be read: nested too deeply")
                if depth == 0:
                    text, self._at = self._text[self._at : at], at
                    return text

    def _more(self) -> bool:
        """Read on, at least as much as is waiting, so that a long value is parsed few times; False at the end."""
        if self._ended:
            return False
        chunk = self._stream.read(max(BLOCK, len(self._text) - self._at))
        self._ended = not chunk
        if chunk:
            self._forget()
            self._text += chunk
            self._check_size()
        return bool(chunk)

    def _forget(self) -> None:
        """Drop what was read, and count its lines."""
        lines = self._text.count("\n", 0, self._at)
        last = self._text.rfind("\n", 0, self._at)
        self._column = self._at - last if lines else self._column + self._at
        self._line += lines
        self._text, self._at = self._text[self._at :], 0

    def _check_size(self) -> None:
        if len(self._text) < _DENSE:
            return
        if sys.getsizeof(self._text) > MAX_VALUE:
            raise self.error(f"one value of over {MAX_VALUE >> 20} MiB; split it into several records")
        if sum(self._text.count(mark) for mark in "[{,") > MAX_TOKENS:
            raise self.error(f"one value of over {MAX_TOKENS:,} parts; split it into several records")

    def error(self, why: str, *, at: int | None = None) -> DataError:
        """Return the error for a place of the text; default: the next character."""
        place = self._at if at is None else at
        lines = self._text.count("\n", 0, place)
        column = place - self._text.rfind("\n", 0, place) if lines else self._column + place
        cut = "; the file ends too early: get it again" if self._ended and place >= len(self._text.rstrip()) else ""
        return DataError(f"{self._where}: line {self._line + lines} column {column}: {why}{cut}")


def _is_certain(error: json.JSONDecodeError, length: int) -> bool:
    """Whether no further text would mend the error: it is neither at the end of the text nor an open string."""
    return not error.msg.startswith("Unterminated") and error.pos < length - 16


def bounded_integer(digits: str) -> int | str:
    """Return the integer of JSON digits; more than an id or an offset can have stay text."""
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def bounded_real(digits: str) -> float | str:
    """Return the number of JSON digits; one too large for a number stays text."""
    value = float(digits)
    return value if math.isfinite(value) else digits
