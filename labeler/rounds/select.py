"""Selection: whether a round releases, trains on, reviews or leaves each predicted question. Pure.

The review budget has three parts. *Random* questions of the whole pool are answered blind (without a suggestion) and
estimate the accuracy on the pool without bias. A query strategy (`labeler.rounds.strategies`) selects the others:
*uncertain* ones, which improve the reader most, and *suspects*, confident answers that may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labeler.core.round_settings import SelectConfig
from labeler.rounds.strategies import Candidate, get_strategy

Decision = Literal["train", "review", "leave"]
TaskKind = Literal["random", "uncertain", "suspect"]


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
    return _drawn(question_ids, share, seed=seed, stream=2)


def shown_blind(question_ids: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """The questions selected for a suggestion that is held back: a uniform sample of this share of them, rounded.

    As in `doubly_annotated`, the draw depends on nothing else and changes nothing else.
    """
    return _drawn(question_ids, share, seed=seed, stream=3)


def _drawn(question_ids: Sequence[str], share: float, *, seed: int, stream: int) -> frozenset[str]:
    ids = sorted(question_ids)
    drawn = np.random.default_rng([seed, stream]).permutation(len(ids))[: round(share * len(ids))]
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

    The random ones are the head of one permutation of the sampled questions, drawn before anything else, so that they
    are a uniform sample of the pool. `review.strategy` selects the others; those that it leaves over are replaced by a
    longer head.
    """
    order = [pool[i] for i in rng.permutation(len(pool))]
    sampled = [candidate for candidate in order if candidate.sampled]
    random, uncertain, suspect = _budget(min(config.review_budget, len(pool)), config, first_round=first_round)
    kinds: dict[str, TaskKind] = {c.question_id: "random" for c in sampled[:random]}
    rest = {c.question_id: c for c in pool if c.question_id not in kinds}
    strategy = get_strategy(config, suspect=suspect)
    chosen = strategy(list(rest.values()), uncertain + suspect, rng=rng)
    kinds |= {question_id: _kind(rest[question_id], config) for question_id in chosen}
    for candidate in (*sampled[random:], *(each for each in order if not each.sampled)):
        if len(kinds) >= random + uncertain + suspect:
            break
        if candidate.sampled:  # one that the strategy chose too: a longer head is a uniform sample only as a whole
            kinds[candidate.question_id] = "random"
        else:
            kinds.setdefault(candidate.question_id, _kind(candidate, config))
    presented = sorted(kinds)
    rng.shuffle(presented)
    return tuple(PlannedTask(id_, kinds[id_], blind=kinds[id_] == "random") for id_ in presented)


def _kind(candidate: Candidate, config: SelectConfig) -> TaskKind:
    confident = candidate.confidence is not None and candidate.confidence > config.uncertain_high
    return "suspect" if confident else "uncertain"


def random_tasks(budget: int, config: SelectConfig, *, first_round: bool) -> int:
    """How many of `budget` tasks are drawn at random, at least."""
    return _budget(budget, config, first_round=first_round)[0]


def _budget(budget: int, config: SelectConfig, *, first_round: bool) -> tuple[int, int, int]:
    """How many random, uncertain and suspect tasks; the remainder of rounding is random."""
    random_share = max(config.random_share, config.first_random_share) if first_round else config.random_share
    others = config.uncertain_share + config.suspect_share
    scale = (1 - random_share) / others if others else 0.0
    uncertain = math.floor(budget * config.uncertain_share * scale + 1e-9)
    suspect = math.floor(budget * config.suspect_share * scale + 1e-9)
    return budget - uncertain - suspect, uncertain, suspect
