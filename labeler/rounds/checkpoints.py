"""The checkpoint that a round's training starts from: named, built in, or prepared on the passages without labels."""

from __future__ import annotations

from pathlib import Path

from db import queries
from db.rows import RoundRow
from labeler.core.progress import updates
from labeler.core.runtime import Runtime
from labeler.reading.pretrained import PretrainedStart

BUILTIN = "builtin"


def starting_checkpoint(runtime: Runtime, row: RoundRow) -> str:
    """The round's starting checkpoint; the built-in encoder is made from the passages when it is first asked for."""
    start = str(row.config["train"]["start"])
    if start != BUILTIN:
        return start
    from mrc.read.model.builtin import build_builtin

    folder = runtime.workspace.models_folder / f"{BUILTIN}-{row.uid[:8]}"
    if not folder.is_dir():
        with runtime.database.read() as session:
            texts = [passage.text for passage in queries.iter_passages(session)]
            texts += [each.text for each in queries.questions(session, roles=["gold", "pool"])]
        if runtime.config.experimental.morphemes:  # its pieces are those of texts cut as the reader will cut them
            from mrc.read.data.morphemes import spaced

            texts = spaced(texts)
        build_builtin(texts, folder, seed=row.seed, config=runtime.config.builtin)
    return str(folder.relative_to(runtime.workspace.folder))


def is_builtin(start: str) -> bool:
    """Whether a starting checkpoint is a built-in encoder that a workspace made for itself."""
    return Path(start).name.startswith(f"{BUILTIN}-")


def prepared(runtime: Runtime, row: RoundRow) -> str:
    """Where the round's training starts: its starting checkpoint, or that after stage 0 on the passages of no held-out
    question.

    Stage 0 is done once for the same passages and settings: rounds between which no passage came and none was held out
    start from the same weights. The passages are those of the moment when training begins.
    """
    start = runtime.located(starting_checkpoint(runtime, row))
    if not runtime.config.pretrain.on:
        return start
    with runtime.database.read() as session:
        held_out = queries.held_out_passages(session)
        texts = tuple(passage.text for passage in queries.iter_passages(session) if passage.id not in held_out)
    config, precision = runtime.config, runtime.config.compute.precision
    pretrained = PretrainedStart(start, texts, config.pretrain, config.round.seed, runtime.device, precision)
    with updates("stage 0") as progress:
        return str(pretrained.make(runtime.workspace.models_folder, progress))
