"""The true precision of a round's pseudo-labels, for a pool with hidden answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db import hidden_answers, queries
from db.engine import Session
from db.rows import HiddenRow, LabelRow
from mrc.metrics import Metric, exact_match

SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of the pool's most confident answers


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
    """The precision of the pseudo-labels that one round wrote, live or withdrawn."""

    round_number: int
    trained: Checked  # with a training weight above 0


def pseudo_precision(session: Session, round_number: int, *, metric: Metric) -> PseudoPrecision | None:
    """The true precision of a round's pseudo-labels; None where none of them has a hidden answer.

    A label is correct if its normalised text equals that of any hidden answer of its question, in whatever passage.
    Only counts leave this function, never an answer.
    """
    if not hidden_answers.are_there(session):
        return None
    written = own_pseudo(session, round_number)
    golds = hidden_answers.answers(session, [row.question_id for row in written])
    if not golds:
        return None
    return PseudoPrecision(
        round_number=round_number,
        trained=_check((row for row in written if row.train_weight > 0), golds, metric),
    )


def own_pseudo(session: Session, round_number: int) -> list[LabelRow]:
    """The pseudo-labels that a round wrote, live or withdrawn, without those it restored."""
    return [
        row for row in queries.labels(session, round_number=round_number, kinds=["pseudo"]) if row.origin == "round"
    ]


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """A predicted answer of the pool, by its hidden answer. `cluster`: the passage that the answer stands in;
    `document`: the one of the passage that the question came with, None where it came with none."""

    cluster: str
    confidence: float
    probability: float  # of the best single span, by the reader
    right: bool
    document: str | None = None


def judged_answers(session: Session, round_number: int, *, metric: Metric) -> list[JudgedAnswer]:
    """A round's answers to pool questions that have hidden answers. No answer leaves, only whether it is right."""
    rows = [
        row
        for row in queries.iter_predictions(session, round_number)
        if row.question_role == "pool" and row.answers and row.confidence is not None
    ]
    golds = hidden_answers.answers(session, [row.question_id for row in rows])
    documents = _documents(session, list(golds))
    return [
        JudgedAnswer(
            best.passage_id,
            row.confidence,
            best.probability,
            _is_right(best.text, known, metric),
            documents.get(row.question_id),
        )
        for row in rows
        if row.confidence is not None
        for best in row.answers[:1]
        if (known := golds.get(row.question_id)) is not None
    ]


def _documents(session: Session, question_ids: Sequence[str]) -> dict[str, str]:
    """The document of the passage that each question came with, where it came with one."""
    contexts = {row.id: row.context_id for row in queries.questions(session, ids=question_ids) if row.context_id}
    known = queries.documents_of(session, set(contexts.values()))
    return {key: known[passage] for key, passage in contexts.items() if passage in known}


def pool_ranking(judged: Sequence[JudgedAnswer]) -> dict[str, float]:
    """How well confidences rank answers; empty without any.

    `best_0.05`, …: precision of that share of the most confident answers; `coverage_0.70`, …: the largest share that
    has that precision.
    """
    if not judged:
        return {}
    import numpy as np  # other figures of this module need neither NumPy nor SciPy

    from mrc.calibration.quality import PRECISIONS
    from mrc.calibration.selective import coverage_at

    confidence = np.array([each.confidence for each in judged], dtype=np.float64)
    correct = np.array([each.right for each in judged])
    order = np.argsort(-confidence, kind="stable")
    found = {
        f"best_{share:.2f}": float(np.mean(correct[order[: max(1, round(share * len(judged)))]])) for share in SHARES
    }
    return found | {f"coverage_{each:.2f}": coverage_at(confidence, correct, precision=each) for each in PRECISIONS}


def right_answers(session: Session, texts: Mapping[str, str], *, metric: Metric) -> dict[str, bool]:
    """Whether these answers equal a hidden answer, by question id; of questions that have any. No answer leaves."""
    golds = hidden_answers.answers(session, list(texts))
    return {key: _is_right(texts[key], truth, metric) for key, truth in golds.items()}


def _check(labels: Iterable[LabelRow], golds: Mapping[str, HiddenRow], metric: Metric) -> Checked:
    correct = items = unknown = 0
    for label in labels:
        if label.question_id in golds:
            items += 1
            correct += _is_right(label.answers[0].text, golds[label.question_id], metric)
        else:
            unknown += 1
    return Checked(correct, items, unknown)


def _is_right(text: str, truth: HiddenRow, metric: Metric) -> bool:
    return any(exact_match(text, gold.text, metric) == 1 for gold in truth.answers)
