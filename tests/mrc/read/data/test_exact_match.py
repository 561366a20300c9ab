"""Exact-match levels: independent of tokenizer and windows."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.errors import MissingExtra
from mrc.read.data.exact_match import KINDS, MATCH_LEVELS, NEAR, NEARNESS, ExactMatch, levels, nearness
from mrc.read.data.windows import Windower, collate
from tests.mrc import tiny

WORDPIECE = tiny.wordpiece()
BYTES = tiny.byte_level()
NEAREST = 2 * NEARNESS  # all words of the question are near
needs_kiwi = pytest.mark.skipif(importlib.util.find_spec("kiwipiepy") is None, reason="kiwipiepy is not installed")


def by_word(kind, question, passage, tokenizer=WORDPIECE, size=128):
    """The levels of the question's and the passage's tokens as [(text of the token, level)]."""
    windower = Windower(tokenizer, exact_match=ExactMatch(kind))
    asked, read = windower.questions([question], max_seq_length=size)[0], windower.passages([passage])[0]
    (window,) = windower.windows(asked, read, max_seq_length=size, doc_stride=16)
    first = (
        window.match_levels[slice(*window.question_range)],
        window.match_levels[window.first : window.first + window.count],
    )
    return [
        [(text[a:b].strip(), int(level)) for (a, b), level in zip(tokens.offsets, found, strict=True)]
        for text, tokens, found in ((question, asked, first[0]), (passage, read, first[1]))
    ]


def test_words_are_compared_without_case_and_stop_words_do_not_count():
    question, passage = by_word("words", "Who founded the MILL?", "The mill of Tarn")
    # asked: founded, mill; "who" and "the" never count. One of two is near: 2.5 fifths, rounded up 3
    assert {level for word, level in question if word not in "MILL"} == {0}
    assert {level for word, level in question if word and word in "MILL"} == {1}
    assert dict(passage)["mill"] == 2 * 3 + 1
    assert dict(passage)["The"] == 2 * 3


@pytest.mark.parametrize(("kind", "level"), [("words", 0), ("stems", NEAREST + 1)])
def test_stems_find_inflected_words(kind, level):
    windower = Windower(BYTES, exact_match=ExactMatch(kind))
    asked, read = windower.passages(["mills", "founded mill"])
    found = levels(asked.terms, read.terms)[1]
    mill = read.offsets[:, 0] >= len("founded")
    assert set(found[mill].tolist()) == {level}


@needs_kiwi
def test_morphemes_find_a_word_with_another_particle():
    question, passage = by_word("morphemes", "학당은 누가 세웠는가", "한빛 학당을 세웠다")
    assert {level % 2 for text, level in passage if "학" in text} == {1}
    assert any(level for text, level in question if "학" in text)
    alone = by_word("words", "학당은 누가 세웠는가", "한빛 학당을 세웠다")[1]
    assert {level for _, level in alone} == {0}


@pytest.mark.parametrize("kind", ["words", "stems", pytest.param("morphemes", marks=needs_kiwi)])
def test_a_passage_without_words_of_the_question_has_zeros(kind):
    question, passage = by_word(kind, "Who founded it?", "Tarn stands in 1893.")
    assert {level for _, level in question + passage} == {0}


@pytest.mark.parametrize("tokenizer", [WORDPIECE, BYTES], ids=["wordpiece", "bytes"])
def test_all_pieces_of_a_word_have_its_level_in_any_tokenizer(tokenizer):
    text = "Mira went to Tarn 1893"
    windower = Windower(tokenizer, exact_match=ExactMatch("words"))
    asked, read = windower.passages(["1893 Tarn", text])
    found = levels(asked.terms, read.terms)[1]
    shared = read.offsets[:, 1] > text.index("Tarn")
    assert set(found[shared].tolist()) == {NEAREST + 1}
    assert set(found[~shared].tolist()) == {NEAREST}


def test_a_word_beyond_the_window_border_still_counts():
    windower = Windower(WORDPIECE, exact_match=ExactMatch("words"))
    passage = "mill " + "in " * 200 + "Tarn"
    (asked,), (read,) = windower.questions(["mill Tarn"], max_seq_length=64), windower.passages([passage])
    windows = windower.windows(asked, read, max_seq_length=64, doc_stride=16)
    assert len(windows) > 2
    whole = levels(asked.terms, read.terms)[1]
    for window in windows:
        shown = window.match_levels[window.first : window.first + window.count]
        np.testing.assert_array_equal(shown, whole[window.token : window.token + window.count])
        assert set(window.match_levels[slice(*window.question_range)].tolist()) == {
            1
        }  # the passage has both, this window may not
    batch = collate(windows, pad_id=windower.pad_id)
    assert batch.match_levels.shape == batch.ids.shape
    assert not batch.match_levels[batch.attention == 0].any()


def test_without_exact_match_features_every_level_is_zero():
    windower = Windower(WORDPIECE)
    (asked,), (read,) = windower.questions(["the mill"], max_seq_length=64), windower.passages(["the mill"])
    (window,) = windower.windows(asked, read, max_seq_length=64, doc_stride=16)
    assert not window.match_levels.any()


TERMS = st.lists(st.integers(0, 6), max_size=60).map(lambda terms: np.array(terms, dtype=np.int64))


@given(TERMS, TERMS)
def test_levels_follow_their_definition(question, passage):
    asked = {term for term in question.tolist() if term}
    of_question, of_passage = levels(question, passage)
    assert of_question.tolist() == [int(term in set(passage.tolist()) - {0}) for term in question.tolist()]
    for at, term in enumerate(passage.tolist()):
        near = asked & set(passage[max(0, at - NEAR) : at + NEAR + 1].tolist())
        step = -(-len(near) * NEARNESS // len(asked)) if asked else 0
        assert of_passage[at] == 2 * step + (term in asked)
    assert np.all(of_passage < MATCH_LEVELS)
    assert np.all((of_passage % 2 == 0) | (of_passage >= 2))  # a shared word is near itself: level 1 is the question's


def test_nearness_reaches_as_far_as_asked():
    passage = np.array([7, 0, 0, 0, 0])
    assert nearness(passage, np.array([7]), reach=2, steps=5).tolist() == [5, 5, 5, 0, 0]


def test_missing_kiwi_is_reported_with_the_package_to_install(monkeypatch):
    monkeypatch.setattr("mrc.read.data.morphemes.find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r'exact_match_features = morphemes needs kiwipiepy: pip install "labeler\[ko\]"'
    ):
        ExactMatch("morphemes")
    assert set(KINDS) == {"words", "stems", "morphemes"}
