"""Text for people: percentages, tables, cut and emphasised text, and the log on stderr."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import unicodedata
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

COLUMNS = 40  # of a question or an answer in a table

#: Control characters except tab and line feed, halves of surrogate pairs, line separators, controls of text direction.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_BEGIN, _END = "\ufdd0", "\ufdd1"  # around emphasised text until it is printed: no characters of any text
_STYLES = {_BEGIN: "\x1b[1m", _END: "\x1b[0m"}


class _Formatter(logging.Formatter):
    """Formats log records as printable text."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Send the log lines of the tool and of warnings to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("labeler").setLevel(logging.INFO)
    logging.getLogger("mrc").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its warnings itself


def printable(text: str) -> str:
    """The text without characters that steer a terminal: each becomes U+FFFD. Emphasis is shown.

    Everything that is printed passes through here, because texts of files, servers and models are part of it.
    """
    cleaned = UNPRINTABLE.sub(_REPLACEMENT, text.replace("\r\n", "\n"))
    if _BEGIN not in cleaned and _END not in cleaned:
        return cleaned
    styles = dict.fromkeys(_STYLES, _REPLACEMENT) if _is_plain() else _STYLES
    for mark, style in styles.items():
        cleaned = cleaned.replace(mark, style)
    return cleaned + ("" if _is_plain() else _STYLES[_END])


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: a byte of a name that is not UTF-8 is written as in `na\\xffme`."""
    return _SURROGATE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    is_byte = "\udc80" <= found[0] <= "\udcff"  # as Python reads names of files that are not UTF-8
    return f"\\x{ord(found[0]) - 0xDC00:02x}" if is_byte else _REPLACEMENT


def json_text(value: Any) -> str:
    """The value as JSON on one line, with every character escaped that `printable` replaces."""
    text = json.dumps(value, ensure_ascii=False)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def percent(value: float | None) -> str:
    """Format a rate in percent: 0.873 is `87.3`, None a dash."""
    return "-" if value is None else f"{100 * value:.1f}"


def exact_percent(rate: float) -> str:
    """A rate in percent as people wrote it: 0.85 is `85%`, 0.855 is `85.5%`, and 0.999 is not `100%`."""
    return f"{(100 * Decimal(repr(float(rate)))).normalize():f}%"


def at_least(rate: float) -> str:
    """A lower bound in percent, rounded down to a tenth: 0.6996 is `69.9%`."""
    return f"{_summed(rate).quantize(Decimal('0.1'), ROUND_FLOOR):f}%"


def at_most(rate: float) -> str:
    """An upper bound in percent, rounded up to a tenth, or to one digit where that is finer: 0.00033 is `0.04%`."""
    value = _summed(rate)
    places = max(1, -value.adjusted())
    return f"{value.quantize(Decimal(1).scaleb(-places), ROUND_CEILING):f}%"


def _summed(rate: float) -> Decimal:
    """The rate in percent, to twelve digits: the errors of a sum of floats are left out before it is rounded."""
    return 100 * Decimal(f"{rate:.12g}")


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Align columns: text to the left, numbers to the right. Wide (Korean) characters take two columns."""
    cells = [tuple(printable(str(cell)).replace("\n", " ") for cell in row) for row in rows]
    widths = [max(_width(line[place]) for line in [header, *cells]) for place in range(len(header))]
    numeric = [
        all(not isinstance(row[place], str) or _is_number(row[place]) for row in rows) for place in range(len(header))
    ]

    def line(cells: tuple[str, ...]) -> str:
        padded = []
        for cell, width, right in zip(cells, widths, numeric, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if right else cell + space)
        return "  ".join(padded).rstrip()

    return "\n".join(line(each) for each in [header, *cells])


def clipped(text: str, columns: int = COLUMNS) -> str:
    """Put the text on one line and cut it to `columns` columns; a wide (Korean) character takes two."""
    line, used = " ".join(text.split()), 0
    for position, character in enumerate(line):
        used += _width(character)
        if used > columns:
            return line[: max(position - 1, 0)] + "…"
    return line


def emphasis() -> tuple[str, str]:
    """The strings that go around emphasised text: on a terminal marks that `printable` makes bold, else « and »."""
    return ("«", "»") if _is_plain() else (_BEGIN, _END)


def _is_plain() -> bool:
    return "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).lstrip("+-").isdigit()
