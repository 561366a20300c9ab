"""Retrieve and read: a reader's predictions for stored questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from db import queries
from db.rows import ModelRow, QuestionRow
from labeler.core.runtime import Runtime
from labeler.reading.remote import Asked, HowToRead, RemoteReader, chunk_results, in_order, remote_reader
from mrc.metrics import Metric
from mrc.postprocess.rules import null_margin
from mrc.read.config import ReadConfig
from mrc.text import passage_id, valid_text
from mrc.types import Hit, Passage, Prediction, Question

if TYPE_CHECKING:
    from mrc.postprocess.rules import Refine
    from mrc.ranking import Candidate
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


def answerer(runtime: Runtime, model: ModelRow) -> Answerer | RemoteReader:
    """A reader of the workspace with its ensemble or cascade; on a cluster, what its workers load.

    Raises: as `Runtime.answerer`.
    """
    return remote_reader(runtime, model) if runtime.config.compute.on_ray else runtime.answerer(model)


def answers(
    runtime: Runtime,
    questions: Sequence[QuestionRow],
    reader: Answerer | RemoteReader,
    fingerprint: str | None,
    *,
    plan: ReadingPlan = UNTUNED,
    stopping: StoppingRule | None = None,
) -> Iterator[Prediction]:
    """A reader's predictions, in the order of the questions.

    Args:
        runtime: its settings say how many passages are retrieved and how they are read.
        questions: stored questions.
        reader: a reader, an ensemble or a cascade, or what the workers of a cluster load.
        fingerprint: of the index to retrieve from; None: each question is read in the passage it came with.
        plan: how the reader reads; without an index only its post-processing applies.
        stopping: a rule that skips further passages of a question.
    """
    from mrc import pipeline

    if isinstance(reader, RemoteReader):
        return _on_cluster(runtime, questions, reader, fingerprint, _how(runtime, plan, stopping))
    asked = [Question(row.id, row.text) for row in questions]
    if fingerprint is None:
        passages = _given(runtime, questions)
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


def answers_of_chunks(
    runtime: Runtime,
    chunks: Sequence[Sequence[str]],
    reader: RemoteReader,
    fingerprint: str | None,
    *,
    plan: ReadingPlan = UNTUNED,
    stopping: StoppingRule | None = None,
) -> Iterator[tuple[int, list[Prediction]]]:
    """The number of each chunk of question ids with a cluster's predictions, as workers send them; see `answers`."""
    asked = _Chunks(runtime, chunks, fingerprint)
    return chunk_results(runtime, reader, fingerprint, _how(runtime, plan, stopping), asked)


def candidates_on_cluster(
    runtime: Runtime, questions: Sequence[QuestionRow], reader: RemoteReader, fingerprint: str
) -> Iterator[tuple[tuple[Candidate, ...], tuple[Hit, ...]]]:
    """What `mrc.pipeline.read_candidates` returns, from a cluster."""
    how = replace(_how(runtime, UNTUNED, None), spans=True)
    return _on_cluster(runtime, questions, reader, fingerprint, how)


def _on_cluster(
    runtime: Runtime, questions: Sequence[QuestionRow], reader: RemoteReader, fingerprint: str | None, how: HowToRead
) -> Iterator[Any]:
    """The results of the questions, in order; they are cut into the chunks that one process reads together."""
    size = runtime.config.read.chunk_size
    parts = [questions[start : start + size] for start in range(0, len(questions), size)]
    asked = [_asked(runtime, part, fingerprint) for part in parts]
    return in_order(chunk_results(runtime, reader, fingerprint, how, asked))


class _Chunks(Sequence[Asked]):
    """Chunks of question ids whose questions are read from the database when they are sent."""

    def __init__(self, runtime: Runtime, ids: Sequence[Sequence[str]], fingerprint: str | None) -> None:
        self._runtime, self._ids, self._fingerprint = runtime, ids, fingerprint

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: Any) -> Any:
        with self._runtime.database.read() as session:
            questions = queries.questions(session, ids=self._ids[number], active=False)
        return _asked(self._runtime, questions, self._fingerprint)


def _asked(runtime: Runtime, questions: Sequence[QuestionRow], fingerprint: str | None) -> Asked:
    """The questions of a chunk as workers are sent them, with the passages they came with if no index is named."""
    given = _given(runtime, questions) if fingerprint is None else [()] * len(questions)
    return tuple((Question(row.id, row.text), tuple(own)) for row, own in zip(questions, given, strict=True))


def _given(runtime: Runtime, questions: Sequence[QuestionRow]) -> list[list[Passage]]:
    """The passage that each question came with; none where it came without."""
    given = runtime.fetch([row.context_id for row in questions if row.context_id])
    return [[given[row.context_id]] if row.context_id else [] for row in questions]


def _how(runtime: Runtime, plan: ReadingPlan, stopping: StoppingRule | None) -> HowToRead:
    return HowToRead(
        config=runtime.config.read,
        metric=runtime.metric,
        k=runtime.config.read.top_k,
        refine=plan.refine,
        retrieval_weight=plan.retrieval_weight,
        read=plan.passages,
        stopping=stopping,
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
