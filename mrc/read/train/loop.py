"""The loop over updates: checkpoints, halving where memory runs out, and dev as a reason to stop.

The order of examples and all that an update draws by chance follow from (seed, update) alone, so a checkpoint holds
weights, moments and a few numbers, and a resumed training ends in the same bits as an undisturbed one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file

from mrc.checkpoints import read_checkpoint, set_rates, write_checkpoint
from mrc.read.model.network import SpanModel
from mrc.read.train import update
from mrc.read.train.dev import Best, dev_score
from mrc.read.train.job import Job
from mrc.read.train.schedule import Plan
from mrc.read.train_config import TrainConfig

log = logging.getLogger(__name__)

Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left

BEST_FILE: Final = "best.safetensors"


@dataclass(slots=True)
class State:
    """A training under way. `losses` are of the updates that the final loss is the mean of; `batch_tokens` is what a
    forward pass may hold; `misses` counts the evaluations since the best; `rewards` are (greedy, drawn) means.
    `skipped` updates of the plan were left out."""

    model: SpanModel
    optimizer: torch.optim.AdamW
    step: int
    batch_tokens: int
    losses: list[float] = field(default_factory=list)
    best: Best | None = None
    misses: int = 0
    rewards: list[tuple[float, float]] = field(default_factory=list)
    skipped: int = 0

    @property
    def done(self) -> int:
        """Updates made; `step` is the place in the plan."""
        return self.step - self.skipped


def run(
    state: State, ctx: update.TrainContext, job: Job, fingerprint: str, tokenizer: Any, progress: Progress | None
) -> None:
    """All updates that are still to do, with a checkpoint every `checkpoint_every`."""
    total = len(ctx.plan.updates)
    began, first = time.monotonic(), state.done
    lead = ctx.team.rank == 0
    with torch.random.fork_rng(devices=[ctx.team.device] if ctx.team.device.type == "cuda" else []):
        while state.step < total:
            loss = _update(state, ctx, job.partial, fingerprint)
            state.losses = [*state.losses, loss][-max(1, total // 10) :]
            told = state.step
            if ctx.config.early_stopping_patience and _due(state, ctx.plan):
                _watch(state, ctx, job, tokenizer)
            due = state.step % ctx.config.checkpoint_every == 0
            if _enough(state, ctx.config):
                _go_on_from_best(state, ctx, job.partial)
                due = True  # a resumed training must not look for these weights again: better ones may replace them
            if lead and due and state.step < total:
                _checkpoint(state, job.partial, fingerprint)
            if progress and lead:
                per_update = (time.monotonic() - began) / (state.done - first)
                progress(told, total, loss, per_update * (total - state.step))


def _update(state: State, ctx: update.TrainContext, partial: Path, fingerprint: str) -> float:
    """The mean loss of the questions; the weights are moved by its gradient.

    Where memory runs out, forward passes hold half as much from then on, and the update is done anew.
    """
    set_rates(state.optimizer, ctx.plan.updates[state.step].rate_share)
    while (told := update.gradients(state.model, ctx, state.step, budget=state.batch_tokens)) is None:
        state.batch_tokens = max(1, state.batch_tokens // 2)
        log.warning("out of memory: forward passes of %d tokens from now on", state.batch_tokens)
        if ctx.team.rank == 0:
            _checkpoint(state, partial, fingerprint)  # a resumed training must cut its updates alike
    if wrong := update.apply(state.model, state.optimizer, ctx.config, told):
        raise update.diverged(ctx, state.step, wrong, _kept(partial))
    state.step += 1
    if told.reward:
        state.rewards.append((told.reward.greedy, told.reward.drawn))
    return told.loss


def _due(state: State, plan: Plan) -> bool:
    """Whether dev is read after the update just made: every so often, and at the end of every phase."""
    return state.step % plan.evaluate_every == 0 or _next_phase(state, plan) == state.step


def _next_phase(state: State, plan: Plan) -> int:
    """The place in the plan, from `step` on, where another phase begins than that of the update just made."""
    phase = plan.updates[state.step - 1].phase
    left = range(state.step, len(plan.updates))
    return next((place for place in left if plan.updates[place].phase != phase), len(plan.updates))


def _go_on_from_best(state: State, ctx: update.TrainContext, partial: Path) -> None:
    """The phase is over: what is left of it is skipped, and the next one begins with the best weights so far."""
    begin = _next_phase(state, ctx.plan)
    state.skipped += begin - state.step
    state.step, state.misses = begin, 0
    if begin < len(ctx.plan.updates):
        state.model.load_state_dict(load_file(partial / BEST_FILE))


def _watch(state: State, ctx: update.TrainContext, job: Job, tokenizer: Any) -> None:
    """Reads dev; the best weights so far are kept. One process reads, all are told how many misses there were."""
    new = True
    if ctx.team.rank == 0:
        device = ctx.team.device
        now = dev_score(state.model, tokenizer, job, step=state.done, device=device, low=ctx.low)
        new = state.best is None or state.best.beaten_by(now)
        if new:
            state.best = now
            job.partial.mkdir(parents=True, exist_ok=True)
            draft = job.partial / f"{BEST_FILE}.draft"
            weights = state.model.state_dict()
            save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, draft)
            draft.replace(job.partial / BEST_FILE)
    state.misses = state.misses + 1 if ctx.team.any(not new) else 0


def _enough(state: State, config: TrainConfig) -> bool:
    return 0 < config.early_stopping_patience <= state.misses


def _checkpoint(state: State, partial: Path, fingerprint: str) -> None:
    record = {
        "fingerprint": fingerprint,
        "step": state.step,
        "losses": state.losses,
        "batch_tokens": state.batch_tokens,
        "best": asdict(state.best) if state.best else None,
        "misses": state.misses,
        "rewards": state.rewards,
        "skipped": state.skipped,
    }
    write_checkpoint(partial, state.model, state.optimizer, record)


def _kept(partial: Path) -> str:
    """What is left of a training that failed, in words."""
    newest = max(partial.glob("step-*"), default=None)
    if newest is None:
        return "there is no checkpoint yet"
    record = json.loads((newest / "state.json").read_text(encoding="utf-8"))
    return f"the checkpoint of update {record['step']} is kept in {partial}"


def resume(partial: Path, fingerprint: str, fresh: State) -> State:
    """The newest checkpoint of the same training loaded into `fresh`, or `fresh` itself."""
    record = read_checkpoint(partial, fresh.model, fresh.optimizer, fingerprint=fingerprint)
    if record is None:
        return fresh
    best = Best(**record["best"]) if record["best"] else None
    rewards = [(greedy, drawn) for greedy, drawn in record["rewards"]]
    for moments in fresh.optimizer.state.values():  # counts its own updates, not places in the plan
        moments["step"] = torch.tensor(float(record["step"] - record["skipped"]))
    return State(
        fresh.model,
        fresh.optimizer,
        record["step"],
        record["batch_tokens"],
        record["losses"],
        best,
        record["misses"],
        rewards,
        record["skipped"],
    )
