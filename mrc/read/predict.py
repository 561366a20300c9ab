"""Reading: questions with their passages in, ranked answers out, a chunk of questions at a time.

Within a chunk all windows are sorted by length and read in batches of a token budget; each batch is decoded to its
best spans at once, so logits never outlive a batch. Equal chunks give equal batches and so equal bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mrc.decode import CANDIDATES_PER_ANSWER, Candidate, Ranked, WindowSpans, decode_windows, rank_answers
from mrc.encoder import sorted_batches
from mrc.errors import BadCheckpoint
from mrc.read.config import ReadConfig
from mrc.read.features import PAD_TO, Batch, Tokens, Window, Windower, collate
from mrc.types import Passage


@dataclass(frozen=True, slots=True)
class Group:
    """A question's text and the passages to read for it, best-ranked first."""

    question: str
    passages: tuple[Passage, ...]


class Network(Protocol):
    """What reading needs of a reader."""

    windower: Windower

    @property
    def max_seq_length(self) -> int: ...

    def logits(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


@dataclass(frozen=True, slots=True)
class _Placed:
    """A window and where it came from: which question of the chunk, which of its passages."""

    window: Window
    tokens: Tokens
    group: int
    rank: int


def read_groups(
    network: Network, groups: Iterable[Group], *, config: ReadConfig, normalize: Callable[[str], str]
) -> Iterator[Ranked]:
    """The ranked answers of each group, in order; one softmax over all spans of all its passages.

    A group without passages has no answers and a null score of 1. Memory is bounded by `config.chunk_size` groups.

    Raises: BadCheckpoint if the windows are longer than the network has positions for.
    """
    if config.max_seq_length > network.max_seq_length:
        raise BadCheckpoint(
            f"max_seq_length {config.max_seq_length} is more than the model's {network.max_seq_length} positions; "
            f"set max_seq_length = {network.max_seq_length} or less"
        )
    remaining = iter(groups)
    while chunk := list(islice(remaining, config.chunk_size)):
        yield from _read_chunk(network, chunk, config, normalize)


def _read_chunk(
    network: Network, chunk: Sequence[Group], config: ReadConfig, normalize: Callable[[str], str]
) -> Iterator[Ranked]:
    placed = _place(network.windower, chunk, config)
    spans = _spans(network, [item.window for item in placed], config)
    bounds = np.searchsorted([item.group for item in placed], np.arange(len(chunk) + 1))
    for index, group in enumerate(chunk):
        rows = slice(int(bounds[index]), int(bounds[index + 1]))
        own = _rows(spans, rows)
        if not len(own.null):
            yield Ranked((), 1.0, (), 0.0, 0.0)
            continue
        candidates = _candidates(placed[rows], own, group.passages, limit=config.n_best_size * CANDIDATES_PER_ANSWER)
        yield rank_answers(candidates, own, normalize=normalize, n_best_size=config.n_best_size)


def _place(windower: Windower, chunk: Sequence[Group], config: ReadConfig) -> list[_Placed]:
    questions = windower.questions([group.question for group in chunk], max_seq_length=config.max_seq_length)
    passages = iter(windower.passages([passage.text for group in chunk for passage in group.passages]))
    placed: list[_Placed] = []
    for index, (group, question) in enumerate(zip(chunk, questions, strict=True)):
        for rank in range(len(group.passages)):
            tokens = next(passages)
            windows = windower.windows(
                question, tokens, max_seq_length=config.max_seq_length, doc_stride=config.doc_stride
            )
            placed.extend(_Placed(window, tokens, index, rank) for window in windows)
    return placed


def _spans(network: Network, windows: Sequence[Window], config: ReadConfig) -> WindowSpans:
    """The decoded spans of all windows, in their order; read longest first."""
    shape = (len(windows), config.n_best_size)
    found = WindowSpans(
        start=np.zeros(shape, dtype=np.int64),
        end=np.zeros(shape, dtype=np.int64),
        score=np.full(shape, -np.inf),
        total=np.zeros(len(windows)),
        null=np.zeros(len(windows)),
        start_entropy=np.zeros(len(windows)),
        end_entropy=np.zeros(len(windows)),
    )
    lengths = [-(-len(window.ids) // PAD_TO) * PAD_TO for window in windows]
    for rows in sorted_batches(lengths, budget=config.batch_tokens):
        batch = collate([windows[row] for row in rows], pad_id=network.windower.pad_id)
        decoded = decode_windows(
            *network.logits(batch),
            starts=batch.starts,
            context=batch.context,
            null=batch.null,
            max_answer_length=config.max_answer_length,
            n_best_size=config.n_best_size,
        )
        width = decoded.score.shape[1]
        found.start[rows, :width], found.end[rows, :width] = decoded.start, decoded.end
        found.score[rows, :width] = decoded.score
        found.total[rows], found.null[rows] = decoded.total, decoded.null
        found.start_entropy[rows], found.end_entropy[rows] = decoded.start_entropy, decoded.end_entropy
    return found


def _rows(spans: WindowSpans, rows: slice) -> WindowSpans:
    return WindowSpans(
        spans.start[rows],
        spans.end[rows],
        spans.score[rows],
        spans.total[rows],
        spans.null[rows],
        spans.start_entropy[rows],
        spans.end_entropy[rows],
    )


def _candidates(
    placed: Sequence[_Placed], spans: WindowSpans, passages: Sequence[Passage], *, limit: int
) -> list[Candidate]:
    """The best `limit` spans of a question's windows as texts; spans of white space alone are none."""
    order = np.argsort(-spans.score, axis=None, kind="stable")[:limit]
    found = []
    for row, column in zip(*np.unravel_index(order, spans.score.shape), strict=True):
        score = float(spans.score[row, column])
        if not np.isfinite(score):
            break
        item = placed[row]
        shift = item.window.token - item.window.first
        start = int(item.tokens.offsets[spans.start[row, column] + shift, 0])
        end = int(item.tokens.offsets[spans.end[row, column] + shift, 1])
        passage = passages[item.rank]
        text = passage.text[start:end]
        if stripped := text.strip():
            start += len(text) - len(text.lstrip())
            found.append(Candidate(stripped, passage.id, item.rank, start, start + len(stripped), score))
    return found
