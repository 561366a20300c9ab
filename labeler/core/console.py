"""Text for people: percentages, tables, cut and emphasised text, and the log on stderr."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from typing import Any

COLUMNS = 40  # of a question or an answer in a table


def log_to_stderr() -> None:
    """Send the log lines of the tool and of warnings to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("labeler").setLevel(logging.INFO)
    logging.getLogger("mrc").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its warnings itself


def percent(value: float | None) -> str:
    """Format a rate in percent: 0.873 is `87.3`, None a dash."""
    return "-" if value is None else f"{100 * value:.1f}"


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Align columns: text to the left, numbers to the right. Wide (Korean) characters take two columns."""
    cells = [tuple(str(cell) for cell in row) for row in rows]
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
    """The strings that go around emphasised text on stdout: bold on a terminal, « and » elsewhere."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return ("«", "»") if plain else ("\x1b[1m", "\x1b[0m")


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).lstrip("+-").isdigit()
