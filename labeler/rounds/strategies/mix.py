"""The default query strategy: uncertain questions spread over topics, and confident answers with signs of an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeler.core.round_settings import SelectConfig
from labeler.rounds.strategies.candidate import Candidate
from labeler.rounds.strategies.topics import clusters


def mix(
    candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator, config: SelectConfig, suspect: int
) -> list[str]:
    """At most `suspect` suspects; the rest of the budget, and what is missing of these, are uncertain questions."""
    suspicious = suspects(candidates, config)[:suspect]
    unsure = [c for c in candidates if c.confidence is not None and in_band(c.confidence, config)]
    spread = diverse(unsure, budget - len(suspicious), seed=int(rng.integers(2**31)))
    return [candidate.question_id for candidate in (*suspicious, *spread)]


def in_band(confidence: float, config: SelectConfig) -> bool:
    return config.uncertain_low <= confidence <= config.uncertain_high


def suspects(pool: Sequence[Candidate], config: SelectConfig) -> list[Candidate]:
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


def diverse(unsure: Sequence[Candidate], count: int, *, seed: int) -> list[Candidate]:
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
    return clusters([f"{c.question} {c.answer or ''}" for c in candidates], count, seed=seed)
