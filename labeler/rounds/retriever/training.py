"""Training of the dense encoder in a round: on its labels, from the same starting checkpoint every time.

The training sees no passage of a held-out question.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from db import queries, store
from db.engine import Session
from db.rows import RoundRow, TrainingRow
from labeler.core.errors import NotReady
from labeler.core.progress import updates
from labeler.core.runtime import Runtime
from labeler.rounds.retriever import examples
from mrc.errors import BadCheckpoint, DataError, TrainingDiverged
from mrc.retrieve.training.train_config import BiEncoderTrainResult


def is_enabled(runtime: Runtime, fingerprint: str | None) -> bool:
    """Whether a round with this index trains a retriever: the settings say so, and the index is a hybrid one."""
    return runtime.config.retriever.train and fingerprint is not None and runtime.index(fingerprint).dense is not None


def resolve_start(runtime: Runtime, fingerprint: str) -> str:
    """The starting checkpoint: the setting, else that of the index's encoder before any round trained it.

    A folder is given by its absolute path. Raises BadCheckpoint where there is no checkpoint.
    """
    from mrc.encoder.loading import checkpoint_folder, load_config, load_tokenizer

    named = runtime.config.retriever.start
    if named is None:
        dense = runtime.index(fingerprint).dense
        assert dense is not None
        earlier = runtime.retriever_of(dense.encoding.checkpoint)
        named = earlier.start if earlier else dense.encoding.source
    folder = checkpoint_folder(named)
    load_config(folder)
    load_tokenizer(folder)
    return str(Path(named).absolute()) if Path(named).is_dir() else named


def folder_of(runtime: Runtime, row: RoundRow) -> Path:
    """The folder of the round's retriever, trained or not."""
    return runtime.workspace.models_folder / f"retriever-{row.number}-{row.uid[:8]}"


def train_encoder(runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow]) -> BiEncoderTrainResult:
    """Train the encoder on these labels. After an interruption, training resumes from its last checkpoint.

    Raises NotReady where training is impossible under the round's settings.
    """
    from mrc.retrieve.training.trainer import train

    assert row.index_fingerprint is not None
    index = runtime.index(row.index_fingerprint)
    assert index.dense is not None
    with runtime.database.read() as session:
        passages = examples.trainable_passages(session, index, rows)
        reviews = examples.recorded_reviews(session, rows)
    trainable = {passage.id for passage in passages}
    try:
        with updates("train retriever") as progress:
            return train(
                examples.retriever_examples(rows, index, reviews, trainable=trainable),
                passages,
                start=dataclasses.replace(index.dense.config, model=str(row.config["retriever"]["start"])),
                config=runtime.config.retriever.training(runtime.config.compute.precision),
                seed=row.seed,
                folder=folder_of(runtime, row),
                device=runtime.device,
                progress=progress,
            )
    except (BadCheckpoint, DataError, TrainingDiverged) as error:  # other settings need another round
        raise NotReady(f"{error} (give this round up first: labeler rounds revert {row.number})") from error


def store_encoder(
    runtime: Runtime, session: Session, row: RoundRow, rows: Sequence[TrainingRow], result: BiEncoderTrainResult
) -> None:
    """Store the round's encoder; the gate has not judged it yet."""
    store.add_retriever(
        session,
        row.number,
        hash=result.hash,
        training_sha256=queries.training_sha256(rows),
        path=str(result.folder.relative_to(runtime.workspace.folder)),
        start=str(row.config["retriever"]["start"]),
        config=dict(row.config["retriever"]),
        examples=result.examples,
        seconds=result.seconds,
        loss=result.loss,
    )
    detail = {"examples": result.examples, "unusable": list(result.unusable), "retriever": result.hash}
    store.add_event(session, "retriever_trained", detail=detail, round_number=row.number)
