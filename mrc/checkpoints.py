"""Shared by all trainings: learning rates, seeds, groups of weights, and checkpoints that survive a kill.

All random numbers of an update depend only on (seed, update), so a checkpoint holds just weights and moments, and a
resumed training ends in the same bits as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mrc.errors import BadCheckpoint
from mrc.files import crc32, read_object
from mrc.removal import remove_folder

log = logging.getLogger(__name__)

MOMENTS: Final = ("exp_avg", "exp_avg_sq")
_WEIGHTS_FILE: Final = "model.safetensors"
_MOMENTS_FILE: Final = "optimizer.safetensors"
_AVERAGE_FILE: Final = "average.safetensors"
_STATE_FILE: Final = "state.json"
_SEAL: Final = "seal"


def weight_groups(parameters: Iterable[nn.Parameter], *, rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for AdamW: with weight decay, and without it (vectors: biases, normalisation layers)."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = []
    for weights, decay in (
        ([p for p in trained if p.dim() > 1], weight_decay),
        ([p for p in trained if p.dim() <= 1], 0.0),
    ):
        groups += [{"params": weights, "lr": rate, "peak": rate, "weight_decay": decay}] if weights else []
    return groups


def adamw(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW in one pass over all weights: on a CPU a fifth of the time."""
    return torch.optim.AdamW(groups, fused=True)


@contextlib.contextmanager
def held_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold back Ctrl-C in the block, so that an update is never cut; the function yielded says whether it came.

    A second Ctrl-C interrupts at once. Only the main thread can hold it back, and only where it is not ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield lambda: False
        return
    came = False

    def hold(*_: object) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)


def rate_share(step: int, total: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate at update `step` of `total`, from 0: linear up, then linear down to 0."""
    warmup = math.ceil(total * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (total - step) / max(1, total - warmup)


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate of each group of weights to this share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def step_seed(seed: int, step: int) -> int:
    """The seed of one update, 32 bits."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint32)[0])


def write_checkpoint(
    partial: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    record: Mapping[str, Any],
    *,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint into `partial` atomically, then remove the older one.

    `record` holds JSON values with `fingerprint` and `step`; a second checkpoint of the same step replaces the first.
    `average` holds averaged weights, where a training has any; see `read_average`.
    """
    partial.mkdir(parents=True, exist_ok=True)
    target = _free(partial / f"step-{record['step']:08d}")
    draft = partial / "draft"
    remove_folder(draft, root=draft.parent)
    draft.mkdir()
    moments = {
        f"{moment}/{name}": optimizer.state[parameter][moment].cpu()
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in MOMENTS
    }
    save_file(_apart(model.state_dict()), draft / _WEIGHTS_FILE)
    save_file(moments, draft / _MOMENTS_FILE)
    if average:
        save_file(_apart(average), draft / _AVERAGE_FILE)
    checksums = {path.name: crc32(path) for path in sorted(draft.iterdir())}
    state = {**record, "crc32": checksums}
    (draft / _STATE_FILE).write_text(json.dumps({**state, _SEAL: _seal(state)}), encoding="utf-8")
    draft.rename(target)
    for older in partial.glob("step-*"):
        if older != target:
            remove_folder(older, root=older.parent)


def _apart(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights on the CPU, shared ones copied: a file holds no shared weights, and a network loads all names."""
    seen: set[int] = set()
    found = {}
    for name, value in weights.items():
        own = value.detach().cpu().contiguous()
        found[name] = own.clone() if value.data_ptr() in seen else own
        seen.add(value.data_ptr())
    return found


def _free(target: Path) -> Path:
    """The folder, or if it exists one that sorts after it."""
    return _free(target.with_name(f"{target.name}+")) if target.exists() else target


def forget_others(partial: Path, fingerprint: str) -> Path | None:
    """The newest checkpoint of this training, or None; checkpoints of another training are removed."""
    newest = newest_checkpoint(partial)
    if newest is None:
        return None
    try:
        if checkpoint_record(newest)["fingerprint"] == fingerprint:
            return newest
        log.warning("%s holds a checkpoint of another training; starting again", partial)
    except BadCheckpoint as error:
        log.warning("%s; starting again", error)
    remove_folder(partial, root=partial.parent)
    return None


def newest_checkpoint(partial: Path) -> Path | None:
    """The folder of the newest checkpoint, or None."""
    return max(partial.glob("step-*"), default=None)


def checkpoint_record(checkpoint: Path) -> dict[str, Any]:
    """The record of a checkpoint. Raises BadCheckpoint unless all its files are as they were written."""
    try:
        state = read_object(checkpoint / _STATE_FILE)
        seal = state.pop(_SEAL, None)
        whole = seal == _seal(state) and all(
            crc32(checkpoint / name) == expected for name, expected in state["crc32"].items()
        )
    except (OSError, ValueError):
        whole = False
    if not whole:
        raise BadCheckpoint(f"{checkpoint}: the checkpoint is incomplete or was altered")
    return state


def _seal(state: Mapping[str, Any]) -> str:
    """The hash of a checkpoint's record: one that was written in half, or edited, has another."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_checkpoint(
    partial: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, fingerprint: str
) -> dict[str, Any] | None:
    """The record of the newest checkpoint of the same training, loaded into model and optimizer; None without one."""
    newest = forget_others(partial, fingerprint)
    if newest is None:
        return None
    record = checkpoint_record(newest)
    model.load_state_dict(load_file(newest / _WEIGHTS_FILE))
    moments = load_file(newest / _MOMENTS_FILE)
    for name, parameter in model.named_parameters():
        if f"{MOMENTS[0]}/{name}" in moments:
            stored = {moment: moments[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
            step = torch.tensor(float(record["step"]), device=parameter.device)
            optimizer.state[parameter] = {"step": step, **stored}
    return record


def read_average(partial: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of the newest checkpoint; empty where it has none."""
    newest = newest_checkpoint(partial)
    return load_file(newest / _AVERAGE_FILE) if newest and (newest / _AVERAGE_FILE).is_file() else {}


def load_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights in a file of an unfinished training. Raises BadCheckpoint where it is missing or broken."""
    try:
        found: dict[str, torch.Tensor] = load_file(file)
        return found
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"{file}: broken ({error}); remove {file.parent} and run the command again") from error


def finished_record(path: Path, fingerprint: str) -> dict[str, Any]:
    """The record that the same training stored with its result; left-over checkpoints are removed.

    Raises: BadCheckpoint if the folder holds something else.
    """
    folder = path.parent
    try:
        record = read_object(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}: broken ({error}); remove {folder} and run the command again") from None
    if record.get("fingerprint") != fingerprint:
        raise BadCheckpoint(f"{folder}: this folder holds something else; remove it or choose another folder")
    remove_folder(folder.with_name(f"{folder.name}.partial"), root=folder.parent)
    return record
