"""Datasets of the `datasets` package: folders written by `save_to_disk`, or names on the hub."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labeler.core.errors import ImportRefused
from labeler.core.files import refuse_outside_links
from labeler.importing.fields.names import ORIGIN, is_known, looks_like_id
from labeler.importing.formats.content import Content, Part
from labeler.importing.formats.gathering import gather
from labeler.importing.formats.nested import is_nested, node_parts
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import parts

FLOOR, RATIO = 1 << 26, 100  # bytes that any folder may unpack to; larger ones: times their size
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


def read_dataset(name: str, reading: Reading) -> Content:
    """Read a saved folder, or `NAME:SPLIT` or `NAME:CONFIG:SPLIT` on the hub.

    With `all_splits`, every split of a folder that has several; each question keeps the name of its split.

    Raises ImportRefused without such a dataset or a network, and for several splits unless `all_splits`.
    """
    digest = hashlib.sha256()
    found = (
        part for place, split, rows in _splits(name, reading) for part in _parts(place, split, rows, digest, reading)
    )
    content = gather(found, name=name, sha256="", format="hf")
    return replace(content, sha256=digest.hexdigest())


def _splits(name: str, reading: Reading) -> Iterator[tuple[str, str, Iterable[Mapping[str, Any]]]]:
    """Yield the place, the name and the rows of each split to read."""
    path = Path(name)
    if not path.exists():
        yield name, "", _load_hub(name, reading)
    elif not (path / "dataset_dict.json").is_file():
        yield name, "", _load_folder(path, reading)
    else:
        refuse_outside_links(path)
        for split in _named_splits(path, all_splits=reading.options.all_splits):
            yield f"{name}: {split}", split, _load_folder(path / split, reading)


def _named_splits(path: Path, *, all_splits: bool) -> list[str]:
    """Return the splits of a folder to read: the only one, or all. Raises ImportRefused."""
    found = _described(path / "dataset_dict.json").get("splits")
    splits = sorted(str(split) for split in found) if isinstance(found, list) else []
    wrong = [split for split in splits if not split.strip(".") or Path(split).name != split]
    if wrong:
        raise ImportRefused(f"{path / 'dataset_dict.json'}: names the split {wrong[0]!r}, no folder beside it")
    if len(splits) != 1 and not (splits and all_splits):
        hint = f"name one, such as {path / (splits or ['train'])[0]}"
        more = ", or import all with --split file" if splits else ""
        raise ImportRefused(f"{path}: has the splits {', '.join(splits) or 'none'}; {hint}{more}")
    return splits


def _parts(
    name: str, split: str, rows: Iterable[Mapping[str, Any]], digest: hashlib._Hash, reading: Reading
) -> Iterator[tuple[str, Part]]:
    for number, row in enumerate(rows):
        digest.update(json.dumps([split, row] if split else row, sort_keys=True, default=str).encode())
        if is_nested(row):
            yield from node_parts(name, f"row {number}", row, reading)
        else:
            yield from parts(f"{name}: row {number}", {"split": split, **row} if split else row, reading)


def _load_folder(path: Path, reading: Reading) -> Iterable[Mapping[str, Any]]:
    _check_folder(path)
    datasets = quiet_datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
        loaded.data.validate(full=True)  # a damaged file is mapped into memory as it is
        rows = _wanted(path, loaded, reading)
        return _bounded(path, rows)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ImportRefused(f"{path}: not written by datasets.save_to_disk: {_first_line(error)}") from error


def _bounded(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows, as long as they do not take very much more than their files."""
    room = max(FLOOR, RATIO * sum(each.stat().st_size for each in path.iterdir()))
    for row in _readable(path, rows):
        room -= len(str(row))
        if room < 0:
            raise ImportRefused(f"{path}: unpacks to over {RATIO} times its size; save it without repetitions")
        yield row


def _readable(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows. Raises ImportRefused where their data is broken."""
    try:
        yield from rows
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ImportRefused(
            f"{path}: its rows cannot be read ({_first_line(error)}); save the dataset again"
        ) from error


def _check_folder(path: Path) -> None:
    """Raise ImportRefused unless the folder names only files in it: its state could name any file of the machine."""
    refuse_outside_links(path)
    files = _described(path / "state.json").get("_data_files")
    if not isinstance(files, list) or not all(isinstance(each, dict) for each in files):
        raise ImportRefused(f"{path / 'state.json'}: no list of data files; save the dataset again (save_to_disk)")
    for each in files:
        name = each.get("filename")
        if not isinstance(name, str) or not name.strip(".") or Path(name).name != name:
            raise ImportRefused(f"{path / 'state.json'}: names the file {name!r}, which is not a file of this folder")


def _described(file: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises ImportRefused."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefused(f"{file}: not written by datasets.save_to_disk: {_first_line(error)}") from error
    if not isinstance(found, dict):
        raise ImportRefused(f"{file}: not written by datasets.save_to_disk: no JSON object")
    return found


def _wanted(name: Path | str, loaded: Any, reading: Reading) -> Iterable[Mapping[str, Any]]:
    """The rows with the columns that are imported, as plain values: no column is decoded.

    An image, audio or video column would otherwise open whatever files and addresses its rows name.
    """
    datasets = quiet_datasets()
    known = [column for column in loaded.column_names if is_known(column)]
    columns = [each for each in known if each not in ORIGIN or _is_plain(loaded.features[each], datasets)]
    reading.ignore(column for column in loaded.column_names if column not in columns and looks_like_id(column))
    typed = [column for column in columns if not _is_plain(loaded.features[column], datasets)]
    if typed:
        kind = type(loaded.features[typed[0]]).__name__
        raise ImportRefused(f"{name}: the column {typed[0]} holds {kind} values; text, numbers or lists are needed")
    rows: Iterable[Mapping[str, Any]] = loaded.select_columns(columns).with_format(None)
    return rows


def _is_plain(feature: Any, datasets: Any) -> bool:
    """Whether values of a feature are plain JSON values: text, numbers, and lists or objects of such."""
    if isinstance(feature, dict):
        return all(_is_plain(part, datasets) for part in feature.values())
    if isinstance(feature, list):
        return all(_is_plain(part, datasets) for part in feature)
    inner = getattr(feature, "feature", None)
    if inner is not None and type(feature).__name__ in ("List", "LargeList", "Sequence"):
        return _is_plain(inner, datasets)
    return isinstance(feature, (datasets.Value, datasets.ClassLabel))


def _load_hub(name: str, reading: Reading) -> Iterable[Mapping[str, Any]]:
    datasets = quiet_datasets()
    path, *config, split = ["", *name.split(":")] if ":" not in name else name.split(":")
    if not path or not split or len(config) > 1:
        raise ImportRefused(f"{name}: no such folder; a dataset on the hub is written NAME:SPLIT or NAME:CONFIG:SPLIT")
    try:
        return _wanted(name, datasets.load_dataset(path, *config, split=split), reading)
    except (OSError, ValueError) as error:  # no network, no such dataset, no such split or configuration
        raise ImportRefused(f"{name}: cannot be loaded from the hub: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
