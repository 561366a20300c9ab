"""Gather what a file brings, part by part; parts that fail a check are listed as rejected."""

from __future__ import annotations

from collections.abc import Iterable

from labeler.core.errors import ImportRefused
from labeler.core.progress import bar
from labeler.importing.formats.content import Content, FileQuestion, Part, fault
from labeler.importing.formats.filed import Passages, Questions
from mrc.squad import Rejected
from mrc.types import Passage

MAX_REJECTED = 100_000
SHOWN = 1000  # parts between two updates of the progress


def gather(
    parts: Iterable[tuple[str, Part]], *, name: str, sha256: str, format: str, notes: tuple[str, ...] = ()
) -> Content:
    """Collect the parts of a file, each with its place, as content; parts that fail a check are rejected.

    Raises ImportRefused for a file of which very much is rejected and less accepted: it is of another kind.
    """
    passages = Passages()
    questions = Questions(passages)
    rejected: list[Rejected] = []
    with bar(f"reading {name}", total=0, unit=" rows", closing=False) as shown:
        for count, (where, part) in enumerate(parts, 1):
            if count % SHOWN == 0:
                shown.update(SHOWN)
            why = None if isinstance(part, Rejected) else _fault(part, passages)
            if isinstance(part, Rejected) or why is not None:
                rejected.append(part if isinstance(part, Rejected) else Rejected(where, why or ""))
                if len(rejected) > max(MAX_REJECTED, len(questions) + len(passages)):
                    raise ImportRefused(f"{where}: {len(rejected):,} rows cannot be imported so far; {rejected[0].why}")
            elif isinstance(part, Passage):
                passages.add(part)
            else:
                questions.add(part)
    return Content(sha256, format, passages, questions, tuple(rejected), notes)


def _fault(part: FileQuestion | Passage, passages: Passages) -> str | None:
    """Why a part cannot be stored; a passage that was checked before is not checked again."""
    passage = part if isinstance(part, Passage) else part.context
    checked = passage is not None and passages.number(passage.id) is not None
    return fault(part, checked=checked)
