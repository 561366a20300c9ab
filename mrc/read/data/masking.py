"""Noise on what a training update reads: hidden words of passage and question, never of the answer.

Words are hidden whole. One in five hidden words becomes other tokens of the batch, for a reader at work never meets
the mask token.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.read.train_config import TrainConfig

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SWAPPED: Final = 0.2  # share of the hidden words that become other tokens
RUN_GOES_ON: Final = 0.8  # chance that a hidden run takes in one word more (Joshi et al. 2020, SpanBERT, section 3.1)
LONGEST_RUN: Final = 10  # words


def noisy(
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
    """The token ids (B, T) with words hidden as the configuration says; all masks (B, T).

    A word with a token of `answer` stays, and so does every position outside `passage` and `question`. Where all words
    of a question would be hidden none is. Without noise in the configuration nothing is drawn.
    """
    words = _word_numbers(passage, question, word_start)
    hidden = np.zeros(words.max(initial=-1) + 2, dtype=np.bool_)  # by word; the last stands for no word
    asked = _marked(words, question, len(hidden))
    if config.experimental.token_masking:
        hidden |= ~asked & (rng.random(len(hidden)) < config.experimental.token_masking)
    if config.experimental.span_masking:
        hidden |= ~asked & _runs(len(hidden), config.experimental.span_masking, rng)
    if config.question_dropout:
        hidden |= asked & (rng.random(len(hidden)) < config.question_dropout)
    hidden[-1] = False
    hidden[words[answer]] = False
    hide = hidden[words]
    emptied = (hide | ~question).all(axis=1, keepdims=True)
    hide &= ~(question & emptied)
    return _replaced(ids, hide, words, passage, mask_id, rng) if hide.any() else ids


def _word_numbers(passage: Bools, question: Bools, word_start: Bools) -> Ints:
    """(B, T) the word of each position, numbered over the batch; -1 outside passage and question."""
    region = passage + 2 * question
    begins = word_start.copy()
    begins[:, 0] = True
    begins[:, 1:] |= region[:, 1:] != region[:, :-1]  # a window may begin inside a word
    inside = region > 0
    numbers = np.cumsum(begins & inside).reshape(inside.shape) - 1
    return np.where(inside, numbers, -1)


def _marked(words: Ints, mask: Bools, count: int) -> Bools:
    marked = np.zeros(count, dtype=np.bool_)
    marked[words[mask]] = True
    return marked


def _runs(count: int, share: float, rng: np.random.Generator) -> Bools:
    """(count,) words hidden in runs of geometric length, `share` of them on average.

    Any word may begin a run. The chance of it is what leaves a word unhidden by the runs that begin at it and at the
    words before it with chance 1 - share.
    """
    reach = RUN_GOES_ON ** np.arange(LONGEST_RUN)  # chance that a run hides the word so far behind its beginning
    low, high = 0.0, 1.0
    for _ in range(50):
        chance = (low + high) / 2
        low, high = (chance, high) if np.prod(1 - chance * reach) > 1 - share else (low, chance)
    begins = rng.random(count) < high
    lengths = np.minimum(rng.geometric(1 - RUN_GOES_ON, size=count), LONGEST_RUN)
    at = np.arange(count)
    furthest = np.maximum.accumulate(np.where(begins, at + lengths, 0))
    return np.asarray(at < furthest)


def _replaced(ids: Ints, hide: Bools, words: Ints, passage: Bools, mask_id: int, rng: np.random.Generator) -> Ints:
    """The ids, hidden ones as the mask or, word by word, as tokens drawn from the passages of the batch."""
    swapped = (rng.random(int(words.max()) + 1) < SWAPPED)[np.where(hide, words, 0)] & hide
    out = ids.copy()
    out[hide] = mask_id
    source = ids[passage] if passage.any() else ids[hide]
    out[swapped] = rng.choice(source, size=int(swapped.sum()))
    return out
