"""Datasets of the `datasets` package: folders written by `save_to_disk`, or names on the hub."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labeler.core.errors import ImportRefused
from labeler.importing.formats.content import Content, Part, gather
from labeler.importing.formats.records import parts

MARKERS = ("dataset_info.json", "dataset_dict.json")  # files that save_to_disk writes


def quiet_datasets() -> Any:
    """Return the package `datasets`, with progress bars on a terminal only."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return any((path / name).is_file() for name in MARKERS)


def read_dataset(name: str) -> Content:
    """Read a saved folder, or `NAME:SPLIT` or `NAME:CONFIG:SPLIT` on the hub.

    Raises ImportRefused without such a dataset or a network, and for several splits.
    """
    rows = _load_folder(Path(name)) if Path(name).exists() else _load_hub(name)
    digest = hashlib.sha256()
    found = list(_parts(name, rows, digest))
    return gather(found, sha256=digest.hexdigest(), format="hf")


def _parts(name: str, rows: Iterable[Mapping[str, Any]], digest: hashlib._Hash) -> Iterator[tuple[str, Part]]:
    for number, row in enumerate(rows):
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        yield from parts(f"{name}: row {number}", row)


def _load_folder(path: Path) -> Iterable[Mapping[str, Any]]:
    datasets = quiet_datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except (ValueError, FileNotFoundError) as error:
        raise ImportRefused(f"{path}: not written by datasets.save_to_disk: {_first_line(error)}") from error
    if isinstance(loaded, datasets.DatasetDict):
        splits = sorted(map(str, loaded))
        raise ImportRefused(f"{path}: has the splits {', '.join(splits)}; name one, such as {path / splits[0]}")
    rows: Iterable[Mapping[str, Any]] = loaded
    return rows


def _load_hub(name: str) -> Iterable[Mapping[str, Any]]:
    datasets = quiet_datasets()
    path, *config, split = ["", *name.split(":")] if ":" not in name else name.split(":")
    if not path or not split or len(config) > 1:
        raise ImportRefused(f"{name}: no such folder; a dataset on the hub is written NAME:SPLIT or NAME:CONFIG:SPLIT")
    try:
        hub: Iterable[Mapping[str, Any]] = datasets.load_dataset(path, *config, split=split)
    except (OSError, ValueError) as error:  # no network, no such dataset, no such split or configuration
        raise ImportRefused(f"{name}: cannot be loaded from the hub: {_first_line(error)}") from error
    return hub


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
