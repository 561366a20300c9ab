"""Masked words for masked language modelling, and their targets.

Sources: Devlin et al. 2019, BERT, section 3.1 (80% mask, 10% another piece, 10% as it is); Cui et al. 2019,
Pre-Training with Whole Word Masking for Chinese BERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mrc.errors import BadCheckpoint
from mrc.read.data.tokens import TextTokenizer, pair_template

Ints = NDArray[np.int64]

KEPT: Final = 0.1  # share of the masked pieces that stay
REPLACED: Final = 0.1  # share of them that become other pieces
IGNORED: Final = -100  # target of a piece that is not predicted, as in torch


@dataclass(frozen=True, slots=True)
class WordMasking:
    """Texts as windows with masked words. Each epoch shows another piece of a text that is longer than a window."""

    tokenize: TextTokenizer
    prefix: Ints
    suffix: Ints
    mask_id: int
    pieces: int
    longest: int
    share: float

    @classmethod
    def of(cls, tokenizer: Any, *, longest: int, share: float) -> WordMasking:
        """Raises: BadCheckpoint for a tokenizer without a mask."""
        if tokenizer.mask_token_id is None:
            raise BadCheckpoint("the tokenizer has no mask token; set mlm_epochs = 0 or choose another checkpoint")
        template = pair_template(tokenizer)
        prefix, suffix = (np.asarray(part, dtype=np.int64) for part in (template.prefix, template.suffix))
        mask_id, pieces = int(tokenizer.mask_token_id), len(tokenizer)
        return cls(TextTokenizer(tokenizer), prefix, suffix, mask_id, pieces, longest, share)

    def windows(self, texts: Sequence[str], rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """For each text with tokens the input ids (T,) and the targets (T,), `IGNORED` where nothing is masked."""
        room = self.longest - len(self.prefix) - len(self.suffix)
        made = []
        for tokens in self.tokenize(texts):
            if len(tokens.ids):
                begin = int(rng.integers(max(1, len(tokens.ids) - room + 1)))
                piece = slice(begin, begin + room)
                ids, targets = self._mask(tokens.ids[piece], tokens.word_start[piece], rng)
                empty = [np.full(len(part), IGNORED) for part in (self.prefix, self.suffix)]
                made.append(
                    (np.concatenate([self.prefix, ids, self.suffix]), np.concatenate([empty[0], targets, empty[1]]))
                )
        return made

    def _mask(self, ids: Ints, word_start: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Ints, Ints]:
        words = np.cumsum(word_start)
        chosen = rng.random(int(words[-1]) + 1) < self.share
        chosen[words[rng.integers(len(words))]] = True  # every window has a masked word
        masked = chosen[words]
        kind = rng.random(len(ids))
        out = np.where(masked & (kind >= KEPT), self.mask_id, ids)
        replaced = masked & (kind >= 1 - REPLACED)
        out[replaced] = rng.integers(self.pieces, size=int(replaced.sum()))
        return out, np.where(masked, ids, IGNORED)
