"""Training a reader: from a starting checkpoint and examples to a finished folder, resumable at any moment.

The loss of a question is the negative log of the share that its right positions hold in one softmax over all windows
of all its passages, for starts and for ends (Clark & Gardner 2018, section 3.3; the sum over right positions is their
section 3.4). The order of examples and the dropout of every update follow from (seed, update) alone, so a checkpoint
holds weights and moments only, and a resumed training ends in the same bits as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mrc.checkpoints import (
    finished_record,
    rate_share,
    read_checkpoint,
    set_rates,
    step_seed,
    weight_groups,
    write_checkpoint,
)
from mrc.encoder import load_tokenizer, pick_device, pick_dtype
from mrc.errors import BadCheckpoint, DataError, TrainingDiverged, writing
from mrc.read.batches import Prepared, TrainBatch, micro_batches, plan_batches, prepare
from mrc.read.config import TrainConfig, TrainingExample, TrainResult
from mrc.read.features import Windower
from mrc.read.model import RECORD_FILE, SpanModel, load_model, model_hash, to_tensors, windower_of

Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left

FORBIDDEN: Final = -1e9  # logit of a position outside the softmax; finite, so that a row of them has no NaN gradient


@dataclass(slots=True)
class _State:
    """A training under way. `losses` are of the updates that the final loss is the mean of."""

    model: SpanModel
    optimizer: torch.optim.AdamW
    step: int
    losses: list[float]


def train(
    examples: Sequence[TrainingExample],
    *,
    start: str | Path,
    config: TrainConfig,
    seed: int,
    folder: str | Path,
    progress: Progress | None = None,
) -> TrainResult:
    """The finished reader's folder, hash and loss; the folder appears whole or not at all.

    While it trains, `folder.partial` holds the newest checkpoint, and the same call goes on from there. A folder that
    the same call finished before is returned as it is.

    Raises: BadCheckpoint for an unusable start or a folder that holds something else; DataError without a usable
    example; TrainingDiverged.
    """
    final = Path(folder)
    fingerprint = _fingerprint(examples, start, config, seed)
    if final.exists():
        return _finished(final, fingerprint)
    began = time.monotonic()
    device = pick_device(config.device)
    tokenizer = load_tokenizer(start)
    model = load_model(start, device=device, dtype=torch.float32, head=config.head, seed=seed)
    _check_positions(model, config)
    windower = windower_of(tokenizer, model.config)
    items, unusable = prepare(examples, windower, config)
    if not items:
        raise DataError(f"none of {len(examples)} examples can train: no answer has a token or fits into a window")
    partial = final.with_name(f"{final.name}.partial")
    state = _resume(partial, fingerprint, _State(model, _optimizer(model, config), 0, []))
    with writing(partial):
        _run(state, items, windower, config, seed, partial, fingerprint, progress)
        result = TrainResult(
            final, "", len(items), state.step, time.monotonic() - began, float(np.mean(state.losses)), unusable
        )
        origin = {"fingerprint": fingerprint, "start": str(start), "config": asdict(config), "seed": seed}
        return _finish(state.model, tokenizer, result, partial, origin)


def _run(
    state: _State,
    items: Sequence[Prepared],
    windower: Windower,
    config: TrainConfig,
    seed: int,
    partial: Path,
    fingerprint: str,
    progress: Progress | None,
) -> None:
    """All updates that are still to do, with a checkpoint every `checkpoint_every`."""
    plan = plan_batches([item.trusted for item in items], config, seed=seed)
    began, first = time.monotonic(), state.step
    device = next(state.model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for numbers in plan[state.step :]:
            torch.manual_seed(step_seed(seed, state.step))
            set_rates(state.optimizer, rate_share(state.step, len(plan), config.warmup_ratio))
            loss = _update(state, [items[number] for number in numbers], windower, config)
            state.step += 1
            state.losses = [*state.losses, loss][-max(1, len(plan) // 10) :]
            if state.step % config.checkpoint_every == 0 and state.step < len(plan):
                _checkpoint(state, partial, fingerprint)
            if progress:
                per_update = (time.monotonic() - began) / (state.step - first)
                progress(state.step, len(plan), loss, per_update * (len(plan) - state.step))


def _update(state: _State, items: Sequence[Prepared], windower: Windower, config: TrainConfig) -> float:
    """The mean loss of the questions; the weights are moved by its gradient, accumulated over forward passes."""
    model = state.model.train()
    device = next(model.parameters()).device
    low = pick_dtype(config.precision, device=device, hidden_size=int(model.config.hidden_size)) is torch.bfloat16
    total = 0.0
    for batch in micro_batches(items, windower, config):
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            start, end = model(*to_tensors(batch.batch, device))
        loss = span_loss(start.float(), end.float(), batch) / len(items)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    if not math.isfinite(total):
        raise TrainingDiverged(f"update {state.step + 1}: the loss is {total}; lower the learning rates, train again")
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return total


def span_loss(start: Tensor, end: Tensor, batch: TrainBatch) -> Tensor:
    """Weighted sum over the questions of their loss, a scalar; logits (B, T) of whole questions.

    loss = -(log share of the right starts + log share of the right ends) / 2, shares of the question's one softmax.
    """
    losses = []
    for logits, right in ((start, batch.start), (end, batch.end)):
        inside = logits.masked_fill(~_on(batch.allowed, logits), FORBIDDEN).logsumexp(dim=1)  # (B,)
        gold = logits.masked_fill(~_on(right, logits), FORBIDDEN).logsumexp(dim=1)
        sizes = list(batch.sizes)
        pairs = zip(torch.split(inside, sizes), torch.split(gold, sizes), strict=True)
        losses.append(torch.stack([every.logsumexp(dim=0) - hit.logsumexp(dim=0) for every, hit in pairs]))
    weights = torch.tensor(batch.weights, device=start.device)
    return torch.as_tensor(((losses[0] + losses[1]) / 2 * weights).sum())


def _on(mask: Any, logits: Tensor) -> Tensor:
    return torch.from_numpy(mask).to(logits.device)


def _optimizer(model: SpanModel, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW for encoder and head, each at its own rate."""
    encoder = weight_groups(model.encoder.parameters(), rate=config.learning_rate, weight_decay=config.weight_decay)
    head = weight_groups(model.head.parameters(), rate=config.head_learning_rate, weight_decay=config.weight_decay)
    return torch.optim.AdamW([*encoder, *head])


def _check_positions(model: SpanModel, config: TrainConfig) -> None:
    if config.max_seq_length > model.max_positions:
        raise BadCheckpoint(
            f"max_seq_length {config.max_seq_length} is more than the model's {model.max_positions} positions; "
            f"set max_seq_length = {model.max_positions} or less"
        )


def _fingerprint(examples: Sequence[TrainingExample], start: str | Path, config: TrainConfig, seed: int) -> str:
    """Hash of all that decides the result."""
    begin = model_hash(start) if Path(start).is_dir() else str(start)
    parts = [begin, asdict(config), seed, [asdict(example) for example in examples]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _checkpoint(state: _State, partial: Path, fingerprint: str) -> None:
    record = {"fingerprint": fingerprint, "step": state.step, "losses": state.losses}
    write_checkpoint(partial, state.model, state.optimizer, record)


def _resume(partial: Path, fingerprint: str, fresh: _State) -> _State:
    """The newest checkpoint of the same training loaded into `fresh`, or `fresh` itself."""
    record = read_checkpoint(partial, fresh.model, fresh.optimizer, fingerprint=fingerprint)
    return _State(fresh.model, fresh.optimizer, record["step"], record["losses"]) if record else fresh


def _finish(
    model: SpanModel, tokenizer: Any, result: TrainResult, partial: Path, origin: dict[str, Any]
) -> TrainResult:
    """Saves the reader and its record into `partial`, renames it to the final folder, drops the checkpoints."""
    ready = partial / "finished"
    shutil.rmtree(ready, ignore_errors=True)
    model.save(ready, tokenizer)
    result = replace(result, hash=model_hash(ready))
    record = {key: value for key, value in asdict(result).items() if key != "folder"}
    (ready / RECORD_FILE).write_text(json.dumps({**record, **origin}, indent=1), encoding="utf-8")
    ready.rename(result.folder)
    shutil.rmtree(partial)
    return result


def _finished(folder: Path, fingerprint: str) -> TrainResult:
    """What the same training left in the folder.

    Raises: BadCheckpoint if the folder holds something else.
    """
    record = finished_record(folder / RECORD_FILE, fingerprint)
    return TrainResult(
        folder,
        record["hash"],
        record["examples"],
        record["steps"],
        record["seconds"],
        record["loss"],
        tuple(record["unusable"]),
    )
