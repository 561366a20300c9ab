"""What becomes of each predicted question in a round: released, trained on, reviewed or left. Pure.

The review budget buys three things. *Random* questions of the whole pool, answered blind (no suggestion shown), say
how good the pool's labels are without any assumption, and train one round later. *Uncertain* ones teach most.
*Suspects*, confident yet odd, are where a wrong label would do harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labeler.core.round_settings import SelectConfig

Decision = Literal["release", "train", "review", "leave"]
TaskKind = Literal["random", "uncertain", "suspect"]

SVD_DIMENSIONS = 32  # of question and answer vectors: enough to tell topics apart, cheap for k-means
HASH_FEATURES = 2**16  # buckets of character n-grams before the SVD


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool question without a gold or human label, with what the teacher answered (None: nothing to answer from)."""

    question_id: str
    question: str
    split_group: str  # paragraph or component that questions share; at most one uncertain task each
    answer: str | None = None
    passage_id: str | None = None
    score: float | None = None  # mass of the answer, 0-1
    confidence: float | None = None  # calibrated, 0-1; None before a calibrator is fitted
    held_out: bool = False  # the answer's passage belongs to dev, test or calibration
    passage_rank: int | None = None  # of the answer's passage, from 0
    margin: float | None = None  # mass minus that of the next answer, 0-1
    support: int | None = None  # passages that hold the answer, from 1


@dataclass(frozen=True, slots=True)
class Choice:
    """`train_weight` is None unless the answer is to teach; released and trained-on are two sets."""

    question_id: str
    decision: Decision
    train_weight: float | None  # above 0, at most 1


@dataclass(frozen=True, slots=True)
class PlannedTask:
    question_id: str
    kind: TaskKind
    blind: bool  # no suggestion is shown


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round does with each candidate; a question in review is neither released nor trained on in this round."""

    choices: tuple[Choice, ...]  # one a candidate, in question id order
    tasks: tuple[PlannedTask, ...]  # in order of presentation: kinds mixed, so that a part is a fair part


def plan(
    candidates: Sequence[Candidate],
    config: SelectConfig,
    *,
    release_threshold: float | None,
    seed: int,
    round_number: int,
) -> Plan:
    """The plan of a round; equal inputs in any order and an equal seed give an equal plan.

    Release: confidence at or above `release_threshold` (None: nothing is released). Guarded answers are neither
    released nor trained on. Weights: see `train_weights`. Tasks: see the module and `_tasks`.

    Raises ValueError where a question comes twice.
    """
    pool = sorted(candidates, key=lambda candidate: candidate.question_id)
    if len({candidate.question_id for candidate in pool}) != len(pool):
        raise ValueError("a question comes twice among the candidates")
    rng = np.random.default_rng([seed, round_number])
    tasks = _tasks(pool, config, first_round=round_number <= 1, rng=rng)
    in_review = {task.question_id for task in tasks}
    weights = train_weights(pool, min_confidence=config.min_train_confidence)
    choices = tuple(
        Choice(candidate.question_id, "review", None)
        if candidate.question_id in in_review
        else _choice(candidate, weight, release_threshold)
        for candidate, weight in zip(pool, weights, strict=True)
    )
    return Plan(choices, tasks)


def doubled(question_ids: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """The questions that two people answer: a uniform draw of this share of them, rounded, whatever their order.

    Its coin is its own, so that what is asked and in which order does not depend on it.
    """
    ids = sorted(question_ids)
    drawn = np.random.default_rng([seed, 2]).permutation(len(ids))[: round(share * len(ids))]
    return frozenset(ids[place] for place in drawn)


def _choice(candidate: Candidate, weight: float, release_threshold: float | None) -> Choice:
    confidence = _usable(candidate)
    released = release_threshold is not None and confidence is not None and confidence >= release_threshold
    decision: Decision = "release" if released else "train" if weight > 0 else "leave"
    return Choice(candidate.question_id, decision, weight if weight > 0 else None)


def _usable(candidate: Candidate) -> float | None:
    """The confidence of an answer that may be released or teach; None where it may not."""
    return None if candidate.held_out or candidate.answer is None else candidate.confidence


def train_weights(candidates: Sequence[Candidate], *, min_confidence: float) -> list[float]:
    """The training weight of each candidate's answer, 0-1, in the order given; 0 teaches nothing.

    With mu and sigma the mean and standard deviation of the confidence c over the answers that may teach at all:

        w(c) = 1                                     for c >= mu
        w(c) = exp(-(c - mu)^2 / (2 sigma^2))        for min_confidence <= c < mu
        w(c) = 0                                     for c < min_confidence

    Source: SoftMatch (Chen et al. 2023), equation 5, over the whole pool rather than a moving average of batches;
    the floor is ours.
    """
    usable = [_usable(candidate) for candidate in candidates]
    known = np.array([confidence for confidence in usable if confidence is not None])
    if not len(known):
        return [0.0] * len(usable)
    mean, sigma = float(known.mean()), float(known.std())

    def weight(confidence: float | None) -> float:
        if confidence is None or confidence < min_confidence:
            return 0.0
        below = min(0.0, confidence - mean)
        return math.exp(-(below**2) / (2 * sigma**2)) if sigma > 1e-9 else 1.0  # equal confidences: rounding alone

    return [weight(confidence) for confidence in usable]


def _tasks(
    pool: Sequence[Candidate], config: SelectConfig, *, first_round: bool, rng: np.random.Generator
) -> tuple[PlannedTask, ...]:
    """Tasks in order of presentation.

    The random ones are the head of one permutation of the whole pool, drawn before anything else, so that they are a
    uniform sample. Too few suspects: more uncertain ones; too few uncertain: the head of the permutation grows (a
    question that it meets among the others becomes a random one).
    """
    order = [pool[i] for i in rng.permutation(len(pool))]
    random, uncertain, suspect = _budget(min(config.review_budget, len(pool)), config, first_round=first_round)
    rest = sorted(order[random:], key=lambda candidate: candidate.question_id)
    suspects = _suspects(rest, config)[:suspect]
    unsure = [c for c in rest if c.confidence is not None and _in_band(c.confidence, config)]
    doubtful = _diverse(unsure, uncertain + suspect - len(suspects), seed=int(rng.integers(2**31)))
    kinds: dict[str, TaskKind] = {c.question_id: "random" for c in order[:random]}
    kinds |= dict.fromkeys((c.question_id for c in doubtful), "uncertain")
    kinds |= dict.fromkeys((c.question_id for c in suspects), "suspect")
    for candidate in order[random:]:
        if len(kinds) >= random + uncertain + suspect:
            break
        kinds[candidate.question_id] = "random"
    presented = sorted(kinds)
    rng.shuffle(presented)
    return tuple(PlannedTask(id_, kinds[id_], blind=kinds[id_] == "random") for id_ in presented)


def _budget(budget: int, config: SelectConfig, *, first_round: bool) -> tuple[int, int, int]:
    """How many random, uncertain and suspect tasks; what rounding leaves over is random."""
    random_share = max(config.random_share, config.first_random_share) if first_round else config.random_share
    others = config.uncertain_share + config.suspect_share
    scale = (1 - random_share) / others if others else 0.0
    uncertain = math.floor(budget * config.uncertain_share * scale + 1e-9)
    suspect = math.floor(budget * config.suspect_share * scale + 1e-9)
    return budget - uncertain - suspect, uncertain, suspect


def _in_band(confidence: float, config: SelectConfig) -> bool:
    return config.uncertain_low <= confidence <= config.uncertain_high


def _suspects(pool: Sequence[Candidate], config: SelectConfig) -> list[Candidate]:
    """Confident answers with a sign against them; most signs first, then the most confident, then by id.

    Signs: the passage was retrieved late, the next answer is close, no second passage says the same.
    """

    def signs(candidate: Candidate) -> int:
        late = candidate.passage_rank is not None and candidate.passage_rank >= config.suspect_rank
        close = candidate.margin is not None and candidate.margin < config.suspect_margin
        return late + close + (candidate.support == 1)

    confident = [(c.confidence, c) for c in pool if c.confidence is not None and c.confidence > config.uncertain_high]
    odd = [(signs(candidate), confidence, candidate) for confidence, candidate in confident if signs(candidate)]
    return [c for _, _, c in sorted(odd, key=lambda item: (-item[0], -item[1], item[2].question_id))]


def _diverse(unsure: Sequence[Candidate], count: int, *, seed: int) -> list[Candidate]:
    """At most `count` candidates spread over topics, at most one a unit; fewer where the units do not reach.

    k-means with k = count on question and answer; of each cluster the nearest to its centre whose unit is free
    (ties: the lower id), then the nearest of all the rest until there are enough.
    """
    if count <= 0 or not unsure:
        return []
    cluster, distance = _clusters(unsure, count, seed=seed)
    nearest = sorted(range(len(unsure)), key=lambda i: (distance[i], unsure[i].question_id))
    taken: dict[str, Candidate] = {}  # by unit
    served: set[int] = set()
    for i in nearest:
        if cluster[i] not in served and unsure[i].split_group not in taken:
            served.add(int(cluster[i]))
            taken[unsure[i].split_group] = unsure[i]
    for i in nearest:
        if len(taken) >= count:
            break
        taken.setdefault(unsure[i].split_group, unsure[i])
    return list(taken.values())


def _clusters(
    candidates: Sequence[Candidate], count: int, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cluster of each candidate and its distance to that cluster's centre, both (N,)."""
    if len(candidates) <= count:
        return np.arange(len(candidates)), np.zeros(len(candidates))
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(limits=1):  # threads add up centres in any order: other bits, other ties
        vectors = _vectors([f"{c.question} {c.answer or ''}" for c in candidates], seed=seed)
        distinct = len(np.unique(vectors.round(9), axis=0))
        model = KMeans(n_clusters=min(count, distinct), n_init=1, random_state=seed).fit(vectors)
    distance = np.linalg.norm(vectors - model.cluster_centers_[model.labels_], axis=1)
    return np.asarray(model.labels_, dtype=np.int64), np.round(distance, 12)


def _vectors(texts: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """Rows (N, at most SVD_DIMENSIONS) of unit length that are near for texts of common words and word parts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=HASH_FEATURES).transform(texts)
    dimensions = min(SVD_DIMENSIONS, len(texts) - 1)
    with np.errstate(invalid="ignore"):  # equal texts have no variance to explain
        vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(hashed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float64)
