"""Near-duplicate paragraphs and questions of an import, among themselves and with what is stored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from labeler.importing.conflicts import side
from labeler.importing.formats.filed import Questions
from mrc.text.near_duplicates import NearDuplicate, near_duplicates

LIMIT = 20_000  # stored questions that a file is compared with; in a larger workspace the file alone is searched


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two texts that share most of their shingles. `similarity`: Jaccard index, 0-1; `sides`: of `a` and of `b`."""

    kind: str  # paragraph or question
    a: str  # question id whose paragraph, or text, it is
    b: str
    sides: tuple[str, str]
    similarity: float


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """Texts of stored questions that a file may nearly repeat: question ids, their texts and paragraphs."""

    questions: Mapping[str, str] = field(default_factory=dict)  # question id -> text
    paragraphs: Mapping[str, str] = field(default_factory=dict)  # question id -> text, one question a paragraph


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Near-duplicates by question ids."""

    paragraphs: Sequence[NearDuplicate] = ()
    questions: Sequence[NearDuplicate] = ()

    def across(self, roles: Mapping[str, str], *, of: Collection[str]) -> tuple[NearPair, ...]:
        """Return the pairs that are on two sides of the split, given the role of each question.

        At least one of a pair is a question of the file, `of`: pairs of stored questions were listed before.
        """
        named = chain(
            (("paragraph", pair) for pair in self.paragraphs), (("question", pair) for pair in self.questions)
        )
        return tuple(
            NearPair(kind, pair.a, pair.b, (side(roles[pair.a]), side(roles[pair.b])), round(pair.similarity, 4))
            for kind, pair in named
            if pair.a in roles
            and pair.b in roles
            and side(roles[pair.a]) != side(roles[pair.b])
            and (pair.a in of or pair.b in of)
        )

    def ids(self) -> set[str]:
        """Return the questions that are near-duplicates."""
        return {each for pair in chain(self.paragraphs, self.questions) for each in (pair.a, pair.b)}

    def keys(self) -> dict[str, list[tuple[str, str]]]:
        """Return for each question the keys that it shares with its near-duplicates, for `splits.split_groups`."""
        found: dict[str, list[tuple[str, str]]] = {}
        for pair in chain(self.paragraphs, self.questions):
            for each in (pair.a, pair.b):
                found.setdefault(each, []).append(("near", f"{pair.a} {pair.b}"))
        return found


class _Texts(Mapping[str, str]):
    """Texts by question id: stored ones, and those of a file, which are read when they are asked for."""

    def __init__(self, stored: Mapping[str, str], numbers: Mapping[str, int], read: Callable[[int], str]) -> None:
        self._stored, self._numbers, self._read = stored, numbers, read

    def __getitem__(self, key: str) -> str:
        number = self._numbers.get(key)
        return self._stored[key] if number is None else self._read(number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.keys() | self._numbers.keys())

    def __len__(self) -> int:
        return len(self._stored.keys() | self._numbers.keys())


def near_pairs(questions: Questions, numbers: Sequence[int], stored: StoredTexts) -> NearPairs:
    """Find the near-duplicates among a file's questions and stored ones; a paragraph is named by its first question."""
    asked = {questions.ids[number]: number for number in numbers}
    first: dict[int, str] = {}  # of each passage, its number and the lowest id
    for key, number in asked.items():
        if (context := questions.context_number(number)) >= 0:
            first[context] = min(key, first.get(context, key))
    contexts = {key: context for context, key in first.items()}
    passages = questions.passages
    return NearPairs(
        near_duplicates(_Texts(stored.paragraphs, contexts, lambda number: passages[number].text)),
        near_duplicates(_Texts(stored.questions, asked, questions.text)),
    )
