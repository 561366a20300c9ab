"""The questions of every update of a training, and its share of the peak learning rate.

A training has up to three phases: `main` over all examples; `gold` over the human-labelled ones alone, without masked
words; and `rl`, over those of them that have an answer, rewarded by F1. The last two start at a tenth of the peak rate,
which falls to 0. The list depends only on the settings and the seed, so that a resumed training continues in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mrc.checkpoints import rate_share
from mrc.read.data import balance
from mrc.read.passes import mixture, updates_of_one_kind
from mrc.read.train_config import TrainConfig, TrainingExample

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Phase = Literal["main", "gold", "rl"]

LATER_RATE: Final = 0.1  # share of the peak rate at which the phases after the main one start


@dataclass(frozen=True, slots=True)
class Update:
    """One update: the numbers of its examples (repeats are possible), its phase, its share of the peak rates."""

    numbers: tuple[int, ...]
    phase: Phase
    rate_share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All updates of a training, and the number of updates between two evaluations on dev."""

    updates: tuple[Update, ...]
    evaluate_every: int


def plan(
    human_labelled: Sequence[bool],
    answered: Sequence[bool],
    config: TrainConfig,
    *,
    seed: int,
    repeats: Ints | None = None,
) -> Plan:
    """All updates of a training on these examples, shuffled in every epoch.

    Every example occurs once per epoch, or as often as `repeats` (N,) says; see `mixture` for how often human- and
    pseudo-labelled ones are passed over where there are both. `answered` examples have a span.
    """
    often = np.ones(len(human_labelled), dtype=np.int64) if repeats is None else repeats
    human = np.asarray(human_labelled, dtype=np.bool_)
    rng = np.random.default_rng(seed)
    epoch, batches = _main(human, often, config, rng)
    updates = [
        Update(tuple(numbers), "main", rate_share(step, len(batches), config.warmup_ratio))
        for step, numbers in enumerate(batches)
    ]
    both = np.asarray(answered, dtype=np.bool_) & human
    updates += _later_phase("gold", np.flatnonzero(human), config.gold_epochs, config, seed)
    updates += _later_phase("rl", np.flatnonzero(both), config.experimental.rl_epochs, config, seed)
    return Plan(tuple(updates), max(1, round(config.evaluate_every * epoch)))


def balanced(
    examples: Sequence[TrainingExample], config: TrainConfig, shares: Mapping[str, float] | None
) -> tuple[Floats, Ints | None]:
    """Factors of the examples' weights (N,), and how often each occurs (N,), by `config.balance`.

    `shares` are the wanted ones of question type x answer length; None: those among the human-labelled examples, which
    no model selected. Without human-labelled examples all factors are 1.
    """
    human_labelled = np.array([example.human_labelled for example in examples], dtype=np.bool_)
    strata = balance.strata([example.question for example in examples], [_length(example) for example in examples])
    wanted = shares or _shares([kind for kind, human in zip(strata, human_labelled, strict=True) if human])
    factors: Floats = np.ones(len(strata))
    often = balance.repeats(strata, human_labelled) if config.balance in ("repeats", "both") else None
    if config.balance in ("weights", "both") and wanted:
        counts = np.array([example.weight for example in examples], dtype=np.float64)
        factors = balance.weights(strata, wanted, counts=counts, often=often)
    return factors, often


def _length(example: TrainingExample) -> int:
    """Number of words of the answer; 0 without one."""
    return len(example.context[example.start : example.end].split()) if example.start >= 0 else 0


def _shares(strata: Sequence[str]) -> dict[str, float]:
    return {kind: strata.count(kind) / len(strata) for kind in sorted(set(strata))}


def _main(
    human_labelled: Bools, often: Ints, config: TrainConfig, rng: np.random.Generator
) -> tuple[int, list[list[int]]]:
    """The number of updates of one epoch, and the examples of every update of the main phase."""
    numbers = np.repeat(np.arange(len(human_labelled)), often)
    human, pseudo = numbers[human_labelled[numbers]], numbers[~human_labelled[numbers]]
    if not len(human) or not len(pseudo):
        return _alone(numbers, config, rng)
    steps, drawn = mixture(len(human), len(pseudo), config)
    both = _cycled(human, drawn, rng), _cycled(pseudo, steps * config.batch_size - drawn, rng)
    ends = np.round(np.arange(steps + 1) * drawn / steps).astype(np.int64)  # of the human-labelled ones of each update
    rest = np.arange(steps + 1) * config.batch_size - ends
    batches = [
        [*both[0][ends[at] : ends[at + 1]].tolist(), *both[1][rest[at] : rest[at + 1]].tolist()] for at in range(steps)
    ]
    return -(-len(numbers) // config.batch_size), batches


def _alone(numbers: Ints, config: TrainConfig, rng: np.random.Generator) -> tuple[int, list[list[int]]]:
    """The same for examples of one kind: whole epochs, each in another order."""
    length = -(-len(numbers) // config.batch_size)
    total = updates_of_one_kind(len(numbers), config)
    batches: list[list[int]] = []
    while len(batches) < total:
        order = rng.permutation(numbers)
        batches += [order[at : at + config.batch_size].tolist() for at in range(0, len(order), config.batch_size)]
    return length, batches[:total]


def _cycled(numbers: Ints, count: int, rng: np.random.Generator) -> Ints:
    """`count` of the numbers: all of them in one order, then in another, and so on."""
    rounds = -(-count // len(numbers))
    drawn: Ints = np.concatenate([rng.permutation(numbers) for _ in range(rounds)] or [numbers[:0]])[:count]
    return drawn


def _later_phase(phase: Phase, numbers: Ints, epochs: float, config: TrainConfig, seed: int) -> list[Update]:
    """The updates of a phase after the main one; none without examples or epochs."""
    length = -(-len(numbers) // config.batch_size)
    total = round(epochs * length)
    rng = np.random.default_rng([seed, *phase.encode()])
    batches: list[Ints] = []
    while len(batches) < total:
        order = rng.permutation(numbers)
        batches += [order[at : at + config.batch_size] for at in range(0, len(order), config.batch_size)]
    return [
        Update(tuple(batch.tolist()), phase, LATER_RATE * (total - step) / total)
        for step, batch in enumerate(batches[:total])
    ]
