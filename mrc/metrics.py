"""Metrics of answers and rankings, and their intervals. Everything is 0-1; NumPy only.

Source: the official evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016), SQuAD 2.0 (Rajpurkar, Jia & Liang 2018)
and KorQuAD 1.0 (Lim, Kim & Lee 2019), implemented from their rules.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:  # normalising an answer needs no NumPy, which takes a while to load
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Metric = Literal["squad", "squad_v2", "korquad"]
METRICS: tuple[Metric, ...] = get_args(Metric)

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_KORQUAD_SPACES = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_BOOTSTRAP_CELLS = 1_000_000  # resampling counts held at a time: 8 MB


@dataclass(frozen=True, slots=True)
class Score:
    """The scores of one prediction, each the best over the golds of its question, 0-1."""

    exact_match: float
    f1: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the percentile interval around it, all in the unit of the values."""

    mean: float
    low: float
    high: float


def resolve_metric(name: str, *, language: str, impossible: bool = False) -> Metric:
    """The metric meant by `squad`, `korquad` or `auto` (korquad for "ko", else squad).

    `impossible`: the file marks questions without answer, so SQuAD means version 2.0.
    Raises ValueError for another name.
    """
    if name == "auto":
        name = "korquad" if language == "ko" else "squad"
    return "squad_v2" if name == "squad" and impossible else check_metric(name)


def check_metric(name: str) -> Metric:
    """The metric of this name. Raises ValueError, which lists the known names, for any other."""
    for metric in METRICS:
        if name == metric:
            return metric
    raise ValueError(f"unknown metric {name!r}: use {', '.join(METRICS)}")


def normalize_answer(text: str, metric: Metric) -> str:
    """The form in which answers are compared.

    SQuAD: lower case, no ASCII punctuation, no articles, single spaces. KorQuAD: quotation marks, angle and round
    brackets become spaces first, articles stay.
    """
    if metric == "korquad":
        return " ".join(text.translate(_KORQUAD_SPACES).lower().translate(_NO_PUNCTUATION).split())
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str, metric: Metric) -> float:
    """1 if the normalised texts are equal, else 0."""
    return float(normalize_answer(prediction, metric) == normalize_answer(gold, metric))


def f1(prediction: str, gold: str, metric: Metric) -> float:
    """Harmonic mean of precision and recall over shared units: words (SQuAD) or characters (KorQuAD).

    Where a side normalises to nothing, SQuAD 2.0 gives 1 if both do; SQuAD 1.1 and KorQuAD give 0.
    """
    predicted, golden = _units(prediction, metric), _units(gold, metric)
    if metric == "squad_v2" and not (predicted and golden):
        return float(predicted == golden)
    shared = sum((Counter(predicted) & Counter(golden)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(golden)
    return 2 * precision * recall / (precision + recall)


def _units(text: str, metric: Metric) -> list[str]:
    words = normalize_answer(text, metric).split()
    return list("".join(words)) if metric == "korquad" else words


def score(prediction: str, golds: Sequence[str], metric: Metric) -> Score:
    """The best exact match and the best F1 over the golds, separately, as the official scripts do.

    No gold at all means that the question has no answer: an empty prediction is right (SQuAD 2.0). SQuAD 2.0 also
    ignores golds that normalise to nothing; the other two compare with them.
    """
    if metric == "squad_v2":
        golds = [gold for gold in golds if normalize_answer(gold, metric)]
    if not golds:
        right = float(not normalize_answer(prediction, metric))
        return Score(right, right)
    return Score(
        max(exact_match(prediction, gold, metric) for gold in golds),
        max(f1(prediction, gold, metric) for gold in golds),
    )


def recall_at(ranks: Sequence[int], *, k: int) -> float:
    """Share of questions whose right passage is among the first k; `ranks` count from 0, -1 means not found.

    0 without questions.
    """
    import numpy as np

    found = np.asarray(ranks, dtype=np.int64)
    return float(np.mean((found >= 0) & (found < k))) if found.size else 0.0


def mrr(ranks: Sequence[int]) -> float:
    """Mean reciprocal rank, 1 / (rank + 1) with ranks from 0 and 0 for -1 (not found); no questions give 0."""
    import numpy as np

    found = np.asarray(ranks, dtype=np.int64)
    return float(np.mean(np.where(found >= 0, 1.0 / (np.maximum(found, 0) + 1), 0.0))) if found.size else 0.0


def bootstrap_means(
    values: ArrayLike, clusters: Sequence[Hashable] | None = None, *, rng: np.random.Generator, samples: int = 2000
) -> NDArray[np.float64]:
    """Means `(samples,)` of resamples that draw whole clusters with replacement (each value its own if None).

    A resample's mean is over its values, so clusters weigh by their size. Questions of one document fail together;
    drawing them singly makes intervals too narrow. Source: Field & Welsh 2007, cluster bootstrap.
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("bootstrap needs at least one value")
    sums, sizes = _cluster_totals(array, clusters)
    share = np.full(len(sums), 1.0 / len(sums))
    return np.concatenate(
        [(counts @ sums) / (counts @ sizes) for counts in _resamples(share, rng=rng, samples=samples)]
    )


def _cluster_totals(
    values: NDArray[np.float64], clusters: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster ids")
    number: dict[Hashable, int] = {}
    of_value = np.array([number.setdefault(cluster, len(number)) for cluster in clusters])
    sizes = np.bincount(of_value).astype(np.float64)
    return np.bincount(of_value, weights=values).astype(np.float64), sizes


def _resamples(share: NDArray[np.float64], *, rng: np.random.Generator, samples: int) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is drawn, `(up to a chunk of samples, clusters)`."""
    import numpy as np

    chunk = max(1, _BOOTSTRAP_CELLS // len(share))
    for first in range(0, samples, chunk):
        yield rng.multinomial(len(share), share, size=min(chunk, samples - first)).astype(np.float64)


def bootstrap_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    rng: np.random.Generator,
    samples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of the values with the percentile interval of its cluster bootstrap."""
    import numpy as np

    means = bootstrap_means(values, clusters, rng=rng, samples=samples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(np.asarray(values, dtype=np.float64))), float(low), float(high))


def paired_interval(
    after: ArrayLike,
    before: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    rng: np.random.Generator,
    samples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of after - before, question by question, with its interval; both in the same order."""
    return bootstrap_interval(paired_change(after, before), clusters, rng=rng, samples=samples, level=level)


def paired_change(after: ArrayLike, before: ArrayLike) -> NDArray[np.float64]:
    """after - before `(N,)`. Raises ValueError where they are not of the same questions (by count)."""
    import numpy as np

    new, old = np.asarray(after, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if new.shape != old.shape:
        raise ValueError(f"not paired: {new.shape} against {old.shape}")
    return new - old


def mcnemar(after: ArrayLike, before: ArrayLike) -> float:
    """One-sided exact p-value for "after is worse": P(X >= losses), X ~ Binomial(losses + wins, 1/2).

    A loss was right before and is wrong after, a win the reverse. 1 where nothing changed.
    Source: McNemar 1947, exact form.
    """
    import numpy as np

    change = paired_change(after, before)
    losses, wins = int(np.sum(change < 0)), int(np.sum(change > 0))
    changed = losses + wins
    ways = 1  # changed choose k, from k = changed down; integers, so the sum is exact
    tail = 0
    for k in range(changed, losses - 1, -1):
        tail += ways
        ways = ways * k // (changed - k + 1)
    return float(tail / 2**changed)
