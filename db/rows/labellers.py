"""Labellers and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class LabellerRow:
    """A named source of answers from outside."""

    id: int
    name: str
    kind: str  # file, model
    config: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LabellerAnswer:
    """An answer of a labeller: a span of a passage, or a text alone with its fault."""

    text: str
    passage_id: str | None = None
    start: int | None = None
    end: int | None = None
    score: float | None = None  # as the labeller gives it, not calibrated
    fault: str | None = None  # why the text is no span


@dataclass(frozen=True, slots=True)
class NewLabellerPrediction:
    """What a labeller answered to a question, to store."""

    question_id: str
    answers: tuple[LabellerAnswer, ...]  # best first
    abstains: bool = False  # its first answer is "not in these passages"
    null_score: float | None = None  # of "not in these passages"


@dataclass(frozen=True, slots=True)
class LabellerPredictionRow:
    """What a labeller answered to a question."""

    id: int
    labeller_id: int
    question_id: str
    import_id: int | None
    abstains: bool
    null_score: float | None
    created_at: datetime
    answers: tuple[LabellerAnswer, ...]

    @property
    def text(self) -> str:
        """The answer that the labeller gives; empty where it abstains."""
        return "" if self.abstains or not self.answers else self.answers[0].text

    @property
    def anchored(self) -> bool:
        """Whether the answer that it gives is a span of a passage."""
        return not self.abstains and bool(self.answers) and self.answers[0].passage_id is not None


@dataclass(frozen=True, slots=True)
class LabellerReply:
    """What a language model replied to one request."""

    sha256: str  # of the request
    content: str
    probability: float | None  # of the answer's tokens
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None  # by the prices given then


@dataclass(frozen=True, slots=True)
class LabellerCounts:
    """How many active questions a labeller has answered, and what its requests took."""

    name: str
    kind: str  # file, model
    questions: int
    anchored: int  # whose first answer is a span of a passage
    abstained: int
    requests: int = 0  # to a language model
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None  # by the prices given; None: no price was given
