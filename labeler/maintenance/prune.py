"""Delete predictions, models, indexes and vectors that nothing uses."""

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
    """What was deleted. `freed` counts bytes of folders; the database file keeps its size and reuses the space."""

    freed: int
    predictions: int
    models: tuple[str, ...]  # folders, relative to the workspace
    indexes: tuple[str, ...]
    retrievers: tuple[str, ...]
    vectors: tuple[str, ...]  # of encoders that no remaining index uses


def prune(runtime: Runtime, *, keep: int) -> Pruned:
    """Delete what nothing uses, except predictions of the newest `keep` rounds.

    Rows are deleted first, in one transaction; the next run deletes folders that a killed run left.
    """
    encodings = _encodings_in_use(runtime)
    in_use = _retrievers_in_use(runtime, encodings)
    named_readers = _readers_in_use(runtime)
    with runtime.database.read() as session:
        models_in_use = {row.id for row in queries.models(session) if _is_in(runtime, row.path, named_readers)}
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
    models = [*_unused_models(runtime, readers), *_unused_pretrained(runtime, named_readers)]
    retrievers = list(_unused_models(runtime, encoders))
    indexes, vectors = list(_unused_indexes(runtime)), list(_unused_vectors(runtime, encodings))
    freed = sum(_delete(folder) for folder in (*models, *retrievers, *indexes, *vectors))
    home = runtime.workspace.folder

    def named(folders: Iterable[Path]) -> tuple[str, ...]:
        return tuple(str(folder.relative_to(home)) for folder in folders)

    return Pruned(freed, done.predictions, named(models), named(indexes), named(retrievers), named(vectors))


def _unused_models(runtime: Runtime, rows: Sequence[ModelRow] | Sequence[RetrieverRow]) -> Iterator[Path]:
    """Yield folders of pruned models that still exist, inside the models folder only."""
    kept = {row.path for row in rows if row.pruned_at is None}
    for path in sorted({row.path for row in rows if row.pruned_at is not None} - kept):
        folder = runtime.workspace.folder / path
        if folder.is_dir() and folder.resolve().parent == runtime.workspace.models_folder.resolve():
            yield folder


def _unused_pretrained(runtime: Runtime, in_use: Collection[Path]) -> Iterator[Path]:
    """Yield pretrained checkpoints that are not in use, unless a round is open; [pretrain] can rebuild them."""
    with runtime.database.read() as session:
        if queries.current_round(session) is not None:
            return
    for folder in sorted(runtime.workspace.models_folder.glob(f"{PRETRAIN}-*")):
        if folder.is_dir() and folder.resolve() not in in_use:
            yield folder


def _readers_in_use(runtime: Runtime) -> set[Path]:
    """Return folders of checkpoints that settings or an open round name, and of the starts of promoted readers.

    A later round, or a reverted one, starts from those.
    """
    with runtime.database.read() as session:
        open_round = queries.current_round(session)
        promoted = {row.student_id for row in queries.rounds(session, reverted=False) if row.promoted}
        names = {row.start for row in queries.models(session) if row.id in promoted}
    for config in (runtime.config, *([Config.from_resolved(open_round.config)] if open_round else ())):
        named = (config.cascade.large, config.train.start, *config.ensemble.members, *config.train.teachers)
        names |= {name for name in named if name}
    return _folders(runtime, names)


def _is_in(runtime: Runtime, path: str, folders: Collection[Path]) -> bool:
    return (runtime.workspace.folder / path).resolve() in folders


def _unused_indexes(runtime: Runtime) -> Iterator[Path]:
    """Yield index folders other than the current one and that of an open round; `labeler index` can rebuild any."""
    kept = {runtime.index_folder(fingerprint) for fingerprint in _used_indexes(runtime)}
    if not runtime.workspace.index_folder.is_dir():
        return
    for folder in sorted(runtime.workspace.index_folder.iterdir()):
        if folder.is_dir() and _INDEX_FOLDER.fullmatch(folder.name) and folder not in kept:
            yield folder


def _used_indexes(runtime: Runtime) -> set[str]:
    """Return the fingerprints of the current index and of the index of an open round."""
    with runtime.database.read() as session:
        open_round = queries.current_round(session)
        used = {queries.get_meta(session, INDEX_KEY), open_round.index_fingerprint if open_round else None}
    return {fingerprint for fingerprint in used if fingerprint}


def _encodings_in_use(runtime: Runtime) -> list[Encoding] | None:
    """Return how the indexes in use encode passages; None if one of them cannot be read."""
    try:
        parts = [runtime.index(fingerprint).dense for fingerprint in sorted(_used_indexes(runtime))]
    except (NotReady, MrcError) as error:
        log.info("kept all retrievers and vectors because an index in use cannot be read: %s", error)
        return None
    return [dense.encoding for dense in parts if dense]


def _retrievers_in_use(runtime: Runtime, encodings: Sequence[Encoding] | None) -> set[str]:
    """Return the hashes of retrievers that an index in use was built with or that a later command may load.

    If an index in use cannot be read, the hashes of all retrievers.
    """
    with runtime.database.read() as session:
        rows = queries.retrievers(session)
        promoted = {row.id for row in queries.retrievers(session, reverted=False) if row.promoted}
        remembered, current = queries.get_meta(session, DENSE_KEY), queries.current_round(session)
    if encodings is None:
        return {row.hash for row in rows}
    loaded = {encoding.checkpoint for encoding in encodings}
    names: set[str | None] = {remembered, runtime.config.dense.model, runtime.config.retriever.start}
    names |= {encoding.source for encoding in encodings}
    if current:
        names.add(current.config.get("retriever", {}).get("start"))
    for row in rows:
        if row.id in promoted or row.hash in loaded:  # reverting its round, or the next training, may need it
            names |= {row.encoder_before, row.start}
    folders = _folders(runtime, {name for name in names if name})
    return loaded | {row.hash for row in rows if _is_in(runtime, row.path, folders)}


def _folders(runtime: Runtime, names: Collection[str]) -> set[Path]:
    """Return the folders that these names may mean, from the workspace or from here."""
    return {(home / name).resolve() for home in (runtime.workspace.folder, Path.cwd()) for name in names}


def _unused_vectors(runtime: Runtime, encodings: Sequence[Encoding] | None) -> Iterator[Path]:
    """Yield folders of vectors of encoders that no index in use has; none if it is not known which are in use."""
    home = runtime.workspace.index_folder / VECTORS
    if encodings is None or not home.is_dir():
        return
    kept = {encoding.key for encoding in encodings}
    yield from (folder for folder in sorted(home.iterdir()) if folder.is_dir() and folder.name not in kept)


def _delete(folder: Path) -> int:
    """Delete a folder, and return the bytes of its files."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return size
