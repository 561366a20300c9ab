"""How often a training passes over its examples: `epochs` times over human-labelled ones, `pseudo_epochs` times over
pseudo-labelled ones beside them."""

from __future__ import annotations

import math
from typing import Final

from mrc.read.train_config import TrainConfig, TrainSettings

LEAST_PASSES: Final = 2.0  # over human-labelled examples, however many pseudo-labelled ones there are
MOST_HUMAN: Final = 0.75  # of the batches filled for that, at most


def mixture(human: int, pseudo: int, config: TrainSettings) -> tuple[int, int]:
    """The number of updates of the main phase, and how many of their examples are human-labelled; both kinds exist.

    Human-labelled examples are passed over `epochs` times and pseudo-labelled ones `pseudo_epochs` times. Where
    `max_steps` leaves less room, both are cut alike, but human-labelled ones not below `LEAST_PASSES` while they fill
    at most `MOST_HUMAN` of the batches. They fill `human_labelled_share` of every batch, and one place at least.
    """
    size, wanted = config.batch_size, (config.epochs * human, config.pseudo_epochs * pseudo)
    least = max(1, math.ceil(config.human_labelled_share * size)) / size if size > 1 else config.human_labelled_share
    share = max(min(least, (size - 1) / size) if size > 1 else least, wanted[0] / sum(wanted))
    if config.max_steps is None:
        total = wanted[1] / (1 - share) if share < 1 else wanted[0]
        steps = max(1, math.ceil(total / size - 1e-9))
    else:
        steps = config.max_steps
        share = max(share, min(LEAST_PASSES * human / (steps * size), MOST_HUMAN))
    return steps, round(share * steps * size)


def updates_of_one_kind(count: int, config: TrainSettings) -> int:
    """The number of updates of the main phase where all examples are human-labelled, or all pseudo-labelled."""
    return config.max_steps or max(1, round(config.epochs * -(-count // config.batch_size)))


def examples_shown(human: int, pseudo: int, config: TrainConfig) -> float:
    """How many examples all updates of a training have together, each counted as often as it is shown."""
    count = human + pseudo
    if not count:
        return 0.0
    if human and pseudo:
        main = float(mixture(human, pseudo, config)[0] * config.batch_size)
    else:
        main = updates_of_one_kind(count, config) * count / -(-count // config.batch_size)
    return main + (config.gold_epochs + config.experimental.rl_epochs) * human
