"""Labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.rows.corpus import PassageRow, QuestionRow, SpanRow


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A label to store; the store adds kind, origin, round and parent.

    `all_answers` holds the answers in the order of their file, one given several times several times; empty where
    `answers` is the same. `texts` holds golds of an imported file that do not stand in its context: they are scored and
    never trained on.
    """

    question_id: str
    answers: tuple[SpanRow, ...]  # distinct, the one to train on first; empty only with no_answer or texts
    no_answer: bool = False
    passages: tuple[str, ...] | None = None  # ids shown with a no_answer
    train_weight: float = 1.0
    released: bool = True
    reviewer: str | None = None  # required of a human label
    review_id: int | None = None
    model_id: int | None = None  # this or a labeller is required of a pseudo-label
    index_fingerprint: str | None = None
    calibrator_id: int | None = None
    certificate_id: int | None = None  # required of a released pseudo-label
    confidence: float | None = None
    threshold: float | None = None
    all_answers: tuple[SpanRow, ...] = ()
    texts: tuple[str, ...] | None = None
    labeller_id: int | None = None


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A stored answer with its provenance; `answers`, `all_answers` and `texts` as in `NewLabel`."""

    id: int
    question_id: str
    question_role: str
    kind: str  # gold, human, pseudo
    answers: tuple[SpanRow, ...]
    no_answer: bool
    passages: tuple[str, ...] | None
    train_weight: float
    released: bool
    origin: str  # import, spare, review, round, manual, restored, certificate
    import_id: int | None
    round_number: int | None  # the round that the answer came from
    written_by: int | None  # the round that wrote this row
    review_id: int | None
    model_id: int | None
    index_fingerprint: str | None
    calibrator_id: int | None
    certificate_id: int | None  # that released this pseudo-label
    confidence: float | None
    threshold: float | None
    reviewer: str | None
    parent_id: int | None
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: int | None  # round; None when by hand or by undoing an import
    withdrawal_reason: str | None
    all_answers: tuple[SpanRow, ...] = ()
    texts: tuple[str, ...] | None = None
    labeller_id: int | None = None  # that made a pseudo-label instead of a model

    @property
    def gold_texts(self) -> tuple[str, ...]:
        """The texts that count as right: those of the answers, and those that do not stand in the context."""
        return (*(answer.text for answer in self.answers), *(self.texts or ()))

    @property
    def live(self) -> bool:
        """Whether the label is not withdrawn."""
        return self.withdrawn_at is None


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question with its live label; `document_id` is that of its context, else of its first answer."""

    question: QuestionRow
    label: LabelRow
    document_id: str | None


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A label to train on or export, with its question and passages.

    `passages` holds, by id, the passages of the answers, or those shown with a no_answer.
    """

    question: QuestionRow
    label: LabelRow
    weight: float
    passages: Mapping[str, PassageRow]


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many labels `store.record_labels` withdrew and wrote."""

    withdrawn: int  # earlier labels, of any kind
    human: int
    pseudo: int
    skipped: int  # pseudo-labels not written: labelled or excluded question, held-out passage


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many labels a refusal or a revert withdrew, and how many earlier ones it restored."""

    labels: int
    restored: int
    rounds: tuple[int, ...] = ()
