"""Numbers, units and dates at the end of a span."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.postprocess.units import to_unit_boundary

SCHOOL = "한빛 학당은 1921년 3월 1일에 문을 열었고 학생은 3만 5천 명, 남자가 40%였다."
MILL = "The mill of Tarn, 42.5 km away, cost 7 million dollars and opened on March 1, 1893; 1,250 people came."


def extended(question: str, text: str, span: str) -> str:
    start = text.index(span)
    begin, end = to_unit_boundary(question, text, start, start + len(span), language="ko" if text == SCHOOL else "en")
    return text[begin:end]


@pytest.mark.parametrize(
    ("question", "text", "span", "expected"),
    [
        ("몇 년에 문을 열었는가?", SCHOOL, "1921", "1921년"),
        ("몇 년에 문을 열었는가?", SCHOOL, "921년", "1921년"),
        ("언제 문을 열었는가?", SCHOOL, "1921년 3월", "1921년 3월 1일"),
        ("몇 월에 문을 열었는가?", SCHOOL, "3", "3월"),
        ("누가 문을 열었는가?", SCHOOL, "1921", "1921"),
        ("학생은 몇 명인가?", SCHOOL, "3만", "3만 5천 명"),
        ("남자의 비율은?", SCHOOL, "40", "40%"),
        ("How far away is the mill?", MILL, "42", "42.5 km"),
        ("Which number is it?", MILL, "42.5", "42.5"),
        ("How many km away is it?", MILL, "42.5", "42.5 km"),
        ("How much did it cost?", MILL, "7", "7 million dollars"),
        ("What did it take?", MILL, "7", "7 million"),
        ("When did it open?", MILL, "March 1", "March 1, 1893"),
        ("In which month did it open?", MILL, "March", "March"),
        ("How many came?", MILL, "1,2", "1,250"),
        ("How many people came?", MILL, "250 people", "1,250 people"),
    ],
)
def test_a_span_is_extended_to_the_unit_that_the_question_asks_for(
    question: str, text: str, span: str, expected: str
) -> None:
    assert extended(question, text, span) == expected


@pytest.mark.parametrize(
    ("question", "text", "span", "expected"),
    [
        ("누가 열었는가?", "학당은 1921.3.1에 열렸다.", "1921", "1921"),
        ("언제 열렸는가?", "학당은 1921.3.1에 열렸다.", "1921", "1921.3.1"),
        ("언제 열렸는가?", "학당은 2019.12.25. 열렸다.", "2019.1", "2019.12.25"),
        ("언제 열렸는가?", "학당은 1921. 3. 1. 열렸다.", "1921", "1921. 3. 1"),
        ("언제 나왔는가?", "판은 2019.13.1 이다.", "2019", "2019"),
        ("언제 나왔는가?", "판은 2019.12.1.7 이다.", "2019", "2019"),
        ("언제 나왔는가?", "판은 7.2019.12.1 이다.", "2019", "2019"),
        ("what?", "It opened on 2019.12.25.", "2019", "2019"),
        ("what?", "The host is 192.168.0.1 now.", "192", "192"),
        ("what?", "The host is 192.168.0.1 now.", "92.16", "192.168"),  # whole groups of digits
        ("what?", "Release 3.14.15 came.", "14", "14"),
        ("what?", "See p. 12.5.1 of it.", "12", "12"),
        ("what?", "See No.12.5 of it.", "12", "12.5"),
        ("what?", "It is 1,250.75.", "250", "1,250.75"),
        ("what?", "It is 1,2345.", "1", "1"),
    ],
)
def test_digits_with_several_points_are_not_a_decimal(question: str, text: str, span: str, expected: str) -> None:
    start = text.index(span)
    begin, end = to_unit_boundary(
        question, text, start, start + len(span), language="en" if question.isascii() else "ko"
    )
    assert text[begin:end] == expected


def test_a_unit_inside_a_longer_word_does_not_count() -> None:
    text = "Room 5 marks the end."
    assert to_unit_boundary("How far is it?", text, 5, 6, language="en") == (5, 6), '"m" of "marks"'


QUESTIONS = st.sampled_from(["언제 왔는가?", "몇 명인가?", "얼마인가?", "when?", "how far?", "how much?", "what?"])


@given(st.text(alphabet="0123456789,. 년월일명만km%MarchApril", min_size=1, max_size=30), QUESTIONS, st.data())
def test_units_never_shorten_a_span_nor_leave_the_text(text: str, question: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    for language in ("ko", "en"):
        begin, stop = to_unit_boundary(question, text, start, end, language=language)
        assert 0 <= begin <= start < end <= stop <= len(text)
