"""Reviewing in a terminal: the open tasks of the current round, one after another, for one person without a server.

A review is stored as soon as it is given, in one transaction; stopping at any moment loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from db import queries, store
from db.rows import NewReview, RoundRow, SpanRow, TaskRow
from labeler.core.errors import NotReady, WorkspaceBusy
from labeler.core.runtime import Runtime
from labeler.labels.span_search import longest_part, near, occurrences
from labeler.review import follow_up
from labeler.review.guidelines import rules
from labeler.review.screen import Item, Screen, in_context, lines, one_line, page
from labeler.review.studio import convert

PAUSE = 180.0  # seconds between two keys, above which somebody went away: no more than this is counted

HELP = """\
Enter  the first candidate is right        1-9  this candidate is right
a      type the answer as it stands in a passage
n      these passages do not answer it     b    bad question
s      skip                                u    undo the last review
c      comment on this question            ?    this help
q      quit; the next call goes on from here"""

#: what the keys give while a Korean keyboard is on
_KOREAN = {"ㅁ": "a", "ㅜ": "n", "ㅠ": "b", "ㄴ": "s", "ㅕ": "u", "ㅊ": "c", "ㅂ": "q"}


class Terminal(Protocol):
    """How to speak with the person."""

    def say(self, text: str) -> None:
        """Shows a text, on lines of its own."""

    def key(self) -> str:
        """The key pressed; empty for Enter. Raises EOFError when the person has gone."""

    def line(self, prompt: str) -> str:
        """A typed line. Raises EOFError when the person has gone."""


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What a sitting came to. `left`: tasks still open for this person; `others`: open ones that need another one."""

    reviews: int  # of every verdict
    skipped: int  # of these
    left: int
    others: int
    next: str  # what to do now, in words


class _Quit(Exception):
    """The person wants to stop; caught where the sitting is run."""


class _Undo(Exception):
    """The person wants the last review back; caught where the sitting is run."""


class ReviewSession:
    """One person at the tasks of the round that is under way. Raises NotReady where no round is."""

    def __init__(
        self,
        runtime: Runtime,
        reviewer: str,
        terminal: Terminal,
        screen: Screen,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk, self._reviewer, self._talk, self._screen, self._clock = runtime, reviewer, terminal, screen, clock
        self._round = _current_round(runtime)
        self._given: list[NewReview] = []  # in this sitting, oldest first
        self._spent: dict[int, float] = {}  # task id -> seconds, of those begun without a review
        self._seen = 0.0  # when the last key came

    def run(self) -> ReviewSummary:
        """What it came to, once nothing is open for this person or he stops."""
        try:
            while (item := self._next()) is not None or self._wants_the_last_back():
                try:
                    self._record(self._ask(item)) if item is not None else self._undo()
                except _Undo:
                    self._undo()
        except (_Quit, EOFError):
            pass
        return self._came_to()

    def _wants_the_last_back(self) -> bool:
        """Asked once nothing is left, for the last review could not be undone otherwise. Raises EOFError."""
        if not self._given:
            return False
        self._talk.say("\nnothing is left for you; u takes the last review back, any other key ends")
        return _key(self._talk) == "u"

    # --- tasks -----------------------------------------------------------------------------------

    def _open(self) -> tuple[list[TaskRow], int]:
        """The tasks open for this person in order of presentation, and how many are open for others alone."""
        number = self._round.number
        with self._desk.database.read() as session:
            tasks = queries.tasks(session, round_number=number, states=["open"])
            mine = [row for row in queries.reviews(session, round_number=number) if row.reviewer == self._reviewer]
        answered = {row.task_id for row in mine}
        questions = {
            row.question_id for row in mine if row.verdict != "skipped"
        }  # a third person has no vote there yet
        free = [
            task
            for task in tasks
            if task.id not in answered and not (task.kind == "adjudication" and task.question_id in questions)
        ]
        return free, len(tasks) - len(free)

    def _next(self) -> Item | None:
        free, _ = self._open()
        if not free:
            return None
        task = next((each for each in free if each.id in self._spent), free[0])  # one begun comes first
        with self._desk.database.read() as session:
            question = queries.question(session, task.question_id)
            passages = queries.passages(session, task.passages)
            found = queries.predictions(session, task.round_number, question_ids=[task.question_id])
        order = convert.page_order(task)
        suggested = [] if task.blind or not found else convert.on_page(found[0].answers, order)
        item = Item(task, question.text, tuple(passages[key] for key in order), tuple(suggested))
        self._talk.say(page(item, self._screen, head=f"{len(self._given) + 1} · {len(free)} left"))
        return item

    # --- what the person says --------------------------------------------------------------------

    def _ask(self, item: Item) -> NewReview:
        """The review of a task. Raises _Undo, _Quit, EOFError."""
        self._seen = self._clock()
        spent, comment = self._spent, ""
        while True:
            key = _key(self._talk)
            if key == "c":
                comment = self._talk.line("comment (nothing: none)").strip()
                found = None
            else:
                found = self._verdict(item, key)
            spent[item.task.id] = spent.get(item.task.id, 0.0) + self._since()
            if found is not None:
                return replace(found, seconds=round(spent[item.task.id], 1), comment=comment or None)

    def _verdict(self, item: Item, key: str) -> NewReview | None:
        """The review that a key stands for; None where it says nothing yet."""
        if key in ("q", "u"):
            raise _Quit if key == "q" else _Undo
        if key in _VERDICTS:
            return NewReview(item.task.id, self._reviewer, _VERDICTS[key], source="terminal")
        if key == "a":
            return self._written(item)
        if key == "" or (len(key) == 1 and key in "123456789"):
            return self._candidate(item, int(key or "1"))
        self._talk.say(self._help() if key == "?" else f"{one_line(key)!r} is no key here; ? helps")
        return None

    def _help(self) -> str:
        told = [HELP]
        for heading, sentences in rules(self._desk.language, blind=True):  # the form that speaks of no colours
            told += ["", heading, *(line for each in sentences for line in lines(f"- {each}", self._screen))]
        return "\n".join(told)

    def _candidate(self, item: Item, number: int) -> NewReview | None:
        if number > len(item.candidates):
            count = len(item.candidates)
            self._talk.say(f"there are {count} candidates" if count else "no candidate is shown: a types an answer")
            return None
        chosen = item.candidates[number - 1]
        span = SpanRow(chosen.text, chosen.passage_id, chosen.start, chosen.end)
        return self._answered(item, span)

    def _written(self, item: Item) -> NewReview | None:
        text = self._talk.line("the answer as it stands in a passage (nothing: back)").strip()
        if not text:
            return None
        exact = occurrences(text, item.texts)
        if len(exact) == 1:
            return self._answered(item, exact[0])
        if exact:
            span = self._which(item, exact, f"it stands at {len(exact)} places; which one? (nothing: back)")
        elif close := near(text, item.texts):
            ask = "it stands only in another Unicode form, spacing or case; is it one of these? (nothing: back)"
            span = self._which(item, close, ask)
        else:
            part = longest_part(text, item.texts)
            self._talk.say("not found in these passages" + (f"; of it stands there: {one_line(part)}" if part else ""))
            return None
        return None if span is None else self._answered(item, span)

    def _which(self, item: Item, spans: Sequence[SpanRow], ask: str) -> SpanRow | None:
        listed = [f"  {choice}  {in_context(span, item)}" for choice, span in enumerate(spans, start=1)]
        said = self._talk.line("\n".join([*listed, ask])).strip()
        if said.isascii() and said.isdigit() and 1 <= int(said) <= len(spans):
            return spans[int(said) - 1]
        return None

    def _answered(self, item: Item, span: SpanRow) -> NewReview:
        """The review with this answer: the suggestion accepted, changed for another candidate, or words of its own."""
        shown = [(each.passage_id, each.start, each.end) for each in item.candidates]
        where = (span.passage_id, span.start, span.end)
        origin = "written" if where not in shown else "changed" if shown.index(where) else "accepted"
        return NewReview(item.task.id, self._reviewer, "answerable", answer=span, origin=origin, source="terminal")

    def _since(self) -> float:
        """Seconds since the last key, a long pause cut short."""
        now = self._clock()
        passed, self._seen = now - self._seen, now
        if passed > PAUSE:
            self._talk.say(f"(a pause of {passed / 60:.0f} minutes: {PAUSE / 60:.0f} of them are counted)")
        return min(passed, PAUSE)

    # --- storing ---------------------------------------------------------------------------------

    def _record(self, review: NewReview) -> None:
        with self._held():
            with self._desk.database.write() as session:
                store.record_review(session, review)
            follow_up.resolve(self._desk, self._round.number)
        self._given.append(review)
        del self._spent[review.task_id]
        self._talk.say(f"-> {_told(review)}")

    def _undo(self) -> None:
        if not self._given:
            self._talk.say("nothing to undo in this sitting")
            return
        last = self._given.pop()
        with self._held():
            with self._desk.database.write() as session:
                for row in queries.reviews(session, round_number=self._round.number):
                    if (row.task_id, row.reviewer) == (last.task_id, last.reviewer):
                        store.delete_review(session, row.id)
            follow_up.resolve(self._desk, self._round.number)
        self._spent[last.task_id] = last.seconds or 0.0
        self._talk.say(f"taken back: {_told(last)}")

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Holds the workspace for one write; waits for who else holds it, however long: no answer given is lost."""
        told = False
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(self._desk.workspace.lock())
                    break
                except WorkspaceBusy as busy:
                    if not told:
                        self._talk.say(f"waiting until it ends; Ctrl-C gives this answer up: {busy}")
                    told = True
                    time.sleep(0.2)
            yield

    def _came_to(self) -> ReviewSummary:
        free, others = self._open()
        skipped = sum(each.verdict == "skipped" for each in self._given)
        return ReviewSummary(len(self._given), skipped, len(free), others, _advice(self._round, len(free), others))


_VERDICTS: Mapping[str, str] = {"n": "no_answer", "b": "bad_question", "s": "skipped"}


def _key(terminal: Terminal) -> str:
    key = terminal.key().lower()
    return _KOREAN.get(key, key)


def _current_round(runtime: Runtime) -> RoundRow:
    with runtime.database.read() as session:
        row = queries.current_round(session)
    if row is None:
        raise NotReady("no round is under way, so nothing is to be reviewed; run: labeler round --reviewer people")
    return row


def _advice(row: RoundRow, left: int, others: int) -> str:
    if left:
        return "go on with: labeler review"
    if others:
        return f"{others} tasks need another person: labeler review --reviewer-name NAME"
    return f"round {row.number} has no open task; go on with: labeler round"


def _told(review: NewReview) -> str:
    return one_line(review.answer.text) if review.answer else review.verdict.replace("_", " ")
