"""Passages encoded on a Ray cluster, ahead of the index, which then finds their vectors in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labeler.cluster.connection import connect
from labeler.cluster.connection import note as cluster_note
from labeler.cluster.folders import Folder
from labeler.cluster.work import results, size_of
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from mrc.retrieve.dense.vectors import CHUNK, DenseConfig, Encoding, VectorCache, Vectors
from mrc.types import Passage


@dataclass(frozen=True, slots=True)
class EncodingJob:
    """The encoding of texts by workers that have loaded the bi-encoder."""

    encoding: Encoding
    checkpoint: Folder
    device: str
    threads: int

    @property
    def folders(self) -> list[Folder]:
        return [self.checkpoint]

    def opened(self, places: Sequence[Path]) -> Callable[[Sequence[str]], Vectors]:
        """What encodes the texts of a chunk on a worker."""
        from mrc.encoder.compute import use_threads
        from mrc.retrieve.dense.encoder import BiEncoder

        use_threads(self.threads)
        return BiEncoder.reload(replace(self.encoding, source=str(places[0])), device=self.device).passages


def encode_ahead(runtime: Runtime, passages: Sequence[Passage], config: DenseConfig, cache_folder: Path) -> None:
    """Encode on the cluster the passages that the vector cache lacks, in the chunks in which an index encodes them.

    Chunks are cached as they come, so that an interrupted encoding loses those under way alone.

    Raises: BadCheckpoint; ClusterError.
    """
    from mrc.encoder.loading import checkpoint_folder
    from mrc.retrieve.dense.encoder import BiEncoder

    compute = runtime.config.compute
    encoding = BiEncoder.load(config, device=runtime.device).encoding
    known = VectorCache(cache_folder / encoding.key, encoding.dimension)
    new = sorted((passage for passage in passages if passage.id not in known), key=lambda passage: passage.id)
    chunks = [new[start : start + CHUNK] for start in range(0, len(new), CHUNK)]
    job = EncodingJob(
        encoding, Folder.of(checkpoint_folder(encoding.source)), runtime.reading_device, compute.threads or 1
    )
    texts = [[passage.text for passage in chunk] for chunk in chunks]
    with bar("encode on Ray", total=len(new), unit="passages", note=cluster_note(compute)) as shown:
        for number, vectors in results(connect(compute), job, texts, size_of(compute)):
            known.add([passage.id for passage in chunks[number]], vectors)
            shown.update(len(chunks[number]))
