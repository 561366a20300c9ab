"""One update of a training: the gradient of its questions, over as many forward passes as memory needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mrc.checkpoints import step_seed
from mrc.encoder import out_of_memory
from mrc.errors import OutOfMemory, TrainingDiverged
from mrc.metrics import Metric
from mrc.read.data.batches import TrainBatch, micro_batches, with_noise
from mrc.read.data.tokenized import Prepared
from mrc.read.data.windows import Windower
from mrc.read.model.network import SpanModel, to_tensors
from mrc.read.train.losses import full_precision, question_losses, weighted_sum
from mrc.read.train.rl import Reward, reward_losses
from mrc.read.train.schedule import Plan, Update
from mrc.read.train_config import TrainConfig

NOISE: Final = 0  # what the numbers of a question are drawn for
DRAWS: Final = 1


class Team(Protocol):
    """The processes that share every update: each takes every `size`-th question, from its `rank` on."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def autocast(self, low: bool) -> AbstractContextManager[Any]:
        """Inside, products are computed in bfloat16 where `low` says so."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        ...

    def all_reduce(self, model: nn.Module, told: Sequence[float]) -> list[float]:
        """Sums over all processes of the model's gradients, in their place, and of the numbers told."""
        ...


@dataclass(frozen=True, slots=True)
class SingleProcess:
    """A team of one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def autocast(self, low: bool) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=low)

    def any(self, flag: bool) -> bool:
        return flag

    def all_reduce(self, model: nn.Module, told: Sequence[float]) -> list[float]:
        return list(told)


@dataclass(frozen=True, slots=True)
class TrainContext:
    """What stays the same through a training. `low`: the encoder computes in bfloat16."""

    items: Sequence[Prepared]
    windower: Windower
    plan: Plan
    config: TrainConfig
    seed: int
    metric: Metric
    low: bool
    team: Team


@dataclass(frozen=True, slots=True)
class StepResult:
    """The mean loss of the questions of an update, and their mean rewards in the phase that has any."""

    loss: float
    reward: Reward | None


def gradients(model: SpanModel, ctx: TrainContext, step: int, *, budget: int) -> StepResult | None:
    """What update `step` has to tell; its gradients are in the model. None if memory ran out in any process.

    Forward passes have at most `budget` padded tokens. Dropout, noise and draws follow from (seed, step) alone.

    Raises: OutOfMemory where one question by itself is too much.
    """
    update, team = ctx.plan.updates[step], ctx.team
    items = [ctx.items[number] for number in update.numbers[team.rank :: team.size]]
    torch.manual_seed(step_seed(ctx.seed, step) + team.rank)
    told, failed = [0.0, 0.0, 0.0], False
    try:
        told = _backward(model, ctx, update, step, items, budget)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        failed = True
    if team.any(failed):
        model.zero_grad(set_to_none=True)
        batches = micro_batches(items, ctx.windower, ctx.config, budget=budget)
        if failed and all(len(batch.sizes) == 1 for batch in batches):
            raise OutOfMemory(
                f"update {step + 1}, phase {update.phase}: a single question and its passages do not fit into memory; "
                "lower max_seq_length or the number of negatives and train again"
            )
        return None
    loss, greedy, drawn = team.all_reduce(model, told)
    return StepResult(loss, Reward(greedy, drawn) if update.phase == "rl" else None)


def _backward(
    model: SpanModel, ctx: TrainContext, update: Update, step: int, items: Sequence[Prepared], budget: int
) -> list[float]:
    """Mean loss, greedy reward and drawn reward over the whole update of these items; gradients are accumulated."""
    count, told = len(update.numbers), np.zeros(3)
    _set_mode(model, update)
    for batch in micro_batches(items, ctx.windower, ctx.config, budget=budget):
        summed, rewards = _loss(model, ctx, update, step, batch)
        loss = summed / count
        loss.backward()  # type: ignore[no-untyped-call]
        told += [float(loss.detach()), *(sum(part) / count for part in rewards)]
    return told.tolist()


def _loss(
    model: SpanModel, ctx: TrainContext, update: Update, step: int, batch: TrainBatch
) -> tuple[Tensor, tuple[Sequence[float], Sequence[float]]]:
    """The summed loss of a forward pass, and the rewards of its questions: greedy ones, drawn ones."""
    config, team = ctx.config, ctx.team
    weight = config.experimental.rl_weight

    def rng_of(member: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([ctx.seed, step, team.rank + team.size * member, purpose])

    if update.phase == "main":
        mask_id = ctx.windower.mask_id
        batch = with_noise(batch, config, mask_id=mask_id, rng_of=lambda member: rng_of(member, NOISE))
    with team.autocast(ctx.low):
        scores = model(*to_tensors(batch.batch, team.device))
    scores = full_precision(scores)
    losses = question_losses(scores, batch, config)
    rewards: list[Reward] = []
    if update.phase == "rl":
        rewarded, rewards = reward_losses(
            scores,
            batch,
            metric=ctx.metric,
            samples=config.experimental.rl_samples,
            rng_of=lambda member: rng_of(member, DRAWS),
        )
        losses = (1 - weight) * losses + weight * rewarded
    told = [reward.greedy for reward in rewards], [reward.drawn for reward in rewards]
    return weighted_sum(losses, batch), told


def _set_mode(model: SpanModel, update: Update) -> None:
    """Dropout on, but not where the reader is rewarded: its draws and its likeliest span must be of one policy."""
    model.train(update.phase != "rl")
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()  # cuDNN gives no gradient otherwise; a single layer has no dropout


def apply(model: SpanModel, optimizer: torch.optim.Optimizer, config: TrainConfig, told: StepResult) -> str | None:
    """None, with the weights moved; what is no finite number, with the weights as they were."""
    if not math.isfinite(told.loss):
        return f"the loss is {told.loss}"
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
    if not math.isfinite(norm):
        return f"the gradient is {norm}"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return None


def diverged(ctx: TrainContext, step: int, what: str, kept: str) -> TrainingDiverged:
    """The error of an update that gave no finite number; `kept` tells of the checkpoint before it."""
    phase = ctx.plan.updates[step].phase
    return TrainingDiverged(f"update {step + 1}, phase {phase}: {what}; {kept}; lower learning_rate and train again")
