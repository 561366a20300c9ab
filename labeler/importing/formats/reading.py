"""How a file is to be read, and what its reader noticed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

EMPTY = ("none", "reject")  # values of --empty
UNLABELLED = "unlabelled"  # an empty answer of a pool question, unless --empty is given
_SHOWN = 8  # names in a note


@dataclass(frozen=True, slots=True)
class StudioMap:
    """Where a Label Studio project keeps things: fields of its tasks' data, and the labels that mark answers.

    Empty: found by the usual names, and by the field whose text the regions mark.
    """

    question: str = ""  # of the data, or the name of a TextArea that the annotator filled in
    context: str = ""
    title: str = ""
    id: str = ""
    labels: tuple[str, ...] = ()  # default: those called Answer, else all


def parse_studio_map(text: str) -> StudioMap:
    """Parse `question=q,context=passage,label=Answer`. Raises ValueError that says what is wrong."""
    given: dict[str, str] = {}
    labels: list[str] = []
    for part in text.split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not value or name not in ("question", "context", "title", "id", "label"):
            raise ValueError(f"{part.strip()!r} is not NAME=FIELD with a NAME of question, context, title, id, label")
        if name == "label":
            labels.append(value)
        elif name in given:
            raise ValueError(f"{name} is named twice")
        else:
            given[name] = value
    return StudioMap(**given, labels=tuple(labels))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Choices of the user for files that leave something open."""

    empty: str = "none"  # an answer that is empty, of a question without is_impossible: none, reject or unlabelled
    id_prefix: str = ""  # put before the ids that a file gives
    studio: StudioMap = field(default_factory=StudioMap)
    all_splits: bool = False  # read every split of a saved dataset that has several
    texts_are_passages: bool = False  # a record with a text alone is a passage, even if it looks like a query


class Reading:
    """One file while it is read: the options, and counts for its notes."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.kinds: Counter[str] = Counter()  # questions left out, by their kind
        self.counts: Counter[str] = Counter()  # anything else, by its sentence with {n} for the count
        self.unused: dict[str, None] = {}  # fields that look like ids or documents, in order

    def ignore(self, keys: Iterable[str]) -> None:
        """Remember fields that are not imported."""
        for key in keys:
            if len(self.unused) < 1000:
                self.unused.setdefault(str(key)[:60])

    def notes(self, name: str) -> tuple[str, ...]:
        """Return a line for each thing that a user should know."""
        lines = [f"{name}: {text.format(n=f'{count:,}')}" for text, count in self.counts.items()]
        if self.kinds:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.most_common(_SHOWN))
            lines.append(f"{name}: left out, because the answer is no span of the context: {kinds}")
        if self.unused:
            shown = list(self.unused)[:_SHOWN]
            more = f" and {len(self.unused) - _SHOWN} more" if len(self.unused) > _SHOWN else ""
            lines.append(
                f"{name}: fields that look like ids or documents and are not imported: {', '.join(shown)}{more}; "
                "a passage is known by its text, a document by its title"
            )
        return tuple(lines)
