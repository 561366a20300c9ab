"""Forward passes over windows of questions and passages, in batches that fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mrc.decode import Ints, Logits, trimmed
from mrc.encoder.compute import out_of_memory, sorted_batches
from mrc.errors import BadCheckpoint, OutOfMemory
from mrc.read.config import ReadConfig, longest_answer
from mrc.read.data.tokens import Tokens
from mrc.read.data.windows import PAD_TO, Batch, Window, Windower, collate
from mrc.types import Passage

log = logging.getLogger(__name__)


class Network(Protocol):
    """The part of a reader that reading uses."""

    windower: Windower

    @property
    def max_positions(self) -> int: ...

    def stream(self, batches: Iterable[Batch], *, band: int) -> Generator[tuple[Batch, Logits]]:
        """Each batch with its logits, in order; `band` is the width of a biaffine head's pair term.

        Computing ahead stops once the generator is exhausted, failed or closed.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A window with its question's number in the chunk and its passage's rank. `offsets` (N, 2) are those of the
    passage's tokens, without white space at their ends."""

    window: Window
    offsets: Ints
    group: int
    rank: int


@dataclass(slots=True)
class Budget:
    """Padded tokens of one forward pass; reduced when memory runs out."""

    tokens: int


def check_positions(network: Network, config: ReadConfig) -> None:
    """Raises: BadCheckpoint if the windows are longer than the network has positions for."""
    if config.max_seq_length <= network.max_positions:
        return
    longest = longest_answer(network.max_positions)
    answers = f", max_answer_length = {longest} or less" if config.max_answer_length > longest else ""
    raise BadCheckpoint(
        f"max_seq_length {config.max_seq_length} is more than the model's {network.max_positions} positions; "
        f"set max_seq_length = {network.max_positions} or less{answers}"
    )


def place(
    windower: Windower,
    questions: Sequence[Tokens],
    wanted: Sequence[tuple[int, int, Passage]],
    config: ReadConfig,
) -> list[Placed]:
    """The windows of the wanted (question's number, passage's rank, passage), in their order."""
    tokens = windower.passages([passage.text for _, _, passage in wanted])
    offsets: dict[str, Ints] = {}
    placed: list[Placed] = []
    for (group, rank, passage), own in zip(wanted, tokens, strict=True):
        if passage.text not in offsets:
            offsets[passage.text] = trimmed(passage.text, own.offsets)
        windows = windower.windows(
            questions[group], own, max_seq_length=config.max_seq_length, doc_stride=config.doc_stride
        )
        placed.extend(Placed(window, offsets[passage.text], group, rank) for window in windows)
    return placed


def forward(
    network: Network, windows: Sequence[Window], *, budget: Budget, band: int
) -> Generator[tuple[list[int], Batch, Logits]]:
    """The logits of all windows, longest first: numbers of the windows in a batch, batch, logits. Close the generator.

    Where memory runs out, the rest is read in batches of half the size, and so is everything that shares the budget. A
    network takes batches ahead of those that it has returned, any of which may be the one that did not fit; the
    largest one with several windows is halved.

    Raises: OutOfMemory if a single window is too large; BadCheckpoint where scores are not finite.
    """
    lengths = [-(-len(window.ids) // PAD_TO) * PAD_TO for window in windows]
    left = list(range(len(windows)))
    while left:
        grouped = sorted_batches([lengths[row] for row in left], budget=budget.tokens)
        batches = [[left[at] for at in members] for members in grouped]
        taken: list[list[int]] = []
        collated = (_collated(network, [windows[row] for row in rows]) for rows in _recorded(batches, taken))
        done = 0
        try:
            with closing(network.stream(collated, band=band)) as stream:
                for batch, logits in stream:
                    _check(batch, logits)
                    yield batches[done], batch, logits
                    done += 1
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            _halve(budget, [[lengths[row] for row in rows] for rows in taken[done:]], error)
        left = [row for rows in batches[done:] for row in rows]


def _collated(network: Network, windows: Sequence[Window]) -> Batch:
    return collate(windows, pad_id=network.windower.pad_id, limit=network.max_positions)


def _check(batch: Batch, logits: Logits) -> None:
    """Raises: BadCheckpoint where the scores of "no answer" are not finite: then none of the window is."""
    rows = np.arange(len(batch.null))
    if not np.isfinite(logits.start[rows, batch.null] + logits.end[rows, batch.null]).all():
        raise BadCheckpoint("the model's scores are not finite (NaN or infinite): copy its weights or train it again")


def _recorded(batches: Iterable[list[int]], taken: list[list[int]]) -> Iterator[list[int]]:
    """The batches, each recorded in `taken`."""
    for rows in batches:
        taken.append(rows)
        yield rows


def _halve(budget: Budget, batches: Sequence[Sequence[int]], error: BaseException) -> None:
    """Set the budget to half of the largest batch with several windows among those that may not have fitted, each given
    by the lengths of its windows."""
    divisible = [len(lengths) * max(lengths) for lengths in batches if len(lengths) > 1]
    if not divisible:
        longest = max(max(lengths) for lengths in batches)
        raise OutOfMemory(
            f"one window of {longest} tokens does not fit into memory; lower max_seq_length or free memory"
        ) from error
    budget.tokens = max(divisible) // 2
    log.warning("out of memory: forward passes of %d tokens from now on", budget.tokens)
