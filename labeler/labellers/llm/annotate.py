"""Annotation by a language model: questions with passages in, anchored answers out; resumable to the question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from db import labellers, queries
from db.rows import LabellerReply, LabellerRow, QuestionRow
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.labellers import questions as labeller_questions
from labeler.labellers.llm.costs import Budget, estimated_tokens
from labeler.labellers.llm.endpoint import Client
from labeler.labellers.llm.examples import draw_examples
from labeler.labellers.llm.options import AskOptions, Prices
from labeler.labellers.llm.prompts import Example, Message, Prompt, load_prompt
from labeler.labellers.llm.replies import Reply
from labeler.labellers.llm.work import Annotation, Job, Work, asker
from labeler.labellers.passages import found_passages
from mrc.types import Passage

if TYPE_CHECKING:
    from db.engine import Session
    from labeler.core.runtime import Runtime

BATCH: Final = 64  # questions whose passages are retrieved together


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


class Annotator:
    """A language model at work on a workspace. One transaction stores a question's replies and answers."""

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        options: AskOptions,
        *,
        roles: Sequence[str] = (),
        ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> None:
        """`ids`: of the questions, instead of roles. Raises NotReady: there is no question of these roles to ask."""
        self._runtime, self.name, self._options = runtime, name, options
        self._prompt: Prompt = load_prompt(runtime.workspace.folder, options.language)
        self._limit = limit
        with runtime.database.read() as session:
            folds = runtime.config.calibrate.folds
            asked = _questions(session, roles, folds) if ids is None else queries.questions(session, ids=ids)
            row = queries.find_labeller(session, name)
            done = set(queries.answered(session, row.id)) if row is not None else set()
        self._examples: tuple[Example, ...] = draw_examples(runtime, options.examples, before=_examples_of(row))
        shown = {each.question_id for each in self._examples}
        if ids is None and not any(each.id not in shown for each in asked):
            raise NotReady(_nothing_to_ask(roles))
        self._questions = [each for each in asked if each.id not in done | shown]

    @property
    def left(self) -> int:
        """How many questions the labeller has not answered."""
        return len(self._questions)

    @property
    def config(self) -> dict[str, Any]:
        """What is stored with the labeller."""
        ids = tuple(each.question_id for each in self._examples)
        return self._options.config(template_sha256=self._prompt.sha256, examples=ids)

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

        The labeller is stored with its first reply. Raises: EndpointError where the server answers nothing at all;
        Conflict where the labeller was begun otherwise.
        """
        config = self.config
        with self._runtime.database.read() as session:
            labellers.check(session, self.name, "model", config=config)
        work = Work(self._runtime, self.name, config, Budget(prices, budget, max_tokens=self._options.max_tokens))
        ask = asker(client, self._options)
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


def _questions(session: Session, roles: Sequence[str], folds: int | None) -> list[QuestionRow]:
    """The questions of these roles in id order; of the pool those without a gold or human label.

    Beside the pool, gold questions take the place of calibration questions where none are held out: see
    `labeller_questions.to_calibrate`.
    """
    pool = queries.pool_to_predict(session) if "pool" in roles else []
    found = [*pool, *queries.questions(session, roles=[role for role in roles if role != "pool"], duplicates=False)]
    if pool and "calibration" in roles:
        found += labeller_questions.to_calibrate(session, folds=folds)
    return sorted({each.id: each for each in found}.values(), key=lambda each: each.id)


def _examples_of(row: LabellerRow | None) -> tuple[str, ...] | None:
    """The questions that a labeller was begun with as examples; None for a new one."""
    return tuple(row.config.get("examples", ())) if row is not None else None


def _nothing_to_ask(roles: Sequence[str]) -> str:
    every = " and ".join(roles)
    return (
        f"there is no question of {every} to ask; add some with: labeler import FILE --as pool (or name others with "
        "--role; questions of the pool that have a gold or human label are not asked)"
    )


def _key(options: AskOptions, messages: Sequence[Message], sample: int) -> str:
    """The hash of a request, by which its reply is stored."""
    parts = [options.model, list(messages), options.temperature, options.max_tokens, sample]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _reply(row: LabellerReply) -> Reply:
    return Reply(row.content, row.probability, row.prompt_tokens, row.completion_tokens)
