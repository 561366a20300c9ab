"""Reading on a Ray cluster: what workers load, and the chunks that they read, with the bits that one process gives.

A chunk is read as a whole by one worker, and its answers depend on the chunk alone (`mrc.read.predict.groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from db.rows import ModelRow
from labeler.cluster.connection import connect
from labeler.cluster.folders import Folder
from labeler.cluster.passages import PassageTexts, write_passages
from labeler.cluster.work import results, size_of
from labeler.core.errors import NotReady
from labeler.core.runtime import LABELLER, Runtime
from mrc.metrics import Metric
from mrc.types import Passage, Question

if TYPE_CHECKING:
    from mrc.postprocess.rules import Refine
    from mrc.read.config import ReadConfig
    from mrc.read.predict.adaptive import StoppingRule
    from mrc.read.predict.groups import Answerer
    from mrc.retrieve.index import Index

Asked: TypeAlias = tuple[tuple[Question, tuple[Passage, ...]], ...]  # passages where no index retrieves them
TEXTS = "passages"  # beside the data of an index


@dataclass(frozen=True, slots=True)
class RemoteReader:
    """The folders of the readers that workers load: a reader, the members of its ensemble, a cascade's larger one."""

    members: tuple[Folder, ...]
    names: tuple[str, ...]
    vote: str
    large: Folder | None
    band: tuple[float, float]


@dataclass(frozen=True, slots=True)
class RemoteIndex:
    """An index for workers, with the texts of its passages and the checkpoints of its encoders."""

    folder: Folder
    encoder: Folder | None
    cross_encoder: Folder | None


@dataclass(frozen=True, slots=True)
class HowToRead:
    """How questions are read; the arguments of `mrc.pipeline.answer` of the same names. `spans`: the result of a
    question is its spans and hits, for tuning, instead of its prediction."""

    config: ReadConfig
    metric: Metric
    k: int
    refine: Refine | None
    retrieval_weight: float
    read: int | None
    stopping: StoppingRule | None
    spans: bool = False


@dataclass(frozen=True, slots=True)
class ReadingJob:
    """The reading of chunks by workers that have loaded the reader and, unless passages are given, the index."""

    reader: RemoteReader
    index: RemoteIndex | None
    how: HowToRead
    device: str
    precision: str
    backend: str
    threads: int

    @property
    def folders(self) -> list[Folder]:
        index = (self.index.folder, self.index.encoder, self.index.cross_encoder) if self.index else ()
        return [*self.reader.members, *filter(None, (self.reader.large, *index))]

    def opened(self, places: Sequence[Path]) -> Callable[[Asked], list[Any]]:
        """What reads a chunk on a worker; `places` are those of `folders`."""
        from mrc.encoder.compute import use_threads

        use_threads(self.threads)
        at = {folder.key: place for folder, place in zip(self.folders, places, strict=True)}
        return _ChunkReader(self, self._loaded(at), self._index(at) if self.index else None).read

    def _loaded(self, at: dict[str, Path]) -> Answerer:
        from mrc.ensemble import combine
        from mrc.read.model.reader import Reader

        def load(folder: Folder) -> Reader:
            return Reader.load(at[folder.key], device=self.device, precision=self.precision, backend=self.backend)

        spec = self.reader
        large = load(spec.large) if spec.large else None
        return combine(
            [load(folder) for folder in spec.members], names=spec.names, vote=spec.vote, large=large, band=spec.band
        )

    def _index(self, at: dict[str, Path]) -> tuple[Index, PassageTexts]:
        from mrc.retrieve.index import Index

        assert self.index is not None
        folder = at[self.index.folder.key]
        found = Index.load(folder, device=self.device)
        texts = PassageTexts(folder / TEXTS, found.ids)
        dense, reranking = found.dense, found.reranking
        if dense is not None and self.index.encoder:
            dense = dense.with_source(str(at[self.index.encoder.key]), device=self.device)
        if reranking is not None and self.index.cross_encoder:
            source = str(at[self.index.cross_encoder.key])
            reranking = reranking.with_source(source, device=self.device, fetch=texts.fetch)
        return replace(found, dense=dense, reranking=reranking), texts


@dataclass(frozen=True, slots=True)
class _ChunkReader:
    """What a worker has loaded for a job."""

    job: ReadingJob
    reader: Answerer
    index: tuple[Index, PassageTexts] | None

    def read(self, asked: Asked) -> list[Any]:
        """The result of each question of a chunk."""
        from mrc import pipeline

        how, questions = self.job.how, [question for question, _ in asked]
        if self.index is None:
            given = [passages for _, passages in asked]
            return list(
                pipeline.read(
                    questions, given, reader=self.reader, config=how.config, metric=how.metric, refine=how.refine
                )
            )
        index, texts = self.index
        found: dict[str, Any] = {"retriever": index, "reader": self.reader, "fetch": texts.fetch, "k": how.k}
        found |= {"config": how.config, "metric": how.metric, "refine": how.refine}
        if how.spans:
            return list(pipeline.read_candidates(questions, **found))
        return list(
            pipeline.answer(
                questions,
                **found,
                hybrid=index.dense is not None,
                stopping=how.stopping,
                retrieval_weight=how.retrieval_weight,
                read=how.read,
            )
        )


# --- on the driver --------------------------------------------------------------------------------


def remote_reader(runtime: Runtime, model: ModelRow) -> RemoteReader:
    """What workers load in place of `runtime.answerer(model)`. Raises: as that."""
    runtime.check_adaptive()
    ensemble, cascade = runtime.config.ensemble, runtime.config.cascade
    return RemoteReader(
        members=(Folder.of(runtime.model_folder(model)), *(_checkpoint(runtime, name) for name in ensemble.members)),
        names=(model.path, *ensemble.members),
        vote=runtime.config.vote,
        large=_checkpoint(runtime, cascade.large) if cascade.large else None,
        band=(cascade.low, cascade.high),
    )


def chunk_results(
    runtime: Runtime, reader: RemoteReader, fingerprint: str | None, how: HowToRead, chunks: Sequence[Asked]
) -> Iterator[tuple[int, list[Any]]]:
    """The number and the results of each chunk, as workers send them. Raises: ClusterError."""
    compute, config = runtime.config.compute, runtime.config
    job = ReadingJob(
        reader=reader,
        index=_remote_index(runtime, fingerprint) if fingerprint else None,
        how=how,
        device=runtime.reading_device,
        precision=compute.precision,
        backend=config.read.backend,
        threads=compute.threads or 1,
    )
    return results(connect(compute), job, chunks, size_of(compute))


def in_order(chunks: Iterator[tuple[int, list[Any]]]) -> Iterator[Any]:
    """The results of all chunks, by the number of the chunk."""
    waiting: dict[int, list[Any]] = {}
    wanted = 0
    for number, found in chunks:
        waiting[number] = found
        while wanted in waiting:
            yield from waiting.pop(wanted)
            wanted += 1


def _remote_index(runtime: Runtime, fingerprint: str) -> RemoteIndex:
    """The index of this fingerprint; the texts of its passages are written beside it once."""
    index, folder = runtime.index(fingerprint), runtime.index_folder(fingerprint)
    write_passages(folder / TEXTS, index.ids, runtime.fetch)
    return RemoteIndex(
        folder=Folder.of(folder),
        encoder=_checkpoint(runtime, index.dense.encoding.source) if index.dense else None,
        cross_encoder=_checkpoint(runtime, index.reranking.scoring.source) if index.reranking else None,
    )


def _checkpoint(runtime: Runtime, name: str) -> Folder:
    """The folder of a checkpoint in the workspace, elsewhere, or in the cache of the hub.

    Raises: BadCheckpoint; NotReady for a labeller, whose answers are in the database of this machine.
    """
    from mrc.encoder.loading import checkpoint_folder

    if name.startswith(LABELLER):
        raise NotReady(f"{name} cannot read on a cluster: its answers are in the database; set compute.engine = local")
    return Folder.of(checkpoint_folder(runtime.located(name)))
