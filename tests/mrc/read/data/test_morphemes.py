"""Splitting at morphemes: tokens that cross no cut and keep their offsets."""

import importlib.util
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.errors import BadCheckpoint, MissingExtra
from mrc.read.data.morphemes import check_kiwi, kiwi_cuts, spaced
from mrc.read.data.tokens import TextTokenizer, token_span
from mrc.read.data.windows import Windower
from tests.mrc import tiny

WORDPIECE = tiny.wordpiece()
BYTES = tiny.byte_level()
needs_kiwi = pytest.mark.skipif(importlib.util.find_spec("kiwipiepy") is None, reason="kiwipiepy is not installed")

HANGUL = ["한빛", "학당은", "가람이", "세웠다", "1921년에", "했", "의"]
OTHER = ["Tarn", "é", "👩‍🚀", "🇰🇷", "ﬁ", " ", "\r\n", ".", "\u200b"]
TEXTS = st.builds(
    lambda parts, form: unicodedata.normalize(form, "".join(parts)),
    st.lists(st.sampled_from(HANGUL + OTHER), max_size=15),
    st.sampled_from(["NFC", "NFD"]),
)


@needs_kiwi
@settings(deadline=None)
@given(TEXTS)
def test_every_token_equals_its_text_and_crosses_no_cut(text):
    (places,) = kiwi_cuts([text])
    (tokens,) = TextTokenizer(WORDPIECE, cuts=kiwi_cuts)([text])
    assert np.all(np.diff(places) > 0)
    assert all(0 < place < len(text) for place in places)
    assert all(0 <= start <= end <= len(text) for start, end in tokens.offsets)
    assert np.all(np.diff(tokens.offsets[:, 0]) >= 0)
    for (start, end), piece in zip(tokens.offsets, WORDPIECE.convert_ids_to_tokens(tokens.ids), strict=True):
        assert not any(start < place < end for place in places)
        if piece != "[UNK]":
            assert WORDPIECE.backend_tokenizer.normalizer.normalize_str(text[start:end]) == piece.removeprefix("##")


@settings(deadline=None)
@given(st.text(alphabet="ab 한빛.", max_size=30), st.data())
def test_tokens_keep_to_the_text_for_any_cuts(text, data):
    places = np.array(
        sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=5)) if len(text) > 1 else []),
        dtype=np.int64,
    )
    (tokens,) = TextTokenizer(WORDPIECE, cuts=lambda texts: [places])([text])
    covered = {at for start, end in tokens.offsets for at in range(start, end)}
    assert covered == {at for at, character in enumerate(text) if not character.isspace()}
    assert not any(start < place < end for place in places for start, end in tokens.offsets)


@needs_kiwi
def test_a_name_can_be_an_answer_without_its_particle():
    text = "한빛 학당은 1921년에 문을 열었다."
    (whole,), (cut,) = TextTokenizer(WORDPIECE)([text]), TextTokenizer(WORDPIECE, cuts=kiwi_cuts)([text])
    start, end = text.index("학당"), text.index("학당") + 2
    first, last = token_span(cut, start, end)
    assert (cut.offsets[first, 0], cut.offsets[last, 1]) == (start, end)
    first, last = token_span(whole, start, end)
    assert whole.offsets[last, 1] == end + 1  # one piece with its particle
    assert {text.index("년"), text.index("에")} <= set(kiwi_cuts([text])[0].tolist())


@needs_kiwi
def test_a_vocabulary_for_split_words_is_trained_on_spaced_texts():
    found, empty = spaced(["학당은 1921년에", ""])
    assert found.split() == ["학당", "은", "1921", "년", "에"]
    assert empty == ""


@needs_kiwi
def test_syllables_with_two_morphemes_and_decomposed_ones_are_not_split():
    assert kiwi_cuts(["했다"])[0].tolist() == [1]
    assert kiwi_cuts(["예뻐서"])[0].tolist() == []  # 예쁘 + 어서 meet within 뻐
    assert kiwi_cuts(["cafe\u0301 학당"])[0].tolist() == [5, 6]  # not between the letter and its accent
    decomposed = unicodedata.normalize("NFD", "했다 학당은")
    for place in kiwi_cuts([decomposed])[0]:
        assert unicodedata.normalize("NFC", decomposed) == "".join(
            unicodedata.normalize("NFC", part) for part in (decomposed[:place], decomposed[place:])
        )


@needs_kiwi
def test_windows_of_split_tokens_have_another_key():
    plain, cut = Windower(WORDPIECE), Windower(WORDPIECE, cuts=kiwi_cuts)
    assert plain.tokenizer_key != cut.tokenizer_key == Windower(WORDPIECE, cuts=kiwi_cuts).tokenizer_key
    assert plain.tokenizer_key != Windower(BYTES).tokenizer_key
    assert len(cut.passages(["학당은"])[0].ids) > 0


def test_the_key_does_not_depend_on_truncation_or_padding():
    tokenizer = tiny.wordpiece()
    before = TextTokenizer(tokenizer).key
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=8)
    assert TextTokenizer(tokenizer).key == before


def test_only_wordpiece_tokenizers_can_split_words():
    with pytest.raises(BadCheckpoint, match="needs a WordPiece tokenizer, and this one is BPE"):
        Windower(BYTES, cuts=kiwi_cuts)


def test_missing_kiwi_names_the_extra(monkeypatch):
    monkeypatch.setattr("mrc.read.data.morphemes.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'morphemes = true needs kiwipiepy: pip install "labeler\[ko\]"'):
        check_kiwi("morphemes = true")
