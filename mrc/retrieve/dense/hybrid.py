"""The dense part of an index: passage vectors, the encoder of questions, and the fusion with BM25's ranking.

Nothing here loads torch or faiss before a question or a passage is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.dense.mapped import save_rows
from mrc.retrieve.dense.vectors import Encoding, Vectors, embed_passages
from mrc.retrieve.fuse import DEPTH, Candidates, FusedLists, FusionWeight, RankedLists, merge, tune_weight
from mrc.retrieve.windows import Search
from mrc.types import Passage

if TYPE_CHECKING:
    from mrc.retrieve.dense.encoder import BiEncoder
    from mrc.retrieve.dense.search import VectorSearch

VECTORS = "vectors.npy"  # files of the dense part in an index's data folder
IVF = "ivf.faiss"

_QUESTIONS = 4096  # whose rankings are in memory at a time


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dense:
    """Dense retrieval for the passages of an index; row n of `vectors` is the n-th passage."""

    config: DenseConfig  # as requested
    encoding: Encoding  # as resolved
    weight: FusionWeight
    vectors: Vectors  # (N, D)
    encoder: Callable[[], BiEncoder]  # loaded at the first call
    searcher: Callable[[], VectorSearch]

    @classmethod
    def build(
        cls,
        passages: Sequence[Passage],
        config: DenseConfig,
        *,
        device: str,
        cache_folder: Path | None,
        progress: Callable[[int], object] | None,
    ) -> Dense:
        """The dense part for these passages; see `Index.build`. Vectors are cached below `cache_folder`."""
        from mrc.retrieve.dense.encoder import BiEncoder

        encoder = BiEncoder.load(config, device=device)
        vectors = embed_passages(
            passages,
            encoder.passages,
            dimension=encoder.encoding.dimension,
            cache=cache_folder / encoder.encoding.key if cache_folder else None,
            progress=progress,
        )
        weight = FusionWeight() if config.weight is None else FusionWeight(config.weight, config.weight, config.weight)
        return cls(config, encoder.encoding, weight, vectors, lambda: encoder, cache(partial(_search, vectors, device)))

    @classmethod
    def load(cls, data: Path, stored: Mapping[str, Any], *, device: str) -> Dense:
        """The dense part saved in a data folder; `stored` is what `to_meta` returned."""
        vectors = np.asarray(np.load(data / VECTORS, mmap_mode="r"))
        config, encoding = DenseConfig(**stored["config"]), Encoding(**stored["encoding"])
        ivf = data / IVF if config.uses_ivf(len(vectors)) else None
        encoder, searcher = partial(_encoder, encoding, device), partial(_search, vectors, device, ivf)
        return cls(config, encoding, FusionWeight(**stored["weight"]), vectors, cache(encoder), cache(searcher))

    def save(self, data: Path) -> None:
        """Write the files of this part into the data folder of an index."""
        save_rows(data / VECTORS, self.vectors)
        if self.uses_ivf:
            from mrc.retrieve.dense.search import save_ivf

            save_ivf(self.vectors, data / IVF)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        rows, dimension = self.vectors.shape
        return f"Dense({rows:,} vectors of {dimension} dimensions, model={self.encoding.source!r})"

    def with_source(self, source: str, *, device: str) -> Dense:
        """The same part, with the encoder's checkpoint at another place."""
        encoding = replace(self.encoding, source=source)
        return replace(self, encoding=encoding, encoder=cache(partial(_encoder, encoding, device)))

    @property
    def uses_ivf(self) -> bool:
        """Whether the saved index is searched with IVF; in memory every vector is compared."""
        return self.config.uses_ivf(len(self.vectors))

    def to_meta(self) -> dict[str, Any]:
        """JSON values for `meta.json`, from which `load` restores this part."""
        return {name: asdict(getattr(self, name)) for name in ("config", "encoding", "weight")}

    def identity(self) -> dict[str, Any]:
        """All that the scores depend on, beside the passages and BM25; the checkpoint's place is not part of it."""
        encoding = asdict(self.encoding)
        del encoding["source"]
        fusion = {name: getattr(self.config, name) for name in ("fusion", "rrf_constant")}
        return {"encoding": encoding, "weight": self.weight.value, "ivf": self.uses_ivf, **fusion}

    def search(
        self, questions: Sequence[str], lexical: Search, k: int, *, unmatched_score_zero: bool
    ) -> Iterator[FusedLists]:
        """The first k passages of each question by both rankings, in batches of questions; none for an empty question.

        Args:
            lexical: BM25's search over passages.
            unmatched_score_zero: BM25 scores a passage that shares no term 0.
        """
        for start in range(0, len(questions), _QUESTIONS):
            part = questions[start : start + _QUESTIONS]
            found = self._candidates(part, lexical, max(DEPTH, k), unmatched_score_zero=unmatched_score_zero)
            yield found.top(self.weight.value, k)

    def tuned(
        self,
        questions: Sequence[str],
        lexical: Search,
        golds: Sequence[Collection[int]],
        clusters: Sequence[Hashable],
        *,
        unmatched_score_zero: bool,
        seed: int,
        default: FusionWeight | None = None,
    ) -> Dense:
        """The same part with its weight tuned on questions whose passages are known; see `fuse.tune_weight`."""
        found = self._candidates(questions, lexical, DEPTH, unmatched_score_zero=unmatched_score_zero)
        return replace(self, weight=tune_weight(found, golds, clusters, seed=seed, default=default))

    def _candidates(
        self, questions: Sequence[str], lexical: Search, depth: int, *, unmatched_score_zero: bool
    ) -> Candidates:
        dense = self.searcher().search(self.encoder().questions(questions), depth)
        empty = [row for row, question in enumerate(questions) if not question.strip()]
        dense.documents[empty], dense.scores[empty] = -1, -np.inf
        documents, scores = lexical(questions, depth)
        return merge(
            RankedLists(documents, scores.astype(np.float64)),
            dense,
            method=self.config.fusion,
            rrf_constant=self.config.rrf_constant,
            size=len(self.vectors),
            unmatched_score_zero=unmatched_score_zero,
        )


def _encoder(encoding: Encoding, device: str) -> BiEncoder:
    from mrc.retrieve.dense.encoder import BiEncoder

    return BiEncoder.reload(encoding, device=device)


def _search(vectors: Vectors, device: str, ivf: Path | None = None) -> VectorSearch:
    from mrc.retrieve.dense.search import VectorSearch

    return VectorSearch(vectors, device=device, ivf=ivf)
