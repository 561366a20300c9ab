"""The loop over updates: checkpoints, smaller forward passes where memory runs out, and early stopping on dev.

The order of examples and all random numbers of an update depend only on (seed, update), so a checkpoint holds weights,
moments and a few numbers, and a resumed training ends in the same bits as an uninterrupted one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from mrc.checkpoints import (
    checkpoint_record,
    held_interrupt,
    load_weights,
    newest_checkpoint,
    read_average,
    read_checkpoint,
    set_rates,
    write_checkpoint,
)
from mrc.files import sync
from mrc.read.model.network import SpanModel
from mrc.read.train import update
from mrc.read.train.dev import DevScore, dev_score
from mrc.read.train.job import Job
from mrc.read.train.schedule import Plan
from mrc.read.train_config import TrainConfig

log = logging.getLogger(__name__)

Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left

BEST_FILE: Final = "best.safetensors"


@dataclass(slots=True)
class State:
    """The state of a running training. `losses` are those of the last tenth of the updates; `main_losses` those of the
    first and of the last tenth within the main phase; `batch_tokens` limits a forward pass; `stale` counts the
    evaluations since the best one; `rewards` are (greedy, sampled) means; `skipped` updates of the plan were left out
    by early stopping; `average` is the mean of the weights after the last `averaged` updates; `seconds` were spent
    before the checkpoint that was loaded, and `began` is when (`time.monotonic`)."""

    model: SpanModel
    optimizer: torch.optim.AdamW
    step: int
    batch_tokens: int
    losses: list[float] = field(default_factory=list)
    best: DevScore | None = None
    stale: int = 0
    rewards: list[tuple[float, float]] = field(default_factory=list)
    skipped: int = 0
    main_losses: tuple[list[float], list[float]] = ([], [])
    average: dict[str, torch.Tensor] = field(default_factory=dict)
    averaged: int = 0
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds of the training so far, those before an interruption included."""
        return self.seconds + time.monotonic() - self.began

    @property
    def done(self) -> int:
        """Number of updates made; `step` is the position in the plan."""
        return self.step - self.skipped


def run(
    state: State, ctx: update.TrainContext, job: Job, fingerprint: str, tokenizer: Any, progress: Progress | None
) -> None:
    """Run all remaining updates, with a checkpoint every `checkpoint_every` and where Ctrl-C interrupts them."""
    total = len(ctx.plan.updates)
    began, first = time.monotonic(), state.done
    lead = ctx.processes.rank == 0
    devices = [ctx.processes.device] if ctx.processes.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), held_interrupt() as interrupted:
        while state.step < total:
            loss = _update(state, ctx, job.partial, fingerprint)
            _keep_loss(state, ctx.plan, loss)
            _keep_average(state, ctx)
            position = state.step
            if ctx.config.early_stopping_patience and _evaluation_due(state, ctx.plan):
                _evaluate_dev(state, ctx, job, tokenizer)
            due = state.step % ctx.config.checkpoint_every == 0
            if _out_of_patience(state, ctx.config):
                _skip_to_next_phase(state, ctx, job.partial)
                due = True  # a resumed training must not load these weights again: better ones may replace them
            if lead and due and state.step < total:
                _checkpoint(state, job.partial, fingerprint)
            if progress and lead:
                per_update = (time.monotonic() - began) / (state.done - first)
                progress(position, total, loss, per_update * (total - state.step))
            if interrupted():
                if lead:
                    _checkpoint(state, job.partial, fingerprint)
                    log.info("interrupted: %d of %d updates are kept", state.step, total)
                raise KeyboardInterrupt


def _keep_loss(state: State, plan: Plan, loss: float) -> None:
    tenth = max(1, len(plan.updates) // 10)
    state.losses = [*state.losses, loss][-tenth:]
    if plan.updates[state.step - 1].phase == "main":
        first, last = state.main_losses
        state.main_losses = [*first, loss][:tenth], [*last, loss][-tenth:]


def _keep_average(state: State, ctx: update.TrainContext) -> None:
    """Take the weights into the average, if this is one of the last updates, of which `config.average` is the share.

    Source: Izmailov et al. 2018, Averaging weights leads to wider optima; here the learning rate falls meanwhile.
    """
    total = len(ctx.plan.updates)
    if not ctx.config.average or state.step <= total - max(1, round(ctx.config.average * total)):
        return
    state.averaged += 1
    for name, weights in state.model.named_parameters():
        now = weights.detach()
        if name in state.average:
            state.average[name] += (now - state.average[name]) / state.averaged
        else:
            state.average[name] = now.clone()


def _update(state: State, ctx: update.TrainContext, partial: Path, fingerprint: str) -> float:
    """Make one update and return its mean loss.

    Where memory runs out, forward passes are halved from then on and the update is repeated.
    """
    set_rates(state.optimizer, ctx.plan.updates[state.step].rate_share)
    while (result := update.compute_gradients(state.model, ctx, state.step, budget=state.batch_tokens)) is None:
        state.batch_tokens = max(1, state.batch_tokens // 2)
        log.warning("out of memory: forward passes of %d tokens from now on", state.batch_tokens)
        if ctx.processes.rank == 0:
            _checkpoint(state, partial, fingerprint)  # a resumed training must split its updates alike
    if wrong := update.apply_gradients(state.model, state.optimizer, ctx.config, result):
        raise update.diverged(ctx, state.step, wrong, _kept(partial))
    state.step += 1
    if result.rewards:
        state.rewards.append((result.rewards.greedy, result.rewards.sampled))
    return result.loss


def _evaluation_due(state: State, plan: Plan) -> bool:
    """Whether dev is evaluated after the update just made: regularly, and at the end of every phase."""
    return state.step % plan.evaluate_every == 0 or _next_phase(state, plan) == state.step


def _next_phase(state: State, plan: Plan) -> int:
    """The position in the plan, from `step` on, at which the phase of the update just made ends."""
    phase = plan.updates[state.step - 1].phase
    left = range(state.step, len(plan.updates))
    return next((place for place in left if plan.updates[place].phase != phase), len(plan.updates))


def _skip_to_next_phase(state: State, ctx: update.TrainContext, partial: Path) -> None:
    """Skip the rest of the phase; the next one starts from the best weights so far."""
    begin = _next_phase(state, ctx.plan)
    state.skipped += begin - state.step
    state.step, state.stale = begin, 0
    if begin < len(ctx.plan.updates):
        state.model.load_state_dict(load_weights(partial / BEST_FILE))


def _evaluate_dev(state: State, ctx: update.TrainContext, job: Job, tokenizer: Any) -> None:
    """Evaluate dev and keep the best weights so far. Only the first process evaluates; all get the outcome."""
    new = True
    if ctx.processes.rank == 0:
        device = ctx.processes.device
        now = dev_score(state.model, tokenizer, job, step=state.done, device=device, bf16=ctx.bf16)
        new = state.best is None or state.best.is_beaten_by(now)
        if new:
            state.best = now
            job.partial.mkdir(parents=True, exist_ok=True)
            draft = job.partial / f"{BEST_FILE}.draft"
            weights = state.model.state_dict()
            save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, draft)
            sync(draft)
            draft.replace(job.partial / BEST_FILE)
    state.stale = state.stale + 1 if ctx.processes.any(not new) else 0


def _out_of_patience(state: State, config: TrainConfig) -> bool:
    return 0 < config.early_stopping_patience <= state.stale


def _checkpoint(state: State, partial: Path, fingerprint: str) -> None:
    record = {
        "fingerprint": fingerprint,
        "step": state.step,
        "losses": state.losses,
        "batch_tokens": state.batch_tokens,
        "best": asdict(state.best) if state.best else None,
        "stale": state.stale,
        "rewards": state.rewards,
        "skipped": state.skipped,
        "main_losses": state.main_losses,
        "averaged": state.averaged,
        "seconds": state.spent,
    }
    write_checkpoint(partial, state.model, state.optimizer, record, average=state.average)


def _kept(partial: Path) -> str:
    """Describe the checkpoint that a failed training leaves."""
    newest = newest_checkpoint(partial)
    if newest is None:
        return "there is no checkpoint yet"
    return f"the checkpoint of update {checkpoint_record(newest)['step']} is kept in {partial}"


def resume(partial: Path, fingerprint: str, fresh: State) -> State:
    """The newest checkpoint of the same training loaded into `fresh`, or `fresh` itself."""
    record = read_checkpoint(partial, fresh.model, fresh.optimizer, fingerprint=fingerprint)
    if record is None:
        return fresh
    best = DevScore(**record["best"]) if record["best"] else None
    rewards = [(greedy, sampled) for greedy, sampled in record["rewards"]]
    device = next(fresh.model.parameters()).device
    average = {name: value.to(device) for name, value in read_average(partial).items()}
    for moments in fresh.optimizer.state.values():  # counts updates made, not positions in the plan
        made = float(record["step"] - record["skipped"])
        moments["step"] = torch.tensor(made, device=moments["exp_avg"].device)
    return State(
        fresh.model,
        fresh.optimizer,
        record["step"],
        record["batch_tokens"],
        record["losses"],
        best,
        record["stale"],
        rewards,
        record["skipped"],
        tuple(record.get("main_losses", ([], []))),
        average,
        record.get("averaged", 0),
        record.get("seconds", 0.0),
    )
