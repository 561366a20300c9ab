"""The true precision of a round's pseudo-labels, for a pool with hidden answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from db import hidden_answers, queries
from db.engine import Session
from db.rows import HiddenRow, LabelRow
from mrc.metrics import Metric, exact_match


@dataclass(frozen=True, slots=True)
class Checked:
    """Counts of pseudo-labels compared with hidden answers."""

    correct: int
    items: int  # with a hidden answer
    unknown: int  # without one; they do not count

    @property
    def rate(self) -> float | None:
        """Share of the items that are correct, 0-1; None without items."""
        return self.correct / self.items if self.items else None


@dataclass(frozen=True, slots=True)
class PseudoPrecision:
    """The precision of the pseudo-labels that one round wrote, live or withdrawn. The two sets may overlap."""

    round_number: int
    released: Checked
    trained: Checked  # with a training weight above 0


def pseudo_precision(session: Session, round_number: int, *, metric: Metric) -> PseudoPrecision | None:
    """The true precision of a round's pseudo-labels; None where none of them has a hidden answer.

    A label is correct if its normalised text equals that of any hidden answer of its question, in whatever passage.
    Only counts leave this function, never an answer.
    """
    written = own_pseudo(session, round_number)
    golds = hidden_answers.answers(session, [row.question_id for row in written])
    if not golds:
        return None
    return PseudoPrecision(
        round_number=round_number,
        released=_check((row for row in written if row.released), golds, metric),
        trained=_check((row for row in written if row.train_weight > 0), golds, metric),
    )


def own_pseudo(session: Session, round_number: int) -> list[LabelRow]:
    """The pseudo-labels that a round wrote, live or withdrawn, without those it restored."""
    return [
        row for row in queries.labels(session, round_number=round_number, kinds=["pseudo"]) if row.origin == "round"
    ]


def _check(labels: Iterable[LabelRow], golds: Mapping[str, HiddenRow], metric: Metric) -> Checked:
    correct = items = unknown = 0
    for label in labels:
        if label.question_id in golds:
            items += 1
            correct += _is_correct(label, golds[label.question_id], metric)
        else:
            unknown += 1
    return Checked(correct, items, unknown)


def _is_correct(label: LabelRow, truth: HiddenRow, metric: Metric) -> bool:
    return any(exact_match(label.answers[0].text, gold.text, metric) == 1 for gold in truth.answers)
