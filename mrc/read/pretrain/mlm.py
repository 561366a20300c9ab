"""Training a masked language model on texts."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from mrc.checkpoints import adamw, rate_share, read_checkpoint, set_rates, step_seed, weight_groups, write_checkpoint
from mrc.encoder.compute import attention_for, out_of_memory, pick_device, pick_dtype, sorted_batches
from mrc.encoder.loading import (
    check_tokenizer,
    first_position,
    load_config,
    load_pretrained,
    load_tokenizer,
    max_positions,
)
from mrc.errors import OutOfMemory, TrainingDiverged
from mrc.files import publish_folder
from mrc.read.data.windows import FEATURES_KEY, WINDOWS_KEY
from mrc.read.model.attention import PACKED, packed_row
from mrc.read.model.loading import ATTENTION_DROPOUTS
from mrc.read.model.network import HEAD_KEY, unshared
from mrc.read.pretrain.mlm_masking import IGNORED, WordMasking
from mrc.read.train_config import PretrainConfig

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]
Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left

LONGEST: Final = 384  # tokens of a window
BATCH_TOKENS: Final = 2048  # padded, of a forward pass
CHECKPOINT_EVERY: Final = 100  # updates
WARMUP: Final = 0.1  # share of the updates
WEIGHT_DECAY: Final = 0.01
MAX_GRAD_NORM: Final = 1.0


class MaskedLM:
    """A masked language model that computes its output, as wide as the vocabulary, only at masked positions."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._masked: Tensor | None = None
        model.base_model.register_forward_hook(self._pick)
        embeddings = model.get_input_embeddings()
        self._padding = int(embeddings.padding_idx or 0)

    def _pick(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[self._masked][None]
        return output

    def loss(self, windows: Sequence[tuple[Ints, Ints]], *, bf16: bool) -> Tensor:
        """The summed negative log likelihood of the masked pieces, a scalar; with `bf16` computed in bfloat16."""
        device = self.model.device
        ids, targets = (_padded([window[side] for window in windows], device) for side in (0, 1))
        attention = _padded([np.ones_like(window[0]) for window in windows], device)
        targets = targets.masked_fill(attention == 0, IGNORED)
        if self.model.config._attn_implementation == PACKED:
            row = packed_row(attention)
            places = row.places[None] + first_position(self.model.base_model)
            inputs = {"position_ids": places, "cu_seq_lens_q": row.bounds}
            ids, targets = row.fill(ids, self._padding), row.fill(targets, IGNORED)
        else:
            inputs = {"attention_mask": attention}
        self._masked = targets != IGNORED
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = self.model(input_ids=ids, **inputs).logits[0]  # (masked, pieces)
        return nn.functional.cross_entropy(logits.float(), targets[self._masked], reduction="sum")


def _padded(rows: Sequence[Ints], device: torch.device) -> Tensor:
    table = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return torch.from_numpy(table).to(device)


def plan(count: int, config: PretrainConfig, *, seed: int) -> list[Ints]:
    """The numbers of the texts of every update."""
    rng = np.random.default_rng(seed)
    epochs = math.ceil(config.mlm_epochs)
    order = np.concatenate([rng.permutation(count) for _ in range(epochs)])[: round(config.mlm_epochs * count)]
    return [order[at : at + config.batch_size] for at in range(0, len(order), config.batch_size)]


@dataclass(frozen=True, slots=True)
class MlmJob:
    """A training of a masked language model; `partial` holds its newest checkpoint, marked with `fingerprint`."""

    start: str
    texts: Sequence[str]
    config: PretrainConfig
    seed: int
    partial: Path
    fingerprint: str
    device: str
    precision: str


def train_mlm(job: MlmJob, folder: Path, progress: Progress | None) -> Path:
    """Train the masked language model into `folder`, which appears complete or not at all.

    Raises: BadCheckpoint; TrainingDiverged; OutOfMemory.
    """
    if folder.exists():
        return folder
    device, tokenizer = pick_device(job.device), load_tokenizer(job.start)
    model = _load(job.start, tokenizer, device, job.seed)
    apart = model.register_state_dict_post_hook(_unshared)
    _train(job, model, tokenizer, progress)
    apart.remove()
    for name, value in _dropouts(load_config(job.start)).items():
        setattr(model.config, name, value)
    model.config.architectures = [type(model).__name__]
    draft = job.partial / "finished"
    save_checkpoint(model.config, model.state_dict(), tokenizer, draft)
    publish_folder(draft, folder)
    return folder


def save_checkpoint(config: Any, weights: Mapping[str, Tensor], tokenizer: Any, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer's files; a shared weight under its first name only.

    The result is a starting checkpoint: its configuration names no head, no exact-match embedding and no windows.
    """
    for key in (HEAD_KEY, FEATURES_KEY, WINDOWS_KEY):
        if hasattr(config, key):
            delattr(config, key)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(unshared(weights), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(
        folder / "config.json", folder / "model.safetensors"
    )  # safetensors makes files private to their owner


def _load(start: str, tokenizer: Any, device: torch.device, seed: int) -> Any:
    """The network without attention dropout, which masking replaces; a missing output layer is initialised."""
    config = load_config(start)
    options = dict.fromkeys(_dropouts(config), 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = load_pretrained(
            AutoModelForMaskedLM,
            start,
            dtype=torch.float32,
            attn_implementation=attention_for(config, device),
            settings=options,
        )
    check_tokenizer(tokenizer, model.base_model, start)
    return model.to(device)


def _dropouts(config: Any) -> dict[str, float]:
    return {name: getattr(config, name) for name in ATTENTION_DROPOUTS if hasattr(config, name)}


def _unshared(module: nn.Module, weights: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """Copy the weights: the output layer and the embeddings share some, and checkpoint files hold no shared ones."""
    for name, value in weights.items():
        weights[name] = value.clone()


def _train(job: MlmJob, model: Any, tokenizer: Any, progress: Progress | None) -> None:
    """Run all remaining updates, with a checkpoint every `CHECKPOINT_EVERY`."""
    config, device = job.config, model.device
    bf16 = pick_dtype(job.precision, device=device, hidden_size=int(model.config.hidden_size)) is torch.bfloat16
    longest = min(LONGEST, max_positions(model.base_model))
    masking = WordMasking.of(tokenizer, longest=longest, share=config.mask_share)
    assert config.learning_rate is not None, "pretraining has chosen one"
    groups = weight_groups(model.parameters(), rate=config.learning_rate, weight_decay=WEIGHT_DECAY)
    optimizer = adamw(groups)
    fresh: dict[str, Any] = {"fingerprint": job.fingerprint, "step": 0, "batch_tokens": BATCH_TOKENS}
    record = read_checkpoint(job.partial, model, optimizer, fingerprint=job.fingerprint) or fresh
    mlm, updates = MaskedLM(model.train()), plan(len(job.texts), config, seed=job.seed)
    began, first = time.monotonic(), int(record["step"])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(first, len(updates)):
            set_rates(optimizer, rate_share(step, len(updates), WARMUP))
            texts = [job.texts[number] for number in updates[step]]
            windows = masking.windows(texts, np.random.default_rng([job.seed, step]))
            while (loss := _gradients(mlm, windows, record, step_seed(job.seed, step), bf16=bf16)) is None:
                write_checkpoint(
                    job.partial, model, optimizer, record
                )  # a resumed training must split its updates alike
            _apply(mlm, optimizer, loss, step)
            record = {**record, "step": step + 1}
            if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < len(updates):
                write_checkpoint(job.partial, model, optimizer, record)
            if progress:
                left = (time.monotonic() - began) / (step + 1 - first) * (len(updates) - step - 1)
                progress(step + 1, len(updates), loss, left)


def _gradients(
    mlm: MaskedLM, windows: Sequence[tuple[Ints, Ints]], record: dict[str, Any], seed: int, *, bf16: bool
) -> float | None:
    """Add the gradients of an update to the network; return the mean loss of the masked pieces. Where memory runs out,
    halve the record's forward passes and return None.

    Raises: OutOfMemory where a single window is too large.
    """
    torch.manual_seed(seed)
    masked = sum(int((targets != IGNORED).sum()) for _, targets in windows)
    batches = sorted_batches([len(ids) for ids, _ in windows], budget=record["batch_tokens"])
    total = 0.0
    try:
        for members in batches:
            loss = mlm.loss([windows[member] for member in members], bf16=bf16) / masked
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if all(len(members) == 1 for members in batches):
            raise OutOfMemory(
                "pretraining: a single passage does not fit into memory; choose a smaller model"
            ) from error
    else:
        return total
    mlm.model.zero_grad(set_to_none=True)
    record["batch_tokens"] //= 2
    log.warning("out of memory: forward passes of %d tokens from now on", record["batch_tokens"])
    return None


def _apply(mlm: MaskedLM, optimizer: torch.optim.Optimizer, loss: float, step: int) -> None:
    """Update the weights. Raises: TrainingDiverged where the loss or the gradient is not finite."""
    norm = float(torch.nn.utils.clip_grad_norm_(mlm.model.parameters(), MAX_GRAD_NORM))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingDiverged(f"pretraining, update {step + 1}: the loss is {loss}; lower learning_rate in [pretrain]")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
