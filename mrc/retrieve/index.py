"""The retrieval index of a corpus: built or extended, saved, loaded, and refused where it is stale or broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrc.analyzers.base import list_of_texts
from mrc.retrieve import storage
from mrc.retrieve.bm25 import BM25
from mrc.retrieve.config import IndexConfig as IndexConfig
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.fuse import DEPTH, FusionWeight, RankedLists, standardized
from mrc.retrieve.index_folder import check_current, load_dense, load_reranking
from mrc.retrieve.lexical import (
    LEXICAL_FILES,
    SEARCH_FILES,
    LexicalPart,
    build_lexical,
    lexical_fingerprint,
    read_lexical,
)
from mrc.retrieve.rerank.config import RerankConfig
from mrc.retrieve.storage.meta import Meta, check_analyzer, fingerprint, read_meta
from mrc.retrieve.storage.meta import corpus_fingerprint as corpus_fingerprint
from mrc.retrieve.term_counts import TermCounts
from mrc.retrieve.windows import search_passages
from mrc.types import Hit, Passage

if TYPE_CHECKING:
    from mrc.retrieve.dense.hybrid import Dense
    from mrc.retrieve.rerank.reranking import Fetch, Reranking


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Index:
    """Passages that can be retrieved: BM25, and optionally a dense part and re-ranking.

    The documents of `bm25` and `counts` are the windows of the passages, in the order of `ids`; a passage that is
    indexed whole has one window.
    """

    config: IndexConfig  # as requested: `auto` stays `auto`
    corpus: str  # corpus_fingerprint(ids)
    lexical_fingerprint: str  # of BM25 alone
    ids: Sequence[str]  # ascending
    bm25: BM25
    counts: TermCounts  # without titles; kept so that a later index need not analyse the same passages again
    window_starts: npt.NDArray[np.int64]  # (N + 1,) passage n has the windows window_starts[n]:window_starts[n + 1]
    dense: Dense | None = None
    reranking: Reranking | None = None

    @classmethod
    def build(
        cls,
        passages: Sequence[Passage],
        config: IndexConfig,
        *,
        reuse: Path | None = None,
        dense: DenseConfig | None = None,
        device: str = "auto",
        vectors: Path | None = None,
        rerank: RerankConfig | None = None,
        fetch: Fetch | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Index:
        """The index of `passages`, in the order of their ids.

        Args:
            reuse: folder of an earlier index; passages that it holds are not analysed again if the analyzer is the
                same. The result does not depend on it.
            dense: the bi-encoder of dense retrieval; None, or one without a model: BM25 alone.
            device: where it and the cross-encoder run.
            vectors: folder of the vector cache; a killed build resumes from it.
            rerank: the cross-encoder that re-ranks the first passages; None, or one without a model: no re-ranking.
            fetch: returns passages by id for re-ranking; default: `passages` are kept in memory.
            progress: called with the number of passages encoded since the last call.

        Raises:
            DataError: there is no passage, or none with a term.
            BadCheckpoint: the encoder or the cross-encoder cannot be loaded.
            MissingExtra: the analyzer's package is not installed.
            ValueError: two passages have the same id.
        """
        ordered = sorted(passages, key=lambda passage: passage.id)
        if len({passage.id for passage in ordered}) < len(ordered):
            raise ValueError("passages must have different ids")
        reranking = _reranking(rerank, ordered, device=device, fetch=fetch)
        part = build_lexical(ordered, config, reuse=reuse)
        corpus = corpus_fingerprint(part.ids)
        lexical = lexical_fingerprint(corpus, config, part.bm25.analyzer, [passage.title for passage in ordered])
        index = cls(config, corpus, lexical, *part, reranking=reranking)
        if dense is None or dense.model is None:
            return index
        return index.with_encoder(ordered, dense, device=device, vectors=vectors, progress=progress)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        parts = [f"{len(self):,} passages", f"method={self.config.method!r}", f"analyzer={self.bm25.analyzer.name!r}"]
        parts += [f"dense={self.dense.encoding.source!r}"] if self.dense else []
        parts += [f"rerank={self.reranking.scoring.source!r}"] if self.reranking else []
        return f"Index({', '.join(parts)})"

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the corpus and of all that the scores depend on."""
        parts = self.dense.identity() if self.dense else {}
        if self.reranking is not None:
            parts |= {"rerank": self.reranking.identity()}
        if not parts:
            return self.lexical_fingerprint
        return fingerprint(json.dumps({"lexical": self.lexical_fingerprint, **parts}, sort_keys=True))

    def with_encoder(
        self,
        passages: Sequence[Passage],
        dense: DenseConfig,
        *,
        device: str = "auto",
        vectors: Path | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Index:
        """The same index with another bi-encoder; arguments as for `build`.

        Raises:
            BadCheckpoint: the encoder cannot be loaded.
            ValueError: `passages` are not those of `ids` in their order.
        """
        from mrc.retrieve.dense.hybrid import Dense

        if [passage.id for passage in passages] != list(self.ids):
            raise ValueError("the passages must be those of the index, in its order")
        part = Dense.build(passages, dense, device=device, cache_folder=vectors, progress=progress)
        return replace(self, dense=part)

    def tuned(
        self,
        questions: Sequence[str],
        golds: Sequence[Iterable[str]],
        clusters: Sequence[Hashable],
        *,
        seed: int,
        default: FusionWeight | None = None,
    ) -> Index:
        """This index with its fusion weight tuned on questions whose gold passages are given by id.

        A weight given in the settings stays. `clusters` are the documents of the questions, `default` a weight that
        stays unless another one is clearly better: see `fuse.tune_weight`.
        """
        if self.dense is None or self.dense.config.weight is not None:
            return self
        rows = {passage_id: row for row, passage_id in enumerate(self.ids)}
        wanted = [{rows[passage_id] for passage_id in gold if passage_id in rows} for gold in golds]
        zero = self._unmatched_score_zero
        dense = self.dense.tuned(
            questions, self._lexical, wanted, clusters, unmatched_score_zero=zero, seed=seed, default=default
        )
        return replace(self, dense=dense)

    def retrieve(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        """At most `k` hits for each question, best first, equal scores by lowest id.

        Without a dense part only passages that share a term with the question. `bm25` and `dense` of a hit are None
        where that ranking does not hold it within its first `fuse.DEPTH` or k. A cross-encoder changes the order of
        the first hits; their `score` stays that of the first stage.

        Raises: ValueError where k is below 1; TypeError where `questions` is one string.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        questions = list_of_texts(questions, "questions")
        if self.reranking is None:
            return self._first_stage(questions, k)
        found = self._first_stage(questions, max(k, self.reranking.config.top_n))
        return [hits[:k] for hits in self.reranking.rerank(questions, found)]

    def _first_stage(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        if self.dense is not None:
            return list(self._fused(self.dense, questions, k))
        documents, scores = self._lexical(questions, max(k, DEPTH))
        filled = min(DEPTH, len(self.ids)) if self._unmatched_score_zero else 0
        prominence = standardized(RankedLists(documents, scores.astype(np.float64)), filled=filled)
        columns = (values[:, :k].tolist() for values in (documents, scores, prominence))
        return [
            tuple(
                Hit(self.ids[document], rank, score, bm25=score, standardized=deviations)
                for rank, (document, score, deviations) in enumerate(zip(*row, strict=True))
                if document >= 0
            )
            for row in zip(*columns, strict=True)
        ]

    def _lexical(self, questions: Sequence[str], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        return search_passages(self.bm25.search, self.window_starts, questions, k)

    @property
    def _unmatched_score_zero(self) -> bool:
        """Whether BM25 scores a passage that shares no term 0: true except for bm25plus."""
        return not self.bm25.base.any()

    def _fused(self, dense: Dense, questions: Sequence[str], k: int) -> Iterator[tuple[Hit, ...]]:
        for found in dense.search(questions, self._lexical, k, unmatched_score_zero=self._unmatched_score_zero):
            columns = (found.documents, found.scores, found.lexical, found.dense, found.standardized)
            for row in zip(*(values.tolist() for values in columns), strict=True):
                yield tuple(
                    Hit(self.ids[document], rank, score, _finite(bm25), _finite(cosine), standardized=deviations)
                    for rank, (document, score, bm25, cosine, deviations) in enumerate(zip(*row, strict=True))
                    if document >= 0
                )

    def save(self, folder: Path) -> None:
        """Replace the content of `folder` by this index; unchanged if saving fails or is killed."""

        def write(data: Path) -> dict[str, Any]:
            LexicalPart(self.ids, self.bm25, self.counts, self.window_starts).write(data)
            if self.dense is not None:
                self.dense.save(data)
            return asdict(self._meta())

        storage.save_folder(folder, self.fingerprint, write)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        expect_corpus: str | None = None,
        expect_config: IndexConfig | None = None,
        device: str = "auto",
        fetch: Fetch | None = None,
    ) -> Index:
        """The index saved in `folder`, memory-mapped. An encoder is loaded when the first question is asked.

        Args:
            expect_corpus: `corpus_fingerprint` of the passages at hand; None: not checked.
            expect_config: the settings at hand; None: not checked.
            device: where an encoder runs.
            fetch: returns passages by id; an index with a cross-encoder needs it to retrieve.

        Raises:
            StaleIndex: there is no index, or it was built from other passages, settings or versions.
            DataError: a file is missing, truncated or altered.
            MissingExtra: the analyzer's package is not installed any more.
        """
        meta = read_meta(folder)
        analyzer = check_analyzer(folder, meta)
        check_current(folder, meta, corpus=expect_corpus, config=expect_config)
        part = read_lexical(folder, meta, analyzer, verified=SEARCH_FILES)
        dense = load_dense(folder, meta, device, lexical_files=LEXICAL_FILES) if meta.dense else None
        reranking = load_reranking(folder, meta.rerank, device, fetch) if meta.rerank else None
        return cls(meta.config, meta.corpus, meta.lexical_fingerprint, *part, dense, reranking)

    def _meta(self) -> Meta:
        return Meta(
            fingerprint=self.fingerprint,
            lexical_fingerprint=self.lexical_fingerprint,
            corpus=self.corpus,
            passages=len(self.ids),
            config=self.config,
            analyzer=self.bm25.analyzer.name,
            analyzer_version=self.bm25.analyzer.version,
            dense=self.dense.to_meta() if self.dense else None,
            rerank=self.reranking.to_meta() if self.reranking else None,
        )


def _reranking(
    rerank: RerankConfig | None, passages: Sequence[Passage], *, device: str, fetch: Fetch | None
) -> Reranking | None:
    if rerank is None or rerank.model is None:
        return None
    from mrc.retrieve.rerank.reranking import Reranking

    held = {} if fetch else {passage.id: passage for passage in passages}
    return Reranking.build(rerank, device=device, fetch=fetch or (lambda wanted: held))


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
