"""Building the retrieval index of a workspace."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import queries, store
from db.rows import RetrieverRow
from labeler.core import convert
from labeler.core.errors import NotReady
from labeler.core.progress import bar
from labeler.core.runtime import DENSE_KEY, INDEX_KEY, Runtime
from labeler.retrieval.tuning import TUNED_ON, index_config, teaching
from mrc.errors import BadCheckpoint, MrcError
from mrc.retrieve.dense.vectors import DenseConfig
from mrc.retrieve.fuse import Weight
from mrc.retrieve.index import Index
from mrc.types import Passage

VECTORS = "vectors"  # folder beside the indexes: embeddings, kept by encoder
NONE = "none"  # for a model: by terms alone


@dataclass(frozen=True, slots=True)
class Built:
    """What `labeler index` says. `dense` and `weight` are None where passages are ranked by terms alone, `rerank` where
    no cross-encoder reads the first ones."""

    passages: int
    method: str
    analyzer: str  # the one really used, never `auto`
    dense: str | None  # checkpoint
    weight: Weight | None  # of the list that it finds
    rerank: str | None  # checkpoint
    fingerprint: str


def build_index(runtime: Runtime, *, dense: str | None = None) -> Built:
    """The index of all active passages, now the current one. Passages cut into terms or encoded before are not again.

    Args:
        dense: the checkpoint that finds passages by meaning, or `none`; it is remembered for the indexes that follow.
            None: the setting, else the one remembered. A retriever that a round trained from it since is used instead.

    Raises: NotReady without passages; BadCheckpoint, NoDevice.
    """
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
        before = queries.get_meta(session, INDEX_KEY)
        remembered = queries.get_meta(session, DENSE_KEY)
    if not passages:
        raise NotReady("there are no passages to index; add some with: labeler import FILE --as corpus")
    named = _whole(dense) if dense else remembered
    meant = _dense_config(runtime, named, asked=dense is not None)
    index = _built(runtime, passages, meant, before=before)
    index.save(runtime.index_folder(index.fingerprint))
    with runtime.database.write() as session:
        store.set_meta(session, INDEX_KEY, index.fingerprint)
        if dense:
            store.set_meta(session, DENSE_KEY, named or "")
        store.add_event(session, "indexed", detail={"passages": len(passages), "fingerprint": index.fingerprint})
    model, weight = (index.dense.encoding.source, index.dense.weight) if index.dense else (None, None)
    return Built(
        passages=len(passages),
        method=index.config.method,
        analyzer=index.bm25.analyzer.name,
        dense=model,
        weight=weight,
        rerank=index.reranking.scoring.source if index.reranking else None,
        fingerprint=index.fingerprint,
    )


def _whole(model: str) -> str:
    """The name of a checkpoint; a folder by its whole path, as the next command may run elsewhere."""
    if model == NONE:
        return ""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _dense_config(runtime: Runtime, named: str | None, *, asked: bool) -> DenseConfig:
    """The settings, with the model named where they name none, or where it was asked for just now.

    A retriever that was promoted goes before the setting that stood when it was trained, not before a newer one.
    """
    config = runtime.config.dense
    with runtime.database.read() as session:
        trained = next((row for row in queries.retrievers(session, reverted=False) if row.path == named), None)
        then = queries.round_(session, trained.round_number).config["dense"]["model"] if trained else None
    if config.model and not asked and (trained is None or config.model != then):
        return config
    return dataclasses.replace(config, model=_folder(runtime, trained) if trained else named or None)


def _folder(runtime: Runtime, trained: RetrieverRow) -> str:
    return str(runtime.workspace.folder / trained.path)


def _built(runtime: Runtime, passages: Sequence[Passage], dense: DenseConfig, *, before: str | None) -> Index:
    config, device, rerank = index_config(runtime), runtime.config.compute.device, runtime.config.rerank
    earlier = runtime.index_folder(before) if before else None
    reuse = earlier if earlier and earlier.is_dir() else None
    if dense.model is None:
        return Index.build(passages, config, reuse=reuse, device=device, rerank=rerank, fetch=runtime.fetch)
    with bar("encode", total=len(passages), unit="passages") as shown:
        index = Index.build(
            passages,
            config,
            reuse=reuse,
            dense=dense,
            device=device,
            vectors=runtime.workspace.index_folder / VECTORS,
            rerank=rerank,
            fetch=runtime.fetch,
            progress=shown.update,
        )
    return _weighed(runtime, index, lambda: _weight_of(runtime, before))


def with_encoder(runtime: Runtime, index: Index, trained: RetrieverRow) -> Index:
    """The index with a retriever that a round trained in the place of its encoder, weighed anew; in memory.

    Raises: BadCheckpoint where the retriever's folder is gone, or is not what was trained.
    """
    assert index.dense is not None
    with runtime.database.read() as session:
        rows = queries.passages(session, index.ids)
    passages = [convert.to_passage(rows[passage_id]) for passage_id in index.ids]
    meant = dataclasses.replace(index.dense.config, model=_folder(runtime, trained))
    with bar("encode", total=len(passages), unit="passages") as shown:
        found = index.with_encoder(
            passages,
            meant,
            device=runtime.config.compute.device,
            vectors=runtime.workspace.index_folder / VECTORS,
            progress=shown.update,
        )
    assert found.dense is not None
    if found.dense.encoding.checkpoint != trained.hash:
        raise BadCheckpoint(f"{meant.model}: its files changed since round {trained.round_number} trained it")
    weight = index.dense.weight
    return _weighed(runtime, found, lambda: weight)


def _weighed(runtime: Runtime, index: Index, weight_before: Callable[[], Weight | None]) -> Index:
    """The index with the weight of its dense part tuned on labelled questions; dev and test questions judge it.

    Questions that taught the encoder flatter it, and would weigh it too high for others. So one that a round trained
    is weighed on calibration questions alone, which teach no encoder; as they are few, the weight of the index before
    stays where no other is clearly better: see `mrc.retrieve.fuse.tune`.
    """
    assert index.dense is not None
    trained = runtime.retriever_of(index.dense.encoding.checkpoint) is not None
    asked = teaching(runtime, roles=("calibration",) if trained else TUNED_ON)
    return index.tuned(
        [entry.question.text for entry in asked],
        [[answer.passage_id for answer in entry.label.answers] for entry in asked],
        [entry.document_id for entry in asked],
        seed=runtime.config.round.seed,
        default=weight_before() if trained else None,
    )


def _weight_of(runtime: Runtime, fingerprint: str | None) -> Weight | None:
    """The weight in a stored index; None where it is gone or has none."""
    try:
        dense = runtime.index(fingerprint).dense if fingerprint else None
    except (NotReady, MrcError):
        return None
    return dense.weight if dense else None
