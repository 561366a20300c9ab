"""The retrieval index of a corpus: built or extended, saved, loaded, and refused when it is stale or broken.

A folder holds `meta.json` and one data folder that it names, with memory-mapped arrays. `save` writes a new data
folder and then replaces `meta.json`, so that whatever kills it leaves the old index or the new one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer, detect_language, get_analyzer
from mrc.errors import DataError, StaleIndex, writing
from mrc.retrieve.bm25 import BM25, TermCounts
from mrc.retrieve.dense.vectors import DenseConfig
from mrc.retrieve.folder import REMEDY, crc32, new_folder, remove_others
from mrc.retrieve.folder import verify as verify_files
from mrc.retrieve.fuse import Weight
from mrc.retrieve.hybrid import Dense
from mrc.retrieve.meta import FORMAT, META, Meta, read_meta
from mrc.retrieve.meta import IndexConfig as IndexConfig
from mrc.retrieve.rerank.config import RerankConfig
from mrc.retrieve.rerank.reranking import Fetch, Reranking
from mrc.retrieve.reuse import KnownCounts, counted
from mrc.retrieve.windows import (
    Counts,
    renumbered,
    search_folded,
    title_counts,
    unit_starts,
    with_titles,
)
from mrc.types import Hit, Passage

logger = logging.getLogger(__name__)

# Files of a data folder. Those that searching reads are verified on loading, the counts when an index is extended.
_SEARCHED = ("ids.json", "vocabulary.json", "starts.npy", "documents.npy", "gains.npy", "base.npy", "unit_starts.npy")
_COUNTS = ("count_starts.npy", "count_columns.npy", "count_frequencies.npy")


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Passages that can be retrieved from. Documents of `bm25` and `counts` are the passages in the order of `ids`, or
    the windows of each in that order."""

    config: IndexConfig  # as asked for: `auto` stays `auto`
    corpus: str  # corpus_fingerprint(ids)
    of_terms: str  # the fingerprint of BM25 alone
    ids: Sequence[str]  # ascending
    bm25: BM25
    counts: TermCounts  # without titles; kept so that a later index need not cut the same passages into terms again
    unit_starts: npt.NDArray[np.int64]  # (N + 1,) passage n has the documents unit_starts[n]:unit_starts[n + 1]
    dense: Dense | None = None  # passages are found by meaning too
    reranking: Reranking | None = None  # the first ones are read with the question

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
            reuse: folder of an earlier index; the terms of passages that it holds are taken from there if the analyzer
                is the same. The result does not depend on it.
            dense: the encoder that finds passages by meaning; None, or one without a model: BM25 alone.
            device: where it and the cross-encoder run.
            vectors: folder in which vectors are kept for later; a build that was killed goes on from there.
            rerank: the cross-encoder that puts the first passages in a new order; None, or one without a model: none.
            fetch: gives passages by id to a cross-encoder; default: from `passages`.
            progress: is told how many passages are encoded, as they are.

        Raises:
            DataError: there is no passage, or none with a term.
            BadCheckpoint: the encoder or the cross-encoder cannot be loaded.
            MissingExtra: the analyzer's package is not installed.
            ValueError: two passages have the same id.
        """
        ordered = sorted(passages, key=lambda passage: passage.id)
        ids = [passage.id for passage in ordered]
        if len(set(ids)) < len(ids):
            raise ValueError("passages must have different ids")
        reranking = _reranking(rerank, ordered, device=device, fetch=fetch)
        texts = (passage.text for passage in ordered)
        analyzer = get_analyzer(
            config.analyzer, detect_language(texts) if config.language == "auto" else config.language
        )
        known = _known_counts(reuse, analyzer, config) if reuse else {}
        starts = unit_starts(ordered, window_chars=config.window_chars)
        plain = TermCounts.of(counted(ordered, analyzer, known, window_chars=config.window_chars))
        titles = title_counts(ordered, analyzer) if config.title_weight else []
        counts = with_titles(plain, starts, titles, title_weight=config.title_weight)
        bm25 = BM25.from_counts(counts, analyzer, method=config.method, k1=config.k1, b=config.b)
        corpus = corpus_fingerprint(ids)
        of_terms = _fingerprint(corpus, config, analyzer, [passage.title for passage in ordered])
        plain = renumbered(plain, counts.vocabulary)
        index = cls(config, corpus, of_terms, ids, bm25, plain, starts, reranking=reranking)
        if dense is None or dense.model is None:
            return index
        part = Dense.build(ordered, dense, device=device, cache_folder=vectors, progress=progress)
        return replace(index, dense=part)

    @property
    def fingerprint(self) -> str:
        """Of the corpus and of all that the scores depend on."""
        parts = self.dense.identity() if self.dense else {}
        if self.reranking is not None:
            parts |= {"rerank": self.reranking.identity()}
        return _hash(json.dumps({"terms": self.of_terms, **parts}, sort_keys=True)) if parts else self.of_terms

    def with_encoder(
        self,
        passages: Sequence[Passage],
        dense: DenseConfig,
        *,
        device: str = "auto",
        vectors: Path | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Index:
        """The same passages, ranked by the same terms, and by meaning with another encoder; see `build`.

        Raises:
            BadCheckpoint: the encoder cannot be loaded.
            ValueError: `passages` are not those of `ids` in their order.
        """
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
        default: Weight | None = None,
    ) -> Index:
        """This index with the weight of its dense part tuned on questions whose passages are known, given by id.

        Where the settings give a weight, it stays. `clusters` are the documents of the questions, `default` a weight
        that stays where no other is clearly better: see `fuse.tune`.
        """
        if self.dense is None or self.dense.config.weight is not None:
            return self
        rows = {passage_id: row for row, passage_id in enumerate(self.ids)}
        wanted = [{rows[passage_id] for passage_id in gold if passage_id in rows} for gold in golds]
        dense = self.dense.tuned(
            questions, self._by_terms, wanted, clusters, zero=self._zero, seed=seed, default=default
        )
        return replace(self, dense=dense)

    def retrieve(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        """At most `k` passages a question, best first, equal scores by lowest id.

        Without a dense part only passages that share a term with the question. `bm25` and `dense` of a hit are None
        where that list, as far as it was looked at (`fuse.DEPTH`, or k), does not hold it. A cross-encoder changes the
        order of the first ones; `score` stays what their lists gave them. Raises ValueError where k is below 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if self.reranking is None:
            return self._listed(questions, k)
        found = self._listed(questions, max(k, self.reranking.config.top_n))
        return [hits[:k] for hits in self.reranking.ordered(questions, found)]

    def _listed(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        """As the lists rank them."""
        if self.dense is not None:
            return list(self._fused(self.dense, questions, k))
        documents, scores = self._by_terms(questions, k)
        return [
            tuple(
                Hit(self.ids[document], rank, score, bm25=score)
                for rank, (document, score) in enumerate(zip(row, row_scores, strict=True))
                if document >= 0
            )
            for row, row_scores in zip(documents.tolist(), scores.tolist(), strict=True)
        ]

    def _by_terms(self, questions: Sequence[str], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        return search_folded(self.bm25.search, self.unit_starts, questions, k)

    @property
    def _zero(self) -> bool:
        """Whether a passage that shares no term scores 0: not so by bm25plus."""
        return not self.bm25.base.any()

    def _fused(self, dense: Dense, questions: Sequence[str], k: int) -> Iterator[tuple[Hit, ...]]:
        for found in dense.search(questions, self._by_terms, k, zero=self._zero):
            columns = (found.documents, found.scores, found.terms, found.meaning)
            for row in zip(*(values.tolist() for values in columns), strict=True):
                yield tuple(
                    Hit(self.ids[document], rank, score, bm25=_finite(terms), dense=_finite(meaning))
                    for rank, (document, score, terms, meaning) in enumerate(zip(*row, strict=True))
                    if document >= 0
                )

    def save(self, folder: Path) -> None:
        """Nothing; `folder` holds this index afterwards, or what it held before if this does not come to its end."""
        with writing(folder), ExitStack() as undo:
            folder.mkdir(parents=True, exist_ok=True)
            data = new_folder(folder, self.fingerprint)
            undo.callback(shutil.rmtree, data, ignore_errors=True)
            (data / "ids.json").write_text(json.dumps(list(self.ids)), encoding="ascii")
            (data / "vocabulary.json").write_text(json.dumps(list(self.bm25.vocabulary)), encoding="ascii")
            for name, values in self._arrays().items():
                np.save(data / name, values)
            if self.dense is not None:
                self.dense.save(data)
            partial = folder / f"{META}.partial"
            partial.write_text(json.dumps(asdict(self._meta(data)), indent=2), encoding="ascii")
            partial.replace(folder / META)
            undo.pop_all()
        remove_others(folder, data.name)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        expect_corpus: str | None,
        expect_config: IndexConfig | None = None,
        device: str = "auto",
        fetch: Fetch | None = None,
    ) -> Index:
        """The index saved in `folder`, memory-mapped. An encoder is loaded when the first question is asked.

        Args:
            expect_corpus: `corpus_fingerprint` of the passages at hand; None takes any.
            expect_config: the settings at hand; None takes any.
            device: where an encoder runs.
            fetch: gives passages by id: what an index with a cross-encoder needs when a question is asked.

        Raises:
            StaleIndex: no index is there, or it was built from other passages, settings or versions.
            DataError: a file is missing, truncated or altered.
            MissingExtra: the analyzer's package is not installed any more.
        """
        meta = read_meta(folder)
        analyzer = get_analyzer(meta.analyzer)
        if meta.analyzer_version != analyzer.version:
            versions = f"{meta.analyzer_version}, now it is {analyzer.version}"
            raise StaleIndex(f"{folder}: built by analyzer {analyzer.name} {versions}; {REMEDY}")
        if expect_corpus not in (None, meta.corpus):
            raise StaleIndex(f"{folder}: built from {meta.passages} passages that are not those of now; {REMEDY}")
        if expect_config not in (None, meta.config):
            raise StaleIndex(f"{folder}: built as {meta.config}, asked for is {expect_config}; {REMEDY}")
        index = _read_index(folder, meta, analyzer, verify=_SEARCHED)
        return replace(
            index,
            dense=_read_dense(folder, meta, device) if meta.dense else None,
            reranking=_read_reranking(folder, meta.rerank, device, fetch) if meta.rerank else None,
        )

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        bm25, counts = self.bm25, self.counts
        searched = (bm25.starts, bm25.documents, bm25.gains, bm25.base, self.unit_starts)
        counted = (counts.starts, counts.columns, counts.frequencies)
        return dict(zip((*_SEARCHED[2:], *_COUNTS), (*searched, *counted), strict=True))

    def _meta(self, data: Path) -> Meta:
        dense = self.dense
        return Meta(
            fingerprint=self.fingerprint,
            of_terms=self.of_terms,
            corpus=self.corpus,
            passages=len(self.ids),
            config=self.config,
            analyzer=self.bm25.analyzer.name,
            analyzer_version=self.bm25.analyzer.version,
            data=data.name,
            crc32={name: crc32(data / name) for name in (*_SEARCHED, *_COUNTS, *(dense.files if dense else ()))},
            dense=dense.described() if dense else None,
            rerank=self.reranking.described() if self.reranking else None,
        )


def corpus_fingerprint(ids: Iterable[str]) -> str:
    """The fingerprint of a set of passages, given by their ids in any order; an id is a hash of its text."""
    return _hash("\n".join(sorted(ids)))


def _reranking(
    rerank: RerankConfig | None, passages: Sequence[Passage], *, device: str, fetch: Fetch | None
) -> Reranking | None:
    if rerank is None or rerank.model is None:
        return None
    held = {} if fetch else {passage.id: passage for passage in passages}
    return Reranking.build(rerank, device=device, fetch=fetch or (lambda wanted: held))


def _known_counts(folder: Path, analyzer: Analyzer, config: IndexConfig) -> Mapping[str, Sequence[Counts]]:
    wanted = (analyzer.name, analyzer.version, config.window_chars)
    try:
        meta = read_meta(folder)
        if (meta.analyzer, meta.analyzer_version, meta.config.window_chars) != wanted:
            return {}
        earlier = _read_index(folder, meta, analyzer, verify=(*_SEARCHED, *_COUNTS))
        return KnownCounts(earlier.counts, earlier.unit_starts, earlier.ids)
    except (StaleIndex, DataError) as error:
        logger.info("all passages are indexed anew: %s", error)
        return {}


def _fingerprint(corpus: str, config: IndexConfig, analyzer: Analyzer, titles: Sequence[str]) -> str:
    formula = {"method": config.method, "k1": config.k1, "b": config.b, "rank_bm25": version("rank_bm25")}
    terms: dict[str, Any] = {"analyzer": analyzer.name, "version": analyzer.version}
    if config.title_weight:
        terms |= {"title_weight": config.title_weight, "titles": _hash(json.dumps(titles))}
    if config.window_chars:
        terms |= {"window_chars": config.window_chars}
    return _hash(json.dumps({"format": FORMAT, "corpus": corpus, **formula, **terms}, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read_index(folder: Path, meta: Meta, analyzer: Analyzer, *, verify: Iterable[str]) -> Index:
    data = folder / meta.data
    try:
        verify_files(data, meta.crc32, verify)
        ids: list[str] = json.loads((data / "ids.json").read_text(encoding="ascii"))
        terms: list[str] = json.loads((data / "vocabulary.json").read_text(encoding="ascii"))
        # asarray: a plain view of the mapped file, which is quicker to slice than numpy's memmap.
        arrays = [np.asarray(np.load(data / name, mmap_mode="r")) for name in (*_SEARCHED[2:], *_COUNTS)]
    except (OSError, ValueError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {REMEDY}") from None
    vocabulary = {term: column for column, term in enumerate(terms)}
    bm25 = BM25(analyzer, int(arrays[4][-1]), vocabulary, *arrays[:4])
    counts = TermCounts(vocabulary, *arrays[5:])
    return Index(meta.config, meta.corpus, meta.of_terms, ids, bm25, counts, arrays[4])


def _read_dense(folder: Path, meta: Meta, device: str) -> Dense:
    assert meta.dense is not None
    data = folder / meta.data
    try:
        verify_files(data, meta.crc32, set(meta.crc32) - {*_SEARCHED, *_COUNTS})
        return Dense.read(data, meta.dense, device=device)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {REMEDY}") from None


def _read_reranking(folder: Path, stored: Mapping[str, Any], device: str, fetch: Fetch | None) -> Reranking:
    try:
        return Reranking.read(stored, device=device, fetch=fetch)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / META}: broken ({error}); {REMEDY}") from None


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
