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
from mrc.encoder.compute import out_of_memory
from mrc.errors import OutOfMemory, TrainingDiverged
from mrc.metrics import Metric
from mrc.read.data.batches import TrainBatch, masked_words, micro_batches
from mrc.read.data.tokenized import TokenizedExample
from mrc.read.data.windows import Windower
from mrc.read.model.network import SpanModel, to_tensors
from mrc.read.train.losses import full_precision, question_losses, weighted_sum, with_priors
from mrc.read.train.rl import RlRewards, rl_losses
from mrc.read.train.schedule import Plan, Update
from mrc.read.train_config import TrainConfig

MASKING: Final = 0  # purposes of a question's random numbers
SAMPLING: Final = 1


class ProcessGroup(Protocol):
    """Processes that share every update: each takes every `size`-th question, starting at its `rank`."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def autocast(self, bf16: bool) -> AbstractContextManager[Any]:
        """A context in which matrix products are computed in bfloat16 if `bf16`."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        ...

    def all_reduce(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        """Sum the model's gradients in place, and the numbers, over all processes."""
        ...


@dataclass(frozen=True, slots=True)
class SingleProcess:
    """A process group of one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def autocast(self, bf16: bool) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16)

    def any(self, flag: bool) -> bool:
        return flag

    def all_reduce(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        return list(numbers)


@dataclass(frozen=True, slots=True)
class TrainContext:
    """What stays the same during a training. `bf16`: the encoder computes in bfloat16."""

    items: Sequence[TokenizedExample]
    windower: Windower
    plan: Plan
    config: TrainConfig
    seed: int
    metric: Metric
    bf16: bool
    processes: ProcessGroup


@dataclass(frozen=True, slots=True)
class StepResult:
    """The mean loss of the questions of an update, and in the phase "rl" their mean rewards."""

    loss: float
    rewards: RlRewards | None


def compute_gradients(model: SpanModel, ctx: TrainContext, step: int, *, budget: int) -> StepResult | None:
    """Add the gradients of update `step` to the model; return its losses, or None if memory ran out in any process.

    Forward passes have at most `budget` padded tokens. Dropout, masking and samples depend only on (seed, step).

    Raises: OutOfMemory where a single question is too large.
    """
    update, processes = ctx.plan.updates[step], ctx.processes
    items = [ctx.items[number] for number in update.numbers[processes.rank :: processes.size]]
    torch.manual_seed(step_seed(ctx.seed, step) + processes.rank)
    sums, failed = [0.0, 0.0, 0.0], False
    try:
        sums = _backward(model, ctx, update, step, items, budget)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        failed = True
    if processes.any(failed):
        model.zero_grad(set_to_none=True)
        batches = micro_batches(items, ctx.windower, ctx.config, budget=budget)
        if failed and all(len(batch.sizes) == 1 for batch in batches):
            raise OutOfMemory(
                f"update {step + 1}, phase {update.phase}: a single question and its passages do not fit into memory; "
                "lower max_seq_length or the number of negatives and train again"
            )
        return None
    loss, greedy, sampled = processes.all_reduce(model, sums)
    return StepResult(loss, RlRewards(greedy, sampled) if update.phase == "rl" else None)


def _backward(
    model: SpanModel, ctx: TrainContext, update: Update, step: int, items: Sequence[TokenizedExample], budget: int
) -> list[float]:
    """Mean loss, greedy reward and sampled reward of the items over the whole update; gradients are accumulated."""
    count, sums = len(update.numbers), np.zeros(3)
    _set_mode(model, update)
    for batch in micro_batches(items, ctx.windower, ctx.config, budget=budget):
        summed, rewards = _loss(model, ctx, update, step, batch)
        loss = summed / count
        loss.backward()  # type: ignore[no-untyped-call]
        sums += [float(loss.detach()), *(sum(part) / count for part in rewards)]
    return sums.tolist()


def _loss(
    model: SpanModel, ctx: TrainContext, update: Update, step: int, batch: TrainBatch
) -> tuple[Tensor, tuple[Sequence[float], Sequence[float]]]:
    """The summed loss of a forward pass, and the greedy and the sampled rewards of its questions."""
    config, processes = ctx.config, ctx.processes
    weight = config.experimental.rl_weight

    def rng_of(member: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([ctx.seed, step, processes.rank + processes.size * member, purpose])

    if update.phase == "main":
        mask_id = ctx.windower.mask_id
        batch = masked_words(batch, config, mask_id=mask_id, rng_of=lambda member: rng_of(member, MASKING))
    with processes.autocast(ctx.bf16):
        scores = model(*to_tensors(batch.batch, processes.device))
    scores = with_priors(full_precision(scores), batch)
    losses = question_losses(scores, batch, config)
    rewards: list[RlRewards] = []
    if update.phase == "rl":
        rewarded, rewards = rl_losses(
            scores,
            batch,
            metric=ctx.metric,
            samples=config.experimental.rl_samples,
            rng_of=lambda member: rng_of(member, SAMPLING),
        )
        losses = (1 - weight) * losses + weight * rewarded
    sides = [reward.greedy for reward in rewards], [reward.sampled for reward in rewards]
    return weighted_sum(losses, batch), sides


def _set_mode(model: SpanModel, update: Update) -> None:
    """Dropout on, except in the phase "rl", where sampled spans and the greedy span must come from one policy."""
    model.train(update.phase != "rl")
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()  # cuDNN gives no gradient otherwise; a single layer has no dropout


def apply_gradients(
    model: SpanModel, optimizer: torch.optim.Optimizer, config: TrainConfig, result: StepResult
) -> str | None:
    """Update the weights; where the loss or the gradient is not finite, leave them and return a description."""
    if not math.isfinite(result.loss):
        return f"the loss is {result.loss}"
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
    if not math.isfinite(norm):
        return f"the gradient is {norm}"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return None


def diverged(ctx: TrainContext, step: int, what: str, kept: str) -> TrainingDiverged:
    """The error of an update that gave a value that is not finite; `kept` describes the checkpoint before it."""
    phase = ctx.plan.updates[step].phase
    return TrainingDiverged(f"update {step + 1}, phase {phase}: {what}; {kept}; lower learning_rate and train again")
