"""Texts that trivial edits leave the same, and texts that share most of their shingles."""

from __future__ import annotations

import hashlib
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.text import near_duplicates as near_module
from mrc.text.near_duplicates import (
    _MARKS,
    _SIMPLE,
    SIMILARITY,
    NearDuplicate,
    _folded_fully,
    fold,
    identity,
    jaccard,
    near_duplicates,
    shingles,
)

PARAGRAPH = (
    "The mill on the Arden was founded in 1746 by Hester Vane, who had it built of grey stone. "
    "It burnt down twice, and the second owner moved the wheel to the other bank of the river."
)


@pytest.mark.parametrize(
    "edited",
    [
        f"{PARAGRAPH} ",
        PARAGRAPH.replace(". It", ".  It"),
        PARAGRAPH.replace(". It", ".\r\nIt"),
        PARAGRAPH.replace(" ", "\u00a0", 3),
        PARAGRAPH.replace("mill", "mi\u200bll"),
        f"\ufeff{PARAGRAPH}",
        PARAGRAPH.upper(),
        PARAGRAPH.removesuffix("."),
    ],
    ids=["trailing space", "double space", "CRLF", "NBSP", "zero width", "BOM", "case", "no full stop"],
)
def test_trivial_edits_leave_the_identity(edited: str) -> None:
    assert edited != PARAGRAPH
    assert identity(edited) == identity(PARAGRAPH)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("누가 세웠나?", "누가세웠나?"),
        ("누가 세웠나?", unicodedata.normalize("NFD", "누가 세웠나?")),
        ("Who wrote “Émile”?", 'who wrote "E\u0301mile"?'),
        ("the 1914–18 war", "The 1914-18 war"),
        ("Who?", "WHO"),
    ],
)
def test_pairs_that_mean_the_same_have_one_identity(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C#", "C"), ("누가 세웠나?", "누가 샀나?"), ("in 1746", "in 1747"), ("a.b", "ab"), ("?", "!"), ("", "x")],
)
def test_what_differs_in_content_keeps_its_own_identity(one: str, other: str) -> None:
    assert identity(one) != identity(other)


def folded_char_by_char(text: str) -> str:
    """What `fold` does, written down without tables."""
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    folded = folded.translate(near_module._QUOTES).translate(near_module._DASHES)
    kept = "".join(char for char in folded if not char.isspace() and unicodedata.category(char) not in ("Cf", "Cc"))
    kept = unicodedata.normalize("NFKC", kept)
    return kept.rstrip(near_module._MARKS) or kept or text.strip()


@given(st.one_of(st.text(), st.text(st.characters(max_codepoint=127)), st.text(" .?\"'`\x1c\x7f\x85aB“—가각\u200b")))
def test_folding_by_a_table_is_folding_char_by_char(text: str) -> None:
    assert fold(text) == folded_char_by_char(text)


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(min_size=1, max_size=60))
def test_a_text_is_as_similar_as_can_be_to_itself(text: str) -> None:
    assert jaccard(shingles(text), shingles(text)) == 1


def test_the_jaccard_index_counts_distinct_shingles() -> None:
    # abcdef: abcd bcde cdef; abcdeg: abcd bcde cdeg; 2 of 4 are shared
    assert jaccard(shingles("abcdef"), shingles("abcdeg")) == pytest.approx(2 / 4)
    assert jaccard(shingles("abcdabcd"), shingles("abcd")) == pytest.approx(1 / 4)  # abcd bcda cdab dabc
    assert jaccard(shingles("abc"), shingles("abd")) == 0


def drawn_texts(count: int, rng: random.Random) -> dict[str, str]:
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(500)]
    return {f"p{number:04}": " ".join(rng.choices(words, k=60)) for number in range(count)}


def test_a_few_edited_words_are_found_and_nothing_else() -> None:
    rng = random.Random(0)
    texts = drawn_texts(300, rng)
    for number in range(0, 100, 2):
        words = texts[f"p{number:04}"].split()
        words[rng.randrange(len(words))] = "changed"
        texts[f"q{number:04}"] = " ".join([*words, "and", "more"])
    found = near_duplicates(texts)
    assert {(pair.a, pair.b) for pair in found} == {(f"p{number:04}", f"q{number:04}") for number in range(0, 100, 2)}
    assert all(SIMILARITY <= pair.similarity < 1 for pair in found)


def test_the_pairs_are_those_of_comparing_all_with_all() -> None:
    rng = random.Random(1)
    words = [f"w{number}" for number in range(12)]
    texts = {f"t{number:03}": " ".join(rng.choices(words, k=12)) for number in range(120)}
    cut = {key: shingles(text) for key, text in texts.items()}
    every = {(a, b) for a in texts for b in texts if a < b and jaccard(cut[a], cut[b]) >= 0.75}
    assert {(pair.a, pair.b) for pair in near_duplicates(texts, similarity=0.75)} == every


def test_pairs_come_most_similar_first_and_equal_ones_by_key() -> None:
    texts = {"b": "one two three four", "a": "one two three four ", "d": "one two three fours", "c": "other"}
    assert near_duplicates(texts, similarity=0.5) == [
        NearDuplicate("a", "b", 1.0),
        NearDuplicate("a", "d", pytest.approx(12 / 13)),
        NearDuplicate("b", "d", pytest.approx(12 / 13)),
    ]


def test_a_thousand_copies_give_a_thousand_pairs() -> None:
    texts = {f"c{number:04}": "the same sentence again and again" for number in range(1001)}
    found = near_duplicates(texts)
    assert len(found) == 1000
    assert {pair.a for pair in found} == {"c0000"}


@pytest.mark.parametrize("similarity", [0, -0.1, 1.01])
def test_a_similarity_that_cannot_be_is_refused(similarity: float) -> None:
    with pytest.raises(ValueError, match="similarity must be above 0"):
        near_duplicates({}, similarity=similarity)


def test_no_texts_have_no_pairs() -> None:
    assert near_duplicates({}) == []


SOME = [*map(chr, range(128)), *"가힣각一鿿‘’“”–—·《》「」『』〈〉。、…\u200b\u00a0İ½Åﬁ①ᆨ́"]


@given(st.text(st.sampled_from(SOME)))
def test_the_short_ways_of_folding_give_what_the_long_one_gives(text: str) -> None:
    """ASCII and simple characters are folded without normal forms; a character that needs them takes the long way."""
    full = _folded_fully(text)
    assert fold(text) == (full.rstrip(_MARKS) or full or text.strip())
    assert identity(text) == hashlib.sha256(fold(text).encode()).hexdigest()[:32]


def test_common_korean_is_folded_the_short_way() -> None:
    assert _SIMPLE.fullmatch("‘이순신’은 1545년 4월 28일에 태어났다. 《난중일기》")
