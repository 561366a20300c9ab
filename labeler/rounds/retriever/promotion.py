"""Promotion of a round's encoder: its index against the current one on dev, by the gate's rules.

The new index has the lexical part of the current one; only the encoder and its weight in the fusion differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from db import queries, store
from db.engine import Session
from db.rows import LabelledQuestion, RetrieverRow, RoundRow
from labeler.core.runtime import DENSE_KEY, INDEX_KEY, Runtime
from labeler.evaluation import reader_metrics
from labeler.evaluation.retrieval_metrics import gold_passages
from labeler.evaluation.scoring import QuestionScore
from labeler.retrieval.indexing import with_encoder
from labeler.rounds.gate import Verdict, compare
from mrc.retrieve.fuse import DEPTH

if TYPE_CHECKING:
    from mrc.retrieve.index import Index

#: names of the scores of a retriever in its gate's JSON: recall is the share of questions with a gold passage in top k
_JSON_NAMES = {
    "exact_match": "recall",
    "f1": "mrr",
    "exact_match_change": "recall_change",
    "f1_change": "mrr_change",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The gate's decision on a round's retriever, to be stored when the round closes."""

    trained: RetrieverRow
    gate: Mapping[str, Any]
    index_before: str | None  # fingerprints
    index_after: str | None
    encoder_before: str | None  # the encoder that was named for the index

    @property
    def promoted(self) -> bool:
        return bool(self.gate["promoted"])


def judge_encoder(runtime: Runtime, row: RoundRow) -> Outcome | None:
    """Build the index of the round's encoder and compare it with the current one; None where none was trained.

    The gate's rules for readers apply, with recall at `read.top_k` in the place of EM and the reciprocal rank in the
    place of F1. An index that was rebuilt with another encoder since the round was opened stays.
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
    after = runtime.index(built.fingerprint)  # loaded, because an index in memory does not search by clusters
    gate = compare_indexes(runtime, row, after, before)
    return Outcome(trained, gate, before.fingerprint, after.fingerprint, named)


def apply_outcome(session: Session, row: RoundRow, outcome: Outcome) -> None:
    """Store the outcome; the index of a promoted encoder becomes the current one."""
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
    store.add_event(session, "retriever_judged", detail=detail, round_number=row.number)


def compare_indexes(runtime: Runtime, row: RoundRow, after: Index, before: Index) -> dict[str, Any]:
    """The gate's verdict on the index of the new encoder against the current one, on dev, as JSON."""
    top_k = runtime.config.read.top_k
    questions = reader_metrics.scorable(runtime, "dev", index=before.fingerprint)
    names = (f"top-{top_k}", "MRR")
    new, old = (_scores(index, questions, top_k) for index in (after, before))
    return gate_json(compare(new, old, runtime.config.gate, seed=row.seed, names=names), top_k=top_k)


def gate_json(verdict: Verdict, *, top_k: int) -> dict[str, Any]:
    """The verdict on a retriever as JSON, with its scores under their own names."""
    return {"top_k": top_k} | {_JSON_NAMES.get(name, name): value for name, value in asdict(verdict).items()}


def _scores(index: Index, questions: Sequence[LabelledQuestion], top_k: int) -> list[QuestionScore]:
    """Recall at k in the place of EM, reciprocal rank in the place of F1."""
    scores = []
    found = index.retrieve([entry.question.text for entry in questions], max(DEPTH, top_k))
    for entry, hits in zip(questions, found, strict=True):
        rank = next((hit.rank for hit in hits if hit.passage_id in gold_passages(entry)), None)
        recall = float(rank is not None and rank < top_k)
        reciprocal = 0.0 if rank is None else 1 / (rank + 1)
        scores.append(QuestionScore(entry.question.id, entry.document_id, recall, reciprocal))
    return scores
