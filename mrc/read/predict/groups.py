"""Reading: ranked answers of questions with their passages, a chunk of questions at a time.

Within a chunk all windows are sorted by length and read in batches within a token budget; each batch is decoded to its
best spans immediately, so that logits are never kept. Equal chunks give equal batches and so equal bits, unless memory
runs out: the rest of the call is then read in smaller batches.

Under a stopping rule a chunk is read in waves: the first passages of all its questions, then the second ones of those
that are not stopped, and so on; the batches still depend on the chunk alone. A question with more passages than the
rule was fitted on is read completely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from mrc.decode import Picked, WindowSpans, best_of_passages, decode_windows
from mrc.postprocess.rules import Refine as Refine
from mrc.ranking import Candidate, Ranked, rank_answers
from mrc.read.config import ReadConfig
from mrc.read.data.windows import Windower
from mrc.read.predict.adaptive import Masses, StoppingRule, masses, stops
from mrc.read.predict.forward import Budget, Network, Placed, check_positions, forward, place
from mrc.types import Passage

Normalize = Callable[[str], str]  # the form in which two answer texts are compared
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """A question's text and the passages to read for it, best-ranked first.

    `priors`: what is added to the score of every span and "no answer" of each passage, in nats; empty: nothing.
    """

    question: str
    passages: tuple[Passage, ...]
    priors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.priors and len(self.priors) != len(self.passages):
            raise ValueError(f"{len(self.priors)} priors for {len(self.passages)} passages")


class Answerer(Protocol):
    """Answers questions from passages: a reader, an ensemble or a cascade."""

    @property
    def windower(self) -> Windower:
        """What makes windows of texts; of several readers, that of the first."""
        ...

    @property
    def max_positions(self) -> int: ...

    @property
    def default_config(self) -> ReadConfig:
        """The settings used where none are given."""
        ...

    def read(
        self,
        groups: Iterable[Group],
        *,
        config: ReadConfig,
        normalize: Normalize,
        refine: Refine | None = None,
        stopping: StoppingRule | None = None,
    ) -> Iterator[Ranked]:
        """The ranked answers of each group, in order."""
        ...


@dataclass(slots=True)
class _Reading:
    """The state of a question: the spans of the passages read so far, and the log mass of each."""

    candidates: list[Candidate] = field(default_factory=list)
    spans: list[WindowSpans] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)

    def ranked(self, config: ReadConfig, normalize: Normalize) -> Ranked:
        """The answers from the passages read; without passages none, and "no answer" has all the mass."""
        if not self.spans:
            return Ranked((), 1.0, (), 0.0, 0.0, 0)
        return rank_answers(
            self.candidates,
            joined(self.spans),
            normalize=normalize,
            n_best_size=config.n_best_size,
            read=len(self.totals),
        )

    def stops(self, rule: StoppingRule, normalize: Normalize, *, passages: int) -> bool:
        """Whether the rule stops reading the further ones of its passages."""
        margin = float(masses(self.candidates, self.totals, normalize=normalize).margins[-1])
        return stops(rule, read=len(self.totals), passages=passages, margin=margin)


def read_groups(
    network: Network,
    groups: Iterable[Group],
    *,
    config: ReadConfig,
    normalize: Normalize,
    refine: Refine | None = None,
    stopping: StoppingRule | None = None,
) -> Iterator[Ranked]:
    """The ranked answers of each group, in order; one softmax over all spans of all its passages that were read.

    A group without passages has no answers and a null score of 1. `refine` moves the ends of spans before equal texts
    merge. Memory is bounded by `config.chunk_size` groups.

    Raises: BadCheckpoint if the windows are longer than the network has positions for; OutOfMemory.
    """
    for chunk in _chunks(network, groups, config, refine):
        remembered = cache(normalize)
        if stopping is None:
            chunk.read_all()
        else:
            chunk.read_in_waves(stopping, remembered)
        yield from (reading.ranked(config, remembered) for reading in chunk.readings)


def read_masses(
    network: Network,
    groups: Iterable[Group],
    *,
    config: ReadConfig,
    normalize: Normalize,
    refine: Refine | None = None,
) -> Iterator[Masses]:
    """The masses of each group's answers after each of its passages, for fitting a stopping rule.

    Groups without passages are left out.
    """
    for chunk in _chunks(network, groups, config, refine):
        remembered = cache(normalize)
        chunk.read_all()
        read = (reading for reading in chunk.readings if reading.totals)
        yield from (masses(reading.candidates, reading.totals, normalize=remembered) for reading in read)


def _chunks(network: Network, groups: Iterable[Group], config: ReadConfig, refine: Refine | None) -> Iterator[_Chunk]:
    check_positions(network, config)
    budget = Budget(config.batch_tokens)
    for chunk in batched(groups, config.chunk_size):
        yield _Chunk(network, chunk, config=config, refine=refine, budget=budget)


class _Chunk:
    """Questions that are read together; `readings` are their states."""

    def __init__(
        self, network: Network, groups: Sequence[Group], *, config: ReadConfig, refine: Refine | None, budget: Budget
    ) -> None:
        self._network, self._groups = network, groups
        self._config, self._refine, self._budget = config, refine, budget
        self._questions = network.windower.questions(
            [group.question for group in groups], max_seq_length=config.max_seq_length
        )
        self.readings = [_Reading() for _ in groups]

    def read_all(self) -> None:
        """Read all passages of all questions."""
        self._read([(at, rank) for at, group in enumerate(self._groups) for rank in range(len(group.passages))])

    def read_in_waves(self, stopping: StoppingRule, normalize: Normalize) -> None:
        """Read the first passage of all questions, then the second one of those that the rule does not stop, …"""
        unfinished = list(range(len(self._groups)))
        for rank in range(max(len(group.passages) for group in self._groups)):
            unfinished = [at for at in unfinished if rank < len(self._groups[at].passages)]
            self._read([(at, rank) for at in unfinished])
            unfinished = [
                at
                for at in unfinished
                if not self.readings[at].stops(stopping, normalize, passages=len(self._groups[at].passages))
            ]

    def _read(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Read passages, given by question number and rank, and add their spans to the readings."""
        passages = [(at, rank, self._groups[at].passages[rank]) for at, rank in wanted]
        placed = place(self._network.windower, self._questions, passages, self._config)
        spans = _decoded(self._network, placed, self._config, self._budget)
        _add_priors(placed, spans, self._groups)
        _add(placed, spans, self.readings)
        picked = _pick(placed, spans, keep=self._config.n_best_size)
        for at, candidate in candidates(self._groups, picked, self._refine):
            self.readings[at].candidates.append(candidate)


def _decoded(network: Network, placed: Sequence[Placed], config: ReadConfig, budget: Budget) -> WindowSpans:
    """The best spans of all windows, in their order."""
    shape = (len(placed), config.n_best_size)
    found = WindowSpans(
        start=np.zeros(shape, dtype=np.int64),
        end=np.zeros(shape, dtype=np.int64),
        score=np.full(shape, -np.inf),
        total=np.zeros(len(placed)),
        null=np.zeros(len(placed)),
        start_entropy=np.zeros(len(placed)),
        end_entropy=np.zeros(len(placed)),
    )
    windows = [item.window for item in placed]
    with closing(forward(network, windows, budget=budget, band=config.max_answer_length)) as batches:
        for rows, batch, logits in batches:
            decoded = decode_windows(
                logits,
                starts=batch.starts,
                context=batch.context,
                null=batch.null,
                max_answer_length=config.max_answer_length,
                keep=config.n_best_size,
            )
            width = decoded.score.shape[1]
            found.start[rows, :width], found.end[rows, :width] = decoded.start, decoded.end
            found.score[rows, :width] = decoded.score
            found.total[rows], found.null[rows] = decoded.total, decoded.null
            found.start_entropy[rows], found.end_entropy[rows] = decoded.start_entropy, decoded.end_entropy
    return found


def _add_priors(placed: Sequence[Placed], spans: WindowSpans, groups: Sequence[Group]) -> None:
    """Add the prior of its passage to all scores of every window."""
    if not any(group.priors for group in groups):
        return
    priors = np.array([groups[item.group].priors[item.rank] if groups[item.group].priors else 0.0 for item in placed])
    for scores in (spans.score.T, spans.total, spans.null):
        scores += priors


def _add(placed: Sequence[Placed], spans: WindowSpans, readings: Sequence[_Reading]) -> None:
    """Add to every reading the spans of its windows, and the log mass of each passage just read."""
    groups = np.array([item.group for item in placed], dtype=np.int64)
    bounds = np.searchsorted(groups, np.arange(len(readings) + 1))
    weights = np.logaddexp(spans.total, spans.null)
    ranks = np.array([item.rank for item in placed], dtype=np.int64)
    for reading, first, end in zip(readings, bounds, bounds[1:], strict=False):
        if first == end:
            continue
        reading.spans.append(rows_of(spans, slice(int(first), int(end))))
        cuts = np.flatnonzero(np.diff(ranks[first:end])) + 1
        reading.totals.extend(float(np.logaddexp.reduce(part)) for part in np.split(weights[first:end], cuts))


def _pick(placed: Sequence[Placed], spans: WindowSpans, *, keep: int) -> Picked:
    """The best spans of every passage, in code points."""
    offsets = np.concatenate([*(item.offsets for item in placed), np.zeros((1, 2), dtype=np.int64)])
    sizes = np.array([len(item.offsets) for item in placed], dtype=np.int64)
    shift = np.array([item.window.token - item.window.first for item in placed], dtype=np.int64)
    first = (np.cumsum(sizes) - sizes + shift)[:, None]  # of the window's tokens in `offsets`
    real = np.isfinite(spans.score)
    return best_of_passages(
        spans,
        group=np.array([item.group for item in placed], dtype=np.int64),
        rank=np.array([item.rank for item in placed], dtype=np.int64),
        char_start=offsets[np.where(real, spans.start + first, -1), 0],
        char_end=offsets[np.where(real, spans.end + first, -1), 1],
        keep=keep,
    )


def candidates(chunk: Sequence[Group], picked: Picked, refine: Refine | None) -> Iterator[tuple[int, Candidate]]:
    """The picked spans as texts, each with its question's number in the chunk."""
    columns = (picked.group, picked.rank, picked.start, picked.end, picked.score)
    for at, rank, start, end, score in zip(*(column.tolist() for column in columns), strict=True):
        passage = chunk[at].passages[rank]
        if refine is not None:
            start, end = refine(chunk[at].question, passage, start, end)
        yield at, Candidate(passage.text[start:end], passage.id, rank, start, end, score)


def rows_of(spans: WindowSpans, rows: slice) -> WindowSpans:
    """The rows of a slice."""
    return WindowSpans(*(getattr(spans, column.name)[rows] for column in fields(WindowSpans)))


def joined(several: Sequence[WindowSpans]) -> WindowSpans:
    """All windows of several, which have the same number of spans per window."""
    if len(several) == 1:
        return several[0]
    columns = (np.concatenate([getattr(each, column.name) for each in several]) for column in fields(WindowSpans))
    return WindowSpans(*columns)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items (itertools.batched comes with Python 3.12)."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
