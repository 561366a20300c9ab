"""Query strategies that take the first of a ranking, at most one question of a split group while there are others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from labeler.core.round_settings import SelectConfig
from labeler.rounds.strategies.candidate import Candidate


def nothing(candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator) -> list[str]:
    """No question: the whole budget is drawn at random, blind."""
    return []


def uncertain(
    candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator, config: SelectConfig
) -> list[str]:
    """The questions whose confidence is nearest to the middle of the uncertain band."""
    middle = (config.uncertain_low + config.uncertain_high) / 2
    known = [c for c in candidates if c.confidence is not None]
    return _first(known, budget, key=lambda c: abs((c.confidence or 0.0) - middle))


def margin(candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator) -> list[str]:
    """The questions whose two best answers are closest.

    Source: Scheffer et al. 2001, Active hidden Markov models for information extraction, margins of whole answers.
    """
    return _first([c for c in candidates if c.margin is not None], budget, key=lambda c: c.margin or 0.0)


def disagreement(candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator) -> list[str]:
    """The questions that the reader answers from another passage than the first retrieved, the surest reader first."""
    apart = [c for c in candidates if c.passage_rank and c.score is not None]
    return _first(apart, budget, key=lambda c: -(c.score or 0.0))


def _first(candidates: Sequence[Candidate], budget: int, *, key: Callable[[Candidate], float]) -> list[str]:
    """The lowest keys, ties by question id; a second question of a split group only after the first of all."""
    seen: set[str] = set()
    ranked: list[tuple[bool, float, str]] = []
    for candidate in sorted(candidates, key=lambda c: (key(c), c.question_id)):
        ranked.append((candidate.split_group in seen, key(candidate), candidate.question_id))
        seen.add(candidate.split_group)
    return [question_id for _, _, question_id in sorted(ranked)[:budget]]
