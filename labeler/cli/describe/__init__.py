"""Text of answers and rejected rows, and cells of tables; `events`, `rounds` and `evaluation` describe results."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrc.squad import Rejected

COLUMNS = 40  # of a question or an answer in a table
SHOWN = 10  # rejected rows told to people; --json has all


def answer_text(texts: Iterable[str]) -> str:
    """The different golds of a label in quotes; words where it has none."""
    different = list(dict.fromkeys(texts))
    return clipped(" | ".join(f"'{text}'" for text in different)) if different else "no answer"


def clipped(text: str, columns: int = COLUMNS) -> str:
    """The text on one line of at most `columns` columns; a wide (Korean) character takes two."""
    line, used = " ".join(text.split()), 0
    for position, character in enumerate(line):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > columns:
            return line[: max(position - 1, 0)] + "…"
    return line


def rejected_lines(rejected: Sequence[Rejected]) -> list[str]:
    """The first rejected rows in words, and how many more there are."""
    told = [f"rejected {row.where}: {row.why}" for row in rejected[:SHOWN]]
    more = len(rejected) - SHOWN
    return [*told, f"... and {more} more; --json lists all"] if more > 0 else told
