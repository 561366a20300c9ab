"""Passages cut into windows, the term counts of windows, and hits of windows turned into hits of passages."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.analyzers import Whitespace
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.term_counts import TermCounts, title_counts, window_counts, with_titles
from mrc.retrieve.windows import search_passages, sentences, window_starts, windows
from mrc.types import Passage


def shown(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


def test_sentences_end_after_punctuation_and_line_breaks() -> None:
    text = '하나다. "둘이다." 3.14는 수다\n넷！다섯。끝'
    assert shown(text, sentences(text)) == ["하나다. ", '"둘이다." ', "3.14는 수다\n", "넷！", "다섯。", "끝"]
    assert sentences("") == []


@given(st.text("a. \n。"))
def test_the_sentences_of_a_text_joined_are_the_text(text: str) -> None:
    assert "".join(shown(text, sentences(text))) == text


def test_windows_end_at_sentences_then_at_words_then_hard() -> None:
    assert shown("aa bb. cc dd", windows("aa bb. cc dd", window_chars=8)) == ["aa bb. ", "bb. cc ", "cc dd"]
    assert shown("aa bb cc", windows("aa bb cc", window_chars=6)) == ["aa bb ", "bb cc"]
    assert shown("abcdefgh", windows("abcdefgh", window_chars=4)) == ["abcd", "cdef", "efgh"]


def test_short_texts_are_one_window() -> None:
    assert windows("abcd", window_chars=4) == windows("abcd", window_chars=0) == [(0, 4)]
    assert windows("", window_chars=4) == [(0, 0)]


@pytest.mark.parametrize("size", [-1, 1])
def test_a_window_size_that_cannot_advance_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="window_chars"):
        windows("text", window_chars=size)


@given(st.text("ab. \n", max_size=200), st.integers(2, 30))
def test_windows_respect_the_size_advance_and_cover_the_text(text: str, size: int) -> None:
    found = windows(text, window_chars=size)
    assert (found[0][0], found[-1][1]) == (0, len(text))
    assert all(end - start <= size for start, end in found)
    for (start, end), (next_start, next_end) in pairwise(found):
        assert start < next_start <= end < next_end  # no gap, always advancing


def test_a_passage_of_a_megabyte_is_split_fast() -> None:
    text = "one two three. " * 70_000
    assert len(windows(text, window_chars=1000)) > 2 * len(text) // 1000 - 100
    assert len(windows("x" * 1_000_000, window_chars=1000)) == 1999  # (1,000,000 - 1,000) / 500 + 1


def counted(passages: list[Passage], *, window_chars: int = 0, title_weight: int = 0) -> list[dict[str, int]]:
    starts = window_starts(passages, window_chars=window_chars)
    plain = TermCounts.of(window_counts(passages, Whitespace(), window_chars=window_chars))
    titles = title_counts(passages, Whitespace())
    return [dict(each) for each in with_titles(plain, starts, titles, title_weight=title_weight).documents()]


def test_the_terms_of_a_title_count_title_weight_times() -> None:
    passage = Passage("a", "king builds king", "king palace")
    assert counted([passage], title_weight=2) == [{"king": 2 + 2, "builds": 1, "palace": 2}]
    assert counted([passage]) == [{"king": 2, "builds": 1}]
    assert counted([Passage("a", "king")], title_weight=2) == [{"king": 1}]


def test_every_window_has_the_title_of_its_passage() -> None:
    passages = [Passage("a", "aa bb cc", "T"), Passage("b", "d"), Passage("c", "e", "T")]
    assert window_starts(passages, window_chars=6).tolist() == [0, 2, 3, 4]
    found = counted(passages, window_chars=6, title_weight=1)
    assert found == [{"aa": 1, "bb": 1, "T": 1}, {"bb": 1, "cc": 1, "T": 1}, {"d": 1}, {"e": 1, "T": 1}]


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "a b", "b b c"]), min_size=1, max_size=4), min_size=1, max_size=8),
    st.lists(st.sampled_from(["a", "b c", "d a a", "z", ""]), max_size=4),
    st.integers(1, 9),
)
def test_passages_are_ranked_by_their_best_window(windowed: list[list[str]], queries: list[str], k: int) -> None:
    flat = [text for texts in windowed for text in texts]
    bm25 = BM25.from_counts(
        TermCounts.of(Counter(text.split()) for text in flat), Whitespace(), method="atire", k1=1.5, b=0.75
    )
    starts = np.cumsum([0, *map(len, windowed)])
    passages, scores = search_passages(bm25.search, starts, queries, k)
    for query, row, row_scores in zip(queries, passages.tolist(), scores.tolist(), strict=True):
        ranked, values = bm25.search([query], len(flat))
        best: dict[int, float] = {}
        for document, value in zip(ranked[0].tolist(), values[0].tolist(), strict=True):
            if document >= 0:
                best.setdefault(int(np.searchsorted(starts, document, side="right")) - 1, value)
        expected = sorted(best, key=lambda passage: (-best[passage], passage))[:k]
        assert row == expected + [-1] * (k - len(expected))
        assert row_scores == [best[passage] for passage in expected] + [-np.inf] * (k - len(expected))
