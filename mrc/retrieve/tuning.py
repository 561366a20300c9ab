"""k1, b and title weight of BM25 chosen on labelled questions, with a cross-fitted estimate of the gain.

The score of a setting on the questions that chose it is biased upwards. So each half of the documents is also scored
under the setting that the other half chose: the gain reported, without which no new setting is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer
from mrc.metrics import Interval, bootstrap_interval, paired_interval
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.fuse import DEPTH
from mrc.retrieve.term_counts import TermCounts, title_counts, window_counts, with_titles
from mrc.retrieve.windows import search_passages, window_starts
from mrc.types import Passage

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

K1 = (0.3, 0.5, 0.7, 0.9, 1.2, 1.5)
B = (0.4, 0.6, 0.75, 0.9)


@dataclass(frozen=True, slots=True)
class BM25Setting:
    """The tuned parameters of BM25; see `IndexConfig`."""

    k1: float
    b: float
    title_weight: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """One of several settings, by place in the list, and its gain on documents that did not choose it."""

    chosen: int
    best: int  # on all questions; equals `chosen` unless the gain is not above 0
    gain: Interval  # over the default, cross-fitted on halves of the documents


@dataclass(frozen=True, slots=True)
class TuningResult:
    """Scores are mean reciprocal ranks within the first 100, 0-1; intervals are 95%, by document."""

    setting: BM25Setting
    questions: int
    before: Interval  # MRR of the current setting
    after: Interval  # MRR of `setting`, on the questions that chose it
    gain: Interval  # of MRR, on documents that did not choose the setting
    top_3: tuple[float, float]  # share of questions with a gold passage among the first 3, before and after


def select(values: npt.ArrayLike, clusters: Sequence[Hashable], *, default: int, rng: np.random.Generator) -> Selection:
    """The best of S settings by the mean of their scores (S, Q), ties to the lowest place.

    Args:
        clusters: (Q,) the document of each question; halves and resamples are of whole documents.
        default: place of the current setting, which stays unless the cross-fitted gain is above 0.

    Raises:
        ValueError: the questions belong to fewer than two documents.
    """
    scores = np.asarray(values, dtype=np.float64)
    half = _half(clusters, rng)
    fitted = np.empty(scores.shape[1])
    for side in (half, ~half):
        fitted[~side] = scores[int(np.argmax(scores[:, side].mean(axis=1)))][~side]
    gain = paired_interval(fitted, scores[default], clusters, rng=rng)
    best = int(np.argmax(scores.mean(axis=1)))
    return Selection(best if gain.mean > 0 else default, best, gain)


def _half(clusters: Sequence[Hashable], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(Q,) whether a question is in the first half of the documents, drawn at random."""
    distinct = list(dict.fromkeys(clusters))
    if len(distinct) < 2:
        raise ValueError(f"tuning needs questions of at least two documents, got {len(distinct)}")
    first = {distinct[place] for place in rng.permutation(len(distinct))[: len(distinct) // 2]}
    return np.array([cluster in first for cluster in clusters])


def grid(default: BM25Setting, *, titles: bool) -> list[BM25Setting]:
    """The settings to try, the current one first. `titles`: some passages have one."""
    weights = (0, 1, 2) if titles else (0,)
    tried = [BM25Setting(k1, b, weight) for weight, k1, b in product(weights, K1, B)]
    return [default, *(setting for setting in tried if setting != default)]


class CountedPassages:
    """Passages analysed once, from which counts with any title weight are made."""

    def __init__(self, passages: Sequence[Passage], analyzer: Analyzer, *, window_chars: int = 0) -> None:
        self.analyzer = analyzer
        self.starts = window_starts(passages, window_chars=window_chars)
        self._counts = TermCounts.of(window_counts(passages, analyzer, window_chars=window_chars))
        self._titles = title_counts(passages, analyzer)

    @property
    def titled(self) -> bool:
        """Whether some title has a term."""
        return any(self._titles)

    def counts(self, *, title_weight: int) -> TermCounts:
        """The counts of the windows, with titles."""
        return with_titles(self._counts, self.starts, self._titles, title_weight=title_weight)


def tune(
    passages: CountedPassages,
    *,
    method: str,
    settings: Sequence[BM25Setting],
    questions: Sequence[str],
    golds: Sequence[Iterable[int]],
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    progress: Callable[[], object] = lambda: None,
) -> TuningResult:
    """The best of `settings`, the first of which is the current one.

    Args:
        questions: (Q,) labelled questions.
        golds: (Q,) rows of the gold passages of each.
        clusters: (Q,) document of each.
        progress: called after each setting.

    Raises:
        ValueError: the questions belong to fewer than two documents.
    """
    ranks = _ranks(passages, method, settings, questions, [frozenset(rows) for rows in golds], progress)
    reciprocal = np.where(ranks >= 0, 1.0 / (np.maximum(ranks, 0) + 1), 0.0)
    selection = select(reciprocal, clusters, default=0, rng=rng)
    places = (0, selection.chosen)
    before, after = (bootstrap_interval(reciprocal[place], clusters, rng=np.random.default_rng(0)) for place in places)
    first_3, chosen_3 = (float(np.mean((ranks[place] >= 0) & (ranks[place] < 3))) for place in places)
    setting = settings[selection.chosen]
    return TuningResult(setting, len(questions), before, after, selection.gain, (first_3, chosen_3))


def _ranks(
    passages: CountedPassages,
    method: str,
    settings: Sequence[BM25Setting],
    questions: Sequence[str],
    golds: Sequence[frozenset[int]],
    progress: Callable[[], object],
) -> Ints:
    """(S, Q) `gold_ranks` under each setting."""
    terms = dict(zip(questions, passages.analyzer.terms(questions), strict=True))
    analyzer = _CachedAnalyzer(passages.analyzer, terms)
    ranks: dict[BM25Setting, Ints] = {}
    for weight in sorted({setting.title_weight for setting in settings}):
        counts = passages.counts(title_weight=weight)
        for setting in (each for each in settings if each.title_weight == weight):
            bm25 = BM25.from_counts(counts, analyzer, method=method, k1=setting.k1, b=setting.b)
            found, _ = search_passages(bm25.search, passages.starts, questions, DEPTH)
            ranks[setting] = gold_ranks(found, golds)
            progress()
    return np.array([ranks[setting] for setting in settings])


def gold_ranks(found: Ints, golds: Sequence[frozenset[int]]) -> Ints:
    """(Q,) rank of the first gold passage among the passages found (Q, k), from 0; -1 where there is none."""
    ranks = [
        next((rank for rank, passage in enumerate(row) if passage in gold), -1)
        for row, gold in zip(found.tolist(), golds, strict=True)
    ]
    return np.array(ranks, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _CachedAnalyzer:
    """An analyzer with the terms of some texts: questions are analysed once, not once for each setting."""

    inner: Analyzer
    cached: Mapping[str, list[str]]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def version(self) -> str:
        return self.inner.version

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        return map(self, texts)

    def __call__(self, text: str) -> list[str]:
        return self.cached[text]
