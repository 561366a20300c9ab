"""Arrays in files, passed through a part at a time: the pages of a large one leave this process after each part."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

PART: Final = 1 << 15  # rows of a part; faiss multiplies 1,024 at a time
KEPT: Final = 1 << 28  # bytes of an array that may stay in memory, where it is faster the next time


def parts(rows: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(number of its first row, rows) of each part, in order."""
    for start in range(0, len(rows), PART):
        yield start, rows[start : start + PART]
        release(rows)


def release(rows: npt.NDArray[Any]) -> None:
    """Drop the pages of a large mapped array from this process; the next use reads them from the file again.

    Nothing happens to an array in memory, and where the system offers no such call.
    """
    mapping = _large_mapping(rows)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _large_mapping(rows: npt.NDArray[Any]) -> mmap.mmap | None:
    """The mapped file that a large read-only array is a view of."""
    base: Any = rows
    while isinstance(base, np.ndarray):
        base = base.base
    large = rows.nbytes > KEPT and not rows.flags.writeable
    return base if large and isinstance(base, mmap.mmap) else None


def take(rows: Floats32, places: Places) -> Floats32:
    """`rows[places]`, of a large mapped array part by part: a system reads hundreds of rows around each that is named.

    A place below 0 gives any row.
    """
    if _large_mapping(rows) is None:
        return np.asarray(rows[places])
    distinct, order = np.unique(places, return_inverse=True)
    held = np.zeros((len(distinct), *rows.shape[1:]), dtype=rows.dtype)
    for start, part in parts(rows):
        first, last = np.searchsorted(distinct, (start, start + len(part)))
        held[first:last] = part[distinct[first:last] - start]
    return held[order.reshape(places.shape)]


def save_rows(path: Path, rows: Floats32) -> None:
    """Write the bytes that `np.save` writes."""
    with path.open("wb") as file:
        described = np.lib.format.header_data_from_array_1_0(rows)  # type: ignore[no-untyped-call]
        np.lib.format.write_array_header_1_0(file, described)  # type: ignore[no-untyped-call]
        for _, part in parts(rows):
            file.write(part.tobytes())


def gather(rows: Floats32, places: Places, *, folder: Path) -> Floats32:
    """The rows at these places: a view where they follow one another, as in a new cache, else a mapped copy.

    The copy's file in `folder` has no name, and is gone when the array is.
    """
    first, count = int(places[0]), len(places)
    if np.array_equal(places, np.arange(first, first + count)):
        return rows[first : first + count]
    with TemporaryFile(dir=folder) as file:
        for _, part in parts(places):
            file.write(take(rows, part).tobytes())
        file.flush()
        return np.memmap(file, dtype=rows.dtype, mode="r", shape=(count, rows.shape[1]))
