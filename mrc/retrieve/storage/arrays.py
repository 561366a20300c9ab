"""Arrays and lists of texts in files that are mapped into memory: opening one costs the same whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]  # file name -> array
Ints = npt.NDArray[np.int64]

STARTS: Final = ".starts.npy"  # beside a list of texts: where each begins
ORDER: Final = ".order.npy"  # beside a vocabulary: its terms in order
_MANY: Final = 1 << 14  # terms looked up, above which a vocabulary is read whole


def save_arrays(data: Path, arrays: Arrays) -> None:
    """Write each array under its file name."""
    for name, values in arrays.items():
        np.save(data / name, values)


def load_arrays(data: Path, names: Iterable[str]) -> list[npt.NDArray[Any]]:
    """The memory-mapped arrays of these files, as plain arrays, which are faster to slice than numpy's memmap."""
    return [np.asarray(np.load(data / name, mmap_mode="r")) for name in names]


def string_files(name: str, *, vocabulary: bool = False) -> tuple[str, ...]:
    """The names of the files of a list of texts, or of a vocabulary."""
    return (name, f"{name}{STARTS}", f"{name}{ORDER}") if vocabulary else (name, f"{name}{STARTS}")


def save_strings(path: Path, strings: Iterable[str], *, vocabulary: bool = False) -> None:
    """Write a JSON list in ASCII, which holds lone surrogates too, and beside it where each text begins."""
    texts = [json.dumps(text) for text in strings]
    path.write_text(f"[{', '.join(texts)}]", encoding="ascii")
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    starts = np.concatenate(([1], 1 + np.cumsum(lengths + len(", "))))
    np.save(path.with_name(path.name + STARTS), starts)
    if vocabulary:
        order = np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int32)
        np.save(path.with_name(path.name + ORDER), order)


class StoredStrings(Sequence[str]):
    """The texts that `save_strings` wrote, each read from the file when it is asked for.

    Raises OSError; ValueError where the files do not belong together.
    """

    def __init__(self, path: Path) -> None:
        (self._starts,) = load_arrays(path.parent, [f"{path.name}{STARTS}"])
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
        if self._starts[-1] - len("]") != len(self._bytes) and len(self) > 0:
            raise ValueError(f"{path.name} and {path.name}{STARTS} do not belong together")

    def encoded(self, place: int) -> bytes:
        """The text at a place as it is stored: JSON in ASCII."""
        return self._bytes[self._starts[place] : self._starts[place + 1] - len(", ")].tobytes()

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(len(self))[place]
        if isinstance(places, range):
            return [self[each] for each in places]
        text: str = json.loads(self.encoded(places))
        return text

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._bytes.tobytes()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list


class StoredVocabulary(Mapping[str, int]):
    """Term -> its number. Few terms are looked up in the files; for many the vocabulary is read whole."""

    def __init__(self, path: Path) -> None:
        self._terms = StoredStrings(path)
        (self._order,) = load_arrays(path.parent, [f"{path.name}{ORDER}"])
        self._whole: dict[str, int] | None = None
        self._asked = 0

    def __getitem__(self, term: str) -> int:
        self._asked += 1
        if self._whole is None and self._asked > _MANY:
            self._whole = {each: number for number, each in enumerate(self._terms)}
        if self._whole is not None:
            return self._whole[term]
        wanted = json.dumps(term).encode("ascii")
        low, high = 0, len(self._order)
        while low < high:
            middle = (low + high) // 2
            if self._terms.encoded(int(self._order[middle])) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self._order) or self._terms.encoded(int(self._order[low])) != wanted:
            raise KeyError(term)
        return int(self._order[low])

    def __len__(self) -> int:
        return len(self._terms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)
