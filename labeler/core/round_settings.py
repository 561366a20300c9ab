"""The settings of rounds: calibration, selection for review, the gate, Label Studio."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mrc.settings import check_settings, setting

MAX_SEED = 2_000_000_000  # a round adds its number, and the sum is stored in 32 bits
MAX_PASSAGES = 5  # shown to a reviewer: more are not read
REVIEWERS = ("simulated", "none", "people", "studio", "llm")
LLM = "llm"  # the reviewer that is a language model; people review what it leaves


@dataclass(frozen=True, slots=True)
class CalibrateConfig:
    """How scores become confidences."""

    calibration_share: float = setting(
        0.2, "of the gold questions, by split group, held out to calibrate where folds is 1; they never train",
        unit="share", low=0, high=0.5, shown=True,
    )  # fmt: skip
    folds: int | None = setting(
        None,
        "of the labels: 2 or more trains as many readers beside each student, each without one fold, so that all gold "
        "labels teach and calibrate; 1: calibration_share is held out instead; none: 2, or 1 where questions have the "
        "role calibration or gold labels do not fill two folds",
        unit="folds", low=1, high=10, shown=True,
    )  # fmt: skip
    target_precision: float = setting(
        0.85, "of right answers that a certificate is to guarantee", unit="share", low=0, high=1, shown=True
    )
    min_support: int = setting(
        30,
        "of calibration questions above a confidence before a round says that it reaches the target",
        unit="answers",
        low=1,
        high=1_000_000,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class SelectConfig:
    """Which questions of a round are reviewed. The three shares of the review budget add up to 1."""

    review_budget: int = setting(
        300, "reviewed in each round: what your reviewers can do", unit="tasks", low=0, shown=True
    )
    passages: int = setting(
        5, "shown with a task, best ranks first; more find more answers and cost reading time",
        unit="passages", low=1, high=MAX_PASSAGES, shown=True,
    )  # fmt: skip
    blind_share: float = setting(
        0.1, "of the tasks with a suggestion whose suggestion is held back, to measure its pull on reviewers",
        unit="share", low=0, high=1,
    )  # fmt: skip
    double_annotation: float = setting(
        0.0, "of a round's tasks reviewed by two people, to measure their agreement",
        unit="share", low=0, high=1, shown=True,
    )  # fmt: skip
    strategy: str = setting(
        "default",
        "query strategy for the questions beside the random ones: default, random, uncertain, margin, disagreement, or "
        "one of another package",
    )
    random_share: float = setting(
        0.5, "drawn at random from the whole pool, reviewed without a suggestion", unit="share", low=0, high=1
    )
    uncertain_share: float = setting(0.4, "of answers of middling confidence", unit="share", low=0, high=1)
    suspect_share: float = setting(
        0.1, "of confident answers that look wrong by their passage's rank or their margin", unit="share", low=0, high=1
    )
    first_random_share: float = setting(
        0.7,
        "drawn at random in round 1, at least: its confidence was fitted on seed labels alone",
        unit="share",
        low=0,
        high=1,
    )
    uncertain_low: float = setting(
        0.2, "from which an answer is uncertain, inclusive; below it the passage is mostly the wrong one",
        unit="confidence", low=0, high=1,
    )  # fmt: skip
    uncertain_high: float = setting(
        0.7, "up to which an answer is uncertain, inclusive; above it, it can only be a suspect",
        unit="confidence", low=0, high=1,
    )  # fmt: skip
    suspect_rank: int = setting(
        3, "of its passage from which an answer is suspect; ranks count from 0", unit="rank", low=0
    )
    suspect_margin: float = setting(
        0.2, "by which an answer must lead the next one not to be suspect", unit="probability", low=0, high=1
    )
    train_share: float = setting(
        0.5, "of the pool's answers, the most confident, that train as pseudo-labels; 0: none does",
        unit="share", low=0, high=1, shown=True,
    )  # fmt: skip
    min_train_confidence: float = setting(
        0.2, "below which a pseudo-label does not train whatever its rank", unit="confidence", low=0, high=1
    )
    weighting: str = setting(
        "confidence", "of a pseudo-label in training: its confidence, or softmatch: 1 above the mean confidence",
        choices=("confidence", "softmatch"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
        shares = self.random_share + self.uncertain_share + self.suspect_share
        if not math.isclose(shares, 1.0, abs_tol=1e-9):
            raise ValueError(f"random_share, uncertain_share and suspect_share must add up to 1, not {shares:g}")
        if self.uncertain_low > self.uncertain_high:
            raise ValueError(f"uncertain_low {self.uncertain_low} is above uncertain_high {self.uncertain_high}")


@dataclass(frozen=True, slots=True)
class GateConfig:
    """When a student is promoted, and when an alarm is raised."""

    tolerance: float = setting(
        0.01, "accepted in exchange for more labels; 0.01 is one point", unit="fall of EM", low=0, high=1, shown=True
    )
    max_fall_probability: float = setting(
        0.3, "of a fall beyond the tolerance, above which a student is not promoted", unit="probability", low=0, high=1
    )
    refuse_below_p: float = setting(
        0.1, "of the one-sided McNemar test 'the student is worse', below which it is refused",
        unit="p value", above=0, below=1,
    )  # fmt: skip
    power: float = setting(
        0.8,
        "with which the reported smallest visible change would be seen",
        unit="probability",
        above=0,
        below=1,
    )
    min_questions: int = setting(
        100, "below which a student is promoted only if neither EM nor F1 fell", unit="dev questions", low=0
    )
    samples: int = setting(
        2000,
        "of the dev questions: with 2000 a probability of 0.3 is known to within 0.02",
        unit="bootstrap samples",
        low=1,
    )
    alarm_overconfidence: float = setting(
        0.05, "above the accuracy in review that raises an alarm", unit="confidence", low=0, high=1
    )
    alarm_type_divergence: float = setting(
        0.1, "between the question types of pseudo-labels and of the pool that raise an alarm", unit="nats", low=0
    )
    alarm_length_drift: float = setting(
        0.2,
        "by which pseudo-labels may be longer or shorter than people's answers before an alarm",
        unit="share",
        low=0,
    )
    alarm_churn: float = setting(
        0.3, "of pseudo-labels changed since the last round that raises an alarm", unit="share", low=0, high=1
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class RoundConfig:
    """How a round runs."""

    seed: int = setting(
        0, "of every random choice, so that results can be repeated; round N uses seed + N",
        low=0, high=MAX_SEED, shown=True,
    )  # fmt: skip
    reviewer: str = setting(
        "none", "studio: Label Studio; people: file or terminal; llm: a language model first, see [llm]; "
        "simulated: hidden answers; none: no review",
        choices=REVIEWERS, shown=True,
    )  # fmt: skip
    dev_share: float = setting(
        0.1, "of the gold questions, by split group, held out to compare readers if no dev split was imported",
        unit="share", low=0, high=0.5, shown=True,
    )  # fmt: skip
    labeller: str | None = setting(
        None, "whose imported answers a round takes as its predictions; none: the current reader predicts"
    )
    chunk_size: int = setting(
        500, "predicted and stored in one transaction; a killed round repeats at most so many",
        unit="questions", low=1, high=1_000_000,
    )  # fmt: skip
    budget_minutes: float | None = setting(
        None, "of reading and training in a round, for which a part of the pool is left out, never gold or human "
        "labels; none: all of the pool is taken",
        unit="minutes", above=0,
    )  # fmt: skip
    simulated_error_rate: float = setting(
        0.0, "of wrong answers given by the simulated reviewer", unit="share", low=0, high=1
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """The language model of `labeler annotate` and of the reviewer llm. Values given now apply to an open round too."""

    endpoint: str | None = setting(None, "address of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1")
    model: str | None = setting(None, "name of the model, as the server calls it")
    labeller: str | None = setting(None, "name under which its answers are stored; none: that of the model")
    price_in: float | None = setting(None, "for prompts", unit="money per million tokens", low=0)
    price_out: float | None = setting(None, "for replies", unit="money per million tokens", low=0)
    budget: float | None = setting(
        None, "for one round, or one run of annotate: it stops before it costs more", unit="money", low=0
    )
    then: str = setting(
        "people", "who reviews what the reviewer llm leaves: people (file or terminal), studio, or simulated",
        choices=("people", "studio", "simulated"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
        if self.endpoint is not None and any(character in self.endpoint for character in "@?#"):
            raise ValueError("endpoint: leave out user, password, ? and #; the key goes into OPENAI_API_KEY")
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out belong together: give both, or neither")
        if self.budget is not None and self.price_in is None:
            raise ValueError("budget needs price_in and price_out")


@dataclass(frozen=True, slots=True)
class StudioConfig:
    """How tasks are sent to and reviews fetched from Label Studio. The current values apply to an open round too."""

    batch_size: int = setting(500, "sent in one request", unit="tasks", low=1, high=1000)
    poll_seconds: float = setting(
        10.0, "between two requests while waiting for reviews", unit="seconds", low=0.1, high=3600
    )
    language: str = setting(
        "auto", "of the review page and its guidelines; auto: that of the workspace, both: Korean and English",
        choices=("auto", "ko", "en", "both"),
    )  # fmt: skip
    overlap_seconds: float = setting(
        60.0,
        "before the last pull that the next one reads again, for reviews saved late",
        unit="seconds",
        low=0,
        high=3600,
    )

    def __post_init__(self) -> None:
        check_settings(self)
