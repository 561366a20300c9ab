"""The current reader's answers to tasks: those that its round stored, else read now, a few tasks at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from itertools import islice

from db import queries
from db.rows import AnswerRow, ModelRow, QuestionRow, RoundRow, TaskRow
from labeler.core import convert
from labeler.core.runtime import Runtime
from labeler.reading import answering, folds, postprocessing
from labeler.reading.early_exit import stored_rule
from labeler.review.consensus import JUDGEMENT
from labeler.rounds.resolved_settings import of_round

CHUNK = 32  # tasks read together: a call for one task does not wait for the 500 of another
KEPT = 20_000  # tasks whose answers stay in memory

Answers = tuple[AnswerRow, ...]  # best first


class Suggester:
    """Answers tasks by the reader that is current when it is asked. Calls from several threads share one reader.

    Reading needs no lock of the workspace, so a round may train meanwhile.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reader")  # chunks of all calls, one after the other
        self._read: dict[tuple[int, int], Answers] = {}  # by reader and task

    def close(self) -> None:
        """End the reading, apart from the chunk that is being read."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def current(self) -> ModelRow:
        """The current reader. Raises NotReady."""
        return self._runtime.best_model()

    def load(self) -> ModelRow:
        """Load the current reader, so that the first call does not wait for it, and return it. Raises NotReady."""
        model = self.current()
        self._worker.submit(self._runtime.answerer, model).result()
        return model

    def answers(self, tasks: Sequence[TaskRow], *, until: float) -> Mapping[int, Answers]:
        """Answers by task id; a task that was not reached at the moment `until` (monotonic) is absent.

        A blind task has none. A judgement has the answer that its audit asks about, and a task of a round that a
        labeller predicted has the labeller's. All others have those of the current reader.

        Raises: NotReady where there is no reader, or an index is gone.
        """
        reader = self.current()
        found: dict[int, Answers] = {task.id: () for task in tasks if task.blind}
        found |= self._stored([task for task in tasks if task.id not in found], reader)
        found |= self._known([task for task in tasks if task.id not in found], reader)
        left = {task.id: task for task in tasks if task.id not in found}
        slowest = 0.0
        for chunk in _chunks(left.values()):
            began = time.monotonic()
            if began + slowest > until:
                break
            try:
                found |= self._worker.submit(self._read_chunk, chunk, reader).result(until - began)
            except NotInTime:
                break
            slowest = max(slowest, time.monotonic() - began)
        return found

    def _stored(self, tasks: Sequence[TaskRow], reader: ModelRow) -> dict[int, Answers]:
        """The answers that a round stored: of this reader, of a labeller that the round took, and of judgements."""
        with self._runtime.database.read() as session:
            rounds = queries.rounds(session)
            kept = {row.number for row in rounds if row.teacher_id == reader.id or row.labeller_id is not None}
            usable = [task for task in tasks if task.kind == JUDGEMENT or task.round_number in kept]
            answers = {
                (number, row.question_id): row.answers
                for number, some in _by_round(usable).items()
                for row in queries.predictions(session, number, question_ids={task.question_id for task in some})
            }
        keys = {task.id: (task.round_number, task.question_id) for task in usable}
        found = {task_id: answers[key] for task_id, key in keys.items() if key in answers}
        return {task.id: () for task in usable if task.kind == JUDGEMENT} | found

    def _known(self, tasks: Sequence[TaskRow], reader: ModelRow) -> dict[int, Answers]:
        """The answers that were read before."""
        known = ((task.id, self._read.get((reader.id, task.id))) for task in tasks)
        return {task_id: answers for task_id, answers in known if answers is not None}

    def _read_chunk(self, tasks: Sequence[TaskRow], reader: ModelRow) -> dict[int, Answers]:
        """Read tasks, unless another call just did; with the settings and the index of their rounds."""
        found = self._known(tasks, reader)
        for number, some in _by_round([task for task in tasks if task.id not in found]).items():
            with self._runtime.database.read() as session:
                row = queries.round_(session, number)
                questions = queries.questions(session, ids={task.question_id for task in some}, active=False)
            answers = _answers(of_round(self._runtime, row), row, questions, reader)
            found |= {task.id: answers.get(task.question_id, ()) for task in some}
        self._read |= {(reader.id, task_id): answers for task_id, answers in found.items()}
        for key in list(self._read)[:-KEPT]:
            del self._read[key]
        return found


def _answers(runtime: Runtime, row: RoundRow, questions: Sequence[QuestionRow], reader: ModelRow) -> dict[str, Answers]:
    """The reader's answers by question id; a question that taught it is read by the fold reader that did not see it."""
    with runtime.database.read() as session:
        readers = folds.readers_of(session, reader)
    plan, index = postprocessing.plan_of(runtime, reader), row.index_fingerprint
    stopping = stored_rule(runtime, reader, index=index) if index else None
    by_model: dict[int, tuple[ModelRow, list[QuestionRow]]] = {}
    for question in questions:
        model = readers.of(question)
        by_model.setdefault(model.id, (model, []))[1].append(question)
    found = {}
    for model, some in by_model.values():
        answerer = runtime.answerer(model)
        for prediction in answering.answers(runtime, some, answerer, index, plan=plan, stopping=stopping):
            found[prediction.question_id] = convert.new_prediction(prediction).answers
    return found


def _by_round(tasks: Sequence[TaskRow]) -> dict[int, list[TaskRow]]:
    found: dict[int, list[TaskRow]] = {}
    for task in tasks:
        found.setdefault(task.round_number, []).append(task)
    return found


def _chunks(tasks: Iterable[TaskRow]) -> Iterator[list[TaskRow]]:
    rows = iter(tasks)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
