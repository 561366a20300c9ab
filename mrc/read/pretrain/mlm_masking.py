"""Texts with words hidden, and what was hidden.

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
from mrc.read.data.tokens import Tokeniser, pair_template

Ints = NDArray[np.int64]

AS_IT_IS: Final = 0.1  # share of the hidden pieces that stay
SWAPPED: Final = 0.1  # share of them that become others
IGNORED: Final = -100  # target of a piece that is not guessed, as torch has it


@dataclass(frozen=True, slots=True)
class Blanks:
    """Texts as windows with hidden words. Each epoch shows another piece of a text that is longer than a window."""

    tokenise: Tokeniser
    prefix: Ints
    suffix: Ints
    mask_id: int
    pieces: int
    longest: int
    share: float

    @classmethod
    def of(cls, tokenizer: Any, *, longest: int, share: float) -> Blanks:
        """Raises: BadCheckpoint for a tokenizer without a mask."""
        if tokenizer.mask_token_id is None:
            raise BadCheckpoint("the tokenizer has no mask token; set mlm_epochs = 0 or choose another checkpoint")
        template = pair_template(tokenizer)
        prefix, suffix = (np.asarray(part, dtype=np.int64) for part in (template.prefix, template.suffix))
        mask_id, pieces = int(tokenizer.mask_token_id), len(tokenizer)
        return cls(Tokeniser(tokenizer), prefix, suffix, mask_id, pieces, longest, share)

    def windows(self, texts: Sequence[str], rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """Of each text with tokens the ids (T,) to read and the targets (T,), `IGNORED` where nothing is hidden."""
        room = self.longest - len(self.prefix) - len(self.suffix)
        made = []
        for tokens in self.tokenise(texts):
            if len(tokens.ids):
                begin = int(rng.integers(max(1, len(tokens.ids) - room + 1)))
                piece = slice(begin, begin + room)
                ids, targets = self._hide(tokens.ids[piece], tokens.word_start[piece], rng)
                empty = [np.full(len(part), IGNORED) for part in (self.prefix, self.suffix)]
                made.append(
                    (np.concatenate([self.prefix, ids, self.suffix]), np.concatenate([empty[0], targets, empty[1]]))
                )
        return made

    def _hide(self, ids: Ints, word_start: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Ints, Ints]:
        words = np.cumsum(word_start)
        chosen = rng.random(int(words[-1]) + 1) < self.share
        chosen[words[rng.integers(len(words))]] = True  # every window has something to guess
        hidden = chosen[words]
        kind = rng.random(len(ids))
        out = np.where(hidden & (kind >= AS_IT_IS), self.mask_id, ids)
        swapped = hidden & (kind >= 1 - SWAPPED)
        out[swapped] = rng.integers(self.pieces, size=int(swapped.sum()))
        return out, np.where(hidden, ids, IGNORED)
