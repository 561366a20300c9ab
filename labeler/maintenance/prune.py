"""Giving disk space back: predictions, models and indexes of old rounds that nothing refers to any more."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.rows import ModelRow, RetrieverRow
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import DENSE_KEY, INDEX_KEY, Runtime
from labeler.reading.pretrained import PRETRAIN
from labeler.retrieval.indexing import VECTORS
from mrc.errors import MrcError
from mrc.retrieve.dense.vectors import Encoding

log = logging.getLogger(__name__)

_INDEX_FOLDER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted. `freed` is in bytes of the folders; the database file keeps its size and reuses the space."""

    freed: int
    predictions: int
    models: tuple[str, ...]  # folders, relative to the workspace
    indexes: tuple[str, ...]
    retrievers: tuple[str, ...]
    vectors: tuple[str, ...]  # of encoders that no index left uses


def prune(runtime: Runtime, *, keep: int) -> Pruned:
    """What was deleted; predictions of the newest `keep` rounds stay in any case.

    The rows go first, in one transaction; a run that is killed before the folders are gone is made good by the next.
    """
    encodings = _encodings_in_use(runtime)
    in_use = _retrievers_in_use(runtime, encodings)
    named_readers = _readers_in_use(runtime)
    with runtime.database.read() as session:
        models_in_use = {row.id for row in queries.models(session) if _lies_in(runtime, row.path, named_readers)}
    with runtime.database.write() as session:
        done = store.prune(session, keep=keep, models_in_use=models_in_use, retrievers_in_use=in_use)
        if done.predictions or done.models or done.retrievers:
            detail = {"predictions": done.predictions, "models": [row.hash for row in done.models]}
            if done.retrievers:
                detail["retrievers"] = [row.hash for row in done.retrievers]
            store.add_event(session, "pruned", detail=detail)
    with runtime.database.read() as session:
        readers = queries.models(session)
        encoders = [row for row in queries.retrievers(session) if row.hash not in in_use]
    models = [*_dead_models(runtime, readers), *_dead_starts(runtime, named_readers)]
    retrievers = list(_dead_models(runtime, encoders))
    indexes, vectors = list(_dead_indexes(runtime)), list(_dead_vectors(runtime, encodings))
    freed = sum(_delete(folder) for folder in (*models, *retrievers, *indexes, *vectors))
    home = runtime.workspace.folder

    def named(folders: Iterable[Path]) -> tuple[str, ...]:
        return tuple(str(folder.relative_to(home)) for folder in folders)

    return Pruned(freed, done.predictions, named(models), named(indexes), named(retrievers), named(vectors))


def _dead_models(runtime: Runtime, rows: Sequence[ModelRow] | Sequence[RetrieverRow]) -> Iterator[Path]:
    """Folders of pruned models that are still there. A path that leads out of the models' folder is left alone."""
    kept = {row.path for row in rows if row.pruned_at is None}
    for path in sorted({row.path for row in rows if row.pruned_at is not None} - kept):
        folder = runtime.workspace.folder / path
        if folder.is_dir() and folder.resolve().parent == runtime.workspace.models_folder.resolve():
            yield folder


def _dead_starts(runtime: Runtime, in_use: Collection[Path]) -> Iterator[Path]:
    """Starting checkpoints prepared on the passages, unless they are in use or a round is open; one that stage 0 wants
    again is made again."""
    with runtime.database.read() as session:
        if queries.current_round(session) is not None:
            return
    for folder in sorted(runtime.workspace.models_folder.glob(f"{PRETRAIN}-*")):
        if folder.is_dir() and folder.resolve() not in in_use:
            yield folder


def _readers_in_use(runtime: Runtime) -> set[Path]:
    """Where the checkpoints may lie that the settings or those of an open round name, to answer with, to learn from or
    to start from, and those that the readers which may be the best one again began as: a later round starts there."""
    with runtime.database.read() as session:
        status = queries.current_round(session)
        promoted = {row.student_id for row in queries.rounds(session, reverted=False) if row.promoted}
        names = {row.start for row in queries.models(session) if row.id in promoted}
    for config in (runtime.config, *([Config.from_resolved(status.config)] if status else ())):
        named = (config.cascade.large, config.train.start, *config.ensemble.members, *config.train.teachers)
        names |= {name for name in named if name}
    return _folders(runtime, names)


def _lies_in(runtime: Runtime, path: str, folders: Collection[Path]) -> bool:
    return (runtime.workspace.folder / path).resolve() in folders


def _dead_indexes(runtime: Runtime) -> Iterator[Path]:
    """Index folders that are neither the current one nor that of an open round; `labeler index` can make any again."""
    kept = {runtime.index_folder(fingerprint) for fingerprint in _used_indexes(runtime)}
    if not runtime.workspace.index_folder.is_dir():
        return
    for folder in sorted(runtime.workspace.index_folder.iterdir()):
        if folder.is_dir() and _INDEX_FOLDER.fullmatch(folder.name) and folder not in kept:
            yield folder


def _used_indexes(runtime: Runtime) -> set[str]:
    """The fingerprints of the current index and of that of an open round."""
    with runtime.database.read() as session:
        status = queries.current_round(session)
        used = {queries.get_meta(session, INDEX_KEY), status.index_fingerprint if status else None}
    return {fingerprint for fingerprint in used if fingerprint}


def _encodings_in_use(runtime: Runtime) -> list[Encoding] | None:
    """How the indexes in use encode passages; None where one of them cannot be read."""
    try:
        parts = [runtime.index(fingerprint).dense for fingerprint in sorted(_used_indexes(runtime))]
    except (NotReady, MrcError) as error:
        log.info("no retriever and no vectors are deleted, as an index in use cannot be read: %s", error)
        return None
    return [dense.encoding for dense in parts if dense]


def _retrievers_in_use(runtime: Runtime, encodings: Sequence[Encoding] | None) -> set[str]:
    """The hashes of the retrievers that an index in use was built with, or that a later command may load by name.

    Where an index in use cannot be read, those of all retrievers.
    """
    with runtime.database.read() as session:
        rows = queries.retrievers(session)
        status = {row.id for row in queries.retrievers(session, reverted=False) if row.promoted}
        remembered, current = queries.get_meta(session, DENSE_KEY), queries.current_round(session)
    if encodings is None:
        return {row.hash for row in rows}
    loaded = {encoding.checkpoint for encoding in encodings}
    names: set[str | None] = {remembered, runtime.config.dense.model, runtime.config.retriever.start}
    names |= {encoding.source for encoding in encodings}
    if current:
        names.add(current.config.get("retriever", {}).get("start"))
    for row in rows:
        if row.id in status or row.hash in loaded:  # named again by reverting its round, and by the next training
            names |= {row.encoder_before, row.start}
    folders = _folders(runtime, {name for name in names if name})
    return loaded | {row.hash for row in rows if _lies_in(runtime, row.path, folders)}


def _folders(runtime: Runtime, names: Collection[str]) -> set[Path]:
    """Where checkpoints of these names may lie: a retriever is remembered by its path in the workspace."""
    return {(home / name).resolve() for home in (runtime.workspace.folder, Path.cwd()) for name in names}


def _dead_vectors(runtime: Runtime, encodings: Sequence[Encoding] | None) -> Iterator[Path]:
    """Folders of vectors by encoders that no index in use finds passages with: such an index can be extended without
    encoding all of it again. Where it is not known which are in use, none is dead."""
    home = runtime.workspace.index_folder / VECTORS
    if encodings is None or not home.is_dir():
        return
    kept = {encoding.key for encoding in encodings}
    yield from (folder for folder in sorted(home.iterdir()) if folder.is_dir() and folder.name not in kept)


def _delete(folder: Path) -> int:
    """The bytes that its files took."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return size
