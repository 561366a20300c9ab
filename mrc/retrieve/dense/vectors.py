"""Passage embeddings: all that they depend on, and a cache of them on disk. NumPy only.

A cache folder belongs to one encoding (`Encoding.key`) and only grows: `vectors.f32` holds rows of float32, `rows.txt`
the passage id and checksum of each row. Ids are written after their rows, so that a killed run loses at most one chunk.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from mrc.errors import writing
from mrc.retrieve.dense import mapped
from mrc.retrieve.dense.config import DenseConfig as DenseConfig
from mrc.types import Passage

Vectors = npt.NDArray[np.float32]

CHUNK: Final = 512  # passages encoded between two writes to the cache
_ROWS, _VECTORS = "rows.txt", "vectors.f32"


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that the embedding of a text depends on, fully resolved."""

    source: str  # folder or hub name that the checkpoint was loaded from
    checkpoint: str  # hash of its files
    pooling: Literal["mean", "cls"]
    query_prefix: str
    passage_prefix: str
    max_seq_length: int
    precision: Literal["fp32", "bf16"]
    dimension: int

    @property
    def key(self) -> str:
        """32 hexadecimal digits of all that passage embeddings depend on; the checkpoint's place is not part of it."""
        parts = asdict(self)
        del parts["source"], parts["query_prefix"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class VectorCache:
    """Passage embeddings by id, in a folder. For one writer at a time; damaged rows count as missing."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._dimension = dimension
        self._bytes = 4 * dimension
        self._rows: dict[str, int] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._count = self._repair()

    def __contains__(self, passage_id: str) -> bool:
        return passage_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"VectorCache({str(self._folder)!r}, {len(self):,} vectors of {self._dimension} dimensions)"

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Write the embeddings `(n, D)` of these passages to disk."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        names = "".join(f"{zlib.crc32(row.tobytes()):08x} {key}\n" for key, row in zip(ids, rows, strict=True))
        with writing(self._folder):
            _append(self._folder / _VECTORS, rows.tobytes())
            _append(self._folder / _ROWS, names.encode())
        self._rows.update((key, self._count + number) for number, key in enumerate(ids))
        self._count += len(rows)

    def gather(self, ids: Sequence[str]) -> Vectors:
        """(n, D) embeddings of these passages, mapped from a file. Raises KeyError for one that is not in the cache."""
        if not ids:
            return np.empty((0, self._dimension), dtype=np.float32)
        places = np.fromiter((self._rows[key] for key in ids), dtype=np.int64, count=len(ids))
        with writing(self._folder):
            return np.asarray(mapped.gather(self._mapped(), places, folder=self._folder))

    def _mapped(self) -> npt.NDArray[np.float32]:
        return np.memmap(self._folder / _VECTORS, dtype=np.float32, mode="r", shape=(self._count, self._dimension))

    def _repair(self) -> int:
        """Truncate both files to their complete rows; returns how many. Rows with a wrong checksum get no id."""
        names, vectors = self._folder / _ROWS, self._folder / _VECTORS
        for path in (names, vectors):
            path.touch()
        lines = names.read_bytes().split(b"\n")[:-1]  # after the last line end there is nothing, or half a line
        count = min(len(lines), vectors.stat().st_size // self._bytes)
        os.truncate(vectors, count * self._bytes)
        os.truncate(names, sum(len(line) + 1 for line in lines[:count]))
        self._count = count
        if count:
            for start, part in mapped.parts(self._mapped()):
                for row, (line, vector) in enumerate(zip(lines[start:count], part, strict=False), start):
                    checksum, _, key = line.decode("utf-8", "replace").partition(" ")
                    if checksum == f"{zlib.crc32(vector.tobytes()):08x}":
                        self._rows[key] = row
        return count


def embed_passages(
    passages: Sequence[Passage],
    encode: Callable[[Sequence[str]], Vectors],
    *,
    dimension: int,
    cache: Path | None,
    progress: Callable[[int], object] | None = None,
) -> Vectors:
    """(N, D) embeddings of the passages, mapped from a file where there is a cache; those in it are not computed again.

    Args:
        encode: texts -> their embeddings.
        cache: folder of a `VectorCache`; None: no cache. A killed run resumes after its last complete chunk.
        progress: called with the number of passages done since the last call.
    """
    report = progress or (lambda done: None)
    if cache is None:
        parts = []
        for chunk in _chunks(passages):
            parts.append(encode([passage.text for passage in chunk]))
            report(len(chunk))
        return np.concatenate(parts) if parts else np.empty((0, dimension), dtype=np.float32)
    known = VectorCache(cache, dimension)
    new = [passage for passage in passages if passage.id not in known]
    report(len(passages) - len(new))
    for chunk in _chunks(new):
        known.add([passage.id for passage in chunk], encode([passage.text for passage in chunk]))
        report(len(chunk))
    return known.gather([passage.id for passage in passages])


def _chunks(passages: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    for start in range(0, len(passages), CHUNK):
        yield passages[start : start + CHUNK]


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
