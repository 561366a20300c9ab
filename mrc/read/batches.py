"""Training batches: which questions meet in an update, and their windows with the positions to be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrc.read.config import TrainConfig, TrainingExample
from mrc.read.features import Batch, Tokens, Window, Windower, collate, token_span

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An example in tokens. `passages` has the answering one first; `gold` is the answer's first and last token."""

    question: Tokens
    passages: tuple[Tokens, ...]
    gold: tuple[int, int] | None
    weight: float
    trusted: bool


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """Whole questions of one forward pass. Masks are (B, T): `allowed` positions share a softmax with all others of
    the question, `start` and `end` are right ones. `sizes` are the windows of each question, `weights` (G,)."""

    batch: Batch
    allowed: Bools
    start: Bools
    end: Bools
    sizes: tuple[int, ...]
    weights: tuple[float, ...]


def prepare(
    examples: Sequence[TrainingExample], windower: Windower, config: TrainConfig
) -> tuple[list[Prepared], tuple[str, ...]]:
    """The examples in tokens, and the ids of those whose answer has no token or more tokens than a window holds."""
    questions = windower.questions([item.question for item in examples], max_seq_length=config.max_seq_length)
    prepared, unusable = [], []
    for example, question in zip(examples, questions, strict=True):
        passages = windower.passages([example.context, *example.negatives])
        gold = token_span(passages[0], example.start, example.end) if example.start >= 0 else None
        item = Prepared(question, tuple(passages), gold, example.weight, example.trusted)
        findable = gold and any(_holds(window, gold) for window in _windows(item, 0, windower, config))
        if findable or example.start < 0:
            prepared.append(item)
        else:
            unusable.append(example.id)
    return prepared, tuple(unusable)


def plan_batches(trusted: Sequence[bool], config: TrainConfig, *, seed: int) -> list[list[int]]:
    """The example numbers of every update of a whole training, shuffled anew each epoch.

    Every example comes once an epoch, but where untrusted ones are many the trusted come more often, so that they
    fill at least `trusted_share` of each batch.
    """
    rng = np.random.default_rng(seed)
    sides = np.flatnonzero(trusted), np.flatnonzero(~np.asarray(trusted, dtype=np.bool_))
    epoch = _epoch(*sides, config, rng)
    total = config.max_steps or max(1, round(config.epochs * len(epoch)))
    batches = epoch
    while len(batches) < total:
        batches = batches + _epoch(*sides, config, rng)
    return batches[:total]


def _epoch(
    trusted: NDArray[np.int64], others: NDArray[np.int64], config: TrainConfig, rng: np.random.Generator
) -> list[list[int]]:
    size = config.batch_size
    if not len(trusted) or not len(others):
        order = rng.permutation(np.concatenate([trusted, others]))
        return [order[at : at + size].tolist() for at in range(0, len(order), size)]
    proportional = round(size * len(trusted) / (len(trusted) + len(others)))
    quota = min(max(proportional, int(np.ceil(config.trusted_share * size)), 1), max(size - 1, 1))
    count = max(-(-len(others) // max(size - quota, 1)), -(-len(trusted) // quota))
    rounds = -(-count * quota // len(trusted))
    repeated = np.concatenate([rng.permutation(trusted) for _ in range(rounds)])[: count * quota]
    parts = np.array_split(rng.permutation(others), count)
    return [repeated[at * quota : (at + 1) * quota].tolist() + part.tolist() for at, part in enumerate(parts)]


def micro_batches(items: Sequence[Prepared], windower: Windower, config: TrainConfig) -> Iterator[TrainBatch]:
    """The questions of one update in forward passes of at most `batch_tokens`, a question never cut in two.

    Questions of like length go together; the longest come first.
    """
    groups = [_ranked_windows(item, windower, config) for item in items]
    lengths = [max(len(window.ids) for _, window in group) for group in groups]
    members: list[int] = []
    for index in sorted(range(len(groups)), key=lambda i: (-lengths[i], i)):
        rows = sum(len(groups[member]) for member in [*members, index])
        if members and rows * lengths[members[0]] > config.batch_tokens:
            yield _train_batch([groups[i] for i in members], [items[i] for i in members], pad_id=windower.pad_id)
            members = []
        members.append(index)
    yield _train_batch([groups[i] for i in members], [items[i] for i in members], pad_id=windower.pad_id)


def _ranked_windows(item: Prepared, windower: Windower, config: TrainConfig) -> list[tuple[int, Window]]:
    """All windows of an example, each with the number of its passage."""
    return [(rank, window) for rank in range(len(item.passages)) for window in _windows(item, rank, windower, config)]


def _windows(item: Prepared, rank: int, windower: Windower, config: TrainConfig) -> list[Window]:
    passage = item.passages[rank]
    return windower.windows(item.question, passage, max_seq_length=config.max_seq_length, doc_stride=config.doc_stride)


def _holds(window: Window, gold: tuple[int, int]) -> bool:
    return window.token <= gold[0] and gold[1] < window.token + window.count


def _train_batch(
    groups: Sequence[Sequence[tuple[int, Window]]], items: Sequence[Prepared], *, pad_id: int
) -> TrainBatch:
    batch = collate([window for group in groups for _, window in group], pad_id=pad_id)
    allowed = batch.context.copy()
    allowed[np.arange(len(batch.null)), batch.null] = True
    start, end = np.zeros_like(allowed), np.zeros_like(allowed)
    row = 0
    for group, item in zip(groups, items, strict=True):
        for rank, window in group:
            if item.gold is None:
                start[row, window.null] = end[row, window.null] = True
            elif rank == 0 and _holds(window, item.gold):
                shift = window.first - window.token
                start[row, item.gold[0] + shift] = end[row, item.gold[1] + shift] = True
            row += 1
    return TrainBatch(
        batch, allowed, start, end, tuple(len(group) for group in groups), tuple(item.weight for item in items)
    )
