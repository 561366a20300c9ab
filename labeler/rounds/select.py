"""Selection: whether a round releases, trains on, reviews or leaves each predicted question. Pure.

The review budget has three parts. *Random* questions of the whole pool are answered blind (without a suggestion) and
estimate the accuracy on the pool without bias. *Uncertain* ones improve the reader most. *Suspects* are confident
answers with signs of an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labeler.core.round_settings import SelectConfig

Decision = Literal["train", "review", "leave"]
TaskKind = Literal["random", "uncertain", "suspect"]

SVD_DIMENSIONS = 32  # of question and answer vectors: enough to tell topics apart, cheap for k-means
HASH_FEATURES = 2**16  # buckets of character n-grams before the SVD


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool question without a gold or human label, with the teacher's answer (None: no passage to answer from)."""

    question_id: str
    question: str
    split_group: str  # questions that share a paragraph or a wording; at most one uncertain task each
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
    """The decision on a question; `train_weight` is None unless its answer is trained on."""

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
    """Decisions and tasks of a round; a question in review is not trained on in this round."""

    choices: tuple[Choice, ...]  # one per candidate, in question id order
    tasks: tuple[PlannedTask, ...]  # in order of presentation: shuffled, so that a part is a fair sample of the kinds


def plan(
    candidates: Sequence[Candidate],
    config: SelectConfig,
    *,
    seed: int,
    round_number: int,
) -> Plan:
    """The plan of a round. Equal candidates, in any order, and an equal seed give an equal plan.

    Answers from held-out passages are not trained on. What is released is not decided here: `labeler certify` does.

    Raises:
        ValueError: a question occurs twice.
    """
    pool = sorted(candidates, key=lambda candidate: candidate.question_id)
    if len({candidate.question_id for candidate in pool}) != len(pool):
        raise ValueError("a question occurs twice among the candidates")
    rng = np.random.default_rng([seed, round_number])
    tasks = _tasks(pool, config, first_round=round_number <= 1, rng=rng)
    in_review = {task.question_id for task in tasks}
    weights = train_weights(pool, config)
    choices = tuple(
        Choice(candidate.question_id, "review", None)
        if candidate.question_id in in_review
        else Choice(candidate.question_id, "train" if weight > 0 else "leave", weight if weight > 0 else None)
        for candidate, weight in zip(pool, weights, strict=True)
    )
    return Plan(choices, tasks)


def doubly_annotated(question_ids: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """The questions that two reviewers answer: a uniform sample of this share (0-1) of them, rounded.

    It is independent of their order, and has a random generator of its own, so that it does not change the selection.
    """
    ids = sorted(question_ids)
    drawn = np.random.default_rng([seed, 2]).permutation(len(ids))[: round(share * len(ids))]
    return frozenset(ids[place] for place in drawn)


def _usable(candidate: Candidate) -> float | None:
    """The confidence of an answer that may be trained on; None where it may not."""
    return None if candidate.held_out or candidate.answer is None else candidate.confidence


def train_weights(candidates: Sequence[Candidate], config: SelectConfig) -> list[float]:
    """The training weight of each candidate's answer, 0-1, in the order given; 0: not trained on.

    The most confident `train_share` of the answers that may be trained on get a weight, those below
    `min_train_confidence` none; equal confidences: by question id. The weight is the confidence c, or with mu and
    sigma the mean and standard deviation of c over all answers that may be trained on:

        softmatch    1 for c >= mu, else exp(-(c - mu)^2 / (2 sigma^2))

    Source: SoftMatch (Chen et al. 2023), equation 5, over the whole pool rather than a moving average of batches.
    """
    usable = {c.question_id: c.confidence for c in candidates if c.confidence is not None and _usable(c) is not None}
    ranked = sorted(usable, key=lambda question_id: (-usable[question_id], question_id))
    taught = {
        question_id
        for question_id in ranked[: round(config.train_share * len(ranked))]
        if usable[question_id] >= config.min_train_confidence
    }
    known = np.array(list(usable.values()))
    mean, sigma = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)

    def weight(confidence: float) -> float:
        if config.weighting == "confidence":
            return confidence
        below = min(0.0, confidence - mean)
        return math.exp(-(below**2) / (2 * sigma**2)) if sigma > 1e-9 else 1.0  # equal confidences: rounding alone

    return [weight(usable[c.question_id]) if c.question_id in taught else 0.0 for c in candidates]


def _tasks(
    pool: Sequence[Candidate], config: SelectConfig, *, first_round: bool, rng: np.random.Generator
) -> tuple[PlannedTask, ...]:
    """Tasks in order of presentation.

    The random ones are the head of one permutation of the whole pool, drawn before anything else, so that they are a
    uniform sample. Missing suspects are replaced by uncertain ones, and missing uncertain ones by a longer head (a
    question in it that was selected otherwise becomes a random one).
    """
    order = [pool[i] for i in rng.permutation(len(pool))]
    random, uncertain, suspect = _budget(min(config.review_budget, len(pool)), config, first_round=first_round)
    rest = sorted(order[random:], key=lambda candidate: candidate.question_id)
    suspects = _suspects(rest, config)[:suspect]
    unsure = [c for c in rest if c.confidence is not None and _in_band(c.confidence, config)]
    diverse = _diverse(unsure, uncertain + suspect - len(suspects), seed=int(rng.integers(2**31)))
    kinds: dict[str, TaskKind] = {c.question_id: "random" for c in order[:random]}
    kinds |= dict.fromkeys((c.question_id for c in diverse), "uncertain")
    kinds |= dict.fromkeys((c.question_id for c in suspects), "suspect")
    for candidate in order[random:]:
        if len(kinds) >= random + uncertain + suspect:
            break
        kinds[candidate.question_id] = "random"
    presented = sorted(kinds)
    rng.shuffle(presented)
    return tuple(PlannedTask(id_, kinds[id_], blind=kinds[id_] == "random") for id_ in presented)


def _budget(budget: int, config: SelectConfig, *, first_round: bool) -> tuple[int, int, int]:
    """How many random, uncertain and suspect tasks; the remainder of rounding is random."""
    random_share = max(config.random_share, config.first_random_share) if first_round else config.random_share
    others = config.uncertain_share + config.suspect_share
    scale = (1 - random_share) / others if others else 0.0
    uncertain = math.floor(budget * config.uncertain_share * scale + 1e-9)
    suspect = math.floor(budget * config.suspect_share * scale + 1e-9)
    return budget - uncertain - suspect, uncertain, suspect


def _in_band(confidence: float, config: SelectConfig) -> bool:
    return config.uncertain_low <= confidence <= config.uncertain_high


def _suspects(pool: Sequence[Candidate], config: SelectConfig) -> list[Candidate]:
    """Confident answers with signs of an error; most signs first, then the most confident, then by id.

    Signs: the passage has a low retrieval rank, the next answer is close, no second passage holds the answer.
    """

    def signs(candidate: Candidate) -> int:
        low_rank = candidate.passage_rank is not None and candidate.passage_rank >= config.suspect_rank
        close = candidate.margin is not None and candidate.margin < config.suspect_margin
        return low_rank + close + (candidate.support == 1)

    confident = [(c.confidence, c) for c in pool if c.confidence is not None and c.confidence > config.uncertain_high]
    suspicious = [(signs(candidate), confidence, candidate) for confidence, candidate in confident if signs(candidate)]
    return [c for _, _, c in sorted(suspicious, key=lambda item: (-item[0], -item[1], item[2].question_id))]


def _diverse(unsure: Sequence[Candidate], count: int, *, seed: int) -> list[Candidate]:
    """At most `count` candidates spread over topics, at most one per split group.

    k-means with k = count on question and answer; from each cluster the candidate nearest to its centre whose split
    group is free (ties: the lower id), then the nearest of all others until there are enough.
    """
    if count <= 0 or not unsure:
        return []
    cluster, distance = _clusters(unsure, count, seed=seed)
    nearest = sorted(range(len(unsure)), key=lambda i: (distance[i], unsure[i].question_id))
    taken: dict[str, Candidate] = {}  # by split group
    covered: set[int] = set()  # clusters
    for i in nearest:
        if cluster[i] not in covered and unsure[i].split_group not in taken:
            covered.add(int(cluster[i]))
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

    with threadpool_limits(limits=1):  # several threads sum in any order, which changes ties
        vectors = _vectors([f"{c.question} {c.answer or ''}" for c in candidates], seed=seed)
        distinct = len(np.unique(vectors.round(9), axis=0))
        model = KMeans(n_clusters=min(count, distinct), n_init=1, random_state=seed).fit(vectors)
    distance = np.linalg.norm(vectors - model.cluster_centers_[model.labels_], axis=1)
    return np.asarray(model.labels_, dtype=np.int64), np.round(distance, 12)


def _vectors(texts: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """Vectors (N, min(SVD_DIMENSIONS, N - 1)) of unit length; texts that share character n-grams are close."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=HASH_FEATURES).transform(texts)
    dimensions = min(SVD_DIMENSIONS, len(texts) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal texts have no variance to explain
        vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(hashed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float64)
