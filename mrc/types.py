"""The nouns of reading comprehension. Offsets are Python code points into `Passage.text`, end exclusive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored paragraph; `id` is the hash of its exact text (`mrc.text.passage_id`)."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """`text == passage[start:end]` of the passage named."""

    passage_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage. `rank` counts from 0; passages are ranked by `score`; unused component scores are None.

    Hits with a `rerank` score come first, ranked by it; their `score` is that of the retrieval before. `standardized`
    is how far a passage stands out: its score in standard deviations above the mean of the question's ranking, so that
    questions and retrievers compare; a re-ranked passage has that of its new place; 0 where passages were given.
    """

    passage_id: str
    rank: int
    score: float
    bm25: float | None = None
    dense: float | None = None
    rerank: float | None = None
    standardized: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A candidate answer after merging spans of equal normalised text; its span is the most probable one.

    `score` is the mass of all merged spans, `probability` that of the span shown. Both are shares of one softmax
    over all spans (and "no answer") of all passages read, so they compare across passages. Neither is calibrated.
    """

    text: str
    passage_id: str
    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A reader's ranked answers to one question; empty `answers` when no passage was found.

    `null_score` is the mass of "not in these passages". `features` are inputs of the calibrator
    (mrc.calibration.features).
    """

    question_id: str
    answers: tuple[Answer, ...]
    null_score: float
    hits: tuple[Hit, ...]
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """One question of a SQuAD-style file with the context it came with and its gold answers, most frequent first.

    `all_answers` holds them as the file has them: in its order, one given three times three times; empty where
    `answers` is the same.
    """

    id: str
    question: str
    context: str
    answers: tuple[Span, ...]
    title: str = ""
    is_impossible: bool | None = None  # None where the format has no such field
    all_answers: tuple[Span, ...] = ()
