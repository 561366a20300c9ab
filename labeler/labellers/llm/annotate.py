"""Annotation by a language model: questions with passages in, anchored answers out; resumable to the question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from db import labellers, queries
from db.rows import LabellerReply, LabellerRow, NewLabellerPrediction, QuestionRow
from labeler.core.errors import EndpointError
from labeler.core.progress import bar
from labeler.labellers.llm.costs import Budget, estimated_tokens
from labeler.labellers.llm.endpoint import Client, Transient
from labeler.labellers.llm.examples import draw_examples
from labeler.labellers.llm.options import AskOptions, Prices
from labeler.labellers.llm.prompts import Example, Message, Prompt, load_prompt
from labeler.labellers.llm.replies import Reply, prediction_of
from labeler.labellers.passages import found_passages
from mrc.squad import Rejected
from mrc.types import Passage

if TYPE_CHECKING:
    from db.engine import Session
    from labeler.core.runtime import Runtime

BATCH: Final = 64  # questions whose passages are retrieved together
PATIENCE: Final = 3  # questions in a row that fail before the run stops, at least


@dataclass(frozen=True, slots=True)
class Annotation:
    """The result of `labeler annotate`; run again, it goes on with what is left."""

    labeller: str
    questions: int  # answered in this run
    anchored: int  # whose first answer is a span of a passage
    as_text: int  # whose first answer stands in no passage, or is none
    no_answer: int  # "not in these passages"
    requests: int  # sent in this run
    cached: int  # replies that were stored already
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # of this run, by the prices given
    left: int  # questions without an answer of the labeller
    stopped: str | None  # why before the end: budget, limit or the error of the server
    rejected: tuple[Rejected, ...] = ()  # answers without a place, and why
    failed: tuple[Rejected, ...] = ()  # questions that the server did not answer; the next run asks them again


@dataclass(frozen=True, slots=True)
class AnnotationForecast:
    """What a run would take at most; estimated, since only the server knows its tokens."""

    labeller: str
    questions: int
    requests: int
    cached: int
    prompt_tokens: int
    completion_tokens: int  # at most
    cost: float | None


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
class _Asked:
    """The replies to a job, by sample, and the error that ended it."""

    replies: Mapping[int, Reply]
    error: EndpointError | None = None


class Annotator:
    """A language model at work on a workspace. One transaction stores a question's replies and answers."""

    def __init__(
        self, runtime: Runtime, name: str, options: AskOptions, *, roles: Sequence[str], limit: int | None = None
    ) -> None:
        self._runtime, self.name, self._options = runtime, name, options
        self._prompt: Prompt = load_prompt(runtime.workspace.folder, options.language)
        self._examples: tuple[Example, ...] = draw_examples(runtime, options.examples)
        self._limit = limit
        with runtime.database.read() as session:
            self._questions = self._open_questions(session, roles)

    @property
    def config(self) -> dict[str, Any]:
        """What is stored with the labeller."""
        ids = tuple(each.question_id for each in self._examples)
        return self._options.config(template_sha256=self._prompt.sha256, examples=ids)

    def _open_questions(self, session: Session, roles: Sequence[str]) -> list[QuestionRow]:
        """The questions of these roles that the labeller has not answered, in id order; those of examples never."""
        row = queries.find_labeller(session, self.name)
        done = set(queries.answered(session, row.id)) if row is not None else set()
        done |= {each.question_id for each in self._examples}
        pool = queries.pool_to_predict(session) if "pool" in roles else []
        others = queries.questions(session, roles=[role for role in roles if role != "pool"], duplicates=False)
        return sorted((each for each in (*pool, *others) if each.id not in done), key=lambda each: each.id)

    def forecast(self, prices: Prices) -> AnnotationForecast:
        """What a run would take. Nothing is sent or written."""
        chosen, requests, cached, tokens = self._chosen, 0, 0, 0
        for job in self._jobs(chosen):
            requests += len(job.missing)
            cached += len(job.known)
            tokens += estimated_tokens(job.messages) * len(job.missing)
        completion = requests * self._options.max_tokens
        return AnnotationForecast(
            self.name, len(chosen), requests, cached, tokens, completion, prices.cost(tokens, completion)
        )

    @property
    def _chosen(self) -> list[QuestionRow]:
        return self._questions[: self._limit]

    def run(self, client: Client, *, prices: Prices, budget: float | None, concurrency: int) -> Annotation:
        """Ask the model and store what it answers, until nothing is left or something stops it.

        Raises: EndpointError where the server answers nothing at all; Conflict where the labeller was begun otherwise.
        """
        with self._runtime.database.write() as session:
            row = labellers.ensure(session, self.name, "model", config=self.config)
        work = _Work(self._runtime, row, Budget(prices, budget, max_tokens=self._options.max_tokens))
        ask = _asker(client, self._options)
        with bar("annotate", total=len(self._chosen), unit="questions") as progress:
            work.run(self._jobs(self._chosen), ask, concurrency=concurrency, done=progress.update)
        if work.first_error is not None and not work.answered:
            raise work.first_error
        stopped = work.stopped or ("limit" if self._limit and len(self._questions) > self._limit else None)
        priced = prices.prompt is not None
        return work.annotation(stopped, left=len(self._questions) - work.answered, priced=priced)

    def _jobs(self, questions: Sequence[QuestionRow]) -> Iterator[Job]:
        for first in range(0, len(questions), BATCH):
            part = questions[first : first + BATCH]
            found = found_passages(self._runtime, part, count=self._options.passages)
            jobs = [self._job(*each) for each in zip(part, found, strict=True)]
            with self._runtime.database.read() as session:
                stored = queries.replies(session, [key for job in jobs for key in job.keys])
            for job in jobs:
                known = {place: _reply(stored[key]) for place, key in enumerate(job.keys) if key in stored}
                yield replace(job, known=known)

    def _job(self, question: QuestionRow, passages: Sequence[Passage]) -> Job:
        messages = self._prompt.messages(question.text, passages, self._examples)
        samples = self._options.samples if passages else 0  # without passages there is nothing to ask
        keys = tuple(_key(self._options, messages, sample) for sample in range(samples))
        return Job(question, tuple(passages), messages, keys)


def _key(options: AskOptions, messages: Sequence[Message], sample: int) -> str:
    """The hash of a request, by which its reply is stored."""
    parts = [options.model, list(messages), options.temperature, options.max_tokens, sample]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _reply(row: LabellerReply) -> Reply:
    return Reply(row.content, row.probability, row.prompt_tokens, row.completion_tokens)


def _asker(client: Client, options: AskOptions) -> Callable[[Job], _Asked]:
    """A function that sends the missing requests of a job, one after the other; it runs in a thread of its own."""

    def ask(job: Job) -> _Asked:
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
                return _Asked(found, error)
        return _Asked(found)

    return ask


class _Work:
    """Requests under way, and what came of them."""

    def __init__(self, runtime: Runtime, labeller: LabellerRow, budget: Budget) -> None:
        self._runtime, self._labeller, self._budget = runtime, labeller, budget
        self._counts = Annotation(labeller.name, 0, 0, 0, 0, 0, 0, 0, 0, None, 0, None)
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
        self, jobs: Iterator[Job], ask: Callable[[Job], _Asked], *, concurrency: int, done: Callable[[], object]
    ) -> None:
        """Keep so many jobs under way until none is left, or one of them stops the run."""
        under_way: dict[Future[_Asked], tuple[Job, float]] = {}
        with ThreadPoolExecutor(concurrency) as threads:
            try:
                while True:
                    while self.stopped is None and len(under_way) < concurrency:
                        job = next(jobs, None)
                        if job is None:
                            break
                        reserved = self._budget.reserve(job.messages, len(job.missing))
                        if reserved is None:
                            self.stopped = "budget"
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

    def _take(self, job: Job, asked: _Asked, reserved: float, *, patience: int) -> None:
        """Store what came of a job."""
        self._budget.settle(reserved, job.messages, list(asked.replies.values()))
        rows = [self._row(job, sample, reply) for sample, reply in asked.replies.items()]
        whole = {**job.known, **asked.replies}
        found = None if asked.error is not None else self._prediction(job, whole)
        with self._runtime.database.write() as session:
            labellers.add_replies(session, self._labeller.id, rows)
            if found is not None:
                labellers.add_predictions(session, self._labeller.id, [found])
        self._count(job, rows, found)
        if asked.error is None:
            self._in_a_row = 0
            return
        self.first_error = self.first_error or asked.error
        self._failed.append(Rejected(job.question.id, str(asked.error)))
        self._in_a_row += 1
        if not isinstance(asked.error, Transient) or self._in_a_row >= patience:
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
