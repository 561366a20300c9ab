"""Text of labels, questions and passages; the modules describe events, evaluations, rounds and the workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from labeler.core.console import clipped, percent, table

if TYPE_CHECKING:
    from labeler.evaluation.standing_alarms import RoundAlarm
    from labeler.labels.browse import LabelList, QuestionList, StoredLabel, StoredPassage, StoredQuestion
    from mrc.read.predict.reach import OutOfReach
    from mrc.squad import Rejected

SHOWN = 10  # rejected rows printed as text; --json lists all
_HELD_OUT = {"calibration": "used for calibration", "dev": "used for evaluation", "test": "used for evaluation"}


def labels_table(found: LabelList) -> str:
    """A table of labels, and how many more match."""
    header = ("label", "question id", "role", "question", "answer", "kind", "round", "confidence %", "state")
    rows = [
        (
            each.id,
            each.question_id,
            each.role,
            clipped(each.question),
            answer_text([*(answer.text for answer in each.answers), *(each.texts or ())]),
            each.kind,
            number(each.round),
            percent(each.confidence),
            _state(each),
        )
        for each in found.labels
    ]
    return _listing(table(header, rows), len(rows), found, "label")


def _state(label: StoredLabel) -> str:
    if label.withdrawn_at is not None:
        return f"withdrawn: {label.withdrawal_reason}"
    if label.role in _HELD_OUT:
        return _HELD_OUT[label.role]
    uses = (("exportable", label.released), ("used in training", label.train_weight > 0))
    return ", ".join(word for word, true in uses if true) or "not used"


def questions_table(found: QuestionList) -> str:
    """A table of questions, and how many more match."""
    return _listing(_questions(found.questions), len(found.questions), found, "question")


def _questions(found: Sequence[StoredQuestion]) -> str:
    header = ("question id", "role", "question", "label", "answer")
    rows = [(each.id, each.role, clipped(each.question), each.label or "-", _answer(each)) for each in found]
    return table(header, rows)


def _answer(question: StoredQuestion) -> str:
    if question.label is not None:
        return answer_text(question.answers)
    if question.exclusion_reason is not None:
        return f"excluded: {question.exclusion_reason}"
    return f"duplicate of {question.duplicate_of}" if question.duplicate_of else ""


def _listing(text: str, listed: int, found: LabelList | QuestionList, name: str) -> str:
    if not found.total:
        return f"no {name}"
    if listed == found.total:
        return text
    return f"{text}\n{listed} of {found.total} {name}s; --limit N shows more, --json lists all"


def passage_text(found: StoredPassage) -> str:
    """The whole passage with its title and id, and the questions about it."""
    head = f"{found.title or 'untitled'} (paragraph {found.position + 1})\npassage {found.id}\n\n{found.text}\n"
    return f"{head}\n{_questions(found.questions)}" if found.questions else f"{head}\nno question about it"


def number(value: int | None) -> str:
    """A number for a table; a dash for None."""
    return "-" if value is None else str(value)


def answer_text(texts: Iterable[str]) -> str:
    """The different answers of a label in quotes, or "no answer"."""
    different = list(dict.fromkeys(texts))
    return clipped(" | ".join(f"'{text}'" for text in different)) if different else "no answer"


def alarm_lines(alarms: Iterable[RoundAlarm]) -> list[str]:
    """The alarms in force, and what a blocking one stops."""
    stopped = "; no pseudo-label is exported without --despite-alarms"
    return [
        f"alarm of round {each.round}: {each.alarm.message}{stopped if each.alarm.blocks else ''}" for each in alarms
    ]


def counted(counts: Mapping[str, int]) -> str:
    """Counts in one line: `60 gold, 12 human`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def reach_lines(found: OutOfReach | None) -> list[str]:
    """The questions whose golds are longer than the answers that are considered, and what reaches them."""
    if found is None:
        return []
    lines = [f"{found.questions} questions have no gold that is short enough to be answered"]
    if found.ids:
        remedy = f"--set read.max_answer_length={found.max_answer_length}"
        lines.append(f"  {remedy} reaches {len(found.ids)} of them: {_some(found.ids)}")
    if found.beyond:
        lines.append(
            f"  {len(found.beyond)} are longer than the {found.longest} tokens that this model can be set to: "
            f"{_some(found.beyond)}"
        )
    return lines


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")


def rejected_lines(rejected: Sequence[Rejected]) -> list[str]:
    """The first rejected rows with their reasons, and how many more there are."""
    lines = [f"rejected {row.where}: {row.why}" for row in rejected[:SHOWN]]
    more = len(rejected) - SHOWN
    return [*lines, f"... and {more} more; --json lists all"] if more > 0 else lines
