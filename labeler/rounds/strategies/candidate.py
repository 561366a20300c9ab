"""A question as a query strategy sees it, and what a strategy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


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
    sampled: bool = True  # one of a uniform sample of the pool; False: its round took it by confidence and topic
    held_out: bool = False  # the answer's passage belongs to dev, test or calibration
    passage_rank: int | None = None  # of the answer's passage, from 0
    margin: float | None = None  # mass minus that of the next answer, 0-1
    support: int | None = None  # passages that hold the answer, from 1
    features: Mapping[str, float] = field(default_factory=dict)  # of mrc.calibration.features; none without an answer


class QueryStrategy(Protocol):
    """Selects questions to review."""

    def __call__(self, candidates: Sequence[Candidate], budget: int, *, rng: np.random.Generator) -> Sequence[str]:
        """The ids of at most `budget` of the candidates, each once. What is left of the budget is drawn at random.

        Equal candidates (they come in the order of their ids) and an equal generator must give equal ids.
        """
