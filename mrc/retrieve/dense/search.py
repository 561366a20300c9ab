"""Nearest-neighbour search of question vectors among passage vectors.

A passage's score is the inner product of its vector and the question's: their cosine. faiss finds candidates in
float32; their scores are computed again in float64, so that they do not depend on the batch of questions.
"""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import torch

from mrc.encoder.compute import pick_device
from mrc.errors import writing
from mrc.retrieve.dense.mapped import parts, take
from mrc.retrieve.dense.vectors import Vectors
from mrc.retrieve.fuse import Floats, Ints, RankedLists

_QUERIES: Final = 4096  # searched in one call: faiss multiplies matrices
_RESCORED: Final = 256  # questions whose passages' vectors are in memory at a time
_SPARE: Final = 8  # candidates beyond k, because float32 may order near ones differently
_NEAR: Final = 1e-5  # difference of two inner products that is within the error of float32
_CLUSTERS_PER_ROOT: Final = 4  # ivf: clusters = 4 sqrt(N)
_TRAINED_ON: Final = 64  # ivf: training vectors for each cluster
_PROBED: Final = 32  # ivf: clusters searched (nprobe)
_SMALLEST: Final = 39  # ivf: training vectors for each cluster below which faiss warns
_PRODUCTS: Final = 65536  # vectors multiplied at a time on a GPU

# By default faiss stops using BLAS, and is eight times slower, where queries x dimension < 128,000.
faiss.cvar.distance_compute_blas_threshold = 1


class VectorSearch:
    """Nearest neighbours among N vectors `(N, D)`: exact, or with `ivf` among the vectors of the nearest clusters."""

    def __init__(self, vectors: Vectors, *, ivf: Path | None = None, device: str = "cpu") -> None:
        self._vectors = vectors
        self._ivf = faiss.read_index(str(ivf), faiss.IO_FLAG_MMAP) if ivf else None
        on = pick_device(device)
        # On a GPU the matrix product is faster than any index.
        self._on_gpu = _held(vectors, on) if on.type == "cuda" and not ivf else None

    def search(self, queries: Vectors, k: int) -> RankedLists:
        """The k nearest of each query `(Q, D)`, best first, equal scores by lowest row; fewer where there are fewer."""
        depth = min(k, len(self._vectors))
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf)
        for start in range(0, len(queries), _QUERIES):
            part = np.ascontiguousarray(queries[start : start + _QUERIES], dtype=np.float32)
            found = self._candidates(part, min(depth + _SPARE, len(self._vectors)))
            for row in range(0, len(part), _RESCORED):
                some = slice(row, row + _RESCORED)
                to = slice(start + row, start + row + len(part[some]))
                rows[to, :depth], scores[to, :depth] = self._rescored(part[some], found[some], depth)
        return RankedLists(rows, scores)

    def _candidates(self, queries: Vectors, count: int) -> Ints:
        """(Q, count) rows of the best by float32, where near ones may be in any order; -1 where there are fewer."""
        if self._on_gpu is not None:
            return top_products(self._on_gpu, queries, count)
        if self._ivf is not None:
            found: Ints = self._ivf.search(queries, count)[1]
            return found
        best = faiss.ResultHeap(len(queries), count, keep_max=True)
        for start, part in parts(self._vectors):
            scores, near = faiss.knn(queries, part, min(count, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            best.add_result(scores, near + start)
        best.finalize()
        nearest: Ints = best.I
        return nearest

    def _rescored(self, queries: Vectors, found: Ints, depth: int) -> tuple[Ints, Floats]:
        """(Q, depth) rows and scores of the best candidates by float64, rounded to float32 so that equals are equal."""
        scores = _products(self._vectors, queries, found)
        order = np.lexsort((found, -scores), axis=1)[:, :depth]
        rows, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        if self._ivf is None and found.shape[1] < len(self._vectors):
            # Where all spare candidates are as good as the last, there may be more of them: compare every vector.
            for query in np.flatnonzero(scores.min(axis=1) >= best[:, -1] - _NEAR):
                rows[query], best[query] = self._compared(queries[query], depth, least=best[query, -1] - _NEAR)
        return np.where(np.isfinite(best), rows, -1), best

    def _compared(self, query: Vectors, depth: int, *, least: float) -> tuple[Ints, Floats]:
        """Rows and float64 scores, (depth,), of the best of all vectors, which in float32 score `least` or more."""
        rows: Ints = np.empty(0, dtype=np.int64)
        scores: Floats = np.empty(0)
        for start, part in parts(self._vectors):
            near = np.flatnonzero(part @ query >= least)
            rows = np.concatenate([rows, start + near])
            scores = np.concatenate([scores, _products(part, query[None], near[None])[0]])
            order = np.lexsort((rows, -scores))[:depth]
            rows, scores = rows[order], scores[order]
        return rows, scores


def _products(vectors: Vectors, queries: Vectors, rows: Ints) -> Floats:
    """(Q, C) inner products; -inf for row -1."""
    near = take(vectors, rows).astype(np.float64)  # (Q, C, D)
    products = (near @ queries[:, :, None].astype(np.float64))[..., 0].astype(np.float32)
    return np.where(rows >= 0, products.astype(np.float64), -np.inf)


def _held(vectors: Vectors, device: torch.device) -> torch.Tensor:
    """The vectors in the memory of a device."""
    held = torch.empty(vectors.shape, device=device)
    for start, part in parts(vectors):
        held[start : start + len(part)] = torch.from_numpy(np.array(part))
    return held


def top_products(vectors: torch.Tensor, queries: Vectors, count: int) -> Ints:
    """(Q, count) rows of the largest inner products with `vectors` (N, D), on the device that holds them."""
    wanted = torch.from_numpy(queries).to(vectors.device)
    best = torch.empty((len(queries), 0), device=vectors.device)
    rows = torch.empty((len(queries), 0), dtype=torch.int64, device=vectors.device)
    for start in range(0, len(vectors), _PRODUCTS):
        products = wanted @ vectors[start : start + _PRODUCTS].T
        places = torch.arange(start, start + products.shape[1], device=vectors.device).expand_as(products)
        best, order = torch.cat([best, products], dim=1).topk(min(count, best.shape[1] + products.shape[1]), dim=1)
        rows = torch.cat([rows, places], dim=1).gather(1, order)
    found: Ints = rows.cpu().numpy()
    return found


def save_ivf(vectors: Vectors, path: Path, *, seed: int = 0) -> None:
    """Write an IVF index of the vectors, which `VectorSearch` reads; its clusters are trained on a seeded sample."""
    count = max(1, min(round(_CLUSTERS_PER_ROOT * math.sqrt(len(vectors))), len(vectors) // _SMALLEST))
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF{count},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.spherical = seed, True
    index.nprobe = min(_PROBED, count)
    drawn = np.random.default_rng(seed).permutation(len(vectors))[: count * _TRAINED_ON]
    index.train(take(vectors, np.sort(drawn)))
    for _, part in parts(vectors):
        index.add(part)
    with writing(path):
        try:
            faiss.write_index(index, str(path))
        except RuntimeError as error:  # faiss reports a full disk in its message only
            raise OSError(errno.EIO, str(error).splitlines()[0], str(path)) from error
