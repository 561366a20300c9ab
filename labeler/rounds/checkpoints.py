"""The checkpoint that a round's training starts from: a named one, the built-in encoder, or a pretrained one."""

from __future__ import annotations

from pathlib import Path

from db import queries
from db.rows import RoundRow
from labeler.core.progress import updates
from labeler.core.runtime import Runtime
from labeler.reading.pretrained import PretrainedStart

BUILTIN = "builtin"


def starting_checkpoint(runtime: Runtime, row: RoundRow) -> str:
    """The round's starting checkpoint; the built-in encoder is built from the passages at its first use."""
    start = str(row.config["train"]["start"])
    if start != BUILTIN:
        return start
    from mrc.read.model.builtin import build_builtin

    folder = runtime.workspace.models_folder / f"{BUILTIN}-{row.uid[:8]}"
    if not folder.is_dir():
        with runtime.database.read() as session:
            texts = [passage.text for passage in queries.iter_passages(session)]
            texts += [each.text for each in queries.questions(session, roles=["gold", "pool"])]
        if runtime.config.experimental.morphemes:  # the vocabulary must fit texts that are split into morphemes
            from mrc.read.data.morphemes import spaced

            texts = spaced(texts)
        build_builtin(texts, folder, seed=row.seed, config=runtime.config.builtin)
    return str(folder.relative_to(runtime.workspace.folder))


def is_builtin(start: str) -> bool:
    """Whether a starting checkpoint is a built-in encoder of the workspace."""
    return Path(start).name.startswith(f"{BUILTIN}-")


def pretrained_checkpoint(runtime: Runtime, row: RoundRow) -> str:
    """The folder or hub name that training loads: the starting checkpoint, pretrained if the settings say so.

    Pretraining reads the passages of no held-out question. It runs once for the same passages and settings; later
    rounds start from the same weights. Passages are read when training begins.
    """
    start = runtime.located(starting_checkpoint(runtime, row))
    if not runtime.config.pretrain.on:
        return start
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        texts = tuple(passage.text for passage in queries.iter_passages(session) if passage.id not in held_out)
    config, precision = runtime.config, runtime.config.compute.precision
    how = (config.round.seed, runtime.device, precision, config.train.head)
    pretrained = PretrainedStart(start, texts, config.pretrain, *how)
    with updates("pretrain") as progress:
        return str(pretrained.make(runtime.workspace.models_folder, progress))
