"""A review session in a terminal: the open tasks of the current round, one after another, for one person.

Each review is stored at once, in one transaction; stopping at any moment loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from db import queries, store
from db.rows import NewReview, RoundRow, TaskRow
from labeler.core.errors import NotReady, WorkspaceBusy
from labeler.core.runtime import Runtime
from labeler.review.consensus import JUDGEMENT
from labeler.review.follow_up import resolve
from labeler.review.guidelines import guidelines
from labeler.review.judgement import own_answer
from labeler.review.presentation import candidates_of, passage_order
from labeler.review.searching import further_passages
from labeler.review.terminal.prompt import TaskPrompt, Terminal, read_key
from labeler.review.terminal.screen import Screen, TaskView, format_passages, format_task, one_line, wrap
from mrc.errors import StaleIndex

PAUSE = 180.0  # seconds between two keys; a longer pause counts as this much

HELP = """\
Enter  the first candidate is right        1-9  this candidate is right
a      type the answer as in a passage
f      search further passages by words of your own
n      the passages do not answer it       b    bad question
d      the audited answer says something else than the blind one
s      skip                                u    undo the last review
c      comment on this question            ?    this help
q      quit; the next call continues here"""


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """The result of a session. `left`: tasks still open for this reviewer; `others`: open ones for others only."""

    reviews: int  # of every verdict
    skipped: int  # of these
    left: int
    others: int
    next: str  # the command that leads on


class _Quit(Exception):
    """The reviewer ends the session."""


class _Undo(Exception):
    """The reviewer undoes the last review."""


class ReviewSession:
    """One person at the open tasks of the current round. Raises NotReady where no round is open."""

    def __init__(
        self,
        runtime: Runtime,
        reviewer: str,
        terminal: Terminal,
        screen: Screen,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._reviewer = reviewer
        self._terminal = terminal
        self._screen = screen
        self._clock = clock
        self._round = _current_round(runtime)
        self._reviews: list[NewReview] = []  # of this session, oldest first
        self._spent: dict[int, float] = {}  # task id -> seconds, of tasks that were shown and have no review
        self._last_key = 0.0  # time of the last key

    def run(self) -> ReviewSummary:
        """The summary, once no task is left for this reviewer or the reviewer stops."""
        try:
            while (view := self._next()) is not None or self._undo_at_the_end():
                try:
                    self._save(self._ask(view)) if view is not None else self._undo()
                except _Undo:
                    self._undo()
        except (_Quit, EOFError):
            pass
        return self._summary()

    def _undo_at_the_end(self) -> bool:
        """Whether the reviewer wants the last review back: without this question it could not be undone."""
        if not self._reviews:
            return False
        self._terminal.say("\nno task is left for you; u undoes the last review, any other key ends")
        return read_key(self._terminal) == "u"

    # --- tasks -----------------------------------------------------------------------------------

    def _open_tasks(self) -> tuple[list[TaskRow], int]:
        """The tasks open for this reviewer in order of presentation, and how many are open for others only.

        Nobody adjudicates a question on which they have voted.
        """
        number = self._round.number
        with self._runtime.database.read() as session:
            tasks = queries.tasks(session, round_number=number, states=["open"])
            mine = [row for row in queries.reviews(session, round_number=number) if row.reviewer == self._reviewer]
        reviewed = {row.task_id for row in mine}
        voted = {row.question_id for row in mine if row.verdict != "skipped"}
        free = [
            task
            for task in tasks
            if task.id not in reviewed and not (task.kind == "adjudication" and task.question_id in voted)
        ]
        return free, len(tasks) - len(free)

    def _next(self) -> TaskView | None:
        """The next task, which is shown; a task that was begun comes first."""
        free, _ = self._open_tasks()
        if not free:
            return None
        view = self._view(next((each for each in free if each.id in self._spent), free[0]))
        self._terminal.say(format_task(view, self._screen, header=f"{len(self._reviews) + 1} · {len(free)} left"))
        return view

    def _view(self, task: TaskRow) -> TaskView:
        with self._runtime.database.read() as session:
            question = queries.question(session, task.question_id)
            passages = queries.passages(session, task.passages)
            predictions = queries.predictions(session, task.round_number, question_ids=[task.question_id])
            own = own_answer(session, task) if task.kind == JUDGEMENT else None
        order = passage_order(task)
        candidates = candidates_of(task, predictions[0].answers) if predictions else []
        return TaskView(task, question.text, tuple(passages[key] for key in order), tuple(candidates), own)

    # --- asking ----------------------------------------------------------------------------------

    def _ask(self, view: TaskView) -> NewReview:
        """The review of a task, with the time spent on it. Raises _Undo, _Quit, EOFError."""
        prompt = TaskPrompt(view, self._reviewer, self._terminal)
        task_id, comment, review = view.task.id, "", None
        self._last_key = self._clock()
        while review is None:
            key = read_key(self._terminal)
            if key in ("q", "u"):
                raise _Quit if key == "q" else _Undo
            if key == "c":
                comment = self._terminal.line("comment (empty: none)").strip()
            elif key == "?":
                self._terminal.say(self._help())
            elif key == "f" and view.own is None:
                prompt = TaskPrompt(self._with_further_passages(prompt.view), self._reviewer, self._terminal)
            else:
                review = prompt.review(key)
            self._spent[task_id] = self._spent.get(task_id, 0.0) + self._elapsed()
        return replace(review, seconds=round(self._spent[task_id], 1), comment=comment or None)

    def _with_further_passages(self, view: TaskView) -> TaskView:
        """The task with the passages that the reviewer's words find beside those shown; they are shown after these."""
        words = self._terminal.line("search for (empty: back)").strip()
        if not words:
            return view
        try:
            count = self._runtime.config.review.passages
            new = further_passages(self._runtime, self._round, words, view.texts, count)
        except (NotReady, StaleIndex) as error:
            self._terminal.say(f"cannot search: {one_line(str(error))}")
            return view
        if not new:
            self._terminal.say("no further passage was found")
            return view
        with self._runtime.database.read() as session:
            rows = queries.passages(session, new)
        found = [rows[key] for key in new]
        with self._lock(), self._runtime.database.write() as session:
            store.show_further(session, view.task.id, [passage.id for passage in found], reviewer=self._reviewer)
        self._terminal.say(format_passages(found, self._screen, first=len(view.passages) + 1))
        return replace(view, passages=(*view.passages, *found))

    def _help(self) -> str:
        shown = [HELP]
        for heading, rules in guidelines(self._runtime.language):
            shown += ["", heading, *(line for rule in rules for line in wrap(f"- {rule}", self._screen))]
        return "\n".join(shown)

    def _elapsed(self) -> float:
        """Seconds since the last key, at most PAUSE."""
        now = self._clock()
        passed, self._last_key = now - self._last_key, now
        if passed > PAUSE:
            self._terminal.say(f"(paused for {passed / 60:.0f} minutes; {PAUSE / 60:.0f} are counted)")
        return min(passed, PAUSE)

    # --- storing ---------------------------------------------------------------------------------

    def _save(self, review: NewReview) -> None:
        with self._lock():
            with self._runtime.database.write() as session:
                store.record_review(session, review)
            resolve(self._runtime, self._round.number)
        self._reviews.append(review)
        del self._spent[review.task_id]
        self._terminal.say(f"saved: {_describe(review)}")

    def _undo(self) -> None:
        if not self._reviews:
            self._terminal.say("nothing to undo in this session")
            return
        last = self._reviews.pop()
        with self._lock():
            with self._runtime.database.write() as session:
                for row in queries.reviews(session, round_number=self._round.number):
                    if (row.task_id, row.reviewer) == (last.task_id, last.reviewer):
                        store.delete_review(session, row.id)
            resolve(self._runtime, self._round.number)
        self._spent[last.task_id] = last.seconds or 0.0
        self._terminal.say(f"undone: {_describe(last)}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the workspace's lock for one write; wait for it as long as it takes, so that no answer is lost."""
        waiting = False
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(self._runtime.workspace.lock())
                    break
                except WorkspaceBusy as busy:
                    if not waiting:
                        self._terminal.say(f"waiting (Ctrl-C discards this answer): {one_line(str(busy))}")
                    waiting = True
                    time.sleep(0.2)
            yield

    def _summary(self) -> ReviewSummary:
        free, others = self._open_tasks()
        skipped = sum(each.verdict == "skipped" for each in self._reviews)
        audit = self._round.kind == "audit"
        return ReviewSummary(len(self._reviews), skipped, len(free), others, _next_step(len(free), others, audit=audit))


def _current_round(runtime: Runtime) -> RoundRow:
    with runtime.database.read() as session:
        row = queries.current_round(session)
    if row is None:
        raise NotReady("no round is open, so there is nothing to review; run: labeler round --reviewer people")
    return row


def _next_step(left: int, others: int, *, audit: bool) -> str:
    if left:
        return "labeler review"
    if others:
        return f"labeler review --reviewer-name NAME ({others} open for other reviewers)"
    return "labeler certify" if audit else "labeler round"


def _describe(review: NewReview) -> str:
    return one_line(review.answer.text) if review.answer else review.verdict.replace("_", " ")
