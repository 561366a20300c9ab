"""Question types by question words, in Korean and English."""

import pytest

from mrc.text.question_types import question_type


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who founded the harbour?", "who"),
        ("In which year did the bridge open?", "when"),
        ("How many arches does it have?", "how_many"),
        ("How was the tower built?", "how"),
        ("Which river runs under it?", "which"),
        ("Name the mayor.", "other"),
        ("항구를 세운 사람은 누구인가?", "who"),
        ("다리가 개통된 것은 어느 해인가?", "when"),
        ("축제는 어디에서 열리는가?", "where"),
        ("탑은 몇 층인가?", "how_many"),
        ("어느 강을 건너는가?", "which"),
        ("왜 무너졌는가?", "why"),
    ],
)
def test_a_question_word_gives_the_type(question: str, expected: str) -> None:
    assert question_type(question) == expected
