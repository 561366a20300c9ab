"""The contents of a report, before it is drawn. Rates are 0-1, times are minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from db.rows import Counts
from labeler.evaluation.pseudo_precision import Checked
from labeler.report.certificates import CertificateSummary
from labeler.review.reviewers.summary import ReviewerReport
from labeler.review.statistics import ProjectSummary, ReviewStatistics
from mrc.calibration.selective import ReleaseRule, ReliabilityBin
from mrc.text.question_types import QuestionType


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate with the ends of its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What the questions and answers of the workspace are like."""

    answers: int  # gold and human labels with an answer
    median_length: int | None  # characters; None without answers
    p90_length: int | None  # nine of ten answers are at most so long
    max_length: int | None
    types: Mapping[QuestionType, int]  # questions by type, the most frequent first
    duplicates: int  # questions that repeat another one
    sampled_of: int | None = None  # questions of which types and lengths are a sample; None: of all

    @property
    def questions(self) -> int:
        return sum(self.types.values())


@dataclass(frozen=True, slots=True)
class SplitScores:
    """A reader's means on a split, with intervals."""

    exact_match: Estimate
    f1: Estimate
    questions: int
    given: bool  # it read the gold passage; else retrieved ones, end to end


@dataclass(frozen=True, slots=True)
class TrainingLabels:
    """Labels that a round's student was trained on."""

    gold: int = 0
    human: int = 0
    pseudo: int = 0

    @property
    def total(self) -> int:
        return self.gold + self.human + self.pseudo


@dataclass(frozen=True, slots=True)
class Training:
    """How a student was trained; `loss` is the last reported one."""

    examples: int
    minutes: float
    loss: float | None


@dataclass(frozen=True, slots=True)
class RoundCost:
    """What a round cost, in minutes; None where it is not known or did not happen."""

    reviewing: float | None  # of people
    training: float | None  # of readers: student and teachers
    retriever: float | None  # training of the passage encoder
    elapsed: float | None  # from opening to closing, waiting included


@dataclass(frozen=True, slots=True)
class Audit:
    """Blind reviews of answers at or above the release threshold."""

    correct: int
    items: int


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """One round as the table shows it."""

    number: int
    kind: str
    stage: str
    outcome: str  # open, promoted, refused, reverted
    is_current: bool  # its student is the reader in use
    training: Training | None
    labels: TrainingLabels
    scores: Mapping[str, SplitScores]  # of its student, by split: dev, test
    gate: str | None  # the verdict in words
    release: ReleaseRule | None  # None before the rule was fixed, or where the round has none
    audit: Audit | None
    cost: RoundCost
    reviews: int  # cumulative, to the end of this round
    review_minutes: float | None  # the same; None where no review has a time


@dataclass(frozen=True, slots=True)
class PrecisionRow:
    """Precision of the pseudo-labels that a round trained on, by hidden answers; an estimate is None without items."""

    round_number: int
    trained: Checked
    trained_precision: Estimate | None


@dataclass(frozen=True, slots=True)
class RoundReviews:
    """The reviews of one round's tasks. Each mapping counts by name, in a fixed order, also with 0."""

    number: int
    verdicts: Mapping[str, int]
    origins: Mapping[str, int]  # of the answerable ones: accepted, changed, written
    seconds: float
    timed: int  # reviews that have a time

    @property
    def reviews(self) -> int:
        return sum(self.verdicts.values())


MEASURE_NAMES: Final = {
    "aurc": "area under the risk-coverage curve (AURC, less is better)",
    "auroc": "right above wrong (AUROC)",
    "ece": "calibration error (ECE, less is better)",
    "brier": "Brier score (less is better)",
}


@dataclass(frozen=True, slots=True)
class ConfidenceMeasure:
    """A measure of confidences with its 95% interval, and its change from the reader's own probability with one."""

    name: str
    value: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float

    @property
    def title(self) -> str:
        """The name for people."""
        if self.name.startswith("coverage_"):
            return f"coverage at {float(self.name.removeprefix('coverage_')):.0%} precision"
        return MEASURE_NAMES[self.name]


@dataclass(frozen=True, slots=True)
class Confidence:
    """Quality of the confidences on a round's calibration questions, each from a calibrator not fitted on it."""

    round_number: int
    note: str  # which kind of calibrator, and why
    questions: int
    accuracy: float  # of the answers to them
    bins: tuple[ReliabilityBin, ...]
    ece: float
    aurc: float
    measures: tuple[ConfidenceMeasure, ...]
    curve: tuple[tuple[float, float], ...]  # (coverage, risk), coverage rising to 1


class ErrorCause(StrEnum):
    """Why an answer is wrong: the first step on the way to it that failed."""

    NO_PASSAGE = "no passage was retrieved, so there is no answer"
    NOT_RETRIEVED = "no gold passage is among those read"
    OTHER_PASSAGE = "a gold passage was read, but an answer in another one was chosen"
    OTHER_SPAN = "gold passage, but another span was chosen"
    OVERLAP = "gold passage, and a span that overlaps the gold answer"

    @property
    def is_retrieval(self) -> bool:
        return self in (ErrorCause.NO_PASSAGE, ErrorCause.NOT_RETRIEVED)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A span with the text around it, and whether the passage continues on either side."""

    title: str
    before: str
    span: str
    after: str
    cut_before: bool
    cut_after: bool


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A question that was answered wrongly."""

    question_id: str
    question: str
    golds: tuple[str, ...]
    predicted: str | None
    confidence: float | None
    cause: ErrorCause
    chosen: Excerpt | None  # around the prediction
    gold: Excerpt  # around the first gold answer


@dataclass(frozen=True, slots=True)
class TypeErrors:
    """The answers to the questions of one type."""

    questions: int
    retrieval: int  # wrong because of retrieval
    reading: int  # wrong although a gold passage was read

    @property
    def accuracy(self) -> float:
        return 1 - (self.retrieval + self.reading) / self.questions


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Wrong answers to the calibration questions of one round: all of them counted, some shown."""

    round_number: int
    recall: Mapping[int, float]  # depth -> share of questions with a gold passage among the first so many
    correct: int
    unanswerable: int  # left out: the label says that there is no answer
    causes: Mapping[ErrorCause, int]
    types: Mapping[QuestionType, TypeErrors]  # the most frequent first
    examples: tuple[WrongAnswer, ...]  # by cause, the most confident first

    @property
    def questions(self) -> int:
        return self.correct + sum(self.causes.values())


@dataclass(frozen=True, slots=True)
class SplitOutcome:
    """The current reader's answers on a split: equal to a gold answer, overlapping one, or wrong."""

    split: str
    round_number: int
    given: bool  # it read the gold passage; else retrieved ones, end to end
    exact: int
    partial: int
    wrong: int
    passage_correct: float  # the answer is in a gold passage

    @property
    def questions(self) -> int:
        return self.exact + self.partial + self.wrong


@dataclass(frozen=True, slots=True)
class Alarm:
    """A value of a round that left its limits. `stands`: it is in force, see `standing_alarms`."""

    round_number: int
    message: str
    stands: bool
    blocks: bool = False  # it stops the release of pseudo-labels


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. A part without data is None or empty."""

    title: str
    language: str  # of the questions: ko, en, or "" where it is not known
    next_step: str | None  # the command that leads on, as `labeler status` names it
    settings: Mapping[str, str]
    counts: Counts
    dataset: DatasetFacts
    rounds: tuple[RoundSummary, ...]
    precision: tuple[PrecisionRow, ...]
    confidence: Confidence | None
    reviews: tuple[RoundReviews, ...]
    review_statistics: ReviewStatistics
    projects: tuple[ProjectSummary, ...]
    outcomes: tuple[SplitOutcome, ...]
    errors: ErrorAnalysis | None
    certificates: tuple[CertificateSummary, ...]  # the newest first
    alarms: tuple[Alarm, ...]  # of rounds that are not reverted, the newest round first
    reviewers: ReviewerReport | None = None  # None without reviews

    @property
    def reader(self) -> RoundSummary | None:
        """The round whose student is the reader in use."""
        return next((each for each in self.rounds if each.is_current), None)

    @property
    def open_round(self) -> RoundSummary | None:
        return next((each for each in self.rounds if each.outcome == "open"), None)

    @property
    def new_alarms(self) -> tuple[Alarm, ...]:
        """The alarms that are in force."""
        return tuple(each for each in self.alarms if each.stands)

    @property
    def old_alarms(self) -> tuple[Alarm, ...]:
        return tuple(each for each in self.alarms if not each.stands)
