"""Delete predictions, models, indexes and vectors that nothing uses."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.engine import Session
from db.rows import ModelRow, RetrieverRow
from labeler.core.config import Config
from labeler.core.errors import NotReady
from labeler.core.runtime import DENSE_KEY, INDEX_KEY, LABELLER, Runtime
from labeler.reading.pretrained import PRETRAIN
from labeler.retrieval.indexing import VECTORS
from labeler.rounds.checkpoints import BUILTIN
from mrc.errors import MrcError
from mrc.removal import empty_trash, folder_size, is_real_folder, remove_folder
from mrc.retrieve.dense.vectors import Encoding

log = logging.getLogger(__name__)

# The names that this tool writes: nothing else is ever deleted.
_INDEX_FOLDER = re.compile(r"[0-9a-f]{16}")
_VECTORS_FOLDER = re.compile(r"[0-9a-f]{32}")
_PRETRAINED_FOLDER = re.compile(rf"{PRETRAIN}-[0-9a-f]{{12}}")
_ROUND_FOLDER = re.compile(
    rf"(?:round-[0-9]+|retriever-[0-9]+|{BUILTIN})(?:-(?P<uid>[0-9a-f]{{8}})(?:-fold-[0-9]+-of-[0-9]+|-second-seed)?)?(?:\.partial)?"
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted. `freed` counts bytes of folders; the database file keeps its size and reuses the space."""

    freed: int
    predictions: int
    models: tuple[str, ...]  # folders, relative to the workspace
    indexes: tuple[str, ...]
    retrievers: tuple[str, ...]
    vectors: tuple[str, ...]  # of encoders that no remaining index uses
    kept: tuple[str, ...] = ()  # folders that nothing uses, but that a link leads to: never deleted


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What `prune` would delete."""

    would_free: int  # bytes of folders
    predictions: int
    paths: tuple[str, ...]  # folders, relative to the workspace
    kept: tuple[str, ...] = ()


class _NotWritten(Exception):
    """Rolls a transaction back after a look at what it would have done."""


def plan_prune(runtime: Runtime, *, keep: int) -> PrunePlan:
    """List what `prune` would delete; nothing is changed."""
    found: list[PrunePlan] = []
    use = _in_use(runtime)
    with contextlib.suppress(_NotWritten), runtime.database.write() as session:
        done = store.prune(session, keep=keep, models_in_use=use.models, retrievers_in_use=use.retrievers)
        folders, kept = _folders_to_delete(runtime, session, use)
        every = [folder for some in folders.values() for folder in some]
        found.append(PrunePlan(sum(map(folder_size, every)), done.predictions, _named(runtime, every), kept))
        raise _NotWritten
    return found[0]


def prune(runtime: Runtime, *, keep: int) -> Pruned:
    """Delete what nothing uses, except predictions of the newest `keep` rounds.

    Rows are deleted first, in one transaction; the next run deletes folders that a killed run left. Only real folders
    of the workspace with names that this tool writes are deleted, never what a link leads to.
    """
    use = _in_use(runtime)
    with runtime.database.write() as session:
        done = store.prune(session, keep=keep, models_in_use=use.models, retrievers_in_use=use.retrievers)
        if done.predictions or done.models or done.retrievers:
            detail = {"predictions": done.predictions, "models": [row.hash for row in done.models]}
            if done.retrievers:
                detail["retrievers"] = [row.hash for row in done.retrievers]
            store.add_event(session, "pruned", detail=detail)
    with runtime.database.read() as session:
        folders, kept = _folders_to_delete(runtime, session, use)
    freed = sum(_delete(folder, runtime.workspace.folder) for some in folders.values() for folder in some)
    home = runtime.workspace.folder
    for folder in (home, runtime.workspace.models_folder, runtime.workspace.index_folder):
        if folder == home or is_real_folder(folder, root=home):
            empty_trash(folder)
    named = {kind: _named(runtime, some) for kind, some in folders.items()}
    return Pruned(freed, done.predictions, kept=kept, **named)


@dataclass(frozen=True, slots=True)
class _InUse:
    """What must stay: encodings of indexes in use (None: unknown), retrievers by hash, checkpoints, models by id."""

    encodings: list[Encoding] | None
    retrievers: set[str]
    readers: set[Path]
    models: set[int]


def _in_use(runtime: Runtime) -> _InUse:
    encodings = _encodings_in_use(runtime)
    readers = _readers_in_use(runtime)
    with runtime.database.read() as session:
        models = {row.id for row in queries.models(session) if _is_in(runtime, row.path, readers)}
    return _InUse(encodings, _retrievers_in_use(runtime, encodings), readers, models)


def _folders_to_delete(
    runtime: Runtime, session: Session, use: _InUse
) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Folders by kind, as fields of `Pruned`, and those that a link leads to, which stay."""
    encoders = [row for row in queries.retrievers(session) if row.hash not in use.retrievers]
    found = {
        "models": [
            *_unused_models(runtime, queries.models(session)),
            *_unused_pretrained(runtime, session, use.readers),
            *_orphans(runtime, session, use.readers),
        ],
        "retrievers": list(_unused_models(runtime, encoders)),
        "indexes": list(_unused_indexes(runtime)),
        "vectors": list(_unused_vectors(runtime, use.encodings)),
    }
    home = runtime.workspace.folder
    linked = [folder for some in found.values() for folder in some if not is_real_folder(folder, root=home)]
    for folder in linked:
        log.warning("%s is kept: a link leads to it; delete it yourself if nothing needs it", folder)
    return {kind: [each for each in some if each not in linked] for kind, some in found.items()}, _named(
        runtime, linked
    )


def _named(runtime: Runtime, folders: Iterable[Path]) -> tuple[str, ...]:
    return tuple(str(folder.relative_to(runtime.workspace.folder)) for folder in folders)


def _unused_models(runtime: Runtime, rows: Sequence[ModelRow] | Sequence[RetrieverRow]) -> Iterator[Path]:
    """Yield folders of pruned models that still exist, if they have a name that rounds give, in the models folder."""
    kept = {row.path for row in rows if row.pruned_at is None}
    for path in sorted({row.path for row in rows if row.pruned_at is not None} - kept):
        folder = runtime.workspace.models_folder / Path(path).name
        if runtime.workspace.folder / path == folder and _ROUND_FOLDER.fullmatch(folder.name) and folder.is_dir():
            yield folder


def _orphans(runtime: Runtime, session: Session, in_use: Collection[Path]) -> Iterator[Path]:
    """Yield model folders of rounds that the database does not know: a restored backup is older than they are."""
    known = {row.uid[:8] for row in queries.rounds(session)}
    for folder in _entries(runtime.workspace.models_folder):
        name = _ROUND_FOLDER.fullmatch(folder.name)
        if name and name["uid"] and name["uid"] not in known and folder.resolve() not in in_use:
            yield folder


def _entries(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none where it does not exist."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _unused_pretrained(runtime: Runtime, session: Session, in_use: Collection[Path]) -> Iterator[Path]:
    """Yield pretrained checkpoints that are not in use, unless a round is open; [pretrain] can rebuild them."""
    if queries.current_round(session) is not None:
        return
    for folder in _entries(runtime.workspace.models_folder):
        if _PRETRAINED_FOLDER.fullmatch(folder.name) and folder.resolve() not in in_use:
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
        names |= {name for name in named if name and not name.startswith(LABELLER)}
    return _folders(runtime, names)


def _is_in(runtime: Runtime, path: str, folders: Collection[Path]) -> bool:
    return (runtime.workspace.folder / path).resolve() in folders


def _unused_indexes(runtime: Runtime) -> Iterator[Path]:
    """Yield index folders other than the current one and that of an open round; `labeler index` can rebuild any."""
    kept = {runtime.index_folder(fingerprint) for fingerprint in _used_indexes(runtime)}
    for folder in _entries(runtime.workspace.index_folder):
        if _INDEX_FOLDER.fullmatch(folder.name) and folder not in kept:
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
    if encodings is None:
        return
    kept = {encoding.key for encoding in encodings}
    for folder in _entries(runtime.workspace.index_folder / VECTORS):
        if _VECTORS_FOLDER.fullmatch(folder.name) and folder.name not in kept:
            yield folder


def _delete(folder: Path, root: Path) -> int:
    """Delete a folder, and return the bytes of its files."""
    size = folder_size(folder)
    remove_folder(folder, root=root)
    return size
