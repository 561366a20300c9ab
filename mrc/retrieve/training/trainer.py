"""Training of a bi-encoder: from a starting checkpoint and questions with known passages to a finished folder.

Each update contrasts every question with the passages of the others and with hard negatives, never with a passage that
is relevant to it (`mining.Relevance`). Training can be stopped at any moment and resumes when it is called again; all
randomness follows from (seed, update), as in `mrc.checkpoints`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrc.checkpoints import (
    adamw,
    finished_record,
    rate_share,
    read_checkpoint,
    set_rates,
    step_seed,
    weight_groups,
    write_checkpoint,
)
from mrc.encoder.compute import pick_device, pick_dtype
from mrc.encoder.loading import NO_SURROGATES, checkpoint_folder
from mrc.errors import TrainingDiverged, writing
from mrc.files import publish_folder
from mrc.removal import remove_folder
from mrc.retrieve.dense.checkpoint_info import RECORD_FILE, checkpoint_hash
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.training.contrastive import ContrastiveTargets, Embedder, backward, contrastive_loss
from mrc.retrieve.training.contrastive_batches import ContrastiveBatch, ContrastiveExamples, Mined, Rows, usable
from mrc.retrieve.training.encoder_mining import mine, mines_now
from mrc.retrieve.training.mining import plan_epochs
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig, BiEncoderTrainResult
from mrc.types import Passage

Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left


@dataclass(slots=True)
class _State:
    """A training in progress. `losses` are those of the last updates, whose mean becomes the final loss."""

    encoder: BiEncoder
    optimizer: torch.optim.AdamW
    step: int = 0
    losses: list[float] = field(default_factory=list)
    mined: Mined = field(default_factory=dict)  # hard negatives of the last search with the bi-encoder itself


def train(
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    *,
    start: DenseConfig,
    config: BiEncoderTrainConfig,
    seed: int,
    folder: str | Path,
    device: str = "auto",
    progress: Progress | None = None,
) -> BiEncoderTrainResult:
    """Train a bi-encoder; returns its folder, hash and loss. The folder appears whole or not at all.

    The folder is a checkpoint with the pooling, prefixes and length of `start`. During training `folder.partial` holds
    the newest checkpoint, from which the same call resumes. A folder that the same call finished before is returned
    unchanged.

    Args:
        passages: all that training may see: positives, hard negatives, and the passages searched in mining.
        start: the encoder to start from, and how an index uses it; its precision is that of mining.

    Raises: BadCheckpoint for an unusable start or a folder that holds something else; NoDevice; DataError without a
    usable example, or with one passage alone; TrainingDiverged, with the last good checkpoint kept.
    """
    final = Path(folder)
    fingerprint = _fingerprint(examples, passages, start, config, seed)
    if final.exists():
        return _finished(final, fingerprint)
    began = time.monotonic()
    trained_on, unusable = usable(examples, passages)
    encoder = _load_start(start, device, seed)
    dtype = pick_dtype(config.precision, device=pick_device(device), hidden_size=encoder.encoding.dimension)
    unfinished = final.with_name(f"{final.name}.partial")
    state = _resumed(unfinished, fingerprint, _State(encoder, _optimizer(encoder, config)))
    with writing(unfinished):
        _run(state, trained_on, passages, config, seed, unfinished, fingerprint, progress, bf16=dtype is torch.bfloat16)
        seconds, loss = time.monotonic() - began, float(np.mean(state.losses))
        result = BiEncoderTrainResult(final, "", len(trained_on), state.step, seconds, loss, unusable)
        origin = {"fingerprint": fingerprint, "start": encoder.encoding.source, "config": asdict(config), "seed": seed}
        return _finish(encoder, result, unfinished, origin)


def _run(
    state: _State,
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    config: BiEncoderTrainConfig,
    seed: int,
    unfinished: Path,
    fingerprint: str,
    progress: Progress | None,
    *,
    bf16: bool,
) -> None:
    """Do all remaining updates, with a checkpoint every `config.checkpoint_every`."""
    tokenized = _tokenized(examples, passages, state.encoder, config)
    plan = plan_epochs(tokenized.documents, config, seed=seed)
    encoding = state.encoder.encoding
    embed = Embedder(state.encoder.model, encoding.pooling, int(state.encoder.tokenizer.pad_token_id or 0), bf16)
    began, first = time.monotonic(), state.step
    device = next(embed.model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch, numbers in plan[state.step :]:
            if mines_now(plan, state.step, config):
                state.mined = mine(state.encoder, examples, passages, tokenized.relevance, config, seed)
            set_rates(state.optimizer, rate_share(state.step, len(plan), config.warmup_ratio))
            batch = tokenized.batch(numbers, state.mined, epoch=epoch, hard_negatives=config.hard_negatives)
            loss = _update(state, embed, batch, config, seed=step_seed(seed, state.step))
            state.step += 1
            state.losses = [*state.losses, loss][-max(1, len(plan) // 10) :]
            if state.step % config.checkpoint_every == 0 and state.step < len(plan):
                _checkpoint(state, unfinished, fingerprint)
            if progress:
                per_update = (time.monotonic() - began) / (state.step - first)
                progress(state.step, len(plan), loss, per_update * (len(plan) - state.step))


def _update(
    state: _State, embed: Embedder, batch: ContrastiveBatch, config: BiEncoderTrainConfig, *, seed: int
) -> float:
    """Move the weights by the gradient of the batch; returns its mean loss."""
    embed.model.train(config.dropout)  # the mode changes dropout only
    device = next(embed.model.parameters()).device
    parts = (torch.from_numpy(part).to(device) for part in (batch.target, batch.allowed, batch.weights))
    targets, count = ContrastiveTargets(*parts), len(batch.target)
    loss = backward(
        embed,
        batch.texts,
        lambda vectors: contrastive_loss(vectors[:count], vectors[count:], targets, temperature=config.temperature),
        chunk_tokens=config.chunk_tokens,
        seed=seed,
    )
    norm = float(torch.nn.utils.clip_grad_norm_(embed.model.parameters(), config.max_grad_norm))
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise TrainingDiverged(
            f"update {state.step + 1}: the loss is {loss}, its gradient {norm}; lower the learning rate, train again"
        )
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return loss


def _tokenized(
    examples: Sequence[BiEncoderExample], passages: Sequence[Passage], encoder: BiEncoder, config: BiEncoderTrainConfig
) -> ContrastiveExamples:
    encoding = encoder.encoding
    cut = {"truncation": True, "max_length": min(config.max_seq_length, encoding.max_seq_length)}

    def tokens(prefix: str, texts: Sequence[str]) -> Rows:
        clean = [(prefix + text).translate(NO_SURROGATES) for text in texts]
        rows: Rows = encoder.tokenizer(clean, return_attention_mask=False, **cut)["input_ids"]
        return rows

    return ContrastiveExamples.of(
        examples, passages, partial(tokens, encoding.query_prefix), partial(tokens, encoding.passage_prefix)
    )


def _load_start(start: DenseConfig, device: str, seed: int) -> BiEncoder:
    """The starting checkpoint in float32; its encoding has the precision that an index would use."""
    on = pick_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for weights that the checkpoint lacks and pooling does not use
        encoder = BiEncoder.load(replace(start, precision="fp32"), device=device)
    dtype = pick_dtype(start.precision, device=on, hidden_size=encoder.encoding.dimension)
    encoder.encoding = replace(encoder.encoding, precision="bf16" if dtype is torch.bfloat16 else "fp32")
    return encoder


def _optimizer(encoder: BiEncoder, config: BiEncoderTrainConfig) -> torch.optim.AdamW:
    groups = weight_groups(encoder.model.parameters(), rate=config.learning_rate, weight_decay=config.weight_decay)
    return adamw(groups)


def _fingerprint(
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    start: DenseConfig,
    config: BiEncoderTrainConfig,
    seed: int,
) -> str:
    """Hash of all that determines the result."""
    begin = checkpoint_hash(checkpoint_folder(str(start.model))) if start.model else ""
    wanted = [start.pooling, start.query_prefix, start.passage_prefix, start.max_seq_length, start.precision]
    digest = hashlib.sha256(json.dumps([begin, wanted, asdict(config), seed]).encode())
    for example in examples:
        digest.update(json.dumps(asdict(example)).encode())
    for passage in passages:
        digest.update(json.dumps([passage.id, passage.text, passage.title]).encode())
    return digest.hexdigest()


def _checkpoint(state: _State, unfinished: Path, fingerprint: str) -> None:
    mined = [[number, *rows] for number, rows in state.mined.items()]
    record = {"fingerprint": fingerprint, "step": state.step, "losses": state.losses, "mined": mined}
    write_checkpoint(unfinished, state.encoder.model, state.optimizer, record)


def _resumed(unfinished: Path, fingerprint: str, fresh: _State) -> _State:
    """`fresh` with the newest checkpoint of the same training, if there is one."""
    record = read_checkpoint(unfinished, fresh.encoder.model, fresh.optimizer, fingerprint=fingerprint)
    if record is None:
        return fresh
    mined = {number: tuple(rows) for number, *rows in record["mined"]}
    return replace(fresh, step=record["step"], losses=record["losses"], mined=mined)


def _finish(
    encoder: BiEncoder, result: BiEncoderTrainResult, unfinished: Path, origin: Mapping[str, Any]
) -> BiEncoderTrainResult:
    """Save the encoder and its record, rename their folder to the final one, and remove the checkpoints."""
    ready = unfinished / "finished"
    remove_folder(ready, root=ready.parent)
    encoder.save(ready)
    result = replace(result, hash=checkpoint_hash(ready))
    record = {key: value for key, value in asdict(result).items() if key != "folder"}
    (ready / RECORD_FILE).write_text(json.dumps({**record, **origin}, indent=1), encoding="utf-8")
    publish_folder(ready, result.folder)
    remove_folder(unfinished, root=unfinished.parent)
    return result


def _finished(folder: Path, fingerprint: str) -> BiEncoderTrainResult:
    """The result of the same training, read from its folder.

    Raises: BadCheckpoint if the folder holds something else.
    """
    record = finished_record(folder / RECORD_FILE, fingerprint)
    numbers = {name: record[name] for name in ("hash", "examples", "steps", "seconds", "loss")}
    return BiEncoderTrainResult(folder, **numbers, unusable=tuple(record["unusable"]))
