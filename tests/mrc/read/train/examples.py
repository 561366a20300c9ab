"""Small examples and batches for the tests of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from mrc.read.config import WindowConfig
from mrc.read.data.batches import TrainBatch, micro_batches
from mrc.read.data.tokenized import tokenize_examples
from mrc.read.data.windows import Windower
from mrc.read.model.heads import Scores
from mrc.read.train_config import SoftTarget, TrainConfig, TrainingExample
from tests.mrc import tiny

CONFIG = TrainConfig(max_steps=6, batch_size=3, learning_rate=1e-3, windows=WindowConfig(96, 16), checkpoint_every=2)
NAMES = ("Mira Oland", "Tarn", "the mill", "가람 선생", "1893", "1921", "한빛 학당", "Mira")


def changed(config: TrainConfig, **change: Any) -> TrainConfig:
    """The configuration with these settings, the experimental ones among them in their place."""
    own = {name: value for name, value in change.items() if hasattr(config, name)}
    others = {name: value for name, value in change.items() if name not in own}
    return replace(config, **own, experimental=replace(config.experimental, **others))


def example(number: int, **change: Any) -> TrainingExample:
    """Who founded thing `number`, and the passage that says so."""
    name = NAMES[number % len(NAMES)]
    context = f"The mill stands in Tarn. {number} was founded by {name}."
    start = context.rindex(name)
    return TrainingExample(f"q{number}", f"Who founded {number}?", context, start, start + len(name), **change)


def impossible(number: int) -> TrainingExample:
    """The same question with a passage that does not answer it."""
    return TrainingExample(f"n{number}", f"Who founded {number}?", "The mill stands in Tarn.", -1, -1)


def batch_of(
    examples: Sequence[TrainingExample], *, soft: Sequence[SoftTarget | None] = (), **change: Any
) -> list[TrainBatch]:
    """The forward passes of one update of all of them."""
    windower = Windower(tiny.wordpiece())
    config = changed(CONFIG, **change)
    items, _, _ = tokenize_examples(examples, windower, config)
    if soft:
        items = [replace(item, soft_target=target) for item, target in zip(items, soft, strict=True)]
    return list(micro_batches(items, windower, config))


def scores_for(batch: TrainBatch, *, seed: int, rank: int = 0) -> Scores:
    """Random scores that take a gradient; with a `rank`, of a biaffine head."""
    generator = torch.Generator().manual_seed(seed)
    shape = batch.batch.ids.shape
    parts = [torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    if rank:
        parts += [
            torch.randn(*shape, rank, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)
        ]
    return Scores(*parts)
