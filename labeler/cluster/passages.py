"""The texts of an index's passages as one file, so that workers need no database."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from labeler.core.files import atomic_folder
from mrc.errors import writing
from mrc.types import Passage

_TEXTS: Final = "texts.bin"
_STARTS: Final = "starts.npy"
_BATCH: Final = 1000  # passages in memory at a time
_CODING: Final = "surrogatepass"

Fetch = Callable[[Sequence[str]], Mapping[str, Passage]]  # passages by id


def write_passages(folder: Path, ids: Sequence[str], fetch: Fetch) -> Path:
    """Write the texts of these passages, in their order, unless the folder is there; returns it.

    The id of a passage is a hash of its text, so the folder of an index never goes stale.
    """
    if folder.is_dir():
        return folder
    starts = np.zeros(len(ids) + 1, dtype=np.int64)
    with writing(folder), atomic_folder(folder) as making:
        with (making / _TEXTS).open("wb") as file:
            for first in range(0, len(ids), _BATCH):
                part = ids[first : first + _BATCH]
                found = fetch(part)
                for row, key in enumerate(part, start=first):
                    starts[row + 1] = starts[row] + file.write(found[key].text.encode("utf-8", _CODING))
        np.save(making / _STARTS, starts)
    return folder


class PassageTexts:
    """The passages that `write_passages` wrote, memory-mapped. `ids`: ascending, as there."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        self._ids = ids
        self._starts: npt.NDArray[np.int64] = np.load(folder / _STARTS, mmap_mode="r")
        self._texts = (folder / _TEXTS).open("rb")

    def fetch(self, ids: Sequence[str]) -> dict[str, Passage]:
        """The passages of these ids, without titles. Raises KeyError for one that is not there."""
        return {key: Passage(key, self._text(key)) for key in ids}

    def _text(self, key: str) -> str:
        row = bisect_left(self._ids, key)
        if row == len(self._ids) or self._ids[row] != key:
            raise KeyError(key)
        start, end = int(self._starts[row]), int(self._starts[row + 1])
        self._texts.seek(start)
        return self._texts.read(end - start).decode("utf-8", _CODING)
