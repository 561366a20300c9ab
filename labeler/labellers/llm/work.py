"""Requests to a language model that are under way: stored question by question, stopped by a budget or by faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from db import labellers
from db.rows import LabellerReply, NewLabellerPrediction, QuestionRow
from labeler.core.errors import EndpointError
from labeler.labellers.llm.costs import Budget
from labeler.labellers.llm.endpoint import Client, Refused, Transient
from labeler.labellers.llm.options import AskOptions
from labeler.labellers.llm.prompts import Message
from labeler.labellers.llm.replies import Reply, prediction_of
from mrc.squad import Rejected
from mrc.types import Passage

if TYPE_CHECKING:
    from labeler.core.runtime import Runtime

BUDGET: Final = "budget"  # why a run stopped
PATIENCE: Final = 3  # questions in a row that fail before the run stops, at least


@dataclass(frozen=True, slots=True)
class Annotation:
    """The result of `labeler annotate`; run again, it goes on with what is left."""

    labeller: str
    questions: int = 0  # answered in this run
    anchored: int = 0  # whose first answer is a span of a passage
    as_text: int = 0  # whose first answer stands in no passage, or is none
    no_answer: int = 0  # "not in these passages"
    requests: int = 0  # sent in this run
    cached: int = 0  # replies that were stored already
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None  # of this run, by the prices given
    left: int = 0  # questions without an answer of the labeller
    stopped: str | None = None  # why before the end: budget, limit or the error of the server
    rejected: tuple[Rejected, ...] = ()  # answers without a place, and why
    failed: tuple[Rejected, ...] = ()  # questions that the server did not answer; the next run asks them again


@dataclass(frozen=True, slots=True)
class Job:
    """A question with what is asked: one request for each sample."""

    question: QuestionRow
    passages: tuple[Passage, ...]
    messages: list[Message]
    keys: tuple[str, ...]  # of its requests, by sample
    known: Mapping[int, Reply] = field(default_factory=dict)  # stored replies, by sample

    @property
    def missing(self) -> list[int]:
        """The samples that have to be asked for."""
        return [sample for sample in range(len(self.keys)) if sample not in self.known]


@dataclass(frozen=True, slots=True)
class Asked:
    """The replies to a job, by sample, and the error that ended it."""

    replies: Mapping[int, Reply]
    error: EndpointError | None = None


def asker(client: Client, options: AskOptions) -> Callable[[Job], Asked]:
    """A function that sends the missing requests of a job, one after the other; it runs in a thread of its own."""

    def ask(job: Job) -> Asked:
        found: dict[int, Reply] = {}
        for sample in job.missing:
            try:
                found[sample] = client.ask(
                    options.model,
                    job.messages,
                    temperature=options.temperature,
                    seed=sample,
                    max_tokens=options.max_tokens,
                )
            except EndpointError as error:
                return Asked(found, error)
        return Asked(found)

    return ask


class Work:
    """Requests under way, and what came of them."""

    def __init__(self, runtime: Runtime, name: str, config: Mapping[str, Any], budget: Budget) -> None:
        self._runtime, self._name, self._config, self._budget = runtime, name, config, budget
        self._counts = Annotation(name)
        self._rejected: list[Rejected] = []
        self._failed: list[Rejected] = []
        self._in_a_row = 0
        self.stopped: str | None = None
        self.first_error: EndpointError | None = None

    @property
    def answered(self) -> int:
        """How many questions were answered."""
        return self._counts.questions

    def annotation(self, stopped: str | None, *, left: int, priced: bool) -> Annotation:
        """The result."""
        return replace(
            self._counts,
            stopped=stopped,
            left=left,
            cost=self._budget.spent if priced else None,
            rejected=tuple(self._rejected),
            failed=tuple(self._failed),
        )

    def run(
        self, jobs: Iterator[Job], ask: Callable[[Job], Asked], *, concurrency: int, done: Callable[[], object]
    ) -> None:
        """Keep so many jobs under way until none is left, or one of them stops the run."""
        under_way: dict[Future[Asked], tuple[Job, float]] = {}
        with ThreadPoolExecutor(concurrency) as threads:
            try:
                while True:
                    while self.stopped is None and len(under_way) < concurrency:
                        job = next(jobs, None)
                        if job is None:
                            break
                        reserved = self._budget.reserve(job.messages, len(job.missing))
                        if reserved is None:
                            self.stopped = BUDGET
                            break
                        under_way[threads.submit(ask, job)] = (job, reserved)
                    if not under_way:
                        return
                    for finished in wait(under_way, return_when=FIRST_COMPLETED).done:
                        job, reserved = under_way.pop(finished)
                        self._take(job, finished.result(), reserved, patience=max(PATIENCE, concurrency))
                        done()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _take(self, job: Job, asked: Asked, reserved: float, *, patience: int) -> None:
        """Store what came of a job."""
        self._budget.settle(reserved, job.messages, list(asked.replies.values()))
        rows = [self._row(job, sample, reply) for sample, reply in asked.replies.items()]
        whole = {**job.known, **asked.replies}
        found = None if asked.error is not None else self._prediction(job, whole)
        if rows or found is not None:
            with self._runtime.database.write() as session:
                labeller = labellers.ensure(session, self._name, "model", config=self._config)
                labellers.add_replies(session, labeller.id, rows)
                labellers.add_predictions(session, labeller.id, [found] if found is not None else [])
        self._count(job, rows, found)
        if asked.error is None:
            self._in_a_row = 0
            return
        self.first_error = self.first_error or asked.error
        self._failed.append(Rejected(job.question.id, str(asked.error)))
        self._in_a_row += 1
        if not isinstance(asked.error, Transient | Refused) or self._in_a_row >= patience:
            self.stopped = self.stopped or str(asked.error)

    def _row(self, job: Job, sample: int, reply: Reply) -> LabellerReply:
        cost = self._budget.cost(job.messages, reply)
        counts = (reply.prompt_tokens, reply.completion_tokens)
        return LabellerReply(job.keys[sample], reply.content, reply.probability, *counts, cost)

    def _prediction(self, job: Job, replies: Mapping[int, Reply]) -> NewLabellerPrediction:
        ordered = [replies[sample] for sample in sorted(replies)]
        return prediction_of(job.question.id, ordered, job.passages, metric=self._runtime.metric)

    def _count(self, job: Job, rows: Sequence[LabellerReply], found: NewLabellerPrediction | None) -> None:
        before = self._counts
        first = found.answers[0] if found is not None and found.answers and not found.abstains else None
        if first is not None and first.fault is not None:
            self._rejected.append(Rejected(job.question.id, first.fault))
        self._counts = replace(
            before,
            questions=before.questions + (found is not None),
            anchored=before.anchored + (first is not None and first.passage_id is not None),
            as_text=before.as_text + (first is not None and first.passage_id is None),
            no_answer=before.no_answer + (found is not None and found.abstains),
            requests=before.requests + len(rows),
            cached=before.cached + (len(job.known) if found is not None else 0),
            prompt_tokens=before.prompt_tokens + sum(row.prompt_tokens or 0 for row in rows),
            completion_tokens=before.completion_tokens + sum(row.completion_tokens or 0 for row in rows),
        )
