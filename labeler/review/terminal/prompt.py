"""One task put to one reviewer: which key gives which review, and where a typed answer is in the passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from db.rows import NewReview, SpanRow
from labeler.labels.span_search import longest_part, near, occurrences
from labeler.review.terminal.screen import TaskView, one_line, snippet

#: What the keys give while a Korean keyboard layout is on.
_KOREAN_LAYOUT = {
    "ㅁ": "a",
    "ㅜ": "n",
    "ㅠ": "b",
    "ㄴ": "s",
    "ㅕ": "u",
    "ㅊ": "c",
    "ㅂ": "q",
    "ㅇ": "d",
    "ㄹ": "f",
}
_VERDICTS: Mapping[str, str] = {"n": "no_answer", "b": "bad_question", "s": "skipped"}


class Terminal(Protocol):
    """Input from and output to the reviewer."""

    def say(self, text: str) -> None:
        """Show a text, on lines of its own."""

    def key(self) -> str:
        """The key pressed; empty for Enter. Raises EOFError at the end of input."""

    def line(self, prompt: str) -> str:
        """A typed line. Raises EOFError at the end of input."""


def read_key(terminal: Terminal) -> str:
    """The key pressed, in lower case and as on a Latin keyboard."""
    key = terminal.key().lower()
    return _KOREAN_LAYOUT.get(key, key)


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """Turns keys into the review of one task."""

    view: TaskView
    reviewer: str
    terminal: Terminal

    def review(self, key: str) -> NewReview | None:
        """The review that a key gives; None if it gives none yet."""
        if key in _VERDICTS:
            return NewReview(self.view.task.id, self.reviewer, _VERDICTS[key], source="terminal")
        if key == "a":
            return self._typed_answer()
        if key == "d" and (own := self.view.own) is not None:
            task_id, changed = self.view.task.id, "changed" if own.answer else None
            return NewReview(task_id, self.reviewer, own.verdict, own.answer, origin=changed, source="terminal")
        if key == "" or (len(key) == 1 and key in "123456789"):
            return self._candidate(int(key or "1"))
        self.terminal.say(f"{one_line(key)!r} is not a key here; ? lists the keys")
        return None

    def _candidate(self, number: int) -> NewReview | None:
        candidates = self.view.candidates
        if number > len(candidates):
            count = len(candidates)
            self.terminal.say(
                f"there are {count} candidates" if count else "no candidates are shown; a types an answer"
            )
            return None
        chosen = candidates[number - 1]
        return self._answer(SpanRow(chosen.text, chosen.passage_id, chosen.start, chosen.end))

    def _typed_answer(self) -> NewReview | None:
        text = self.terminal.line("answer, exactly as in a passage (empty: back)").strip()
        if not text:
            return None
        exact = occurrences(text, self.view.texts)
        if len(exact) == 1:
            return self._answer(exact[0])
        if exact:
            span = self._choose(exact, f"found {len(exact)} times; which one? (empty: back)")
        elif close := near(text, self.view.texts):
            question = "found only with another Unicode form, spacing or case; is it one of these? (empty: back)"
            span = self._choose(close, question)
        else:
            self.terminal.say(self._not_found(text))
            return None
        return None if span is None else self._answer(span)

    def _not_found(self, text: str) -> str:
        closest = longest_part(text, self.view.texts)
        hint = f'; the closest text is "{one_line(closest)}"' if closest else ""
        return f'"{one_line(text)}" is not in these passages{hint}.'

    def _choose(self, spans: Sequence[SpanRow], question: str) -> SpanRow | None:
        listed = [f"  {number}  {snippet(span, self.view)}" for number, span in enumerate(spans, start=1)]
        typed = self.terminal.line("\n".join([*listed, question])).strip()
        if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(spans):
            return spans[int(typed) - 1]
        return None

    def _answer(self, span: SpanRow) -> NewReview:
        """The review with this answer. Origin: the best candidate accepted, changed to another one, or written."""
        candidates = [(each.passage_id, each.start, each.end) for each in self.view.candidates]
        chosen = (span.passage_id, span.start, span.end)
        origin = "written" if chosen not in candidates else "changed" if candidates.index(chosen) else "accepted"
        return NewReview(self.view.task.id, self.reviewer, "answerable", answer=span, origin=origin, source="terminal")
