"""What a report says, before it is drawn: frozen facts, every number from the database. Rates are 0-1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from db.rows import Counts
from labeler.evaluation.pseudo_precision import PseudoPrecision
from labeler.review.statistics import ProjectSummary, ReviewStatistics
from mrc.calibration.selective import ReleaseRule, ReliabilityBin


@dataclass(frozen=True, slots=True)
class Measure:
    """A rate with the ends of its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """How a reader did on a split: means with their 95% intervals."""

    exact_match: Measure
    f1: Measure
    questions: int
    given: bool  # it read the gold passage; else what was retrieved, end to end


@dataclass(frozen=True, slots=True)
class Taught:
    """Labels that a round's student was to learn from."""

    gold: int = 0
    human: int = 0
    pseudo_released: int = 0  # may also leave as labels
    pseudo_kept: int = 0  # teach only

    @property
    def pseudo(self) -> int:
        return self.pseudo_released + self.pseudo_kept

    @property
    def total(self) -> int:
        return self.gold + self.human + self.pseudo


@dataclass(frozen=True, slots=True)
class Training:
    """How a student was trained; `loss` is the last that was reported."""

    examples: int
    seconds: float
    loss: float | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What blind reviews said of the answers at or above the release threshold."""

    correct: int
    items: int


@dataclass(frozen=True, slots=True)
class RoundLine:
    """One round as the table shows it."""

    number: int
    kind: str
    stage: str
    outcome: str  # open, promoted, refused, reverted
    is_best: bool
    training: Training | None
    taught: Taught
    released: int  # pseudo-labels in its released snapshot
    scores: Mapping[str, Score]  # of its student, by split: dev, test
    gate: str | None  # the verdict in words
    release: ReleaseRule | None  # None before the rule was drawn, or where the round has none
    audit: Audit | None
    reviews: int  # cumulative, to the end of this round
    minutes: float | None  # the same; None where no review has a time


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """The reviews of one round's tasks. Each mapping counts by name, in a fixed order, also with 0."""

    number: int
    verdicts: Mapping[str, int]
    origins: Mapping[str, int]  # of the answerable ones: accepted, changed, written
    seconds: float
    timed: int  # reviews that have a time

    @property
    def reviews(self) -> int:
        return sum(self.verdicts.values())


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far confidences can be believed: calibration questions of one round, by calibrators that did not see them."""

    round_number: int
    note: str  # which kind of calibrator, and why
    questions: int
    accuracy: float  # of the answers to them
    bins: tuple[ReliabilityBin, ...]
    ece: float
    aurc: float
    curve: tuple[tuple[float, float], ...]  # (coverage, share wrong), coverage rising to 1


class Reason(StrEnum):
    """Why an answer is wrong: the first step on the way to it that failed."""

    NO_ANSWER = "no passage was found, so nothing was answered"
    NOT_READ = "the gold passage is not among those read"
    OTHER_PASSAGE = "the gold passage was read, but an answer of another one was chosen"
    OTHER_SPAN = "the right passage, but another span chosen"
    OVERLAP = "the right passage, a span that overlaps the answer"

    @property
    def is_retrieval(self) -> bool:
        return self in (Reason.NO_ANSWER, Reason.NOT_READ)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A span in its surroundings: three neighbouring pieces of a passage, and whether there is more around them."""

    title: str
    before: str
    span: str
    after: str
    cut_before: bool
    cut_after: bool


@dataclass(frozen=True, slots=True)
class Miss:
    """A question that was answered wrongly."""

    question_id: str
    question: str
    golds: tuple[str, ...]
    predicted: str | None
    confidence: float | None
    reason: Reason
    chosen: Excerpt | None  # where the prediction stands
    gold: Excerpt  # where the first gold answer stands


@dataclass(frozen=True, slots=True)
class Misses:
    """Wrong answers to the calibration questions of one round: all of them counted, some shown."""

    round_number: int
    found: Mapping[int, float]  # depth -> share of questions with a gold passage among the first so many
    correct: int
    unanswerable: int  # left out: the label says that there is no answer
    counts: Mapping[Reason, int]
    examples: tuple[Miss, ...]  # by reason, the most confident first

    @property
    def questions(self) -> int:
        return self.correct + sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """The best reader on a split: answers that are right, that share something with a gold one, that are wrong."""

    split: str
    round_number: int
    given: bool  # it read the gold passage; else what was retrieved, end to end
    exact: int
    partly: int
    wrong: int
    passage_correct: float  # the answer stands in a gold passage

    @property
    def questions(self) -> int:
        return self.exact + self.partly + self.wrong


@dataclass(frozen=True, slots=True)
class RoundAlarm:
    """Something in a round that a person should look at."""

    round_number: int
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. A part that has no data is None or empty."""

    title: str
    language: str  # of the questions: ko, en, or "" where it is not known
    facts: Mapping[str, str]
    counts: Counts
    rounds: tuple[RoundLine, ...]
    precision: tuple[PseudoPrecision, ...]
    confidence: Confidence | None
    reviews: tuple[ReviewLine, ...]
    reviewed: ReviewStatistics
    studio: tuple[ProjectSummary, ...]
    outcomes: tuple[Outcome, ...]
    misses: Misses | None
    alarms: tuple[RoundAlarm, ...]

    @property
    def best(self) -> RoundLine | None:
        """The round whose student is the reader now."""
        return next((line for line in self.rounds if line.is_best), None)

    @property
    def current(self) -> RoundLine | None:
        """The open round."""
        return next((line for line in self.rounds if line.outcome == "open"), None)
