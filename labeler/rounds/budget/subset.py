"""Which questions of the pool a round takes where its budget does not cover all. Pure.

Half of the subset, and at least as many as are reviewed at random, is a uniform sample of the whole pool: it measures
accuracy without bias, and reaches questions that no round has read. The others come by confidence and diversity: the
most confident questions of each topic, each topic by its share of the pool, at most one question of a split group while
there are others. Confidences are those of earlier rounds; questions that none has read follow at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.rows import QuestionRow
from labeler.rounds.strategies.topics import topics

SAMPLED_SHARE = 0.5  # of a subset, drawn uniformly from the whole pool, at least
TOPICS = 64  # clusters of questions over which the others are spread, at most
LEAST_OF_TOPIC = 4  # questions taken of each topic on average, at least: of fewer, small topics would give none


@dataclass(frozen=True, slots=True)
class Subset:
    """Ids of pool questions: `sampled` are a uniform sample of the pool, `selected` are taken beside them."""

    sampled: tuple[str, ...]
    selected: tuple[str, ...]
    left_out: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return frozenset((*self.sampled, *self.selected))


def choose(
    pool: Sequence[QuestionRow], count: int, *, random: int, confidences: Mapping[str, float], seed: int
) -> Subset:
    """A subset of `count` questions of the pool. Equal questions, in any order, and an equal seed give an equal one.

    Args:
        random: questions that are to be reviewed at random: at least so many are sampled uniformly.
        confidences: 0-1, of the questions that earlier rounds have read.
    """
    ordered = sorted(pool, key=lambda question: question.id)
    rng = np.random.default_rng([seed, 4])
    order = [ordered[place] for place in rng.permutation(len(ordered))]
    size = min(count, max(random, round(SAMPLED_SHARE * count)))
    sampled, rest = order[:size], order[size:]
    selected = _spread(rest, count - size, confidences, seed=int(rng.integers(2**31)))
    first, others = (tuple(sorted(question.id for question in some)) for some in (sampled, selected))
    return Subset(first, others, frozenset(question.id for question in pool).difference(first, others))


def _spread(
    questions: Sequence[QuestionRow], count: int, confidences: Mapping[str, float], *, seed: int
) -> list[QuestionRow]:
    """The first `count` by rank within their topic, as a share of the topic's size; the order given breaks ties."""
    if not count:
        return []
    topic = topics([question.text for question in questions], min(TOPICS, count // LEAST_OF_TOPIC), seed=seed)
    sizes = Counter(topic)
    places: Counter[int] = Counter()
    seen: set[str] = set()
    ranked: list[tuple[bool, float, int]] = []
    by_confidence = sorted(
        range(len(questions)), key=lambda place: (-confidences.get(questions[place].id, -1.0), place)
    )
    for place in by_confidence:
        question, own = questions[place], topic[place]
        ranked.append((question.split_group in seen, (places[own] + 0.5) / sizes[own], place))
        places[own] += 1
        seen.add(question.split_group)
    return [questions[place] for _, _, place in sorted(ranked)[:count]]
