"""Text of retrieval: the index built, tuned parameters, and hits with snippets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labeler.cli.describe.snippets import Analyze, matched_snippet
from labeler.core.console import percent

if TYPE_CHECKING:
    from labeler.retrieval.indexing import IndexSummary
    from labeler.retrieval.tuning import TunedIndex
    from mrc.corpus import SearchResult


def index_text(built: IndexSummary, tuned: TunedIndex | None) -> str:
    """What an index was built of, and what tuning it gained."""
    lines = [_tuned_text(tuned)] if tuned else []
    lines.append(f"{built.passages} passages indexed: BM25 ({built.method}), analyzer {built.analyzer}")
    if built.dense is not None and built.weight is not None:
        weight = built.weight
        if weight.questions:
            how = f"tuned on {weight.questions} questions of {weight.documents} documents, 95% interval "
            how += f"{weight.low:g} to {weight.high:g}"
        else:
            fixed = weight.low == weight.high
            how = "as set" if fixed else "not tuned: too few labelled questions or documents"
        lines.append(f"dense retrieval: {built.dense}, weight {weight.value:g} ({how})")
    if built.rerank:
        lines.append(f"re-ranker: {built.rerank}")
    return "\n".join(lines)


def _tuned_text(tuned: TunedIndex) -> str:
    low, high = (f"{100 * bound:+.1f}" for bound in tuned.gain[1:])
    return (
        f"tuned on {tuned.questions} questions: k1 {tuned.k1:g}, b {tuned.b:g}, title weight {tuned.title_weight}\n"
        f"MRR {percent(tuned.mrr_before[0])} % -> {percent(tuned.mrr_after[0])} % "
        f"(95% interval {percent(tuned.mrr_after[1])} to {percent(tuned.mrr_after[2])}), "
        f"top-3 {percent(tuned.top_3_before)} % -> {percent(tuned.top_3_after)} %\n"
        f"cross-validated gain in MRR: {100 * tuned.gain[0]:+.1f} points (95% interval {low} to {high})"
    )


def hits_text(found: Sequence[SearchResult], question: str, analyze: Analyze) -> str:
    """Each hit with its title, scores, the part that matches, and the command that shows the passage."""
    if not found:
        return "no passage shares a term with the question"
    blocks = []
    for each in found:
        head = f"{each.rank + 1}  {each.title or 'untitled'}  ({_scores(each)})"
        snippet = matched_snippet(each.text, question, analyze)
        blocks.append(f"{head}\n   {snippet}\n   labeler passages show {each.passage_id[:12]}")
    return "\n".join(blocks)


def _scores(hit: SearchResult) -> str:
    parts = [("BM25", hit.bm25), ("dense", hit.dense)] if hit.dense is not None else []
    parts += [("re-ranker", hit.rerank)] if hit.rerank is not None else []
    return ", ".join([f"score {hit.score:.2f}", *(f"{name} {_score(value)}" for name, value in parts)])


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"
