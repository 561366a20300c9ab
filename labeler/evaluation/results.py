"""How a reader did, question by question: what evaluation stores and the gate compares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """How a reader did on one dev question."""

    question_id: str
    cluster: str  # document (or paragraph): the unit that the bootstrap draws
    exact_match: float  # 0 or 1
    f1: float  # 0-1
