"""Examples for prompts, drawn from gold labels: questions with an answer, and one whose passages have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from db import queries
from labeler.labellers.llm.prompts import Example
from labeler.labellers.llm.quotes import sentence_around
from labeler.labellers.passages import found_passages
from labeler.labellers.questions import shuffled
from mrc.types import Passage

if TYPE_CHECKING:
    from db.rows import LabelledQuestion
    from labeler.core.runtime import Runtime

SHOWN: Final = 2  # passages of an example: the one with the answer and another one
WITHOUT_ANSWER: Final = 3  # from so many examples on, the last one has no answer
CANDIDATES: Final = 50  # gold questions that are looked at


def draw_examples(runtime: Runtime, count: int, *, before: Sequence[str] | None = None) -> tuple[Example, ...]:
    """So many examples from gold, always the same ones of the same labels; fewer where there are fewer.

    `before`: the questions that the labeller was begun with, None for a new one. They stay its examples, also those
    that a round has held out for calibration or dev since.
    """
    if not count or before == ():
        return ()
    with runtime.database.read() as session:
        roles = ("gold", "calibration", "dev") if before else ("gold",)
        found_golds = [entry for role in roles for entry in queries.labelled_questions(session, role)]
    golds = {entry.question.id: entry for entry in found_golds if entry.label.answers}
    chosen = [golds[key] for key in before or shuffled(golds)[:CANDIDATES] if key in golds]
    found: list[Example] = []
    passages = found_passages(runtime, [entry.question for entry in chosen], count=SHOWN + 1) if chosen else []
    own = runtime.fetch(sorted({entry.label.answers[0].passage_id for entry in chosen}))
    for entry, retrieved in zip(chosen, passages, strict=True):
        if len(found) == count:
            break
        others = [each for each in retrieved if each.id != entry.label.answers[0].passage_id]
        others = [each for each in others if not any(text in each.text for text in entry.label.gold_texts)]
        last = count >= WITHOUT_ANSWER and len(found) == count - 1
        if last and others:
            found.append(Example(entry.question.id, entry.question.text, tuple(others[:SHOWN]), 0))
        elif not last:
            found.append(_answered(entry, own[entry.label.answers[0].passage_id], others, place=len(found) % SHOWN))
    return tuple(found)


def _answered(entry: LabelledQuestion, passage: Passage, others: Sequence[Passage], *, place: int) -> Example:
    span = entry.label.answers[0]
    shown = list(others[: SHOWN - 1])
    shown.insert(min(place, len(shown)), passage)
    quote = sentence_around(passage.text, span.start, span.end)
    number = shown.index(passage) + 1
    return Example(entry.question.id, entry.question.text, tuple(shown), number, quote, span.text)
