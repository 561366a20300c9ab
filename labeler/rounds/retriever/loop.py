"""The encoder of the passages in the loop: trained by a round, judged on dev, and used by the indexes that follow.

It learns from exactly the labels that are fixed for the round, every time from the same starting checkpoint. Nothing
of a held-out passage is shown to it. Its index ranks by the same terms as the current one; only the encoder and the
weight of what it finds are others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import queries, store
from db.engine import Session
from db.rows import LabelledQuestion, RetrieverRow, RoundRow, TrainingRow
from labeler.core.errors import NotReady
from labeler.core.progress import updates
from labeler.core.runtime import DENSE_KEY, INDEX_KEY, Runtime
from labeler.evaluation import end_to_end
from labeler.evaluation.retrieval_metrics import gold_passages
from labeler.evaluation.scoring import QuestionScore
from labeler.retrieval.indexing import with_encoder
from labeler.rounds.gate import Verdict, compare
from labeler.rounds.retriever import examples
from mrc.errors import BadCheckpoint, DataError, TrainingDiverged
from mrc.retrieve.fuse import DEPTH
from mrc.retrieve.training.train_config import BiEncoderTrainResult

if TYPE_CHECKING:
    from mrc.retrieve.index import Index


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a round's retriever, to be written when the round is closed."""

    trained: RetrieverRow
    gate: Mapping[str, Any]
    index_before: str | None
    index_after: str | None
    encoder_before: str | None

    @property
    def promoted(self) -> bool:
        return bool(self.gate["promoted"])


def wanted(runtime: Runtime, fingerprint: str | None) -> bool:
    """Whether a round with this index trains a retriever: it is to, and the index finds passages by meaning."""
    return runtime.config.retriever.train and fingerprint is not None and runtime.index(fingerprint).dense is not None


def start_of(runtime: Runtime, fingerprint: str) -> str:
    """The starting checkpoint: the setting, else that of the index's encoder before any round trained it.

    A folder by its absolute path. Raises BadCheckpoint where there is no checkpoint.
    """
    from mrc.encoder import checkpoint_folder, load_config, load_tokenizer

    named = runtime.config.retriever.start
    if named is None:
        dense = runtime.index(fingerprint).dense
        assert dense is not None
        earlier = runtime.retriever_of(dense.encoding.checkpoint)
        named = earlier.start if earlier else dense.encoding.source
    folder = checkpoint_folder(named)
    load_config(folder)
    load_tokenizer(folder)
    return str(Path(named).absolute()) if Path(named).is_dir() else named


def folder_of(runtime: Runtime, row: RoundRow) -> Path:
    """Where the round's retriever is, or will be."""
    return runtime.workspace.models_folder / f"retriever-{row.number}-{row.uid[:8]}"


def train_on(runtime: Runtime, row: RoundRow, rows: Sequence[TrainingRow]) -> BiEncoderTrainResult:
    """The retriever trained on these labels. Killed and run again, the training goes on from its last checkpoint.

    Raises NotReady where it cannot be trained as the round is set.
    """
    from mrc.retrieve.training.trainer import train

    assert row.index_fingerprint is not None
    index = runtime.index(row.index_fingerprint)
    assert index.dense is not None
    with runtime.database.read() as session:
        passages = examples.teachable(session, index, rows)
        reviews = examples.recorded_reviews(session, rows)
    taught = examples.examples(rows, index, reviews, seen={passage.id for passage in passages})
    try:
        with updates("train retriever") as progress:
            return train(
                taught,
                passages,
                start=dataclasses.replace(index.dense.config, model=str(row.config["retriever"]["start"])),
                config=runtime.config.retriever.training(runtime.config.compute.precision),
                seed=row.seed,
                folder=folder_of(runtime, row),
                device=runtime.device,
                progress=progress,
            )
    except (BadCheckpoint, DataError, TrainingDiverged) as error:  # other settings need another round
        raise NotReady(f"{error} (give this round up first: labeler rounds revert {row.number})") from error


def store_trained(
    runtime: Runtime, session: Session, row: RoundRow, rows: Sequence[TrainingRow], result: BiEncoderTrainResult
) -> None:
    """Nothing; the round has this retriever, not judged yet."""
    store.add_retriever(
        session,
        row.number,
        hash=result.hash,
        training_sha256=queries.training_sha256(rows),
        path=str(result.folder.relative_to(runtime.workspace.folder)),
        start=str(row.config["retriever"]["start"]),
        config=dict(row.config["retriever"]),
        examples=result.examples,
        seconds=result.seconds,
        loss=result.loss,
    )
    detail = {"examples": result.examples, "unusable": list(result.unusable), "retriever": result.hash}
    store.add_event(session, "retriever trained", detail=detail, round_number=row.number)


def judge(runtime: Runtime, row: RoundRow) -> Outcome | None:
    """What becomes of the round's retriever; None where it trained none. Its index is on disk afterwards.

    It is judged on dev questions against the index that is current now, over the same passages: by the gate's rule
    for readers, with the share of questions whose gold passage is among the first `read.top_k` in the place of EM and
    the reciprocal rank in the place of F1. Where the current index was meanwhile built with another encoder, that
    was somebody's choice and stays.
    """
    with runtime.database.read() as session:
        trained = queries.retriever_of_round(session, row.number)
        now, named = queries.get_meta(session, INDEX_KEY), queries.get_meta(session, DENSE_KEY)
    if trained is None:
        return None
    assert row.index_fingerprint is not None
    own = runtime.index(row.index_fingerprint).dense
    before = runtime.index(now) if now else None
    if before is None or own is None or before.dense is None or before.dense.encoding.key != own.encoding.key:
        why = "refused: the index was built with another model since the round was opened"
        return Outcome(trained, {"promoted": False, "why": why}, now, None, named)
    built = with_encoder(runtime, before, trained)
    built.save(runtime.index_folder(built.fingerprint))
    after = runtime.index(built.fingerprint)  # searched as it will be: in memory no index is searched by clusters
    gate = _gate(runtime, row, after, before)
    return Outcome(trained, gate, before.fingerprint, after.fingerprint, named)


def settle(session: Session, row: RoundRow, outcome: Outcome) -> None:
    """Nothing; what became of the retriever is stored. A promoted one is that of the current index from now on."""
    store.record_retriever_gate(
        session,
        row.number,
        promoted=outcome.promoted,
        gate=outcome.gate,
        index_before=outcome.index_before,
        index_after=outcome.index_after,
        encoder_before=outcome.encoder_before,
    )
    if outcome.promoted:
        assert outcome.index_after is not None
        store.set_meta(session, INDEX_KEY, outcome.index_after)
        store.set_meta(session, DENSE_KEY, outcome.trained.path)
    detail = {"promoted": outcome.promoted, "why": outcome.gate["why"], "hash": outcome.trained.hash}
    store.add_event(session, "retriever judged", detail=detail, round_number=row.number)


def summary(session: Session, number: int) -> dict[str, Any] | None:
    """What is known of the retriever of a round, as JSON; None where it trained none."""
    trained = queries.retriever_of_round(session, number)
    if trained is None:
        return None
    kept = ("hash", "path", "start", "examples", "seconds", "loss", "promoted", "index_before", "index_after", "gate")
    return {name: getattr(trained, name) for name in kept}


def take_back(session: Session, numbers: Iterable[int]) -> list[str]:
    """The hashes of the retrievers of reverted rounds that were in use; the index and the model before them are back.

    What was indexed or named since stays.
    """
    taken = []
    for number in sorted(numbers, reverse=True):
        trained = queries.retriever_of_round(session, number)
        if trained is None or not trained.promoted:
            continue
        if queries.get_meta(session, DENSE_KEY) == trained.path:
            store.set_meta(session, DENSE_KEY, trained.encoder_before or "")
            taken.append(trained.hash)
        if queries.get_meta(session, INDEX_KEY) == trained.index_after:
            store.set_meta(session, INDEX_KEY, trained.index_before or "")
    return taken


def _gate(runtime: Runtime, row: RoundRow, after: Index, before: Index) -> dict[str, Any]:
    """The verdict as JSON, under names of its own."""
    top_k = runtime.config.read.top_k
    asked = end_to_end.markable(runtime, "dev", index=before.fingerprint)
    names = (f"top-{top_k}", "MRR")
    new, old = (_marks(index, asked, top_k) for index in (after, before))
    return told(compare(new, old, runtime.config.gate, seed=row.seed, names=names), top_k=top_k)


def told(verdict: Verdict, *, top_k: int) -> dict[str, Any]:
    """The verdict on a retriever as JSON; `found` is the share of questions whose passage is among the first k."""
    renamed = {
        "exact_match": "found",
        "f1": "mrr",
        "exact_match_change": "found_change",
        "f1_change": "mrr_change",
    }
    return {"top_k": top_k} | {renamed.get(name, name): value for name, value in asdict(verdict).items()}


def _marks(index: Index, asked: Sequence[LabelledQuestion], top_k: int) -> list[QuestionScore]:
    results = []
    found = index.retrieve([entry.question.text for entry in asked], max(DEPTH, top_k))
    for entry, hits in zip(asked, found, strict=True):
        rank = next((hit.rank for hit in hits if hit.passage_id in gold_passages(entry)), None)
        first = float(rank is not None and rank < top_k)
        mark = 0.0 if rank is None else 1 / (rank + 1)
        results.append(QuestionScore(entry.question.id, entry.document_id or "", first, mark))
    return results
