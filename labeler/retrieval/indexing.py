"""Build the retrieval index of a workspace."""

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
from labeler.retrieval.encoding import encode_ahead
from labeler.retrieval.tuning import TUNED_ON, index_config, tuning_questions
from mrc.errors import BadCheckpoint, MrcError
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.fuse import FusionWeight
from mrc.retrieve.index import Index
from mrc.types import Passage

VECTORS = "vectors"  # folder beside the indexes: the vector cache, by encoding
NONE = "none"  # in place of a model: BM25 alone


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """The result of `labeler index`. `dense` and `weight` are None for BM25 alone, `rerank` without a cross-encoder."""

    passages: int
    method: str
    analyzer: str  # the resolved one, never `auto`
    dense: str | None  # checkpoint of the bi-encoder
    weight: FusionWeight | None  # of the dense ranking
    rerank: str | None  # checkpoint of the cross-encoder
    fingerprint: str


def build_index(runtime: Runtime, *, dense: str | None = None) -> IndexSummary:
    """Build the index of all active passages and make it the current one; earlier terms and vectors are reused.

    Args:
        dense: the checkpoint of the bi-encoder, or `none`; stored for later indexes. None: the setting, else the stored
            one. A bi-encoder that a promoted round trained from it is used instead.

    Raises: NotReady without passages; BadCheckpoint, NoDevice.
    """
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
        before = queries.get_meta(session, INDEX_KEY)
        remembered = queries.get_meta(session, DENSE_KEY)
    if not passages:
        raise NotReady("there are no passages to index; add some with: labeler import FILE --as corpus")
    named = _absolute(dense) if dense else remembered
    config = _dense_config(runtime, named, requested=dense is not None)
    index = _build(runtime, passages, config, before=before)
    index.save(runtime.index_folder(index.fingerprint))
    with runtime.database.write() as session:
        store.set_meta(session, INDEX_KEY, index.fingerprint)
        if dense:
            store.set_meta(session, DENSE_KEY, named or "")
        store.add_event(session, "indexed", detail={"passages": len(passages), "fingerprint": index.fingerprint})
    model, weight = (index.dense.encoding.source, index.dense.weight) if index.dense else (None, None)
    return IndexSummary(
        passages=len(passages),
        method=index.config.method,
        analyzer=index.bm25.analyzer.name,
        dense=model,
        weight=weight,
        rerank=index.reranking.scoring.source if index.reranking else None,
        fingerprint=index.fingerprint,
    )


def _absolute(model: str) -> str:
    """The name of a checkpoint; a folder as an absolute path, because the next command may run elsewhere."""
    if model == NONE:
        return ""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _dense_config(runtime: Runtime, named: str | None, *, requested: bool) -> DenseConfig:
    """The settings, with the model `named` if it was requested just now, or if they name none.

    A promoted bi-encoder replaces the setting it was trained under, but not a setting changed since.
    """
    config = dataclasses.replace(runtime.config.dense, precision=runtime.config.compute.precision)
    with runtime.database.read() as session:
        trained = next((row for row in queries.retrievers(session, reverted=False) if row.path == named), None)
        setting = queries.round_(session, trained.round_number).config["dense"]["model"] if trained else None
    if config.model and not requested and (trained is None or config.model != setting):
        return config
    return dataclasses.replace(config, model=_folder(runtime, trained) if trained else named or None)


def _folder(runtime: Runtime, trained: RetrieverRow) -> str:
    return str(runtime.workspace.folder / trained.path)


def _build(runtime: Runtime, passages: Sequence[Passage], dense: DenseConfig, *, before: str | None) -> Index:
    config = index_config(runtime)
    rerank = dataclasses.replace(runtime.config.rerank, precision=runtime.config.compute.precision)
    device = runtime.device if dense.model or rerank.model else runtime.config.compute.device
    earlier = runtime.index_folder(before) if before else None
    reuse = earlier if earlier and earlier.is_dir() else None
    if dense.model is None:
        return Index.build(passages, config, reuse=reuse, device=device, rerank=rerank, fetch=runtime.fetch)
    if runtime.config.compute.on_ray:
        encode_ahead(runtime, passages, dense, runtime.workspace.index_folder / VECTORS)
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
    return _tune_weight(runtime, index, lambda: _stored_weight(runtime, before))


def with_encoder(runtime: Runtime, index: Index, trained: RetrieverRow) -> Index:
    """The index with the bi-encoder that a round trained, its fusion weight tuned again; not saved.

    Raises: BadCheckpoint where the bi-encoder's folder is gone or has changed since.
    """
    assert index.dense is not None
    with runtime.database.read() as session:
        rows = queries.passages(session, index.ids)
    passages = [convert.to_passage(rows[passage_id]) for passage_id in index.ids]
    config = dataclasses.replace(index.dense.config, model=_folder(runtime, trained))
    if runtime.config.compute.on_ray:
        encode_ahead(runtime, passages, config, runtime.workspace.index_folder / VECTORS)
    with bar("encode", total=len(passages), unit="passages") as shown:
        found = index.with_encoder(
            passages,
            config,
            device=runtime.device,
            vectors=runtime.workspace.index_folder / VECTORS,
            progress=shown.update,
        )
    assert found.dense is not None
    if found.dense.encoding.checkpoint != trained.hash:
        raise BadCheckpoint(f"{config.model}: its files changed since round {trained.round_number} trained it")
    weight = index.dense.weight
    return _tune_weight(runtime, found, lambda: weight)


def _tune_weight(runtime: Runtime, index: Index, previous: Callable[[], FusionWeight | None]) -> Index:
    """The index with its fusion weight tuned on labelled questions; never on dev and test questions.

    A weight tuned on questions that trained the encoder would be too high for others. So the weight of an encoder that
    a round trained is tuned on calibration questions alone. As these are few, the previous weight stays unless another
    one is clearly better: see `mrc.retrieve.fuse.tune_weight`.
    """
    assert index.dense is not None
    trained = runtime.retriever_of(index.dense.encoding.checkpoint) is not None
    asked = tuning_questions(runtime, roles=("calibration",) if trained else TUNED_ON)
    return index.tuned(
        [entry.question.text for entry in asked],
        [[answer.passage_id for answer in entry.label.answers] for entry in asked],
        [entry.document_id for entry in asked],
        seed=runtime.config.round.seed,
        default=previous() if trained else None,
    )


def _stored_weight(runtime: Runtime, fingerprint: str | None) -> FusionWeight | None:
    """The fusion weight of a stored index; None where it is gone or has none."""
    try:
        dense = runtime.index(fingerprint).dense if fingerprint else None
    except (NotReady, MrcError):
        return None
    return dense.weight if dense else None
