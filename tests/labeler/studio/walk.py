"""A walk over fourteen questions as a reviewer answers them on the review page, counted in actions.

The reviewer chooses "Label All Tasks" once in each project; the server shows one task after the other. Counted are
chords of keys, actions of the mouse and submissions; text that is typed into a field counts as its characters, apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(slots=True)
class Counted:
    """A browser whose actions are counted."""

    studio: Any
    chords: int = 0
    mouse: int = 0
    submissions: int = 0
    characters: int = 0

    def press(self, *keys: str) -> None:
        self.studio.press(*keys)
        self.chords += len(keys)
        self.submissions += keys.count("Control+Enter")

    def drag(self, place: int, text: str) -> None:
        self.studio.drag(place, text)
        self.mouse += 1

    def double_click(self, place: int, word: str) -> None:
        self.studio.double_click(place, word)
        self.mouse += 1

    def type_answer(self, text: str) -> None:
        self.press("Tab")
        assert self.studio.page.evaluate("document.activeElement.name") == "typed"
        self.studio.page.keyboard.type(text)
        self.characters += len(text)
        self.press("Enter", "Control+Enter")

    @property
    def totals(self) -> tuple[int, int, int]:
        return self.chords, self.mouse, self.submissions


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the walk: what is done, and the (verdict, text) that the review must have."""

    blind: bool
    do: Callable[[Counted], None]
    verdict: str
    text: str | None
    shown: tuple[str, ...] = ("korean", "emoji", "markup")


def marks(word: str) -> Callable[[Counted], None]:
    """Marks a word of the first passage by a double click, and submits."""

    def do(person: Counted) -> None:
        person.double_click(1, word)
        person.press("Control+Enter")

    return do


def drags(text: str) -> Callable[[Counted], None]:
    """Marks a part of the first passage with the mouse, and submits."""

    def do(person: Counted) -> None:
        person.drag(1, text)
        person.press("Control+Enter")

    return do


def presses(*keys: str) -> Callable[[Counted], None]:
    """Presses keys, and submits."""
    return lambda person: person.press(*keys, "Control+Enter")


def types(text: str) -> Callable[[Counted], None]:
    """Answers by the keyboard alone."""
    return lambda person: person.type_answer(text)


ONE = ("korean",)
#: Six blind answers, a "no answer" and a bad question; two right suggestions, two better candidates, an answer
#: elsewhere and a "no answer".
WALK = (
    Question(True, marks("이순신은"), "answerable", "이순신은", ONE),
    Question(True, drags("서울"), "answerable", "서울", ONE),
    Question(True, drags("건천동"), "answerable", "건천동", ONE),
    Question(True, marks("무신이다"), "answerable", "무신이다", ONE),
    Question(True, drags("1545년"), "answerable", "1545년", ONE),
    Question(True, marks("조선의"), "answerable", "조선의", ONE),
    Question(True, presses("n"), "no_answer", None, ONE),
    Question(True, presses("b"), "bad_question", None, ONE),
    Question(False, presses(), "answerable", "서울"),
    Question(False, presses(), "answerable", "서울"),
    Question(False, presses("2"), "answerable", "𠮷野家"),
    Question(False, presses("3"), "answerable", "굵게"),
    Question(False, drags("건천동"), "answerable", "건천동"),
    Question(False, presses("n"), "no_answer", None),
)
#: What the same walk took when a verdict was asked of every answer, candidates were cycled through, and an answer
#: beside the suggestion, or "no answer" over it, became a conflict that was asked again.
BEFORE = (45, 8, 16)


def unsuggested(questions: Sequence[Question]) -> list[Question]:
    """The questions with an answer that nothing suggests: it is marked, or typed."""
    suggested = {"서울", "𠮷野家", "굵게"}
    return [each for each in questions if each.text and (each.blind or each.text not in suggested)]


#: The same walk by the keyboard alone.
TYPED_WALK = tuple(replace(each, do=types(each.text or "")) if each in unsuggested(WALK) else each for each in WALK)


def walk(studio: Any, questions: Sequence[Question]) -> Counted:
    """The counts of a walk, blind questions first; every review is checked."""
    person = Counted(studio)
    for blind in (True, False):
        some = [each for each in questions if each.blind == blind]
        works = studio.project([each.shown for each in some], blind=blind)
        studio.label_all(works[0].project_id)
        for each, work in zip(some, works, strict=True):
            studio.wait_for(work, suggested=not blind)
            each.do(person)
            review = work.review()
            assert (review.verdict, review.answer and review.answer.text) == (each.verdict, each.text)
    return person
