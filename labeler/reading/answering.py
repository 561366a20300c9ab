"""Retrieve and read: a reader's predictions for stored questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from db.rows import QuestionRow
from labeler.core.runtime import Runtime
from mrc.metrics import Metric
from mrc.postprocess.rules import null_margin
from mrc.read.config import ReadConfig
from mrc.text import passage_id, valid_text
from mrc.types import Passage, Prediction, Question

if TYPE_CHECKING:
    from mrc.postprocess.rules import Refine
    from mrc.read.predict.adaptive import StoppingRule
    from mrc.read.predict.groups import Answerer


class InContext(Protocol):
    """A question with the passage that it is asked on."""

    @property
    def id(self) -> str: ...

    @property
    def question(self) -> str: ...

    @property
    def context(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """What was tuned for a reader: post-processing of spans, the weight of the retrieval score of a passage
    (`mrc.calibration.retrieval_weight`), and how many of the retrieved passages are read; None: all."""

    refine: Refine | None = None
    retrieval_weight: float = 0.0
    passages: int | None = None


UNTUNED: Final = ReadingPlan()


def answers(
    runtime: Runtime,
    questions: Sequence[QuestionRow],
    reader: Answerer,
    fingerprint: str | None,
    *,
    plan: ReadingPlan = UNTUNED,
    stopping: StoppingRule | None = None,
) -> Iterator[Prediction]:
    """A reader's predictions, in the order of the questions.

    Args:
        runtime: its settings say how many passages are retrieved and how they are read.
        questions: stored questions.
        reader: a reader, an ensemble or a cascade.
        fingerprint: of the index to retrieve from; None: each question is read in the passage it came with.
        plan: how the reader reads; without an index only its post-processing applies.
        stopping: a rule that skips further passages of a question.
    """
    from mrc import pipeline

    asked = [Question(row.id, row.text) for row in questions]
    if fingerprint is None:
        given = runtime.fetch([row.context_id for row in questions if row.context_id])
        passages = [[given[row.context_id]] if row.context_id else [] for row in questions]
        return pipeline.read(
            asked, passages, reader=reader, config=runtime.config.read, metric=runtime.metric, refine=plan.refine
        )
    index = runtime.index(fingerprint)
    return pipeline.answer(
        asked,
        retriever=index,
        reader=reader,
        fetch=runtime.fetch,
        k=runtime.config.read.top_k,
        config=runtime.config.read,
        metric=runtime.metric,
        hybrid=index.dense is not None,
        refine=plan.refine,
        stopping=stopping,
        retrieval_weight=plan.retrieval_weight,
        read=plan.passages,
    )


def read_in_context(
    examples: Sequence[InContext], reader: Answerer, *, config: ReadConfig, metric: Metric, refine: Refine | None = None
) -> Iterator[Prediction]:
    """A reader's predictions for the questions of a file, in order, each from its own context."""
    from mrc import pipeline

    asked = [Question(each.id, each.question) for each in examples]
    passages = [[Passage(passage_id(valid_text(each.context)), each.context)] for each in examples]
    return pipeline.read(asked, passages, reader=reader, config=config, metric=metric, refine=refine)


def best_text(prediction: Prediction, *, may_abstain: bool, null_threshold: float = 0.0) -> tuple[str, str | None]:
    """The best answer's text and passage; ("", None) where there is none or the reader abstains.

    It may abstain if `may_abstain`, and does where log(mass of "no answer" / mass of the best answer) is above
    `null_threshold` (nats).
    """
    if not prediction.answers:
        return "", None
    best = prediction.answers[0]
    if may_abstain and null_margin(prediction.null_score, best.score) > null_threshold:
        return "", None
    return best.text, best.passage_id
