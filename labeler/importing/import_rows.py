"""Rows of an import: questions, gold labels, hidden answers and passages as they are stored. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from db.rows import DocumentRow, HiddenRow, ImportRows, NewLabel, PassageRow, QuestionRow
from labeler.core.convert import span_row
from labeler.importing.conflicts import POOL, Roles
from labeler.importing.formats import FileQuestion
from labeler.importing.formats.filed import Keys, Passages, Questions, batches
from labeler.importing.splits import group_name

PART = 2000  # questions, or passages, that are stored at a time


@dataclass(frozen=True, slots=True)
class Accepted:
    """The questions of a file that are imported: their numbers in its order, their roles, and what they belong to."""

    questions: Questions
    numbers: Sequence[int]
    roles: Roles
    split_groups: Mapping[str, str]  # by question id, of those that are not a group by themselves
    originals: Mapping[int, str]  # of questions with the text and context of another one: its id
    known: Mapping[str, QuestionRow] = field(default_factory=dict)  # stored questions by id

    def rows(self) -> Iterator[QuestionRow]:
        """Yield the rows of the questions in the order in which they are stored."""
        return (self._row(self.questions.key(number), self.questions[number]) for number in self.ordered())

    def ordered(self) -> Iterator[int]:
        """Yield the numbers of the questions, those that repeat another one last."""
        yield from (number for number in self.numbers if number not in self.originals)
        yield from (number for number in self.numbers if number in self.originals)

    def _row(self, keys: Keys, question: FileQuestion) -> QuestionRow:
        role = self.roles.of(keys.id)
        assert role is not None  # the plan left out the others
        old, duplicate_of = self.known.get(keys.id), self.originals.get(keys.number)
        if old is not None and old.role == role:
            return replace(old, active=True, duplicate_of=duplicate_of)
        return QuestionRow(
            keys.id,
            question.text,
            keys.normalized,
            role,
            role,
            self.split_groups.get(keys.id) or group_name(keys.id),
            context_id=None if keys.place is None else keys.place.id,
            is_impossible=question.is_impossible if role != POOL else None,
            duplicate_of=duplicate_of,
        )

    def parts(self, passages: Passages) -> Iterator[ImportRows]:
        """Yield all rows, some at a time: a passage comes before the questions that name it."""
        made = _PassageRows(passages)
        stored = 0
        for numbers in batches(self.ordered(), PART):
            needed = max(stored, 1 + max(map(self.questions.context_number, numbers)))
            yield from (made.rows(*each) for each in _cut(stored, needed))
            stored = needed
            yield self._part(numbers)
        yield from (made.rows(*each) for each in _cut(stored, len(passages)))

    def _part(self, numbers: Iterable[int]) -> ImportRows:
        rows, labels, hidden = [], [], []
        for number in numbers:
            question = self.questions[number]
            row = self._row(self.questions.key(number), question)
            rows.append(row)
            if row.role != POOL:
                labels.append(gold_label(question))
            elif question.answers or question.is_impossible:
                hidden.append(hidden_row(question))
        return ImportRows(questions=tuple(rows), labels=tuple(labels), hidden=tuple(hidden))


class _PassageRows:
    """Makes rows of passages, numbered within their documents."""

    def __init__(self, passages: Passages) -> None:
        self._passages = passages
        self._several = passages.repeated()
        self._sizes: Counter[str] = Counter()  # passages of a document, where there may be several

    def rows(self, first: int, end: int) -> ImportRows:
        """Return the rows of some passages, and of their documents."""
        titles: dict[str, str] = {}
        rows = []
        for number in range(first, end):
            passage, place = self._passages[number], self._passages.place(number)
            titles.setdefault(place.document, passage.title)
            position = self._sizes[place.document] if passage.title or self._several[number] else 0
            if passage.title or self._several[number]:
                self._sizes[place.document] += 1
            rows.append(PassageRow(place.id, place.document, position, passage.text, passage.title, place.identity))
        return ImportRows(documents=tuple(DocumentRow(*pair) for pair in titles.items()), passages=tuple(rows))


def _cut(first: int, end: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + PART, end)) for start in range(first, end, PART))


def hidden_row(question: FileQuestion) -> HiddenRow:
    """Return the answers of a pool question, which are kept aside."""
    return HiddenRow(question.id, bool(question.is_impossible), tuple(span_row(span) for span in question.answers))


def gold_label(question: FileQuestion) -> NewLabel:
    """Return the gold label of a question; without answers it is a no_answer for its context."""
    answers, given = (tuple(map(span_row, spans)) for spans in (question.answers, question.all_answers))
    if answers or question.texts or question.context is None:
        return NewLabel(question.id, answers, all_answers=given, texts=question.texts or None)
    return NewLabel(question.id, (), no_answer=True, passages=(question.context.id,))
