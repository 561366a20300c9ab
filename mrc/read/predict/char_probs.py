"""A reader's probabilities on characters, for voting and distillation between readers of different tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mrc.decode import Floats, Ints, Logits, masked, side_totals
from mrc.read.config import ReadConfig
from mrc.read.data.windows import Batch, Window
from mrc.read.predict.forward import Budget, Network, check_positions, forward, place
from mrc.read.predict.groups import Group
from mrc.types import Passage
from mrc.voting import CharProbs, TokenScores, char_probs


def read_char_probs(
    network: Network, groups: Sequence[Group], *, config: ReadConfig, budget: Budget, temperature: float = 1.0
) -> list[list[CharProbs]]:
    """The character probabilities of each group's passages, from logits divided by the temperature.

    Raises: BadCheckpoint if the windows are longer than the network has positions for; OutOfMemory.
    """
    check_positions(network, config)
    width = config.max_answer_length
    questions = network.windower.questions([group.question for group in groups], max_seq_length=config.max_seq_length)
    wanted = [(at, rank, passage) for at, group in enumerate(groups) for rank, passage in enumerate(group.passages)]
    placed = place(network.windower, questions, wanted, config)
    passages = {(item.group, item.rank): _PassageScores.empty(item.offsets) for item in placed}
    with closing(forward(network, [item.window for item in placed], budget=budget, band=width)) as batches:
        for rows, batch, logits in batches:
            start, end, null_start, null_end = _sides(_at_temperature(logits, temperature), batch, width=width)
            for at, row in enumerate(rows):
                item = placed[row]
                own = passages[item.group, item.rank]
                own.nulls[row] = (float(null_start[at]), float(null_end[at]))
                own.add(item.window, start[at], end[at], width=width, biaffine=logits.pair is not None)
    scores = [
        [passages[at, rank].token_scores(passage) for rank, passage in enumerate(group.passages)]
        for at, group in enumerate(groups)
    ]
    return [char_probs(own, group.priors) if own else [] for own, group in zip(scores, groups, strict=True)]


@runtime_checkable
class StoredVoter(Protocol):
    """Gives answers that are known already, such as those of a person or a service; it reads nothing."""

    def char_probs(self, groups: Sequence[Group], *, temperature: float = 1.0) -> list[list[CharProbs] | None]:
        """The character probabilities of each group's passages; None for a group of which it says nothing."""
        ...


def votes(
    member: Network | StoredVoter,
    groups: Sequence[Group],
    *,
    config: ReadConfig,
    budget: Budget,
    temperature: float = 1.0,
) -> list[list[CharProbs] | None]:
    """The character probabilities of a reader or of stored answers; None where a member has no vote.

    Raises: as `read_char_probs`.
    """
    if isinstance(member, StoredVoter):
        return member.char_probs(groups, temperature=temperature)
    return list(read_char_probs(member, groups, config=config, budget=budget, temperature=temperature))


@dataclass(frozen=True, slots=True, eq=False)
class _PassageScores:
    """Token scores of a passage, filled while its windows are read; `nulls` by the window's number."""

    offsets: Ints
    start: Floats
    end: Floats
    last: Ints
    nulls: dict[int, tuple[float, float]]

    @classmethod
    def empty(cls, offsets: Ints) -> _PassageScores:
        count = len(offsets)
        return cls(offsets, np.full(count, -np.inf), np.full(count, -np.inf), np.zeros(count, dtype=np.int64), {})

    def add(self, window: Window, start: Floats, end: Floats, *, width: int, biaffine: bool) -> None:
        """Add the scores (T,) of the tokens that a window owns; the ends of a biaffine head, which depend on the starts
        of spans, are summed over all windows."""
        shift = window.token - window.first
        owned = np.arange(window.own_start, window.own_end)
        seen = np.arange(window.first, window.first + window.count)
        self.start[owned + shift] = start[owned]
        self.last[owned + shift] = np.minimum(owned + width, window.first + window.count) - 1 + shift
        if biaffine:
            self.end[seen + shift] = np.logaddexp(self.end[seen + shift], end[seen])
        else:
            self.end[owned + shift] = end[owned]

    def token_scores(self, passage: Passage) -> TokenScores:
        nulls = np.array([self.nulls[row] for row in sorted(self.nulls)])
        return TokenScores(
            passage.id,
            len(passage.text),
            self.offsets,
            self.start,
            self.end,
            self.last,
            null_start=nulls[:, 0],
            null_end=nulls[:, 1],
        )


def _at_temperature(logits: Logits, temperature: float) -> Logits:
    if temperature == 1.0:
        return logits
    scale = np.float32(1 / temperature)
    return Logits(logits.start * scale, logits.end * scale, None if logits.pair is None else logits.pair * scale)


def _sides(logits: Logits, batch: Batch, *, width: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Scores of starts and ends (B, T), and of "no answer" as a start and as an end (B,); those of a biaffine
    head are log masses of the spans that start or end there."""
    rows = np.arange(len(batch.null))
    null_start = logits.start[rows, batch.null].astype(np.float64)
    null_end = logits.end[rows, batch.null].astype(np.float64)
    start, end = masked(logits, starts=batch.starts, context=batch.context)
    if logits.pair is None:
        return start, end, null_start, null_end
    both = null_start + null_end
    return *side_totals(start, end, logits.pair, width=width), both, both
