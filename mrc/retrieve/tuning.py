"""Settings of retrieval chosen on labelled questions, with an honest figure of what they gain.

A setting chosen where it is measured flatters itself. So each half of the documents is also measured under the
setting that the other half chose: that is the gain reported, and a setting without one is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer
from mrc.metrics import Interval, bootstrap_interval, paired_interval
from mrc.retrieve.bm25 import BM25, TermCounts
from mrc.retrieve.windows import search_folded, title_counts, unit_counts, unit_starts, with_titles
from mrc.types import Passage

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

K1 = (0.3, 0.5, 0.7, 0.9, 1.2, 1.5)
B = (0.4, 0.6, 0.75, 0.9)
DEPTH = 100  # documents in which the gold passage is looked for


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tuned of BM25; see `IndexConfig`."""

    k1: float
    b: float
    title_weight: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several settings, by their place in the list, and what it is worth on documents that did not choose it."""

    chosen: int
    best: int  # on all questions; it is `chosen` unless it gains nothing where it was not chosen
    gain: Interval  # over the default, cross-fitted on halves of the documents


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found. Marks are mean reciprocal ranks within the first 100, 0-1, intervals 95% by document."""

    setting: Setting
    questions: int
    before: Interval  # MRR of the setting so far
    after: Interval  # MRR of `setting` on the questions that chose it
    gain: Interval  # of MRR where the setting was not chosen
    top_3: tuple[float, float]  # before and after


def choose(values: npt.ArrayLike, clusters: Sequence[Hashable], *, default: int, rng: np.random.Generator) -> Choice:
    """The best of S settings by the mean of their marks (S, Q), equal ones by lowest place.

    Args:
        clusters: (Q,) the document of each question; halves and resamples are of whole documents.
        default: place of the setting so far. It stays where the other gains nothing.

    Raises:
        ValueError: the questions are of fewer than two documents.
    """
    marks = np.asarray(values, dtype=np.float64)
    half = _half(clusters, rng)
    fitted = np.empty(marks.shape[1])
    for side in (half, ~half):
        fitted[~side] = marks[int(np.argmax(marks[:, side].mean(axis=1)))][~side]
    gain = paired_interval(fitted, marks[default], clusters, rng=rng)
    best = int(np.argmax(marks.mean(axis=1)))
    return Choice(best if gain.mean > 0 else default, best, gain)


def _half(clusters: Sequence[Hashable], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(Q,) whether a question is of the first half of the documents, drawn by chance."""
    distinct = list(dict.fromkeys(clusters))
    if len(distinct) < 2:
        raise ValueError(f"tuning needs questions of at least two documents, got {len(distinct)}")
    first = {distinct[place] for place in rng.permutation(len(distinct))[: len(distinct) // 2]}
    return np.array([cluster in first for cluster in clusters])


def grid(default: Setting, *, titles: bool) -> list[Setting]:
    """The settings tried, the one so far first. `titles`: some passages have one."""
    weights = (0, 1, 2) if titles else (0,)
    tried = [Setting(k1, b, weight) for weight, k1, b in product(weights, K1, B)]
    return [default, *(setting for setting in tried if setting != default)]


class Documents:
    """What is tuned on: passages cut into documents and terms once, counted with any weight of their titles."""

    def __init__(self, passages: Sequence[Passage], analyzer: Analyzer, *, window_chars: int = 0) -> None:
        self.analyzer = analyzer
        self.starts = unit_starts(passages, window_chars=window_chars)
        self._counts = TermCounts.of(unit_counts(passages, analyzer, window_chars=window_chars))
        self._titles = title_counts(passages, analyzer)

    @property
    def titled(self) -> bool:
        """Whether there is a title with a term."""
        return any(self._titles)

    def counts(self, *, title_weight: int) -> TermCounts:
        """The counts of the documents."""
        return with_titles(self._counts, self.starts, self._titles, title_weight=title_weight)


def tune(
    documents: Documents,
    *,
    method: str,
    settings: Sequence[Setting],
    questions: Sequence[str],
    golds: Sequence[Iterable[int]],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    progress: Callable[[], object] = lambda: None,
) -> Tuned:
    """The best of `settings`, the first of which is the one so far.

    Args:
        questions: (Q,) whose gold passages are known.
        golds: (Q,) rows of the passages that answer each.
        clusters: (Q,) document of each.
        progress: called after each setting.

    Raises:
        ValueError: the questions are of fewer than two documents.
    """
    analyzer = _Known(documents.analyzer, dict(zip(questions, documents.analyzer.terms(questions), strict=True)))
    wanted = [frozenset(rows) for rows in golds]
    ranks: dict[Setting, Ints] = {}
    for weight in sorted({setting.title_weight for setting in settings}):
        counts = documents.counts(title_weight=weight)
        for setting in (each for each in settings if each.title_weight == weight):
            bm25 = BM25.from_counts(counts, analyzer, method=method, k1=setting.k1, b=setting.b)
            found, _ = search_folded(bm25.search, documents.starts, questions, DEPTH)
            ranks[setting] = gold_ranks(found, wanted)
            progress()
    reciprocal = np.array([_reciprocal(ranks[setting]) for setting in settings])
    choice = choose(reciprocal, clusters, default=0, rng=rng)
    setting = settings[choice.chosen]
    before, after = (
        bootstrap_interval(reciprocal[place], clusters, rng=np.random.default_rng(0)) for place in (0, choice.chosen)
    )
    top_3 = tuple(float(np.mean((ranks[each] >= 0) & (ranks[each] < 3))) for each in (settings[0], setting))
    return Tuned(setting, len(questions), before, after, choice.gain, (top_3[0], top_3[1]))


def gold_ranks(found: Ints, golds: Sequence[frozenset[int]]) -> Ints:
    """(Q,) rank of the first gold passage in the rows of passages found (Q, k), from 0; -1 where there is none."""
    ranks = [
        next((rank for rank, passage in enumerate(row) if passage in gold), -1)
        for row, gold in zip(found.tolist(), golds, strict=True)
    ]
    return np.array(ranks, dtype=np.int64)


def _reciprocal(ranks: Ints) -> Floats:
    marks: Floats = np.where(ranks >= 0, 1.0 / (np.maximum(ranks, 0) + 1), 0.0)
    return marks


@dataclass(frozen=True, slots=True)
class _Known:
    """An analyzer whose terms of some texts are known: questions are cut once, not once for each setting."""

    inner: Analyzer
    found: Mapping[str, list[str]]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def version(self) -> str:
        return self.inner.version

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        return map(self, texts)

    def __call__(self, text: str) -> list[str]:
        return self.found[text]
