"""The bi-encoder, which turns texts into vectors of length 1, and the search for the passages nearest to questions.

A passage's score is the inner product of its vector and the question's: their cosine. Found by faiss in float32, scores
are computed again in float64, so that they depend on the vectors, and not on which questions were searched together.
A vector itself differs in its last bits with the texts that it is encoded with: cosines by 1e-6, in bf16 by .002.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import faiss
import numpy as np
import torch
from transformers import AutoModel

from mrc.encoder import (
    BATCH_TOKENS,
    NO_SURROGATES,
    checkpoint_folder,
    load_config,
    load_pretrained,
    load_tokenizer,
    max_positions,
    pick_device,
    pick_dtype,
    sorted_batches,
)
from mrc.errors import BadCheckpoint, StaleIndex, writing
from mrc.retrieve.dense.checkpoint_info import Described, checkpoint_hash
from mrc.retrieve.dense.vectors import DenseConfig, Encoding, Vectors
from mrc.retrieve.fuse import Floats, Ints, Ranking

_MOST_TOKENS: Final = 512  # of a text, where the checkpoint names no length

_QUERIES: Final = 4096  # searched together: faiss multiplies matrices
_RESCORED: Final = 128  # questions whose passages' vectors are held at a time
_SPARE: Final = 8  # candidates beyond k, as float32 may order near ones otherwise
_NEAR: Final = 1e-5  # difference of two inner products in float32 that says nothing
_CLUSTERS_PER_ROOT: Final = 4  # ivf: clusters = 4 sqrt(N)
_TRAINED_ON: Final = 64  # ivf: passages a cluster that the clusters are learned from
_PROBED: Final = 32  # ivf: clusters looked into
_SMALLEST: Final = 39  # ivf: passages a cluster, below which faiss warns
_PRODUCTS: Final = 65536  # passages multiplied, or added, at a time

# By its default faiss goes from matrix products to single ones, eight times slower, below 128,000 numbers of questions.
faiss.cvar.distance_compute_blas_threshold = 1


class BiEncoder:
    """Vectors of questions and of passages, by one checkpoint on one device."""

    def __init__(self, encoding: Encoding, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self.encoding = encoding
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = device

    @classmethod
    def load(cls, config: DenseConfig, *, device: str = "auto") -> Self:
        """The encoder that the settings name; what they leave open is as the checkpoint says.

        Raises:
            BadCheckpoint: there is none, it cannot be read, or it is of a kind that is not known here.
        """
        if config.model is None:
            raise ValueError("the settings name no model")
        folder = checkpoint_folder(config.model)
        said, settings, on = Described(folder), load_config(folder), pick_device(device)
        if getattr(settings, "is_encoder_decoder", False):
            raise BadCheckpoint(f"{config.model}: has a decoder too; choose a checkpoint that is an encoder alone")
        width = int(getattr(settings, "hidden_size", 0))
        dtype = pick_dtype(config.precision, device=on, hidden_size=width)
        passage_prefix = said.prompt("passage", "document") if config.passage_prefix is None else config.passage_prefix
        encoding = Encoding(
            source=str(folder.resolve()) if Path(config.model).is_dir() else config.model,
            checkpoint=checkpoint_hash(folder),
            pooling=said.pooling() if config.pooling == "auto" else config.pooling,
            query_prefix=said.prompt("query") if config.query_prefix is None else config.query_prefix,
            passage_prefix=passage_prefix,
            max_seq_length=config.max_seq_length or said.max_seq_length() or _MOST_TOKENS,
            precision="bf16" if dtype is torch.bfloat16 else "fp32",
            dimension=width,
        )
        return cls._of(encoding, folder, device=on, at_most=config.max_seq_length is None)

    @classmethod
    def again(cls, encoding: Encoding, *, device: str = "auto") -> Self:
        """The encoder that an index was built with.

        Raises:
            BadCheckpoint: it is gone, or cannot be read.
            StaleIndex: its files are others now.
        """
        try:
            folder = checkpoint_folder(encoding.source)
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{error}; name the index another encoder: labeler index --dense MODEL") from error
        if checkpoint_hash(folder) != encoding.checkpoint:
            raise StaleIndex(f"{encoding.source}: its files changed since the index was built; run `labeler index`")
        return cls._of(encoding, folder, device=pick_device(device), at_most=False)

    @classmethod
    def _of(cls, encoding: Encoding, folder: Path, *, device: torch.device, at_most: bool) -> Self:
        """`at_most`: fewer tokens will do, where the network has no more positions."""
        tokenizer = load_tokenizer(folder)
        dtype = pick_dtype(encoding.precision, device=device, hidden_size=encoding.dimension)
        # On a CPU plain products beat the fused kernel in small batches of bfloat16, and lose in float32.
        options = {"attn_implementation": "eager"} if device.type == "cpu" and dtype is torch.bfloat16 else {}
        with torch.random.fork_rng(devices=[]):  # transformers draws weights that the checkpoint then replaces
            model, info = load_pretrained(AutoModel, folder, dtype=dtype, output_loading_info=True, **options)
        lost = sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
        if lost:
            raise BadCheckpoint(f"{folder}: {len(lost)} weights are missing ({lost[0]}); copy the model again")
        places = max_positions(model)
        if encoding.max_seq_length > places and not at_most:
            raise BadCheckpoint(
                f"{folder}: {encoding.max_seq_length} tokens are more than its {places} positions; "
                f"set dense.max_seq_length = {places} or less"
            )
        encoding = replace(encoding, max_seq_length=min(encoding.max_seq_length, places))
        return cls(encoding, model.to(device), tokenizer, device=device)

    @property
    def model(self) -> Any:
        """The network, in evaluation mode."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the checkpoint."""
        return self._tokenizer

    def questions(self, texts: Sequence[str]) -> Vectors:
        """(Q, D) vectors of length 1."""
        return self._encode([self.encoding.query_prefix + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """(N, D) vectors of length 1; what stands behind `max_seq_length` of a text is not seen."""
        return self._encode([self.encoding.passage_prefix + text for text in texts])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.encoding.dimension), dtype=np.float32)
        if not texts:
            return vectors
        cut = {"truncation": True, "max_length": self.encoding.max_seq_length, "return_attention_mask": False}
        rows = self._tokenizer([text.translate(NO_SURROGATES) for text in texts], **cut)["input_ids"]
        budget = BATCH_TOKENS[self._device.type]
        for batch in sorted_batches([len(row) for row in rows], budget=budget):
            vectors[batch] = self._forward([rows[index] for index in batch])
        if not np.isfinite(vectors).all():
            raise BadCheckpoint(f"{self.encoding.source}: gives no numbers for some texts; copy the model again")
        return vectors

    def _forward(self, rows: Sequence[Sequence[int]]) -> Vectors:
        longest = max(1, max(map(len, rows)))
        ids = torch.full((len(rows), longest), int(self._tokenizer.pad_token_id or 0))
        mask = torch.zeros((len(rows), longest), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[number, : len(row)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (B, T, H)
            pooled = hidden[:, 0] if self.encoding.pooling == "cls" else _mean(hidden, mask)
            unit = torch.nn.functional.normalize(pooled, dim=1)
        found: Vectors = unit.cpu().numpy()
        return found


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, H) mean of (B, T, H) over the tokens of the mask (B, T)."""
    kept = mask.unsqueeze(-1).float()
    return (hidden * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


class Searcher:
    """The nearest of N vectors `(N, D)`: all are looked at, or with `clusters` those of the clusters nearest by."""

    def __init__(self, vectors: Vectors, *, clusters: Path | None = None, device: str = "cpu") -> None:
        self._vectors = vectors
        self._clusters = faiss.read_index(str(clusters), faiss.IO_FLAG_MMAP) if clusters else None
        on = pick_device(device)
        # On a GPU the products themselves are quicker than any index.
        self._on_gpu = torch.from_numpy(np.array(vectors)).to(on) if on.type == "cuda" and not clusters else None

    def search(self, queries: Vectors, k: int) -> Ranking:
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
        return Ranking(rows, scores)

    def _candidates(self, queries: Vectors, count: int) -> Ints:
        """(Q, count) rows of the best by float32, in no certain order where they are near; -1 where there are fewer."""
        if self._on_gpu is not None:
            return top_products(self._on_gpu, queries, count)
        if self._clusters is not None:
            found: Ints = self._clusters.search(queries, count)[1]
            return found
        _, found = faiss.knn(queries, np.asarray(self._vectors), count, metric=faiss.METRIC_INNER_PRODUCT)
        return found

    def _rescored(self, queries: Vectors, found: Ints, depth: int) -> tuple[Ints, Floats]:
        """(Q, depth) rows and scores of the best candidates by float64, rounded to float32 so that equals are equal."""
        scores = self._products(queries, found)
        order = np.lexsort((found, -scores), axis=1)[:, :depth]
        rows, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        if self._clusters is None and found.shape[1] < len(self._vectors):
            # As good as the last may be more than were looked at: where all spare ones are, every vector is.
            for query in np.flatnonzero(scores.min(axis=1) >= best[:, -1] - _NEAR):
                near = np.flatnonzero(self._vectors @ queries[query] >= best[query, -1] - _NEAR)[None]
                exact = self._products(queries[query : query + 1], near)
                order = np.lexsort((near, -exact), axis=1)[:, :depth]
                rows[query], best[query] = near[0, order[0]], exact[0, order[0]]
        return np.where(np.isfinite(best), rows, -1), best

    def _products(self, queries: Vectors, rows: Ints) -> Floats:
        """(Q, C) inner products; -inf for row -1."""
        near = self._vectors[rows].astype(np.float64)  # (Q, C, D)
        products = (near @ queries[:, :, None].astype(np.float64))[..., 0].astype(np.float32)
        return np.where(rows >= 0, products.astype(np.float64), -np.inf)


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


def save_clusters(vectors: Vectors, path: Path, *, seed: int = 0) -> None:
    """Nothing; `path` holds the vectors by cluster, as `Searcher` reads them. Learned from a drawn sample."""
    count = max(1, min(round(_CLUSTERS_PER_ROOT * math.sqrt(len(vectors))), len(vectors) // _SMALLEST))
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF{count},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.spherical = seed, True
    index.nprobe = min(_PROBED, count)
    drawn = np.random.default_rng(seed).permutation(len(vectors))[: count * _TRAINED_ON]
    index.train(np.asarray(vectors[np.sort(drawn)]))
    for start in range(0, len(vectors), _PRODUCTS):
        index.add(np.ascontiguousarray(vectors[start : start + _PRODUCTS]))
    with writing(path):
        try:
            faiss.write_index(index, str(path))
        except RuntimeError as error:  # faiss tells of a full disk in words alone
            raise OSError(errno.EIO, str(error).splitlines()[0], str(path)) from error
