"""What a round costs in seconds, from the paces of earlier ones. Pure.

A round reads questions of the pool and held-out ones, trains a student and its fold readers on gold, human and
pseudo-labels, and at its end reads held-out questions again. Only the number of pool questions is free.
"""

from __future__ import annotations

from dataclasses import dataclass

from labeler.core.config import Config
from labeler.reading.folds import fold_training
from mrc.read.passes import examples_shown

READING_SHARE = 1 / 3  # of the time to train on a passage once: the forward pass alone


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that work took when it was timed last."""

    example: float  # one passage of one example, in one update
    passage: float  # reading one passage for one question
    retriever: tuple[float, int] | None = None  # the last training of a retriever: seconds, examples
    timed: bool = True  # whether reading was timed; else it is taken for a third of the training on a passage


@dataclass(frozen=True, slots=True)
class Work:
    """The size of the pool, and what a round has to do whatever part of it is taken."""

    pool: int  # questions that could be taken
    questions: int  # predicted beside the pool: those that calibrate
    human: int  # gold and human labels that the student is taught, with the reviews of the round
    dev: int
    calibration: int  # on which a reader is tuned, with those of dev; of fold readers' questions, as many as tune it
    passages: int  # that the reader takes of each question


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the parts of a round."""

    reading: float
    training: float
    closing: float  # tuning and judging the student

    @property
    def total(self) -> float:
        return self.reading + self.training + self.closing


def cost(work: Work, pace: Pace, config: Config, *, pool: int, taught: int | None = None) -> Cost:
    """The cost of a round that takes `pool` questions of the pool.

    `config`: as a round resolves it. `taught` pseudo-labels train the student; None: `review.train_share` of the pool
    questions, the most there can be.
    """
    pseudo = round(config.review.train_share * pool) if taught is None else taught
    reading = (work.questions + pool) * work.passages * pace.passage
    tuning = (work.dev + work.calibration) * (1 if config.read.passages == "given" else config.read.top_k)
    closing = (tuning + work.dev * work.passages) * pace.passage
    return Cost(reading, _training(work.human, pseudo, pace, config), closing)


def passages_of(config: Config) -> int:
    """How many passages an example of the training has."""
    return 1 + (0 if config.read.passages == "given" else config.train.negatives)


def _training(human: int, pseudo: int, pace: Pace, config: Config) -> float:
    """Seconds to train the student, its fold readers and the retriever, and to read what a teacher distils."""
    shown = examples_shown(human, pseudo, config.training)
    folds = config.calibrate.folds or 1
    if folds > 1:
        rest = (folds - 1) / folds
        training = fold_training(config.training, folds)
        shown += folds * examples_shown(round(rest * human), round(rest * pseudo), training)
    found = shown * passages_of(config) * pace.example
    if config.train.distill_weight:
        found += folds * pseudo * passages_of(config) * pace.passage
    return found + _retriever(human + pseudo, pace, config)


def _retriever(examples: int, pace: Pace, config: Config) -> float:
    if pace.retriever is None or not config.retriever.train:
        return 0.0
    seconds, before = pace.retriever
    return seconds if config.retriever.max_steps or not before else seconds * examples / before


def most_questions(work: Work, pace: Pace, config: Config, *, least: int, minutes: float) -> int:
    """How many questions of the pool can be taken so that the round costs at most `minutes`, but at least `least`."""
    low, high = min(least, work.pool), work.pool
    while low < high:
        middle = (low + high + 1) // 2
        if cost(work, pace, config, pool=middle).total <= 60 * minutes:
            low = middle
        else:
            high = middle - 1
    return low
