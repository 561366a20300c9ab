"""The stored weights of a model folder as their headers describe them; nothing of the weights themselves is read."""

from __future__ import annotations

import json
import math
import os
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from mrc.encoder.files import INDEXES, MIB, indexed_files
from mrc.errors import BadCheckpoint

WHOLE: Final = {"model.safetensors": ".safetensors", "pytorch_model.bin": ".bin"}
MOST_HEADER: Final = 16 * MIB
PLAIN_TYPES: Final = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "BOOL"})  # integers are tables of positions


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Numbers stored, at most, and those of the largest weight; of safetensors also how many weights there are and all
    sizes of their axes."""

    elements: int
    largest: int = 0
    count: int = 0
    sizes: frozenset[int] = frozenset()


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, safetensors first; an empty list where there are none.

    Raises: BadCheckpoint for an index that names other files than those of the folder.
    """
    for suffix in (".safetensors", ".bin"):
        whole = next(name for name, end in WHOLE.items() if end == suffix)
        if (folder / whole).is_file():
            return [folder / whole]
        index = next(folder / name for name, end in INDEXES.items() if end == suffix)
        if index.is_file():
            return [folder / name for name in indexed_files(index)]
    return []


def stored_weights(folder: Path) -> StoredWeights:
    """What the headers of a folder's weight files say; of pickled weights only a bound by their bytes.

    Raises: BadCheckpoint for no weights, broken ones, and quantised ones.
    """
    files = weight_files(folder)
    if not files:
        raise BadCheckpoint(f"{folder}: this folder holds no usable model (no {' and no '.join(WHOLE)})")
    if files[0].suffix == ".bin":
        for path in files:
            _check_pickled(path)
        return StoredWeights(elements=sum(path.stat().st_size for path in files))
    shapes = [shape for path in files for shape in _shapes(path)]
    sizes = frozenset(size for shape in shapes for size in shape)
    elements = [math.prod(shape) for shape in shapes]
    return StoredWeights(sum(elements), max(elements, default=0), len(shapes), sizes)


def _check_pickled(path: Path) -> None:
    """Raises: BadCheckpoint for an archive whose parts are compressed: torch writes none, and reads them whole."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}: broken weights ({str(error)[:100]}); copy or train the model again") from error
    if any(part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size for part in parts):
        raise BadCheckpoint(f"{path}: compressed weights, whose size nothing bounds; save the model as safetensors")


def check_weights(path: Path) -> None:
    """Raises: BadCheckpoint for a broken safetensors file."""
    try:
        with safe_open(path, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        line = textwrap.shorten(str(error), 200, placeholder=" …")
        raise BadCheckpoint(f"{path}: broken weights ({line}); copy or train the model again") from error


def _shapes(path: Path) -> list[list[int]]:
    """The shape of each tensor. Raises BadCheckpoint."""
    header = _header(path)
    found = []
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        if tensor["dtype"] not in PLAIN_TYPES:
            raise BadCheckpoint(
                f"{path}: {name[:100]} is stored as {tensor['dtype']}, so the weights are quantised; give the model as "
                "it was before"
            )
        found.append(tensor["shape"])
    return found


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, os.fstat(file.fileno()).st_size):
            raise BadCheckpoint(f"{path}: broken weights (a header of {length:,} bytes); copy or train the model again")
        check_weights(path)  # the library checks that header and data fit together
        header: dict[str, Any] = json.loads(file.read(length))
    return header
