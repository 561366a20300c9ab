"""Ids, normalised questions and the splitting of long texts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mrc.text import normalize, passage_id, question_id, split_passages

UTF8 = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_passage_id_is_half_of_the_sha256_of_the_exact_text() -> None:
    assert passage_id("왕") == hashlib.sha256(b"\xec\x99\x95").hexdigest()[:32]
    assert passage_id("왕 ") != passage_id("왕")


def test_a_question_id_depends_on_question_and_context_and_on_where_one_ends() -> None:
    ids = {question_id("누구?", "ab"), question_id("누구?", "a"), question_id("누구", "ab"), question_id("ab", "누구?")}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Who  wrote\tHamlet ?? ", "who wrote hamlet"),
        ("１９８８년 올림픽은？", "1988년 올림픽은"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),  # decomposed Hangul
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("What is C#?", "what is c#"),
        ("Who led the U.S.?", "who led the u.s"),
        ("?!", "?!"),
        ("", ""),
    ],
)
def test_questions_that_differ_only_in_form_have_one_normal_form(text: str, normal: str) -> None:
    assert normalize(text) == normal


@settings(deadline=None)
@given(UTF8)
@example("\u0345\u0391\u0300")
@example("Ａ。 ?")
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


def test_normalising_twice_changes_no_single_character() -> None:
    characters = [chr(point) for point in range(0x30000) if not 0xD800 <= point < 0xE000]
    assert [text for text in characters if normalize(normalize(text)) != normalize(text)] == []


@settings(deadline=None)
@given(UTF8, st.text(st.sampled_from(" .?!,;:。、？！")))
def test_marks_at_the_end_of_a_question_do_not_matter(question: str, marks: str) -> None:
    assert normalize(f"{question}왕{marks}") == normalize(f"{question}왕")


def split(text: str, max_chars: int) -> list[str]:
    return [text[start:end] for start, end in split_passages(text, max_chars)]


@pytest.mark.parametrize(
    ("text", "max_chars", "passages"),
    [
        ("one\n\ntwo\n \n\nthree", 1000, ["one", "two", "three"]),
        ("one\ntwo", 1000, ["one\ntwo"]),
        ("# Title\n\nText.\n\nMore.", 1000, ["# Title\n\nText.", "More."]),
        ("# A\n\n## B\n\nText.", 1000, ["# A\n\n## B\n\nText."]),
        ("# Title\n\nLonger text.", 12, ["# Title", "Longer text."]),
        ("#tag\n\nText.", 1000, ["#tag", "Text."]),
        ("Aa bb. Cc dd. Ee.", 13, ["Aa bb. Cc dd.", "Ee."]),  # 13 characters end right behind the second sentence
        ("Aa bb. Cc dd. Ee.", 12, ["Aa bb.", "Cc dd. Ee."]),
        ("첫 문장이다。둘째다。", 8, ["첫 문장이다。", "둘째다。"]),
        ("aaa bbb ccc", 7, ["aaa bbb", "ccc"]),
        ("aaa\nb c ddd", 6, ["aaa", "b c", "ddd"]),
        ("abcdef", 4, ["abcd", "ef"]),
        (" \n\n ", 4, []),
        ("", 4, []),
    ],
)
def test_long_text_is_split_at_the_best_place_that_fits(text: str, max_chars: int, passages: list[str]) -> None:
    assert split(text, max_chars) == passages


@settings(deadline=None)
@given(st.text(st.sampled_from("ab.?# \n\t。왕\u2003")), st.integers(1, 12))
def test_every_visible_character_is_in_exactly_one_passage_of_at_most_max_chars(text: str, max_chars: int) -> None:
    spans = split_passages(text, max_chars)
    ends = [0, *(end for _, end in spans)]
    assert all(end <= start < stop for end, (start, stop) in zip(ends, spans, strict=False))
    assert all(stop - start <= max_chars for start, stop in spans)
    assert all(text[start:stop] == text[start:stop].strip() for start, stop in spans)
    assert "".join("".join(text[start:stop].split()) for start, stop in spans) == "".join(text.split())


def test_a_limit_below_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match="max_chars"):
        split_passages("text", 0)
