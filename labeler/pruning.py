"""Giving disk space back: predictions, models and indexes of old rounds that nothing refers to any more."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from labeler.desk import INDEX_KEY, Desk

_INDEX_FOLDER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted. `freed` is in bytes of the folders; the database file keeps its size and reuses the space."""

    freed: int
    predictions: int
    models: tuple[str, ...]  # folders, relative to the workspace
    indexes: tuple[str, ...]


def prune(desk: Desk, *, keep: int) -> Pruned:
    """What was deleted; predictions of the newest `keep` rounds stay in any case.

    The rows go first, in one transaction; a run that is killed before the folders are gone is made good by the next.
    """
    with desk.database.write() as session:
        done = store.prune(session, keep=keep)
        if done.predictions or done.models:
            detail = {"predictions": done.predictions, "models": [row.hash for row in done.models]}
            store.add_event(session, "pruned", detail=detail)
    models, indexes = list(_dead_models(desk)), list(_dead_indexes(desk))
    freed = sum(_delete(folder) for folder in (*models, *indexes))
    home = desk.workspace.folder
    return Pruned(
        freed=freed,
        predictions=done.predictions,
        models=tuple(str(folder.relative_to(home)) for folder in models),
        indexes=tuple(str(folder.relative_to(home)) for folder in indexes),
    )


def _dead_models(desk: Desk) -> Iterator[Path]:
    """Folders of pruned models that are still there. A path that leads out of the models' folder is left alone."""
    with desk.database.read() as session:
        rows = queries.models(session)
    kept = {row.path for row in rows if row.pruned_at is None}
    for path in sorted({row.path for row in rows if row.pruned_at is not None} - kept):
        folder = desk.workspace.folder / path
        if folder.is_dir() and folder.resolve().parent == desk.workspace.models_folder.resolve():
            yield folder


def _dead_indexes(desk: Desk) -> Iterator[Path]:
    """Index folders that are neither the current one nor that of an open round; `labeler index` can make any again."""
    with desk.database.read() as session:
        standing = queries.current_round(session)
        used = {queries.get_meta(session, INDEX_KEY), standing.index_fingerprint if standing else None}
    kept = {desk.index_folder(fingerprint) for fingerprint in used if fingerprint}
    if not desk.workspace.index_folder.is_dir():
        return
    for folder in sorted(desk.workspace.index_folder.iterdir()):
        if folder.is_dir() and _INDEX_FOLDER.fullmatch(folder.name) and folder not in kept:
            yield folder


def _delete(folder: Path) -> int:
    """The bytes that its files took."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return size
