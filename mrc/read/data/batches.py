"""Training batches: the windows of whole questions, with their targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mrc.read.data import masking
from mrc.read.data.targets import on_tokens, overlapping_spans
from mrc.read.data.tokenized import TokenizedExample, placements, windows_of
from mrc.read.data.windows import Batch, Window, Windower, collate
from mrc.read.train_config import LONGEST_SPAN, TrainConfig

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """Teachers' probabilities on the windows of a batch: `start`, `end` (B, T) sum to 1 over a question's owned
    positions and nulls; `has_teacher` (G,) marks the questions that teachers have read."""

    start: Floats
    end: Floats
    has_teacher: Bools


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """Whole questions of one forward pass.

    Masks are (B, T): `allowed` positions take part in the question's softmax, `start` and `end` are right ones.
    `sizes` are the numbers of windows of the questions, `weights` (G,), `limits` (G,) the longest spans in tokens.
    `spans` (M, 3) are the right spans as row, first position, length - 1; `soft_spans` (N, 3) overlap them and get the
    shares `soft_span_shares` (N,) of the soft target. `items` are the questions, `members` their numbers in the update,
    `places` the passage number and window of every row. `priors` (B,) is what every span of a window gains by its
    passage, in nats.
    """

    batch: Batch
    allowed: Bools
    start: Bools
    end: Bools
    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    limits: Ints
    spans: Ints
    soft_spans: Ints
    soft_span_shares: Floats
    soft_targets: SoftTargets | None
    items: tuple[TokenizedExample, ...]
    members: tuple[int, ...]
    places: tuple[tuple[int, Window], ...]
    priors: Floats

    def rows(self) -> list[slice]:
        """The rows of each question."""
        bounds = np.cumsum([0, *self.sizes])
        return [slice(low, high) for low, high in pairwise(bounds.tolist())]


def micro_batches(
    items: Sequence[TokenizedExample], windower: Windower, config: TrainConfig, *, budget: int | None = None
) -> Iterator[TrainBatch]:
    """The questions of one update in forward passes of at most `budget` padded tokens (`batch_tokens`, if None).

    A question is never split. Questions of similar length go together; the longest come first.
    """
    limit = budget or config.batch_tokens
    groups = [_ranked_windows(item, windower, config) for item in items]
    lengths = [max(len(window.ids) for _, window in group) for group in groups]
    members: list[int] = []
    for index in sorted(range(len(groups)), key=lambda i: (-lengths[i], i)):
        rows = sum(len(groups[member]) for member in [*members, index])
        if members and rows * lengths[members[0]] > limit:
            yield _train_batch(groups, items, members, config, pad_id=windower.pad_id)
            members = []
        members.append(index)
    if members:
        yield _train_batch(groups, items, members, config, pad_id=windower.pad_id)


def _ranked_windows(item: TokenizedExample, windower: Windower, config: TrainConfig) -> list[tuple[int, Window]]:
    """All windows of an example, each with the number of its passage."""
    return [(rank, window) for rank in range(len(item.passages)) for window in windows_of(item, rank, windower, config)]


def _train_batch(
    groups: Sequence[Sequence[tuple[int, Window]]],
    questions: Sequence[TokenizedExample],
    members: Sequence[int],
    config: TrainConfig,
    *,
    pad_id: int,
) -> TrainBatch:
    places = tuple(place for member in members for place in groups[member])
    items = tuple(questions[member] for member in members)
    sizes = tuple(len(groups[member]) for member in members)
    batch = collate([window for _, window in places], pad_id=pad_id, limit=config.windows.max_seq_length)
    allowed = batch.context.copy()
    allowed[np.arange(len(batch.null)), batch.null] = True
    start, end = np.zeros_like(allowed), np.zeros_like(allowed)
    targets = [_targets(item, groups[member], config) for item, member in zip(items, members, strict=True)]
    bounds = np.cumsum([0, *sizes])
    for (seen, _, _, _), row, size in zip(targets, bounds, sizes, strict=False):
        if not len(seen):
            nulls = np.arange(row, row + size)
            start[nulls, batch.null[nulls]] = end[nulls, batch.null[nulls]] = True
        start[seen[:, 0] + row, seen[:, 1]] = True
        end[seen[:, 0] + row, seen[:, 1] + seen[:, 2]] = True
    return TrainBatch(
        batch,
        allowed,
        start,
        end,
        sizes,
        tuple(item.weight for item in items),
        np.array([max([LONGEST_SPAN, *(last - first + 1 for first, last in item.spans)]) for item in items]),
        _stacked([right for _, right, _, _ in targets], bounds),
        _stacked([soft for _, _, soft, _ in targets], bounds),
        np.concatenate([share for _, _, _, share in targets]),
        _soft_targets(items, [groups[member] for member in members], batch),
        items,
        tuple(members),
        places,
        np.array(
            [
                item.priors[rank] if item.priors else 0.0
                for item, member in zip(items, members, strict=True)
                for rank, _ in groups[member]
            ]
        ),
    )


def _stacked(parts: Sequence[Ints], bounds: Ints) -> Ints:
    """Spans (M, 3) of all questions, with rows of the batch."""
    return np.concatenate([part + np.array([row, 0, 0]) for part, row in zip(parts, bounds, strict=False)])


def _targets(
    item: TokenizedExample, group: Sequence[tuple[int, Window]], config: TrainConfig
) -> tuple[Ints, Ints, Ints, Floats]:
    """Spans (M, 3) as row in the question, first position, length - 1: the right ones in all windows that show them,
    the same only in the window that owns them (in all where the owner does not show them whole), soft spans, and
    their shares, which sum to 1 if there are any."""
    windows = [window for rank, window in group if rank == 0]
    seen, number, owned = placements(np.array(item.spans, dtype=np.int64).reshape(-1, 2), windows)
    right = seen[owned | ~np.isin(number, number[owned])]
    soft: Ints = np.zeros((0, 3), dtype=np.int64)
    share: Floats = np.zeros(0)
    if config.soft_spans and item.spans:
        spans, mass = overlapping_spans(item.passages[0], item.spans[0])
        placed, number, owned = placements(spans, windows)
        soft, share = placed[owned], mass[number[owned]]
        share = share / share.sum() if len(share) else share
    return seen, right, soft, share


def _soft_targets(
    items: Sequence[TokenizedExample], groups: Sequence[Sequence[tuple[int, Window]]], batch: Batch
) -> SoftTargets | None:
    """Teachers' probabilities on the windows: of a token in its owner, of "no answer" split over all windows."""
    if not any(item.soft_target for item in items):
        return None
    start, end = np.zeros(batch.ids.shape), np.zeros(batch.ids.shape)
    bounds = np.cumsum([0, *(len(group) for group in groups)])
    for item, group, first in zip(items, groups, bounds, strict=False):
        if item.soft_target is None:
            continue
        teacher_probs = [on_tokens(*pair) for pair in zip(item.soft_target.passages, item.passages, strict=True)]
        windows = Counter(rank for rank, _ in group)
        for row, (rank, window) in enumerate(group, start=first):
            target, own = teacher_probs[rank], slice(window.own_start, window.own_end)
            tokens = slice(own.start - window.first + window.token, own.stop - window.first + window.token)
            start[row, own], end[row, own] = target.start[tokens], target.end[tokens]
            start[row, window.null] += target.null_start / windows[rank]
            end[row, window.null] += target.null_end / windows[rank]
    return SoftTargets(start, end, np.array([item.soft_target is not None for item in items]))


def masked_words(
    batch: TrainBatch, config: TrainConfig, *, mask_id: int, rng_of: Callable[[int], np.random.Generator]
) -> TrainBatch:
    """The batch with words of passages and questions masked as the settings say, but never a word of the answer.

    Every question has its own generator, `rng_of` its number in the update, so that the masked words do not depend on
    how an update is split into forward passes.
    """
    if not (config.experimental.token_masking or config.experimental.span_masking or config.question_dropout):
        return batch
    ids = batch.batch.ids.copy()
    answer = _answers(batch)
    for member, rows in zip(batch.members, batch.rows(), strict=True):
        longest = int(batch.batch.attention[rows].sum(axis=1).max())
        part = (rows, slice(0, longest))
        ids[part] = masking.mask_words(
            ids[part],
            passage=batch.batch.context[part],
            question=batch.batch.question[part],
            word_start=batch.batch.word_start[part],
            answer=answer[part],
            config=config,
            mask_id=mask_id,
            rng=rng_of(member),
        )
    return replace(batch, batch=replace(batch.batch, ids=ids))


def _answers(batch: TrainBatch) -> Bools:
    """(B, T): the tokens of all right spans, including those of partly shown ones."""
    inside = np.zeros_like(batch.allowed)
    row = 0
    for item, size in zip(batch.items, batch.sizes, strict=True):
        for rank, window in batch.places[row : row + size]:
            for first, last in item.spans if rank == 0 else ():
                low, high = max(first, window.token), min(last + 1, window.token + window.count)
                shift = window.first - window.token
                inside[row, low + shift : max(low, high) + shift] = True
            row += 1
    return inside
