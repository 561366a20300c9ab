"""Vectors in files: searched, gathered and written a part at a time, with the results of arrays in memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from mrc.retrieve.dense import mapped
from mrc.retrieve.dense.search import VectorSearch, save_ivf
from mrc.retrieve.dense.vectors import VectorCache, Vectors
from mrc.retrieve.fuse import RankedLists

ROWS, WIDTH = 300, 16


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 rows, and pages dropped of the smallest file."""
    monkeypatch.setattr(mapped, "PART", 64)
    monkeypatch.setattr(mapped, "KEPT", 0)


def unit(seed: int, rows: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def in_file(path: Path, vectors: Vectors) -> Vectors:
    np.save(path, vectors)
    return np.asarray(np.load(path, mmap_mode="r"))


def whole(vectors: Vectors, asked: Vectors, k: int) -> RankedLists:
    """Every vector compared with every query at once, in float64 rounded to float32; equal scores by lowest row."""
    scores = (asked.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32).astype(np.float64)
    order = np.lexsort((np.broadcast_to(np.arange(len(vectors)), scores.shape), -scores), axis=1)[:, :k]
    return RankedLists(order, np.take_along_axis(scores, order, axis=1))


@pytest.mark.parametrize("k", [1, 20, 100, ROWS])  # fewer and more than the rows of a part
@pytest.mark.parametrize("distinct", [ROWS, 3])  # of equal vectors, all that tie with the last are compared
def test_parts_of_a_file_give_what_all_vectors_in_memory_give(
    tmp_path: Path, small_parts: None, k: int, distinct: int
) -> None:
    vectors, asked = unit(0, distinct)[np.arange(ROWS) % distinct], unit(1, 5)
    found = VectorSearch(in_file(tmp_path / "v.npy", vectors)).search(asked, k)
    np.testing.assert_array_equal(found.documents, whole(vectors, asked, k).documents)
    np.testing.assert_allclose(found.scores, whole(vectors, asked, k).scores, atol=1e-6)


def test_parts_give_the_bits_of_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, asked = unit(0, ROWS), unit(1, 5)
    before = VectorSearch(vectors).search(asked, 50)
    monkeypatch.setattr(mapped, "PART", 64)
    monkeypatch.setattr(mapped, "KEPT", 0)
    after = VectorSearch(in_file(tmp_path / "v.npy", vectors)).search(asked, 50)
    np.testing.assert_array_equal(before.documents, after.documents)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_clusters_of_a_file_are_those_of_vectors_in_memory(tmp_path: Path, small_parts: None) -> None:
    vectors = unit(0, ROWS)
    save_ivf(vectors, tmp_path / "memory")
    save_ivf(in_file(tmp_path / "v.npy", vectors), tmp_path / "file")
    memory, file = (faiss.serialize_index(faiss.read_index(str(tmp_path / name))) for name in ("memory", "file"))
    np.testing.assert_array_equal(memory, file)


@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_what_is_written_is_what_numpy_writes(tmp_path: Path, small_parts: None, rows: int) -> None:
    vectors, expected = unit(0, rows), io.BytesIO()
    np.save(expected, vectors)
    mapped.save_rows(tmp_path / "ours.npy", vectors)
    assert (tmp_path / "ours.npy").read_bytes() == expected.getvalue()


@pytest.mark.parametrize(
    "wanted",
    [range(ROWS), range(100, 200), reversed(range(ROWS)), [5, 5, 299, 0], [7]],
    ids=["all in order", "some in order", "reversed", "repeated", "one"],
)
def test_vectors_of_the_cache_come_from_a_file_in_the_order_asked_for(
    tmp_path: Path, small_parts: None, wanted: list[int]
) -> None:
    vectors, rows = unit(0, ROWS), list(wanted)
    cache = VectorCache(tmp_path / "cache", WIDTH)
    cache.add([f"p{number}" for number in range(ROWS)], vectors)
    found = cache.gather([f"p{number}" for number in rows])
    np.testing.assert_array_equal(found, vectors[rows])
    assert isinstance(found.base, np.memmap)
    assert not found.flags.writeable
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"rows.txt", "vectors.f32"}


def test_vectors_of_the_cache_stay_when_it_grows(tmp_path: Path, small_parts: None) -> None:
    vectors = unit(0, ROWS)
    cache = VectorCache(tmp_path, WIDTH)
    cache.add(["a", "b"], vectors[:2])
    found = cache.gather(["a", "b"])
    cache.add(["c"], vectors[2:3])
    VectorCache(tmp_path, WIDTH)
    np.testing.assert_array_equal(found, vectors[:2])
    np.testing.assert_array_equal(cache.gather(["c", "a"]), vectors[[2, 0]])


def test_an_array_in_memory_or_one_that_is_written_is_left_alone(tmp_path: Path, small_parts: None) -> None:
    written = np.lib.format.open_memmap(tmp_path / "w.npy", mode="w+", dtype=np.float32, shape=(ROWS, WIDTH))
    written[:] = 1
    for array in (written, np.ones((ROWS, WIDTH), dtype=np.float32), np.arange(5)):
        mapped.release(array)
    assert (written == 1).all()


MEBIBYTES = 64
LIMIT = 24  # MiB beyond what is there before: a part, its copies and what the libraries take


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts and drops pages of files so")
@pytest.mark.parametrize("work", ["search", "gather", "open"])
def test_memory_is_bounded_by_a_part_whatever_the_size_of_the_file(tmp_path: Path, work: str) -> None:
    """64 MiB of vectors are searched, or gathered out of their order and written, in parts of 1 MiB."""
    width, rows = 256, MEBIBYTES * 1024
    cache = VectorCache(tmp_path / "cache", width)
    rng = np.random.default_rng(0)
    for start in range(0, rows, 1024):
        cache.add([str(start + number) for number in range(1024)], rng.standard_normal((1024, width), dtype=np.float32))
    script = f"""
from pathlib import Path
import numpy as np
from mrc.retrieve.dense import mapped, search
from mrc.retrieve.dense.search import VectorSearch
from mrc.retrieve.dense.vectors import VectorCache
mapped.PART, mapped.KEPT, search._RESCORED = 1024, 1 << 20, 16
peak = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024  # MiB
folder, ids = Path({str(tmp_path)!r}), [str(number) for number in range({rows})]
queries = np.random.default_rng(1).standard_normal((200, {width}), dtype=np.float32)
VectorSearch(queries).search(queries, 10)  # loads what searching needs
lines = (folder / "cache" / "rows.txt").read_bytes().split(b"\\n")
before = peak()
cache = VectorCache(folder / "cache", {width})
if {work!r} == "search":
    VectorSearch(cache.gather(ids)).search(queries, 10)
elif {work!r} == "gather":
    mapped.save_rows(folder / "out.npy", cache.gather(ids[::-1]))
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < LIMIT
