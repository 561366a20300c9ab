"""Passage embeddings: the settings they depend on, and a cache of them on disk. NumPy only.

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
from mrc.retrieve.fuse import Method
from mrc.settings import Precision, check_settings, setting
from mrc.types import Passage

Vectors = npt.NDArray[np.float32]

FLAT_UP_TO: Final = 1_000_000  # passages; above, `search = "auto"` uses IVF
CHUNK: Final = 512  # passages encoded between two writes to the cache
_ROWS, _VECTORS = "rows.txt", "vectors.f32"


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """The bi-encoder of dense retrieval, and how its ranking is fused with BM25's. Lengths are in tokens."""

    model: str | None = setting(
        None, "bi-encoder: hub name or folder; finds passages that share no word; none: BM25 alone", shown=True
    )
    pooling: Literal["auto", "mean", "cls"] = setting(
        "auto", "of the token vectors; auto: as the checkpoint's files say"
    )
    query_prefix: str | None = setting(None, "put before each question; none: as the checkpoint's files say")
    passage_prefix: str | None = setting(None, "put before each passage; none: as the checkpoint's files say")
    max_seq_length: int | None = setting(
        None, "of an encoded text; none: as the checkpoint's files say", unit="tokens", low=8
    )
    search: Literal["auto", "flat", "ivf"] = setting(
        "auto", "flat is exact; auto: flat up to a million passages, then ivf"
    )
    fusion: Method = setting("zscore", "how BM25's and the dense scores are combined")
    rrf_constant: float = setting(
        1.0, "c of 1 / (c + rank) in rrf; a smaller one favours the first ranks", low=0, high=1e6
    )
    weight: float | None = setting(
        None, "of the dense score in the fusion, the rest is BM25's; none: tuned on labels, 0.5 without",
        unit="share", low=0, high=1, shown=True,
    )  # fmt: skip
    precision: Precision = "auto"  # of matrix products; auto: bf16 where the processor computes it fast

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise ValueError("model must name a checkpoint, or be none")
        check_settings(self)

    def uses_ivf(self, size: int) -> bool:
        """Whether an index of `size` passages is searched with IVF instead of exactly."""
        return self.search == "ivf" or (self.search == "auto" and size > FLAT_UP_TO)


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
        """(n, D) embeddings of these passages. Raises KeyError for one that is not in the cache."""
        if not ids:
            return np.empty((0, self._dimension), dtype=np.float32)
        return np.asarray(self._mapped()[[self._rows[key] for key in ids]])

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
            mapped = self._mapped()
            for row, line in enumerate(lines[:count]):
                checksum, _, key = line.decode("utf-8", "replace").partition(" ")
                if checksum == f"{zlib.crc32(mapped[row].tobytes()):08x}":
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
    """(N, D) embeddings of the passages; those in the cache are not computed again.

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
