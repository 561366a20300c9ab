"""The dense part of an index: the vectors of its passages, the encoder of its questions, and both lists as one.

Nothing here loads torch or faiss before a question is encoded or a passage is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrc.retrieve.dense.vectors import DenseConfig, Encoding, Vectors, embedded
from mrc.retrieve.fuse import DEPTH, Fused, Merged, Ranking, Weight, merge, tune
from mrc.retrieve.windows import Search
from mrc.types import Passage

if TYPE_CHECKING:
    from mrc.retrieve.dense.encoder import BiEncoder, Searcher

VECTORS = "vectors.npy"  # files of the dense part in an index's data folder
CLUSTERS = "clusters.faiss"

_TOGETHER = 4096  # questions whose lists are held at a time


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """How the passages of an index are found by meaning; rows of `vectors` are the passages in the order of its ids."""

    config: DenseConfig  # as asked for
    encoding: Encoding  # as it was done
    weight: Weight
    vectors: Vectors  # (N, D)
    encoder: Callable[[], BiEncoder]  # loaded when first asked for
    searcher: Callable[[], Searcher]

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
        vectors = embedded(
            passages,
            encoder.passages,
            dimension=encoder.encoding.dimension,
            cache=cache_folder / encoder.encoding.key if cache_folder else None,
            progress=progress,
        )
        weight = Weight() if config.weight is None else Weight(config.weight, config.weight, config.weight)
        return cls(config, encoder.encoding, weight, vectors, lambda: encoder, cache(partial(_search, vectors, device)))

    @classmethod
    def read(cls, data: Path, stored: Mapping[str, Any], *, device: str) -> Dense:
        """The dense part that `save` wrote to a data folder and `described` describes."""
        vectors = np.asarray(np.load(data / VECTORS, mmap_mode="r"))
        config, encoding = DenseConfig(**stored["config"]), Encoding(**stored["encoding"])
        clusters = data / CLUSTERS if config.uses_ivf(len(vectors)) else None
        encoder, searcher = partial(_encode, encoding, device), partial(_search, vectors, device, clusters)
        return cls(config, encoding, Weight(**stored["weight"]), vectors, cache(encoder), cache(searcher))

    def save(self, data: Path) -> None:
        """Nothing; the data folder of an index holds the files of this part."""
        np.save(data / VECTORS, self.vectors)
        if self.clustered:
            from mrc.retrieve.dense.encoder import save_clusters

            save_clusters(self.vectors, data / CLUSTERS)

    def located(self, source: str, *, device: str) -> Dense:
        """The same part, whose encoder lies elsewhere now."""
        encoding = replace(self.encoding, source=source)
        return replace(self, encoding=encoding, encoder=cache(partial(_encode, encoding, device)))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of what `save` writes."""
        return (VECTORS, CLUSTERS) if self.clustered else (VECTORS,)

    @property
    def clustered(self) -> bool:
        """Whether a saved index is searched by clusters; before it is saved, every vector is looked at."""
        return self.config.uses_ivf(len(self.vectors))

    def described(self) -> dict[str, Any]:
        """JSON values for `meta.json`."""
        return {name: asdict(getattr(self, name)) for name in ("config", "encoding", "weight")}

    def identity(self) -> dict[str, Any]:
        """All that the scores depend on beside the passages; where the checkpoint lies is no part of it."""
        encoding = asdict(self.encoding)
        del encoding["source"]
        fusion = {name: getattr(self.config, name) for name in ("fusion", "rrf_constant")}
        return {"encoding": encoding, "weight": self.weight.value, "clustered": self.clustered, **fusion}

    def search(self, questions: Sequence[str], terms: Search, k: int, *, zero: bool) -> Iterator[Fused]:
        """The first k passages of each question by both lists, some questions at a time; none for an empty one.

        Args:
            terms: the search of BM25 over passages.
            zero: a passage that shares no term scores 0 by BM25.
        """
        for start in range(0, len(questions), _TOGETHER):
            merged = self._merged(questions[start : start + _TOGETHER], terms, max(DEPTH, k), zero=zero)
            yield merged.top(self.weight.value, k)

    def tuned(
        self,
        questions: Sequence[str],
        terms: Search,
        golds: Sequence[Collection[int]],
        clusters: Sequence[Hashable],
        *,
        zero: bool,
        seed: int,
        default: Weight | None = None,
    ) -> Dense:
        """The same part with the weight that suits questions whose passages are known; see `fuse.tune`."""
        merged = self._merged(questions, terms, DEPTH, zero=zero)
        return replace(self, weight=tune(merged, golds, clusters, seed=seed, default=default))

    def _merged(self, questions: Sequence[str], terms: Search, depth: int, *, zero: bool) -> Merged:
        meaning = self.searcher().search(self.encoder().questions(questions), depth)
        empty = [row for row, question in enumerate(questions) if not question.strip()]
        meaning.documents[empty], meaning.scores[empty] = -1, -np.inf
        documents, scores = terms(questions, depth)
        by_terms = Ranking(documents, scores.astype(np.float64))
        constant = self.config.rrf_constant
        size = len(self.vectors)
        return merge(by_terms, meaning, method=self.config.fusion, rrf_constant=constant, size=size, zero=zero)


def _encode(encoding: Encoding, device: str) -> BiEncoder:
    from mrc.retrieve.dense.encoder import BiEncoder

    return BiEncoder.again(encoding, device=device)


def _search(vectors: Vectors, device: str, clusters: Path | None = None) -> Searcher:
    from mrc.retrieve.dense.encoder import Searcher

    return Searcher(vectors, device=device, clusters=clusters)
