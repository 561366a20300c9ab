"""Why a gold passage was not found first, as far as terms and texts can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from mrc.text import normalize

NO_SHARED_TERM: Final = "no shared term"  # question and gold passage have no term in common
ANSWER_ELSEWHERE: Final = "the answer stands elsewhere too"  # a passage found before it holds the answer
LOOK_ALIKE: Final = "look-alike passage"  # the first passage holds every term of the question that the gold one holds
OUTWEIGHED: Final = "outweighed"  # the first passage lacks some of them, but others of its terms weigh more
REASONS: Final = (NO_SHARED_TERM, ANSWER_ELSEWHERE, LOOK_ALIKE, OUTWEIGHED)

_LAST_OF_ALPHABETS = "\u10ff"  # behind it: Hangul, kana and Han, where words stand without spaces


def reasons(
    question: Collection[str], gold: Collection[str], first: Collection[str], *, answer_elsewhere: bool
) -> tuple[str, ...]:
    """The reasons that hold, in the order of `REASONS`; at least one.

    Args:
        question: terms of the question.
        gold: terms of the gold passage.
        first: terms of the passage found first, none where nothing was found.
        answer_elsewhere: a passage found before the gold one holds the answer.
    """
    shared = set(question) & set(gold)
    found = [NO_SHARED_TERM] if not shared else []
    if answer_elsewhere:
        found.append(ANSWER_ELSEWHERE)
    if shared:
        found.append(LOOK_ALIKE if shared <= set(first) else OUTWEIGHED)
    return tuple(found)


def holds(text: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers stands in the text; both normalised (`mrc.text.normalize`).

    In alphabets only as whole words: `art` does not stand in `party`. Hangul carries particles and needs no border.
    """
    return any(answer and _stands(text, answer) for answer in answers)


def normalized(texts: Iterable[str]) -> tuple[str, ...]:
    """The different normal forms of texts."""
    return tuple(dict.fromkeys(map(normalize, texts)))


def _stands(text: str, answer: str) -> bool:
    start = text.find(answer)
    while start >= 0:
        end = start + len(answer)
        before = start > 0 and _one_word(text[start - 1], answer[0])
        after = end < len(text) and _one_word(answer[-1], text[end])
        if not before and not after:
            return True
        start = text.find(answer, start + 1)
    return False


def _one_word(left: str, right: str) -> bool:
    return all(character.isalnum() and character <= _LAST_OF_ALPHABETS for character in (left, right))
