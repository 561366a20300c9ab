"""Soft targets on the tokens of a passage: spans that overlap the right one, and a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.read.data.tokens import Tokens
from mrc.read.train_config import PassageTarget

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_SHIFT: Final = 8  # tokens by which either end of a soft span may differ from the right one
MIN_F1: Final = 0.5  # of a soft span, over characters
SHARPNESS: Final = 4  # the share of a soft span is F1 to this power


def overlapping_spans(tokens: Tokens, gold: tuple[int, int]) -> tuple[Ints, Floats]:
    """Spans that overlap the right one, (M, 2) first and last tokens, inclusive, and their shares (M,), which sum to 1.

    Both ends lie within 8 tokens of the right span's, and at least half of the characters are shared: F1 over
    characters >= 0.5; the share is proportional to F1 to the fourth. The right span is not among them.
    """
    count = len(tokens.ids)
    first = np.arange(max(0, gold[0] - MAX_SHIFT), min(count, gold[0] + MAX_SHIFT + 1))
    last = np.arange(max(0, gold[1] - MAX_SHIFT), min(count, gold[1] + MAX_SHIFT + 1))
    spans = np.stack(np.meshgrid(first, last, indexing="ij"), axis=-1).reshape(-1, 2)
    begin, end = tokens.offsets[spans[:, 0], 0], tokens.offsets[spans[:, 1], 1]
    right = int(tokens.offsets[gold[0], 0]), int(tokens.offsets[gold[1], 1])
    shared = np.maximum(np.minimum(end, right[1]) - np.maximum(begin, right[0]), 0)
    f1 = 2 * shared / np.maximum(end - begin + right[1] - right[0], 1)
    kept = (spans[:, 0] <= spans[:, 1]) & (f1 >= MIN_F1) & np.any(spans != gold, axis=1)
    mass = f1[kept] ** SHARPNESS
    return spans[kept], mass / mass.sum() if len(mass) else mass


@dataclass(frozen=True, slots=True, eq=False)
class TokenTarget:
    """A teacher's probabilities of the tokens of one passage, `start` and `end` (N,), and of its "no answer"."""

    start: Floats
    end: Floats
    null_start: float
    null_end: float


def on_tokens(target: PassageTarget, tokens: Tokens) -> TokenTarget:
    """A teacher's probabilities on a student's tokens; the sum is preserved.

    A start belongs to the token that starts at it or contains it, an end to the token that ends at it or contains it;
    between tokens, to the next (start) or the previous one (end). A passage without tokens has only "no answer".
    """
    count = len(tokens.ids)
    if not count:
        start, end = float(np.sum(target.start_mass)), float(np.sum(target.end_mass))
        return TokenTarget(np.zeros(0), np.zeros(0), target.null_start + start, target.null_end + end)
    first = np.searchsorted(tokens.offsets[:, 1], target.starts, side="right").clip(0, count - 1)
    last = (np.searchsorted(tokens.offsets[:, 0], target.ends, side="left") - 1).clip(0, count - 1)
    return TokenTarget(
        np.asarray(np.bincount(first, weights=target.start_mass, minlength=count), dtype=np.float64),
        np.asarray(np.bincount(last, weights=target.end_mass, minlength=count), dtype=np.float64),
        target.null_start,
        target.null_end,
    )
