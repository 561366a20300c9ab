"""Windows and tokens: every token has one owner, and offsets into the text."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrc.errors import BadCheckpoint
from mrc.read.config import ReadConfig
from mrc.read.data.tokens import answer_span, pair_template, token_span
from mrc.read.data.windows import LEVEL, MATCH, Windower, collate, owned_ranges, window_spans
from mrc.read.train_config import TrainConfig
from tests.mrc import tiny

WORDPIECE = tiny.wordpiece()
BYTES = tiny.byte_level()


@given(st.integers(0, 400), st.integers(1, 60), st.data())
def test_every_token_is_owned_by_one_window_that_shows_the_spans_that_start_there(count, room, data):
    shared = data.draw(st.integers(0, room - 1))
    spans = window_spans(count, room=room, shared=shared)
    owned = owned_ranges(spans)
    assert [token for start, end in owned for token in range(start, end)] == list(range(count))
    for (start, end), (own_start, own_end) in zip(spans, owned, strict=True):
        assert end - start <= room
        longest = (shared + 1) // 2
        assert own_start == own_end or min(own_end - 1 + longest, count) <= end
        assert start <= own_start
        assert own_end <= end


@given(st.integers(1, 300), st.integers(10, 60), st.data())
def test_the_owner_of_a_token_has_the_most_context(count, room, data):
    shared = data.draw(st.integers(0, room // 2 - 1))  # more would show a token in three windows
    spans = window_spans(count, room=room, shared=shared)
    for window, (own_start, own_end) in enumerate(owned_ranges(spans)):
        for token in range(own_start, own_end):
            contexts = [min(token - s, e - 1 - token) if s <= token < e else -1 for s, e in spans]
            outer = {0: 0, count: count}  # the text's own ends hide nothing
            poorer = [
                min(count if s in outer and s == 0 else token - s, count if e == count else e - 1 - token)
                if s <= token < e
                else -1
                for s, e in spans
            ]
            assert contexts[window] >= 0
            assert poorer[window] >= max(poorer) - 1


def test_windows_that_do_not_move_forward_are_refused():
    with pytest.raises(ValueError, match="would not move forward"):
        window_spans(10, room=5, shared=5)


TEXT_ALPHABET = st.sampled_from(
    ["한", "빛", "학", "a", "Z", "1", " ", "\r\n", ".", "é", "👩‍🚀", "🇰🇷", "ﬁ", "\u200b", "각"]
)


@given(st.lists(TEXT_ALPHABET, max_size=25).map("".join), st.sampled_from(["NFC", "NFD"]))
def test_offsets_are_inside_the_text_and_in_order(text, form):
    text = unicodedata.normalize(form, text)
    for tokenizer in (WORDPIECE, BYTES):
        (tokens,) = Windower(tokenizer).passages([text])
        assert tokens.offsets.shape == (len(tokens.ids), 2)
        assert all(0 <= start <= end <= len(text) for start, end in tokens.offsets)
        assert np.all(np.diff(tokens.offsets[:, 0]) >= 0)
        if tokenizer is BYTES:  # bytes lose nothing: together the tokens cover the text
            assert {at for start, end in tokens.offsets for at in range(start, end)} == set(range(len(text)))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("한빛 학당은 1921년에", "1921년"),
        (unicodedata.normalize("NFD", "한빛 학당은 가람이"), unicodedata.normalize("NFD", "학당")),
        ("👩‍🚀 founded Tarn\r\nin 1893", "Tarn\r\nin"),
        ("\r\n\r\nMira 🇰🇷 Oland", "Oland"),
    ],
)
@pytest.mark.parametrize("tokenizer", [WORDPIECE, BYTES], ids=["wordpiece", "bytes"])
def test_the_tokens_of_an_answer_cover_its_characters(text, answer, tokenizer):
    (tokens,) = Windower(tokenizer).passages([text])
    start = text.index(answer)
    first, last = token_span(tokens, start, start + len(answer))
    assert answer in text[tokens.offsets[first, 0] : tokens.offsets[last, 1]]
    assert tokens.offsets[first, 1] > start
    assert tokens.offsets[last, 0] < start + len(answer)


@pytest.mark.parametrize("tokenizer", [WORDPIECE, BYTES], ids=["wordpiece", "bytes"])
def test_white_space_around_an_answer_does_not_reach_for_another_word(tokenizer):
    text = "The mill of Tarn in 1893"
    (tokens,) = Windower(tokenizer).passages([text])
    assert answer_span(text, tokens, 11, 17) == answer_span(text, tokens, 12, 16) == token_span(tokens, 12, 16)
    assert answer_span(text, tokens, 3, 4) is None


def test_characters_without_a_token_have_no_span():
    (tokens,) = Windower(WORDPIECE).passages(["Tarn \u200b\u200b mill"])
    assert token_span(tokens, 5, 7) is None


def test_the_template_is_taken_from_the_tokenizer():
    bert, roberta = pair_template(WORDPIECE), pair_template(BYTES)
    assert (bert.prefix, bert.middle, bert.suffix, bert.types) == ((2,), (3,), (3,), (0, 0, 0, 1, 1))
    assert (roberta.prefix, roberta.middle, roberta.suffix, set(roberta.types)) == ((0,), (2, 2), (2,), {0})


@pytest.mark.parametrize("tokenizer", [WORDPIECE, BYTES], ids=["wordpiece", "bytes"])
def test_a_window_equals_the_tokenizers_encoding_of_the_pair(tokenizer):
    question, passage = "Who founded the mill?", "Mira Oland founded the mill of Tarn in 1893."
    windower = Windower(tokenizer)
    asked, read = windower.questions([question], max_seq_length=128)[0], windower.passages([passage])[0]
    (window,) = windower.windows(asked, read, max_seq_length=128, doc_stride=16)
    expected = tokenizer(question, passage, return_token_type_ids=True)
    assert window.ids.tolist() == expected["input_ids"]
    assert window.types.tolist() == expected["token_type_ids"]
    sides = expected.sequence_ids(0)
    assert [at for at, side in enumerate(sides) if side == 1] == list(range(window.first, window.first + window.count))


def test_spans_may_start_at_owned_tokens_and_end_anywhere_in_the_passage():
    windower = Windower(WORDPIECE)
    asked, read = windower.questions(["Who?"], max_seq_length=64)[0], windower.passages(["mill " * 100])[0]
    windows = windower.windows(asked, read, max_seq_length=64, doc_stride=16)
    batch = collate(windows, pad_id=windower.pad_id)
    assert len(windows) > 1
    assert batch.ids.shape[1] % 8 == 0
    assert batch.starts.sum() == len(read.ids)
    assert batch.context.sum() == sum(window.count for window in windows)
    assert np.all(batch.context >= batch.starts)
    assert not batch.context[np.arange(len(windows)), batch.null].any()
    assert np.all((batch.ids[:, 0] == 2) & (batch.null == 0))
    assert batch.attention.sum(axis=1).tolist() == [len(window.ids) for window in windows]


def test_a_question_longer_than_half_the_window_is_truncated_and_counted(caplog):
    windower = Windower(WORDPIECE)
    (cut,) = windower.questions(["mill " * 500], max_seq_length=64)
    assert len(cut.ids) == 64 // 2 - 3  # [CLS], [SEP], [SEP]
    assert windower.truncated_questions == 1
    assert "1 of 1 questions" in caplog.text


def test_a_passage_without_tokens_has_one_window_that_owns_nothing():
    windower = Windower(WORDPIECE)
    asked = windower.questions(["Who?"], max_seq_length=64)[0]
    for text in ("", " \r\n "):
        (window,) = windower.windows(asked, windower.passages([text])[0], max_seq_length=64, doc_stride=16)
        assert window.count == 0
        assert window.own_start == window.own_end


def test_exact_match_types_mark_shared_pieces_and_how_many_are_near():
    windower = Windower(WORDPIECE, exact_match_types=True, ignored=[WORDPIECE.convert_tokens_to_ids("the")])
    asked = windower.questions(["the mill"], max_seq_length=128)[0]
    read = windower.passages(["the mill" + " tarn" * 20])[0]
    (window,) = windower.windows(asked, read, max_seq_length=128, doc_stride=16)
    pieces = WORDPIECE.convert_ids_to_tokens(window.ids)
    question, passage = window.types[1 : window.first - 1], window.types[window.first : -1]
    assert question.tolist() == [0, MATCH]  # "the" is ignored, "mill" is shared
    near = 1 + LEVEL * 5  # all countable pieces of the question are near
    assert pieces[window.first : window.first + 2] == ["the", "mill"]
    assert passage[:2].tolist() == [near, near + MATCH]
    assert passage[1 + 12] == near
    assert passage[1 + 13] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_answer_length": 65}, "max_answer_length must be at most 64, half of doc_stride"),
        ({"doc_stride": 200}, "doc_stride 200 must be below 184"),
    ],
)
def test_read_settings_that_could_miss_a_span_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ReadConfig(**change)


@pytest.mark.parametrize("change", [{"head": "none"}, {"epochs": 0}, {"batch_size": 0}, {"warmup_ratio": 1.5}])
def test_training_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainConfig(**change)


def test_a_tokenizer_without_pairs_is_refused():
    class Single:
        def __call__(self, first, second, **options):
            return WORDPIECE(first, **options)

    with pytest.raises(BadCheckpoint, match="does not encode a pair"):
        pair_template(Single())
