"""Why a gold passage was not ranked first."""

from __future__ import annotations

import pytest

from mrc.retrieve.error_analysis import (
    ANSWER_ELSEWHERE,
    LOOK_ALIKE,
    NO_SHARED_TERM,
    OUTWEIGHED,
    contains_answer,
    reasons,
)


@pytest.mark.parametrize(
    ("gold", "first", "elsewhere", "expected"),
    [
        ("x y", "king", False, (NO_SHARED_TERM,)),
        ("x y", "king", True, (NO_SHARED_TERM, ANSWER_ELSEWHERE)),
        ("king palace", "king palace built", False, (LOOK_ALIKE,)),
        ("king palace", "king built", False, (OUTWEIGHED,)),  # it lacks `palace`
        ("king palace", "king palace", True, (ANSWER_ELSEWHERE, LOOK_ALIKE)),
        ("king", "", False, (OUTWEIGHED,)),
    ],
)
def test_a_miss_has_all_reasons_that_apply(gold: str, first: str, elsewhere: bool, expected: tuple[str, ...]) -> None:
    question = {"king", "palace", "built"}
    assert reasons(question, gold.split(), first.split(), answer_elsewhere=elsewhere) == expected


@pytest.mark.parametrize(
    ("text", "answer", "stands"),
    [
        ("the art of war", "art", True),
        ("a party", "art", False),  # within a word
        ("the arts", "art", False),
        ("smart", "art", False),
        ("a party of art", "art", True),  # the second occurrence is a word
        ("in 1988 he", "988", False),
        ("1988년에", "1988", True),  # followed by Hangul
        ("세종대왕이 만들었다", "세종대왕", True),
        ("anything", "", False),
    ],
)
def test_a_text_contains_an_answer_only_as_whole_words(text: str, answer: str, stands: bool) -> None:
    assert contains_answer(text, [answer]) is stands
    assert contains_answer(text, ["zzz", answer]) is stands
