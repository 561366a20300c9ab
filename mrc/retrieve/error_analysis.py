"""Why a gold passage was not ranked first, as far as terms and texts show."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from mrc.text import normalize

NO_SHARED_TERM: Final = "no shared term"  # question and gold passage have no term in common
ANSWER_ELSEWHERE: Final = "the answer is in another passage too"  # a higher-ranked passage contains the answer
LOOK_ALIKE: Final = "look-alike passage"  # the first passage has every question term that the gold passage has
OUTWEIGHED: Final = "outweighed"  # the first passage lacks some of these terms, but its other terms weigh more
REASONS: Final = (NO_SHARED_TERM, ANSWER_ELSEWHERE, LOOK_ALIKE, OUTWEIGHED)

_LAST_OF_ALPHABETS = "\u10ff"  # above it: Hangul, kana and Han, written without spaces between words


def reasons(
    question: Collection[str], gold: Collection[str], first: Collection[str], *, answer_elsewhere: bool
) -> tuple[str, ...]:
    """The reasons that apply, in the order of `REASONS`; at least one.

    Args:
        question: terms of the question.
        gold: terms of the gold passage.
        first: terms of the passage ranked first; none where nothing was found.
        answer_elsewhere: a passage ranked above the gold one contains the answer.
    """
    shared = set(question) & set(gold)
    found = [NO_SHARED_TERM] if not shared else []
    if answer_elsewhere:
        found.append(ANSWER_ELSEWHERE)
    if shared:
        found.append(LOOK_ALIKE if shared <= set(first) else OUTWEIGHED)
    return tuple(found)


def contains_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether the text contains one of the answers; both normalised (`mrc.text.normalize`).

    In alphabetic scripts only as whole words: `party` does not contain `art`. A Hangul word may carry a particle.
    """
    return any(answer and _contains(text, answer) for answer in answers)


def normalized(texts: Iterable[str]) -> tuple[str, ...]:
    """The distinct normal forms of texts."""
    return tuple(dict.fromkeys(map(normalize, texts)))


def _contains(text: str, answer: str) -> bool:
    start = text.find(answer)
    while start >= 0:
        end = start + len(answer)
        before = start > 0 and _same_word(text[start - 1], answer[0])
        after = end < len(text) and _same_word(answer[-1], text[end])
        if not before and not after:
            return True
        start = text.find(answer, start + 1)
    return False


def _same_word(left: str, right: str) -> bool:
    return all(character.isalnum() and character <= _LAST_OF_ALPHABETS for character in (left, right))
