"""Where on the tokens of a passage a target lies: spans much like the right one, and what a teacher believes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrc.read.data.tokens import Tokens
from mrc.read.train_config import PassageTarget

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NEAR: Final = 8  # tokens by which either end of a near miss may be off
LEAST_F1: Final = 0.5  # of a near miss, over characters
SHARPNESS: Final = 4  # a near miss gets F1 to this power


def soft_spans(tokens: Tokens, gold: tuple[int, int]) -> tuple[Ints, Floats]:
    """Spans much like the right one, (M, 2) first and last tokens, inclusive, and their shares (M,), which sum to 1.

    Both ends lie within 8 tokens of the right span's, and at least half of the characters are shared: F1 over
    characters >= 0.5; the share is proportional to F1 to the fourth. The right span is not among them.
    """
    count = len(tokens.ids)
    first = np.arange(max(0, gold[0] - NEAR), min(count, gold[0] + NEAR + 1))
    last = np.arange(max(0, gold[1] - NEAR), min(count, gold[1] + NEAR + 1))
    spans = np.stack(np.meshgrid(first, last, indexing="ij"), axis=-1).reshape(-1, 2)
    begin, end = tokens.offsets[spans[:, 0], 0], tokens.offsets[spans[:, 1], 1]
    right = int(tokens.offsets[gold[0], 0]), int(tokens.offsets[gold[1], 1])
    shared = np.maximum(np.minimum(end, right[1]) - np.maximum(begin, right[0]), 0)
    f1 = 2 * shared / np.maximum(end - begin + right[1] - right[0], 1)
    kept = (spans[:, 0] <= spans[:, 1]) & (f1 >= LEAST_F1) & np.any(spans != gold, axis=1)
    mass = f1[kept] ** SHARPNESS
    return spans[kept], mass / mass.sum() if len(mass) else mass


@dataclass(frozen=True, slots=True, eq=False)
class TokenTarget:
    """A teacher's belief on the tokens of one passage: `start`, `end` (N,), and of "no answer" in it."""

    start: Floats
    end: Floats
    null_start: float
    null_end: float


def on_tokens(target: PassageTarget, tokens: Tokens) -> TokenTarget:
    """The belief on a student's tokens, whatever the teacher's were; no mass is lost.

    A start boundary belongs to the token that begins at it or holds it, an end boundary to the one that ends at it or
    holds it; between tokens, to the next (start) or the one before (end). A passage without tokens has "no answer"
    alone.
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
