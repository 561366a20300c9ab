"""Masked words in training: whole words of passage and question, never of the answer.

One in five masked words is replaced by other tokens of the batch, because the mask token does not occur when reading.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.read.train_config import TrainConfig

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REPLACED: Final = 0.2  # share of the masked words that become other tokens
CONTINUE: Final = 0.8  # probability that a masked run gets one more word (Joshi et al. 2020, SpanBERT, section 3.1)
MAX_RUN: Final = 10  # words


def mask_words(
    ids: Ints,
    *,
    passage: Bools,
    question: Bools,
    word_start: Bools,
    answer: Bools,
    config: TrainConfig,
    mask_id: int,
    rng: np.random.Generator,
) -> Ints:
    """The token ids (B, T) with words masked as the configuration says; all regions are (B, T).

    Words with a token of `answer` and positions outside `passage` and `question` are kept. Where all words of a
    question would be masked none is. Without masking in the configuration no random number is drawn.
    """
    words, experimental = _word_numbers(passage, question, word_start), config.experimental
    chosen = np.zeros(words.max(initial=-1) + 2, dtype=np.bool_)  # by word; the last is for positions without a word
    of_question = np.zeros(len(chosen), dtype=np.bool_)
    of_question[words[question]] = True
    if experimental.token_masking:
        chosen |= ~of_question & (rng.random(len(chosen)) < experimental.token_masking)
    if experimental.span_masking:
        chosen |= ~of_question & _runs(len(chosen), experimental.span_masking, rng)
    if config.question_dropout:
        chosen |= of_question & (rng.random(len(chosen)) < config.question_dropout)
    chosen[-1] = False
    chosen[words[answer]] = False
    masked = chosen[words]
    whole_question = (masked | ~question).all(axis=1, keepdims=True)
    masked &= ~(question & whole_question)
    return _replace(ids, masked, words, passage, mask_id, rng) if masked.any() else ids


def _word_numbers(passage: Bools, question: Bools, word_start: Bools) -> Ints:
    """(B, T) the number of each position's word in the batch; -1 outside passage and question."""
    region = passage + 2 * question
    starts = word_start.copy()
    starts[:, 0] = True
    starts[:, 1:] |= region[:, 1:] != region[:, :-1]  # a window may start inside a word
    inside = region > 0
    numbers = np.cumsum(starts & inside).reshape(inside.shape) - 1
    return np.where(inside, numbers, -1)


def _runs(count: int, share: float, rng: np.random.Generator) -> Bools:
    """(count,) words masked in runs of geometric length, `share` of them on average.

    Any word may start a run, with a probability at which a word is in no run with probability 1 - share.
    """
    reach = CONTINUE ** np.arange(MAX_RUN)  # probability that a run reaches the word so far behind its start
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.prod(1 - middle * reach) > 1 - share else (low, middle)
    starts = rng.random(count) < high
    lengths = np.minimum(rng.geometric(1 - CONTINUE, size=count), MAX_RUN)
    at = np.arange(count)
    furthest = np.maximum.accumulate(np.where(starts, at + lengths, 0))
    return np.asarray(at < furthest)


def _replace(ids: Ints, masked: Bools, words: Ints, passage: Bools, mask_id: int, rng: np.random.Generator) -> Ints:
    """The ids with masked positions replaced by the mask or, word by word, by tokens of the batch's passages."""
    others = (rng.random(int(words.max()) + 1) < REPLACED)[np.where(masked, words, 0)] & masked
    out = ids.copy()
    out[masked] = mask_id
    source = ids[passage] if passage.any() else ids[masked]
    out[others] = rng.choice(source, size=int(others.sum()))
    return out
