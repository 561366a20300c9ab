"""Training a reader: from a starting checkpoint and examples to a finished folder, resumable at any moment.

The loop is in `mrc.read.train.loop`, a single update in `mrc.read.train.update`, the loss in `mrc.read.train.losses`,
the batches of the updates in `mrc.read.train.schedule`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrc.checkpoints import adamw, finished_record, forget_others, load_weights
from mrc.encoder.compute import pick_device, pick_dtype
from mrc.encoder.loading import check_tokenizer, load_tokenizer
from mrc.errors import BadCheckpoint, DataError, writing
from mrc.files import publish_folder
from mrc.metrics import Metric
from mrc.read.data.tokenized import TokenizedExample, tokenize_examples
from mrc.read.model.loading import load_model
from mrc.read.model.network import SpanModel
from mrc.read.model.reader import RECORD_FILE, model_hash, windower_of
from mrc.read.train import distributed, update
from mrc.read.train.distillation import Teacher, distilled_numbers, teacher_probs
from mrc.read.train.job import Job
from mrc.read.train.loop import BEST_FILE, Progress, State, resume, run
from mrc.read.train.param_groups import param_groups
from mrc.read.train.schedule import Plan, balanced, plan
from mrc.read.train_config import DevExample, SoftTarget, TrainConfig, TrainingExample, TrainResult
from mrc.removal import remove_folder

log = logging.getLogger(__name__)


def train(
    examples: Sequence[TrainingExample],
    *,
    start: str | Path,
    config: TrainConfig,
    seed: int,
    folder: str | Path,
    progress: Progress | None = None,
    dev: Sequence[DevExample] = (),
    teachers: Sequence[Teacher] = (),
    distill_human_labelled: bool = True,
    teacher_of: Mapping[str, int] | None = None,
    shares: Mapping[str, float] | None = None,
    metric: Metric = "squad",
    device: str = "auto",
    precision: str = "auto",
) -> TrainResult:
    """Train a reader into `folder`, which appears complete or not at all; return its hash and loss.

    During training `folder.partial` holds the newest checkpoint, and the same call resumes from there. A folder that
    the same call finished before is returned unchanged.

    Args:
        dev: questions that early stopping evaluates (`config.early_stopping_patience`); not read otherwise.
        teachers: readers, or stored answers, whose probabilities are distilled (`config.distill_weight`).
        distill_human_labelled: whether on human-labelled examples too: a teacher that was trained on them adds nothing
            to their labels.
        teacher_of: example id -> number of the only teacher that reads it, such as the one that was not taught it; all
            others are read by all teachers, whose mean counts.
        shares: the wanted share of each stratum (`config.balance`), by the names of `mrc.read.data.balance.strata`;
            None: the shares among the human-labelled examples.
        metric: the metric of rewards and dev scores.
        device, precision: see `mrc.encoder.compute.pick_device` and `pick_dtype`.

    Raises: BadCheckpoint for an unusable start or a folder that holds something else; DataError without a usable
    example, or for early stopping without dev questions; TrainingDiverged and OutOfMemory, with the last checkpoint
    kept.
    """
    names = tuple(teacher.fingerprint for teacher in teachers) if config.distill_weight else ()
    if names and not distilled_numbers(examples, human_labelled=distill_human_labelled):
        log.warning("all examples are human-labelled: nothing is distilled, this reader trains on labels alone")
        names = ()
    readers = dict(teacher_of or {}) if names else {}
    others = (dev, shares, metric, names, distill_human_labelled, device, precision, readers)
    return _train(Job(examples, start, config, seed, Path(folder), *others), teachers, progress)


def _train(job: Job, teachers: Sequence[Teacher], progress: Progress | None) -> TrainResult:
    fingerprint, patience = job.fingerprint, job.config.early_stopping_patience
    if job.folder.exists():
        return _finished(job.folder, fingerprint)
    if patience and not job.dev:
        raise DataError(
            f"early_stopping_patience = {patience} needs dev questions; give some or set early_stopping_patience = 0"
        )
    count = distributed.process_count(job.config, device=job.device)
    forget_others(job.partial, fingerprint)
    if job.teachers:
        _teacher_probs(job, teachers)
    if count > 1:
        distributed.train_distributed(job, count, progress)
        return _finished(job.folder, fingerprint)
    return run_job(job, update.SingleProcess(pick_device(job.device)), progress)


def run_job(job: Job, processes: update.ProcessGroup, progress: Progress | None) -> TrainResult:
    """Train in this process as a member of its process group; the first process writes."""
    config = job.config
    fingerprint, device = job.fingerprint, processes.device
    tokenizer = load_tokenizer(job.start)
    model = load_model(
        job.start,
        device=device,
        dtype=torch.float32,
        head=config.head,
        seed=job.seed,
        exact_match_features=config.exact_match_features,
        morphemes=config.experimental.morphemes,
        windows=config.windows,
        attention_dropout=config.attention_dropout,
    )
    check_tokenizer(tokenizer, model.encoder, job.start)
    _check_positions(model, config)
    if config.checkpoint_activations:
        model.encoder.activation_checkpointing_enable()  # type: ignore[operator]
    windower = windower_of(tokenizer, model.config, job.start)
    items, numbers, unusable = tokenize_examples(job.examples, windower, config)
    if not items:
        raise DataError(f"none of {len(job.examples)} examples can train: no answer has a token or fits into a window")
    bf16 = pick_dtype(job.precision, device=device, hidden_size=int(model.config.hidden_size)) is torch.bfloat16
    items, updates = _scheduled(job, items, numbers)
    ctx = update.TrainContext(items, windower, updates, config, job.seed, job.metric, bf16, processes)
    optimizer = adamw(param_groups(model, config))
    state = resume(job.partial, fingerprint, State(model, optimizer, 0, config.batch_tokens))
    with writing(job.partial):
        run(state, ctx, job, fingerprint, tokenizer, progress)
        processes.any(False)  # all have read the best weights before the first one removes them
        result = TrainResult(
            job.folder, "", len(items), state.done, state.spent, float(np.mean(state.losses)), unusable
        )
        origin = {"fingerprint": fingerprint, "start": str(job.start), "config": asdict(config), "seed": job.seed}
        origin |= {"device": job.device, "precision": job.precision}
        return _finish(state, tokenizer, result, job.partial, origin) if processes.rank == 0 else result


def _teacher_probs(job: Job, teachers: Sequence[Teacher]) -> list[SoftTarget | None]:
    """The teachers' probabilities; `teachers` may be empty once they have been stored."""
    return teacher_probs(
        teachers,
        job.examples,
        job.config,
        human_labelled=job.distill_human_labelled,
        teacher_of=job.teacher_of,
        partial=job.partial,
        fingerprint=job.fingerprint,
    )


def _scheduled(
    job: Job, items: Sequence[TokenizedExample], numbers: Sequence[int]
) -> tuple[list[TokenizedExample], Plan]:
    """The items with their weights and soft targets, and the updates in which they are used."""
    config, repeats = job.config, None
    if job.teachers:
        targets = _teacher_probs(job, ())
        items = [replace(item, soft_target=targets[number]) for item, number in zip(items, numbers, strict=True)]
    if config.balance != "none":
        factors, repeats = balanced([job.examples[number] for number in numbers], config, job.shares)
        items = [replace(item, weight=item.weight * float(factor)) for item, factor in zip(items, factors, strict=True)]
    human_labelled, answered = [item.human_labelled for item in items], [bool(item.spans) for item in items]
    return list(items), plan(human_labelled, answered, config, seed=job.seed, repeats=repeats)


def _check_positions(model: SpanModel, config: TrainConfig) -> None:
    if config.windows.max_seq_length > model.max_positions:
        raise BadCheckpoint(
            f"max_seq_length {config.windows.max_seq_length} is more than the model's {model.max_positions} positions; "
            f"set max_seq_length = {model.max_positions} or less"
        )


def _finish(state: State, tokenizer: Any, result: TrainResult, partial: Path, origin: dict[str, Any]) -> TrainResult:
    """Save the reader and its record, rename their folder to the final one, remove the checkpoints."""
    if state.best:
        state.model.load_state_dict(load_weights(partial / BEST_FILE))
    with torch.no_grad():
        for name, weights in state.model.named_parameters():
            weights.copy_(state.average.get(name, weights))
    ready = partial / "finished"
    remove_folder(ready, root=ready.parent)
    state.model.save(ready, tokenizer)
    result = replace(result, hash=model_hash(ready))
    record = {key: value for key, value in asdict(result).items() if key != "folder"}
    losses = [float(np.mean(each)) for each in state.main_losses if each]
    best = asdict(state.best) if state.best else None
    outcome = {"best": best, "rewards": state.rewards, "main_losses": losses}
    (ready / RECORD_FILE).write_text(json.dumps({**record, **outcome, **origin}, indent=1), encoding="utf-8")
    publish_folder(ready, result.folder)
    remove_folder(partial, root=partial.parent)
    return result


def _finished(folder: Path, fingerprint: str) -> TrainResult:
    """The result of the same training, stored in the folder.

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
