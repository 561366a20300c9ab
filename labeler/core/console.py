"""What people read on a terminal: rates, tables, and the log on stderr."""

from __future__ import annotations

import logging
import sys
import unicodedata
from typing import Any


def log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("labeler").setLevel(logging.INFO)
    logging.getLogger("mrc").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its warnings itself


def percent(value: float | None) -> str:
    """A rate for people: 0.873 is `87.3`; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Aligned columns: text to the left, numbers to the right. Wide (Korean) characters count as two."""
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


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).lstrip("+-").isdigit()
