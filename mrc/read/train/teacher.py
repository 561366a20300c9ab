"""Soft targets: teachers' probabilities on characters, so that teacher and student may have different tokenizers.

Source: Hinton, Vinyals & Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (temperature).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrc.read.config import ReadConfig
from mrc.read.predict.char_probs import StoredVoter, votes
from mrc.read.predict.forward import Budget, Network
from mrc.read.predict.groups import Group, batched
from mrc.read.train_config import PassageTarget, SoftTarget, TrainingExample
from mrc.text import passage_id
from mrc.types import Passage
from mrc.voting import CharProbs, average


def soft_targets(
    members: Sequence[Network | StoredVoter],
    examples: Sequence[TrainingExample],
    *,
    config: ReadConfig,
    temperature: float,
) -> list[SoftTarget | None]:
    """The members' mean probabilities for each example: of starts and of ends, in a softmax at this temperature over
    its context, its negatives and the "no answer" of every window, with their priors; each side sums to 1. None for an
    example of which no member, all of them stored answers, says anything.

    Raises: ValueError without members or for a temperature that is not above 0; BadCheckpoint; OutOfMemory.
    """
    if not members:
        raise ValueError("soft targets need at least one teacher")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    budgets = [Budget(config.batch_tokens) for _ in members]
    targets: list[SoftTarget | None] = []
    for chunk in batched(examples, config.chunk_size):
        groups = [
            Group(example.question, _passages(example), tuple(prior / temperature for prior in example.priors))
            for example in chunk
        ]
        read = [
            votes(member, groups, config=config, budget=budget, temperature=temperature)
            for member, budget in zip(members, budgets, strict=True)
        ]
        targets.extend(_mean(question) for question in zip(*read, strict=True))
    return targets


def _mean(question: Sequence[Sequence[CharProbs] | None]) -> SoftTarget | None:
    """The mean of the members that have a vote; None without any."""
    voting = [own for own in question if own is not None]
    return _target([average(own) for own in zip(*voting, strict=True)]) if voting else None


def _passages(example: TrainingExample) -> tuple[Passage, ...]:
    return tuple(Passage(passage_id(text), text) for text in (example.context, *example.negatives))


def _target(passages: Sequence[CharProbs]) -> SoftTarget:
    """The probabilities of a question's passages, renormalised without tokens of white space."""
    starts = sum(float(np.exp(own.start_log).sum() + np.exp(own.null_start)) for own in passages)
    ends = sum(float(np.exp(own.end_log).sum() + np.exp(own.null_end)) for own in passages)
    return SoftTarget(
        tuple(
            PassageTarget(
                starts=own.starts,
                start_mass=np.exp(own.start_log) / starts,
                ends=own.ends,
                end_mass=np.exp(own.end_log) / ends,
                null_start=float(np.exp(own.null_start)) / starts,
                null_end=float(np.exp(own.null_end)) / ends,
            )
            for own in passages
        )
    )
