"""Parse what Python and numpy print for lists and dictionaries, as `Dataset.to_csv` and pandas write it into a cell.

    {'text': array(['Oda Brin'], dtype=object), 'answer_start': array([46], dtype=int32)}
    [{'text': 'Oda Brin', 'answer_start': np.int64(46)}]
    ['Oda' 'Brin']        two elements: numpy prints no commas

Nothing is evaluated; nesting and length are bounded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

MAX_LENGTH = 1 << 24  # characters
MAX_DEPTH = 20
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[bBuU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z_0-9.]*)
    | (?P<mark>\.\.\.|[\[\](){},:=])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: dict[str, Any] = {"None": None, "True": True, "False": False, "nan": None, "null": None, "NaN": None}
_WORDS |= {"true": True, "false": False, "<NA>": None, "NaT": None}
_CLOSING = {"[": "]", "(": ")", "{": "}"}


def parse_literal(text: str) -> Any:
    """Return the value that a text prints; arrays and tuples become lists. Raises ValueError saying what is wrong."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"over {MAX_LENGTH:,} characters")
    parser = _Parser(_tokens(text.strip()))
    value = parser.value(0)
    if parser.kind:
        raise ValueError(f"unexpected {parser.token!r} after the value")
    return value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unexpected character at offset {at}")
        at = match.end()
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]
    yield "", ""


class _Parser:
    """The tokens of a literal, one ahead. `kind` is empty at the end."""

    def __init__(self, tokens: Iterator[tuple[str, str]]) -> None:
        self._tokens = tokens
        self.kind, self.token = next(tokens)

    def _next(self) -> str:
        token = self.token
        self.kind, self.token = next(self._tokens)
        return token

    def _expect(self, mark: str) -> None:
        if self.token != mark or self.kind != "mark":
            raise ValueError(f"{mark!r} expected, not {self.token[:20]!r}" if self.kind else f"it ends before {mark!r}")
        self._next()

    def value(self, depth: int) -> Any:
        """Return the value that starts here."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        match self.kind:
            case "text":
                return _string(self._next())
            case "number":
                return _number(self._next())
            case "word":
                return self._word(depth)
            case "mark" if self.token in ("[", "("):
                return self._list(_CLOSING[self._next()], depth)
            case "mark" if self.token == "{":
                return self._dict(depth)
        shortened = "; numpy shortened it when it was printed" if self.token == "..." else ""
        raise ValueError(f"a value expected, not {self.token[:20]!r}{shortened}" if self.kind else "it ends too early")

    def _word(self, depth: int) -> Any:
        """A constant, or a call such as array(…, dtype=object) or np.int64(46), which is its first argument."""
        name = self._next()
        if name in _WORDS:
            return _WORDS[name]
        self._expect("(")
        found = self.value(depth + 1)
        while self.token == ",":
            self._next()
            if self.token == ")":
                break
            self._argument(depth)
        self._expect(")")
        return found

    def _argument(self, depth: int) -> None:
        """Skip an argument such as dtype=object, dtype='<U8' or shape=(0,)."""
        if self.kind == "word":
            self._next()
            self._expect("=")
        if self.kind == "word" and self.token not in _WORDS:
            self._next()
        else:
            self.value(depth + 1)

    def _list(self, end: str, depth: int) -> list[Any]:
        found = []
        while self.token != end or self.kind != "mark":
            found.append(self.value(depth + 1))
            if self.token == "," and self.kind == "mark":
                self._next()
        self._next()
        return found

    def _dict(self, depth: int) -> dict[str, Any]:
        self._next()
        found: dict[str, Any] = {}
        while self.token != "}" or self.kind != "mark":
            key = self.value(depth + 1)
            self._expect(":")
            found[str(key)] = self.value(depth + 1)
            if self.token != "}":
                self._expect(",")
        self._next()
        return found


def _string(token: str) -> str:
    try:
        value = ast.literal_eval(token.replace("\n", "\\n").replace("\r", "\\r"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"a text that cannot be read: {token[:20]!r}") from error
    if not isinstance(value, str):
        raise ValueError(f"bytes where a text is needed: {token[:20]!r}")
    return value


def _number(token: str) -> int | float | str:
    if len(token) > 20:
        return token
    return int(token) if token.lstrip("+-").isdigit() else float(token)
