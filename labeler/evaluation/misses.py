"""Retrieval errors: questions whose gold passage is not among the first ones, and the likely reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labeler.core.runtime import Runtime
from labeler.evaluation.retrieval_metrics import RetrievalResults, gold_passages
from mrc.retrieve.error_analysis import REASONS, reasons

if TYPE_CHECKING:
    from mrc.retrieve.index import Index


@dataclass(frozen=True, slots=True)
class Miss:
    """A question whose gold passage is not among the first passages retrieved."""

    id: str
    question: str
    answer: str
    rank: int | None  # of the gold passage, from 0; None: not among the first 100
    reasons: tuple[str, ...]  # of mrc.retrieve.error_analysis
    gold_passage: str
    first_passage: str | None  # None where nothing was retrieved


def find_misses(runtime: Runtime, results: RetrievalResults, index: Index, *, depth: int) -> tuple[Miss, ...]:
    """The questions whose gold passage is not among the first `depth`, in order, each with its reasons."""
    rows = [row for row, rank in enumerate(results.gold_ranks) if not 0 <= rank < depth]
    passages = {passage for row in rows for passage in gold_passages(results.entries[row])}
    passages |= {results.hits[row][0].passage_id for row in rows if results.hits[row]}
    terms = _terms(runtime, index, sorted(passages))
    questions = index.bm25.analyzer.terms([results.entries[row].question.text for row in rows])
    return tuple(_miss(results, row, set(found), terms) for row, found in zip(rows, questions, strict=True))


def count_reasons(misses: Sequence[Miss]) -> dict[str, int]:
    """Reason -> number of misses that have it; one miss may have several."""
    counts = Counter(reason for miss in misses for reason in miss.reasons)
    return {reason: counts[reason] for reason in REASONS}


def _miss(results: RetrievalResults, row: int, question: set[str], terms: Mapping[str, frozenset[str]]) -> Miss:
    entry, rank = results.entries[row], results.gold_ranks[row]
    gold = max(sorted(gold_passages(entry)), key=lambda passage: len(question & terms[passage]))
    first = results.hits[row][0].passage_id if results.hits[row] else None
    answer_rank = results.answer_ranks[row]
    return Miss(
        id=entry.question.id,
        question=entry.question.text,
        answer=entry.label.gold_texts[0],
        rank=rank if rank >= 0 else None,
        reasons=reasons(
            question,
            terms[gold],
            terms[first] if first else (),
            answer_elsewhere=answer_rank >= 0 and (rank < 0 or answer_rank < rank),
        ),
        gold_passage=gold,
        first_passage=first,
    )


def _terms(runtime: Runtime, index: Index, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The distinct terms of passages by the index's analyzer, with those of their titles where it indexes them."""
    passages = list(runtime.fetch(ids).values())
    titled = index.config.title_weight > 0
    texts = (f"{passage.title}\n{passage.text}" if titled else passage.text for passage in passages)
    terms = index.bm25.analyzer.terms(texts)
    return {passage.id: frozenset(found) for passage, found in zip(passages, terms, strict=True)}
