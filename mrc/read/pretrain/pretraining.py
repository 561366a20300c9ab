"""Pretraining: a starting checkpoint is trained on the corpus before it sees a label.

First as a masked language model (`mrc.read.pretrain.mlm`), then by recurring span selection
(`mrc.read.pretrain.recurring_span_selection`). It reads passages only, no questions or answers of any split.

Source: Gururangan et al. 2020, Don't Stop Pretraining, section 4 (task-adaptive pretraining).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from mrc.checkpoints import finished_record
from mrc.encoder.loading import load_config, load_tokenizer
from mrc.errors import BadCheckpoint, DataError, writing
from mrc.files import publish_folder
from mrc.read.config import WindowConfig
from mrc.read.model.reader import RECORD_FILE, model_hash
from mrc.read.pretrain.mlm import LONGEST, MlmJob, Progress, plan, train_mlm
from mrc.read.pretrain.recurring_span_selection import recurring_span_examples
from mrc.read.train.param_groups import is_builtin
from mrc.read.train.trainer import train
from mrc.read.train_config import PretrainConfig, TrainConfig
from mrc.removal import remove_folder

OWNER_FILE: Final = "fingerprint"  # in the folder of an unfinished pretraining


def pretrain(
    start: str | Path,
    texts: Sequence[str],
    folder: str | Path,
    *,
    config: PretrainConfig,
    seed: int,
    progress: Progress | None = None,
    device: str = "auto",
    precision: str = "auto",
    head: str = "auto",
) -> Path:
    """Pretrain the checkpoint `start` on the texts of passages into `folder`, which appears complete or not at all.

    Recurring span selection trains this `head`, which should be that of the training to follow: another one would be
    replaced there. During training `folder.partial` holds what is done, and the same call resumes from there; a folder
    that the same call finished is returned unchanged.

    Raises: ValueError where the configuration has no epochs; BadCheckpoint for an unusable start or a folder that
    holds something else; DataError where the texts give no question; TrainingDiverged.
    """
    if not config.on:
        raise ValueError("pretraining needs mlm_epochs or recurring_span_epochs above 0")
    final = Path(folder)
    fingerprint = pretrain_fingerprint(start, texts, config, seed, device, precision, head)
    if final.exists():
        finished_record(final / RECORD_FILE, fingerprint)
        return final
    partial = _partial(final, fingerprint)
    made, done, given = str(start), 0, config
    config = replace(config, learning_rate=config.learning_rate or _default_rate(start))
    with writing(partial):
        if config.mlm_epochs:
            job = MlmJob(made, texts, config, seed, partial / "mlm.partial", fingerprint, device, precision)
            made = str(train_mlm(job, partial / "mlm", progress))
            done = len(plan(len(texts), config, seed=seed))
        if config.recurring_span_epochs:
            trained = _select_spans(
                made, texts, partial / "spans", config, seed, _later(progress, done), device, precision, head
            )
            made = str(trained)
        ready = partial / "finished"  # a copy: after a kill before the last step the same call still finds `made`
        remove_folder(ready, root=ready.parent)
        shutil.copytree(made, ready)
        record = {"fingerprint": fingerprint, "start": str(start), "config": asdict(given), "seed": seed}
        (ready / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
        publish_folder(ready, final)
        remove_folder(partial, root=partial.parent)
    return final


def _default_rate(start: str | Path) -> float:
    """The peak rate for this checkpoint: the built-in encoder, which nothing has trained yet, takes more."""
    return 1e-3 if is_builtin(load_config(start)) else 1e-4


def _select_spans(
    start: str,
    texts: Sequence[str],
    folder: Path,
    config: PretrainConfig,
    seed: int,
    progress: Progress | None,
    device: str,
    precision: str,
    head: str,
) -> Path:
    """Train a reader on questions made from the texts; return its folder."""
    mask = load_tokenizer(start).mask_token
    if mask is None:
        raise BadCheckpoint(
            f"{start}: the tokenizer has no mask token; set recurring_span_epochs = 0 or choose another checkpoint"
        )
    examples = recurring_span_examples(
        texts, mask=mask, rng=np.random.default_rng(seed), most=config.recurring_span_examples
    )
    if not examples:
        raise DataError(f"no words recur between the sentences of {len(texts)} passages; set recurring_span_epochs = 0")
    longest = min(LONGEST, getattr(load_config(start), "max_position_embeddings", LONGEST))
    settings = TrainConfig(
        head=head,
        epochs=config.recurring_span_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        windows=WindowConfig(longest, longest // 3),
    )
    made = train(
        examples,
        start=start,
        config=settings,
        seed=seed,
        folder=folder,
        progress=progress,
        device=device,
        precision=precision,
    )
    return made.folder


def _later(progress: Progress | None, done: int) -> Progress | None:
    """Progress that also counts the updates done before."""
    if progress is None:
        return None
    return lambda step, total, loss, left: progress(done + step, done + total, loss, left)


def _partial(final: Path, fingerprint: str) -> Path:
    """The folder of the unfinished pretraining, emptied if it belongs to another one."""
    partial = final.with_name(f"{final.name}.partial")
    owner = partial / OWNER_FILE
    if not owner.is_file() or owner.read_text(encoding="utf-8") != fingerprint:
        remove_folder(partial, root=partial.parent)
        partial.mkdir(parents=True)
        owner.write_text(fingerprint, encoding="utf-8")
    return partial


def pretrain_fingerprint(
    start: str | Path,
    texts: Sequence[str],
    config: PretrainConfig,
    seed: int,
    device: str,
    precision: str,
    head: str = "auto",
) -> str:
    """Hash of everything that the result depends on."""
    begin = model_hash(start) if Path(start).is_dir() else str(start)
    corpus = hashlib.sha256()
    for text in texts:
        corpus.update(hashlib.sha256(text.encode()).digest())
    parts = [begin, corpus.hexdigest(), asdict(config), seed, device, precision]
    parts += [head] if config.recurring_span_epochs and head != "auto" else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
