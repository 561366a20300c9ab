"""Passages and questions of a file, whose texts and answers wait in a temporary file until they are stored.

In memory are, of each passage and each question, the id, a hash of 16 bytes and where its record begins.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from labeler.core.files.spool import Spool
from labeler.importing.formats.content import FileQuestion
from mrc.text.near_duplicates import identity
from mrc.types import Passage, Span

_HASH = 16  # bytes of an identity
_NONE = -1  # number of the passage of a question without a context
_ANSWERED, _TEXTS, _FLAG, _IMPOSSIBLE = 1, 2, 4, 8
Item = TypeVar("Item")


class Place(NamedTuple):
    """The context of a question by what it shares with others: its id, its identity and its document."""

    id: str
    identity: str
    document: str


class Keys(NamedTuple):
    """What the plan of an import asks of a question; `number`: its place in the file's questions."""

    number: int
    id: str
    normalized: str  # identity of its text
    place: Place | None
    answered: bool  # has answers that stand in the context
    texts: bool  # has answers as text alone
    is_impossible: bool
    split: str
    kind: str


class _Filed(Sequence[Item], Generic[Item]):
    """A sequence whose items are read from a file."""

    @abstractmethod
    def read(self, number: int) -> Item:
        """Return an item by its number."""

    @overload
    def __getitem__(self, number: int) -> Item: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Item]: ...
    def __getitem__(self, number: int | slice) -> Item | Sequence[Item]:
        if isinstance(number, slice):
            return tuple(map(self.read, range(len(self))[number]))
        return self.read(range(len(self))[number])

    def __iter__(self) -> Iterator[Item]:
        return map(self.read, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]


def _equal(one: object, other: object) -> bool:
    return one == other


class Passages(_Filed[Passage]):
    """The passages of a file, each text once, in its order."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []
        self._identities = bytearray()
        self._documents: list[str] = []
        self._known: dict[str, str] = {}  # document by title
        self._last: tuple[int, Passage] | None = None

    def add(self, passage: Passage) -> int:
        """Add a passage and return its number, that of the first with its text."""
        known = self._numbers.get(passage.id)
        if known is not None:
            return known
        number = self._numbers[passage.id] = len(self._ids)
        own = identity(passage.text)
        self._ids.append(passage.id)
        self._identities += bytes.fromhex(own)
        self._documents.append(self._document(passage.title) if passage.title else own)
        self._spool.append((passage.id, passage.text, passage.title))
        self._last = number, passage
        return number

    def _document(self, title: str) -> str:
        if title not in self._known:
            self._known[title] = identity(title)
        return self._known[title]

    def number(self, passage_id: str) -> int | None:
        """Return the number of a passage, None where it is not known."""
        return self._numbers.get(passage_id)

    def place(self, number: int) -> Place:
        """Return what a passage shares with others."""
        own = self._identities[number * _HASH : (number + 1) * _HASH].hex()
        return Place(self._ids[number], own, self._documents[number])

    def read(self, number: int) -> Passage:
        if self._last is None or self._last[0] != number:
            self._last = number, Passage(*self._spool[number])
        return self._last[1]

    def prefixes(self) -> NDArray[np.uint64]:
        """Return the first eight bytes of each identity, (P,)."""
        return _prefixes(self._identities)

    def repeated(self) -> NDArray[np.bool_]:
        """Return which passages may share their identity with another one of the file, (P,); no other one does."""
        return _repeated(self.prefixes())

    def __len__(self) -> int:
        return len(self._ids)


class Questions(_Filed[FileQuestion]):
    """The questions of a file, in its order."""

    def __init__(self, passages: Passages) -> None:
        self.passages = passages
        self.ids: list[str] = []
        self._spool = Spool()
        self._records = array("Q")
        self._texts = bytearray()  # identities
        self._contexts = array("q")
        self._flags = bytearray()
        self._origins = array("L")
        self._words: dict[tuple[str, str], int] = {}  # split and kind
        self._origin: list[tuple[str, str]] = []  # the same by number
        self._any_impossible = False

    def add(self, question: FileQuestion) -> None:
        """Add a question; its context is among the passages, or becomes one of them."""
        self.ids.append(question.id)
        self._texts += bytes.fromhex(identity(question.text))
        self._records.append(0)
        self._contexts.append(_NONE)
        self._flags.append(0)
        self._origins.append(self._number_of(question.split, question.kind))
        self.put(len(self.ids) - 1, question)

    def put(self, number: int, question: FileQuestion) -> None:
        """Replace a question by another one with its id and text."""
        context = question.context
        self._contexts[number] = _NONE if context is None else self.passages.add(context)
        self._flags[number] = _flags(question)
        self._any_impossible = self._any_impossible or bool(question.is_impossible)
        spans = (_plain(question.answers), _plain(question.all_answers))
        self._records[number] = self._spool.append((question.where, question.text, *spans, question.texts))

    def read(self, number: int) -> FileQuestion:
        where, text, answers, given, texts = self._spool[self._records[number]]
        flags, at = self._flags[number], self._contexts[number]
        context = None if at == _NONE else self.passages.read(at)
        split, kind = self._origin[self._origins[number]]
        own = "" if context is None else context.id
        return FileQuestion(
            where,
            self.ids[number],
            text,
            context,
            tuple(Span(own, *span) for span in answers),
            self._impossible(flags, has_context=context is not None),
            tuple(Span(own, *span) for span in given),
            split,
            kind,
            texts,
        )

    def _impossible(self, flags: int, *, has_context: bool) -> bool | None:
        """Whether a question is impossible; an answered one of a file with impossible ones is marked as possible.

        A flag on the impossible ones alone would tell a reader which questions to answer.
        """
        if flags & _FLAG:
            return bool(flags & _IMPOSSIBLE)
        return False if self._any_impossible and has_context else None

    def all_keys(self) -> Iterator[Keys]:
        """Yield what a plan asks of each question."""
        return map(self.key, range(len(self.ids)))

    def key(self, number: int) -> Keys:
        """Return what a plan asks of a question."""
        flags, at = self._flags[number], self._contexts[number]
        return Keys(
            number,
            self.ids[number],
            self._texts[number * _HASH : (number + 1) * _HASH].hex(),
            None if at == _NONE else self.passages.place(at),
            bool(flags & _ANSWERED),
            bool(flags & _TEXTS),
            bool(flags & _IMPOSSIBLE),
            *self._origin[self._origins[number]],
        )

    def _number_of(self, split: str, kind: str) -> int:
        number = self._words.setdefault((split, kind), len(self._words))
        if number == len(self._origin):
            self._origin.append((split, kind))
        return number

    def context_number(self, number: int) -> int:
        """Return the number of a question's passage, -1 without one."""
        return self._contexts[number]

    def text(self, number: int) -> str:
        """Return the text of a question."""
        found: str = self._spool[self._records[number]][1]
        return found

    def repeated_texts(self) -> NDArray[np.bool_]:
        """Return which questions may share their text with another one of the file, (Q,); no other one does."""
        return _repeated(_prefixes(self._texts))

    def repeated(self) -> NDArray[np.bool_]:
        """Return which questions may share their text or paragraph with another one, (Q,); no other one does."""
        at = np.array(self._contexts, dtype=np.int64)
        found, placed = self.repeated_texts(), at != _NONE
        found[placed] |= _repeated(self.passages.prefixes()[at[placed]])
        return found

    def __len__(self) -> int:
        return len(self.ids)


def _flags(question: FileQuestion) -> int:
    return (
        (_ANSWERED if question.answers else 0)
        | (_TEXTS if question.texts else 0)
        | (_FLAG if question.is_impossible is not None else 0)
        | (_IMPOSSIBLE if question.is_impossible else 0)
    )


def _plain(spans: Sequence[Span]) -> tuple[Any, ...]:
    return tuple((span.start, span.end, span.text) for span in spans)


def _prefixes(hashes: bytearray) -> NDArray[np.uint64]:
    return np.frombuffer(bytes(hashes), dtype=np.uint64)[::2]


def _repeated(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values occur more than once."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    same = np.zeros(values.size + 1, dtype=bool)
    same[1:-1] = ordered[1:] == ordered[:-1]
    found = np.empty(values.size, dtype=bool)
    found[order] = same[1:] | same[:-1]
    return found


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def filed_questions(questions: Sequence[FileQuestion]) -> Questions:
    """Return the questions as those of a file."""
    if isinstance(questions, Questions):
        return questions
    found = Questions(Passages())
    for question in questions:
        found.add(question)
    return found


def filed_passages(passages: Sequence[Passage], questions: Questions) -> Passages:
    """Return the passages as those of a file, those of the questions by their numbers."""
    if isinstance(passages, Passages) and (passages is questions.passages or not len(questions)):
        return passages
    for passage in passages:
        questions.passages.add(passage)
    return questions.passages
