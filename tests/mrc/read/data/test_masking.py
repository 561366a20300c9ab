"""Masking: whole words of passage and question, never of the answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrc.read.data.masking import REPLACED, mask_words
from mrc.read.train_config import TrainConfig
from tests.mrc.read.train.examples import changed

MASK = 4


def layout(rng, rows, length):
    """Masks of rows laid out as [CLS] question [SEP] passage [SEP] padding, with words of one to three tokens."""
    ids = rng.integers(100, 1000, size=(rows, length))
    question, passage = np.zeros((2, rows, length), dtype=bool)
    for row in range(rows):
        asked, read = rng.integers(1, length // 3), rng.integers(1, length // 2)
        question[row, 1 : 1 + asked] = True
        passage[row, 2 + asked : 2 + asked + read] = True
    word_start = rng.random((rows, length)) < 0.6
    first = np.argmax(passage, axis=1)
    at = first + rng.integers(0, passage.sum(axis=1))
    answer = np.zeros_like(passage)
    for row in range(rows):
        answer[row, at[row] : at[row] + rng.integers(1, 4)] = True
    return ids, {"passage": passage, "question": question, "word_start": word_start, "answer": answer & passage}


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 4),
    length=st.integers(8, 60),
    shares=st.tuples(*[st.floats(0, 0.99)] * 3),
)
def test_answer_special_and_padding_positions_never_change(seed, rows, length, shares):
    rng = np.random.default_rng(seed)
    ids, masks = layout(rng, rows, length)
    config = changed(TrainConfig(), token_masking=shares[0], span_masking=shares[1], question_dropout=shares[2])
    before = ids.copy()
    found = mask_words(ids, **masks, config=config, mask_id=MASK, rng=rng)
    fixed = masks["answer"] | ~(masks["passage"] | masks["question"])
    np.testing.assert_array_equal(found[fixed], ids[fixed])
    np.testing.assert_array_equal(ids, before)
    passage_tokens = {*ids[masks["passage"]].tolist(), MASK}
    assert set(found[found != ids].tolist()) <= passage_tokens  # no special token comes up


def words_of(mask, word_start):
    """The runs of positions that are words of a one-row mask."""
    words = []
    for at in np.flatnonzero(mask):
        if word_start[at] or not words or words[-1][-1] != at - 1:
            words.append([])
        words[-1].append(int(at))
    return words


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["token_masking", "span_masking", "question_dropout"]))
def test_whole_words_are_masked_except_those_with_the_answer(seed, option):
    rng = np.random.default_rng(seed)
    ids, masks = layout(rng, 1, 60)
    found = mask_words(ids, **masks, config=changed(TrainConfig(), **{option: 0.5}), mask_id=-1, rng=rng)
    rows = {name: mask[0] for name, mask in masks.items()}
    side, other = ("question", "passage") if option == "question_dropout" else ("passage", "question")
    np.testing.assert_array_equal(found[0][rows[other]], ids[0][rows[other]])
    for word in words_of(rows[side], rows["word_start"]):
        masked = found[0][word] == -1
        assert masked.all() or not masked.any()
        if rows["answer"][word].any():
            assert np.array_equal(found[0][word], ids[0][word])


def long_passage():
    """One row of 10,000 words of one token after a question of 2,000, an answer of one."""
    ids = np.arange(100, 12_100)[None]
    question = (np.arange(12_000) < 2_000)[None]
    answer = np.zeros_like(question)
    answer[0, 5_000] = True
    return ids, {
        "passage": ~question,
        "question": question,
        "word_start": np.ones_like(question),
        "answer": answer,
    }


@pytest.mark.parametrize(("option", "side"), [("token_masking", "passage"), ("question_dropout", "question")])
@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_masked_words_is_the_requested_one(option, side, seed):
    ids, masks = long_passage()
    found = mask_words(
        ids, **masks, config=changed(TrainConfig(), **{option: 0.15}), mask_id=-1, rng=np.random.default_rng(seed)
    )
    words = masks[side].sum()
    spread = 4 * np.sqrt(0.15 * 0.85 / words)  # four standard deviations of a binomial share
    assert (found != ids).sum() / words == pytest.approx(0.15, abs=spread)
    changed_words = (found != ids).sum()
    masked = (found == -1).sum() / changed_words
    assert masked == pytest.approx(1 - REPLACED, abs=4 * np.sqrt(REPLACED * (1 - REPLACED) / changed_words))


@pytest.mark.parametrize("seed", range(3))
def test_runs_mask_the_requested_share_and_are_longer_than_single_words(seed):
    ids, masks = long_passage()
    found = mask_words(
        ids, **masks, config=changed(TrainConfig(), span_masking=0.15), mask_id=-1, rng=np.random.default_rng(seed)
    )
    changed_words = (found != ids)[masks["passage"]]
    # a run brings about 4.5 words (geometric, at most 10): the variance of the share is that of fewer, longer draws
    assert changed_words.mean() == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 * 10 / changed_words.size))
    runs = np.diff(np.flatnonzero(np.diff(np.r_[0, changed_words, 0])))[::2]
    assert 3 < runs.mean() < 7


def test_equal_seeds_give_equal_bits_and_without_masking_no_number_is_drawn():
    ids, masks = long_passage()
    config = changed(TrainConfig(), token_masking=0.1, span_masking=0.1, question_dropout=0.1)
    twice = [mask_words(ids, **masks, config=config, mask_id=-1, rng=np.random.default_rng([7, 3])) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    rng = np.random.default_rng(0)
    assert mask_words(ids, **masks, config=TrainConfig(), mask_id=-1, rng=rng) is ids
    assert rng.random() == np.random.default_rng(0).random()


def test_a_question_is_never_masked_completely():
    ids = np.array([[2, 10, 11, 3, 20, 3]])
    question, passage = np.zeros((2, 1, 6), dtype=bool)
    question[0, 1:3] = passage[0, 4] = True
    config = TrainConfig(question_dropout=0.99)
    masks = {"passage": passage, "question": question, "answer": passage, "word_start": question | passage}
    for seed in range(20):
        found = mask_words(ids, **masks, config=config, mask_id=MASK, rng=np.random.default_rng(seed))
        assert (found[question] == ids[question]).any()
