"""Training a bi-encoder: from a starting checkpoint and questions whose passages are known to a finished folder.

In every update each question is told apart from the passages of the others, from hard negatives it brings with it, and
never from a passage that answers it (`mining.Known`). It can be stopped at any moment and goes on when it is called
again; what is drawn by chance follows from (seed, update) alone, as in `mrc.checkpoints`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from mrc.checkpoints import (
    finished_record,
    rate_share,
    read_checkpoint,
    set_rates,
    step_seed,
    weight_groups,
    write_checkpoint,
)
from mrc.encoder import NO_SURROGATES, checkpoint_folder, pick_device, pick_dtype
from mrc.errors import TrainingDiverged, writing
from mrc.retrieve.dense.checkpoint_info import RECORD_FILE, checkpoint_hash, copy_description, describe
from mrc.retrieve.dense.encoder import BiEncoder, Searcher
from mrc.retrieve.dense.vectors import DenseConfig
from mrc.retrieve.training.contrastive import Contrast, Embedder, backward, contrastive_loss
from mrc.retrieve.training.contrastive_batches import Lesson, Lessons, Mined, Rows, usable
from mrc.retrieve.training.mining import Known, plan_epochs
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig, BiEncoderTrainResult
from mrc.types import Passage

Progress = Callable[[int, int, float, float], None]  # update done, updates in all, its loss, seconds left


@dataclass(slots=True)
class _State:
    """A training under way. `losses` are of the updates that the final loss is the mean of."""

    encoder: BiEncoder
    optimizer: torch.optim.AdamW
    step: int = 0
    losses: list[float] = field(default_factory=list)
    mined: Mined = field(default_factory=dict)  # what the retriever ranked high and wrong when it last looked


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
    """The trained bi-encoder's folder, hash and loss; the folder appears whole or not at all.

    The folder is a checkpoint that says how it pools, its prefixes and its length, as `start` has them. While it
    trains, `folder.partial` holds the newest checkpoint, and the same call goes on from there. A folder that the same
    call finished before is returned as it is.

    Args:
        passages: all that may be seen: positives, hard negatives, and what the retriever itself is searched for.
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
    encoder = _loaded(start, device, seed)
    low = pick_dtype(config.precision, device=pick_device(device), hidden_size=encoder.encoding.dimension)
    unfinished = final.with_name(f"{final.name}.partial")
    state = _resumed(unfinished, fingerprint, _State(encoder, _optimizer(encoder, config)))
    with writing(unfinished):
        _run(state, trained_on, passages, config, seed, unfinished, fingerprint, progress, low=low is torch.bfloat16)
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
    low: bool,
) -> None:
    """All updates that are still to do, with a checkpoint every `checkpoint_every`."""
    lessons = _lessons(examples, passages, state.encoder, config)
    plan = plan_epochs(lessons.documents, config, seed=seed)
    encoding = state.encoder.encoding
    embed = Embedder(state.encoder.model, encoding.pooling, int(state.encoder.tokenizer.pad_token_id or 0), low)
    began, first = time.monotonic(), state.step
    device = next(embed.model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch, batch in plan[state.step :]:
            if _mines(plan, state.step, config):
                state.mined = _mined(state.encoder, examples, passages, lessons.known, config, seed)
            set_rates(state.optimizer, rate_share(state.step, len(plan), config.warmup_ratio))
            lesson = lessons.meeting(batch, state.mined, epoch=epoch, negatives=config.hard_negatives)
            loss = _update(state, embed, lesson, config, seed=step_seed(seed, state.step))
            state.step += 1
            state.losses = [*state.losses, loss][-max(1, len(plan) // 10) :]
            if state.step % config.checkpoint_every == 0 and state.step < len(plan):
                _checkpoint(state, unfinished, fingerprint)
            if progress:
                per_update = (time.monotonic() - began) / (state.step - first)
                progress(state.step, len(plan), loss, per_update * (len(plan) - state.step))


def _update(state: _State, embed: Embedder, lesson: Lesson, config: BiEncoderTrainConfig, *, seed: int) -> float:
    """The mean loss of the questions; the weights are moved by its gradient."""
    embed.model.train(config.dropout)  # what the mode changes is dropout alone
    device = next(embed.model.parameters()).device
    parts = (torch.from_numpy(part).to(device) for part in (lesson.target, lesson.allowed, lesson.weights))
    contrast, count = Contrast(*parts), len(lesson.target)
    loss = backward(
        embed,
        lesson.texts,
        lambda vectors: contrastive_loss(vectors[:count], vectors[count:], contrast, temperature=config.temperature),
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


def _mines(plan: Sequence[tuple[int, object]], step: int, config: BiEncoderTrainConfig) -> bool:
    """Whether an epoch begins here before which the retriever is searched: not the first, where it knows nothing."""
    epoch = plan[step][0]
    begins = step > 0 and plan[step - 1][0] != epoch
    return bool(begins and config.hard_negatives and config.mine_every and epoch % config.mine_every == 0)


def _mined(
    encoder: BiEncoder,
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    known: Known,
    config: BiEncoderTrainConfig,
    seed: int,
) -> Mined:
    """What the retriever as it is now ranks high and is wrong."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(passages))[: config.mine_passages])
    still = _still(encoder)
    searcher = Searcher(still.passages([passages[row].text for row in drawn]), device=still.model.device.type)
    found = searcher.search(still.questions([example.question for example in examples]), config.mine_depth).documents
    ranked = np.where(found >= 0, drawn[found], -1)[:, config.mine_skip :]
    return {number: known.wrong(number, rows, count=len(rows)) for number, rows in enumerate(ranked.tolist())}


def _still(encoder: BiEncoder) -> BiEncoder:
    """A copy that computes as the encoder of an index would, and does not learn."""
    device = encoder.model.device
    dtype = pick_dtype(encoder.encoding.precision, device=device, hidden_size=encoder.encoding.dimension)
    model = copy.deepcopy(encoder.model).to(dtype)
    if device.type == "cpu" and dtype is torch.bfloat16:
        model.set_attn_implementation("eager")
    tokenizer = copy.deepcopy(encoder.tokenizer)  # as it is saved with the length that it last cut texts to
    return BiEncoder(encoder.encoding, model, tokenizer, device=device)


def _lessons(
    examples: Sequence[BiEncoderExample], passages: Sequence[Passage], encoder: BiEncoder, config: BiEncoderTrainConfig
) -> Lessons:
    encoding = encoder.encoding
    cut = {"truncation": True, "max_length": min(config.max_seq_length, encoding.max_seq_length)}

    def tokens(prefix: str, texts: Sequence[str]) -> Rows:
        clean = [(prefix + text).translate(NO_SURROGATES) for text in texts]
        rows: Rows = encoder.tokenizer(clean, return_attention_mask=False, **cut)["input_ids"]
        return rows

    return Lessons.of(
        examples, passages, partial(tokens, encoding.query_prefix), partial(tokens, encoding.passage_prefix)
    )


def _loaded(start: DenseConfig, device: str, seed: int) -> BiEncoder:
    """The starting checkpoint in float32; its encoding names the precision that an index would have."""
    on = pick_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of weights that the checkpoint lacks, and pooling does not use
        encoder = BiEncoder.load(replace(start, precision="fp32"), device=device)
    dtype = pick_dtype(start.precision, device=on, hidden_size=encoder.encoding.dimension)
    encoder.encoding = replace(encoder.encoding, precision="bf16" if dtype is torch.bfloat16 else "fp32")
    return encoder


def _optimizer(encoder: BiEncoder, config: BiEncoderTrainConfig) -> torch.optim.AdamW:
    groups = weight_groups(encoder.model.parameters(), rate=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups)


def _fingerprint(
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    start: DenseConfig,
    config: BiEncoderTrainConfig,
    seed: int,
) -> str:
    """Hash of all that decides the result."""
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
    """The newest checkpoint of the same training loaded into `fresh`, or `fresh` itself."""
    record = read_checkpoint(unfinished, fresh.encoder.model, fresh.optimizer, fingerprint=fingerprint)
    if record is None:
        return fresh
    mined = {number: tuple(rows) for number, *rows in record["mined"]}
    return replace(fresh, step=record["step"], losses=record["losses"], mined=mined)


def _finish(
    encoder: BiEncoder, result: BiEncoderTrainResult, unfinished: Path, origin: Mapping[str, Any]
) -> BiEncoderTrainResult:
    """Saves the encoder and its record into `unfinished`, renames it to the final folder, drops the checkpoints."""
    ready = unfinished / "finished"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    copy_description(checkpoint_folder(encoder.encoding.source), ready)
    encoder.model.config.update({"architectures": [type(encoder.model).__name__]})
    encoder.model.config.save_pretrained(ready)
    encoder.tokenizer.save_pretrained(ready)
    weights = {name: value.detach().cpu().contiguous() for name, value in encoder.model.state_dict().items()}
    save_file(weights, ready / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(ready / "config.json", ready / "model.safetensors")  # else it is private to its owner
    describe(ready, encoder.encoding)
    result = replace(result, hash=checkpoint_hash(ready))
    record = {key: value for key, value in asdict(result).items() if key != "folder"}
    (ready / RECORD_FILE).write_text(json.dumps({**record, **origin}, indent=1), encoding="utf-8")
    ready.rename(result.folder)
    shutil.rmtree(unfinished)
    return result


def _finished(folder: Path, fingerprint: str) -> BiEncoderTrainResult:
    """What the same training left in the folder.

    Raises: BadCheckpoint if the folder holds something else.
    """
    record = finished_record(folder / RECORD_FILE, fingerprint)
    numbers = {name: record[name] for name in ("hash", "examples", "steps", "seconds", "loss")}
    return BiEncoderTrainResult(folder, **numbers, unusable=tuple(record["unusable"]))
