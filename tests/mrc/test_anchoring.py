"""Anchoring gold answers, and graphemes."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.errors import SpanMismatch
from mrc.postprocess.rules import refiner
from mrc.text.anchoring import anchor
from mrc.text.graphemes import graphemes, whole_graphemes
from mrc.types import Passage

CONTEXT = "벨모라 항구는 1213년에 오다 브린이 세웠다. Ｖｅｌ ﾃﾚﾋﾞ ㎞ café"


def form(name: Any, text: str) -> str:
    return unicodedata.normalize(name, text)


@pytest.mark.parametrize("gold", ["오다 브린", "1213년", "Ｖｅｌ", "ﾃﾚﾋﾞ", "café"])
@pytest.mark.parametrize("of_gold", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("of_context", ["NFC", "NFD"])
def test_a_gold_in_another_normal_form_gets_the_offsets_of_the_context(
    gold: str, of_gold: str, of_context: str
) -> None:
    context, expected = form(of_context, CONTEXT), form(of_context, gold)
    span = anchor(context, form(of_gold, gold), 3, passage="p")
    assert span.text == context[span.start : span.end] == expected


def test_an_offset_in_another_normal_form_tells_equal_answers_apart() -> None:
    context = form("NFD", "오다 브린과 오다 브린")
    span = anchor(context, "오다 브린", len("오다 브린과 "), passage="p")
    assert span.start == context.rindex(form("NFD", "오다"))
    with pytest.raises(SpanMismatch, match="more than once"):
        anchor(context, "오다 브린", 1, passage="p")


@pytest.mark.parametrize(("context", "start"), [("😀😀 Tarn, Tarn", 11), ("a\r\nb\r\nTarn Tarn", 9)])
def test_an_offset_in_utf16_units_or_without_carriage_returns_tells_equal_answers_apart(
    context: str, start: int
) -> None:
    assert anchor(context, "Tarn", start, passage="p").start == context.rindex("Tarn")


@pytest.mark.parametrize(
    ("context", "gold"), [("각", "가"), ("e\u0301te", "e"), ("👩‍🚀 Tarn", "👩"), ("½", "1"), ("🇰🇷", "🇰")]
)
def test_a_part_of_a_grapheme_is_no_occurrence(context: str, gold: str) -> None:
    with pytest.raises(SpanMismatch, match="does not occur"):
        anchor(form("NFD", f"x {context[:2]}"), form("NFD", gold), -1, passage="p")


@given(
    st.lists(st.sampled_from(["a", "한", "é", "ﬁ", "Ａ", "㎞", " ", "😀", "각", "हि"]), min_size=1, max_size=8),
    st.data(),
)
def test_every_part_of_a_text_is_found_in_every_form(pieces: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(pieces) - 1))
    last = data.draw(st.integers(first + 1, len(pieces)))
    before, gold = "".join(pieces[:first]), "".join(pieces[first:last])
    if not gold.strip():
        return
    one, other = data.draw(st.sampled_from(["NFC", "NFD"])), data.draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    context = form(one, "".join(pieces))
    span = anchor(context, form(other, gold), len(form(one, before)), passage="p")
    assert form("NFKC", context[span.start : span.end]) == form("NFKC", gold)


def test_graphemes_are_what_a_reader_sees_as_one_character() -> None:
    for piece in (
        "e\u0301",
        "\u1112\u1161\u11ab",
        "👩‍🚀",
        "🇰🇷",
        "1️⃣",
        "👍🏽",
        "हि",
        "\ud83d\ude00",
        "\ud83d\udc69\u200d\ud83d\ude80",
    ):
        assert graphemes(f"x{piece}y") == ["x", piece, "y"]
        inside = f"x{piece}y"
        assert whole_graphemes(inside, 2, 2) == (1, 1 + len(piece)) or len(piece) == 1
    assert graphemes("🇰🇷🇯🇵") == ["🇰🇷", "🇯🇵"]
    assert graphemes("\ud83d가") == ["\ud83d", "가"]
    assert "".join(graphemes("")) == ""


def test_post_processing_does_not_cut_a_grapheme() -> None:
    text = "It ran 5 m\u0302 on"  # the unit ends before the mark
    refine = refiner(("units",), language="en")
    assert refine is not None
    start, end = refine("How far in m did it run?", Passage("p", text), 7, 8)
    assert text[start:end] == "5 m\u0302"
