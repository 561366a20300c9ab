"""Quotes in other white space, quotation marks and letter forms, and what no fold may bring together."""

from __future__ import annotations

import unicodedata

import pytest

from labeler.labellers.llm.quotes import find_once, place_answer, sentence_around
from mrc.types import Passage, Span

TEXT = "She said “no\u00a0way” and left.\n\nHe said ‘never’ – twice, the ﬁrst time in 서울."


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ('"no way"', "“no\u00a0way”"),
        ("and left. He said", "and left.\n\nHe said"),
        ("'never' - twice", "‘never’ – twice"),
        ("the first time", "the ﬁrst time"),
        (unicodedata.normalize("NFD", "서울"), "서울"),
        (" left. ", "left."),
    ],
)
def test_a_part_is_found_in_another_form_and_gives_the_text_as_it_stands(part: str, found: str) -> None:
    place = find_once(TEXT, part)
    assert not isinstance(place, str)
    assert TEXT[place[0] : place[1]] == found


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("said", "stands more than once in"),
        ("No way", "does not stand in"),
        ("noway", "does not stand in"),
        ("irst", "does not stand in"),  # half of a ligature
        ("울역", "does not stand in"),
    ],
)
def test_a_part_that_stands_nowhere_or_twice_has_no_place(part: str, why: str) -> None:
    assert find_once(TEXT, part) == why


def test_an_answer_is_the_span_within_its_quote() -> None:
    passages = [Passage("a", "Kim came in 1921. Lee came in 1921."), Passage("b", "Kim left in 1930.")]
    assert place_answer("1921", "Lee came in 1921", 1, passages) == Span("a", 30, 34, "1921")
    assert place_answer("1930", "Kim left in  1930", 1, passages) == Span("b", 12, 16, "1930")  # of another passage
    assert place_answer("1921", "1921", 1, passages) == "the quote '1921' stands more than once in a passage"
    assert place_answer("1921", "Lee left", 1, passages) == "the quote 'Lee left' does not stand in the passages shown"


def test_the_sentence_around_a_span_is_cut_at_sentence_ends() -> None:
    text = "It was old. 그것은 1921년에 세워졌다.\nIt stands."
    at = text.index("1921년")
    assert sentence_around(text, at, at + 5) == "그것은 1921년에 세워졌다."
    assert sentence_around("no end", 0, 2) == "no end"
