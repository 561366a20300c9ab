"""The lexical part of an index: BM25 over the windows of passages, built, reused, written and read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mrc.analyzers import Analyzer, get_analyzer, text_language
from mrc.errors import DataError, StaleIndex
from mrc.retrieve import storage
from mrc.retrieve.bm25 import ARRAYS, BM25, VOCABULARY
from mrc.retrieve.config import IndexConfig
from mrc.retrieve.storage.arrays import StoredStrings, load_arrays, save_arrays, save_strings, string_files
from mrc.retrieve.storage.meta import FORMAT, REMEDY, Meta, fingerprint, read_meta
from mrc.retrieve.term_counts import Counts, CountsById, TermCounts, count_passages, title_counts, with_titles
from mrc.retrieve.windows import window_starts
from mrc.types import Passage

logger = logging.getLogger(__name__)

# Files of a data folder. Those of the search are verified on loading, the counts when an index is extended.
_IDS = "ids.json"
_WINDOW_STARTS = "window_starts.npy"
_COUNTS = ("count_starts.npy", "count_term_ids.npy", "count_frequencies.npy")
SEARCH_FILES: Final = (*string_files(_IDS), _WINDOW_STARTS, *string_files(VOCABULARY, vocabulary=True), *ARRAYS)
LEXICAL_FILES: Final = (*SEARCH_FILES, *_COUNTS)


class LexicalPart(NamedTuple):
    """What an index needs for BM25; the fields of `mrc.retrieve.index.Index` of the same names."""

    ids: Sequence[str]
    bm25: BM25
    counts: TermCounts
    window_starts: npt.NDArray[np.int64]

    def write(self, data: Path) -> None:
        """Write `LEXICAL_FILES` into a data folder."""
        save_strings(data / _IDS, self.ids)
        self.bm25.write(data)
        counts = (self.counts.starts, self.counts.term_ids, self.counts.frequencies)
        names = (_WINDOW_STARTS, *_COUNTS)
        save_arrays(data, dict(zip(names, (self.window_starts, *counts), strict=True)))


def build_lexical(passages: Sequence[Passage], config: IndexConfig, *, reuse: Path | None) -> LexicalPart:
    """The lexical part for passages in the order of their ids; arguments and errors as for `Index.build`."""
    detected = config.analyzer == config.language == "auto"
    language = text_language(passage.text for passage in passages) if detected else config.language
    analyzer = get_analyzer(config.analyzer, language)
    known = _known_counts(reuse, analyzer, config) if reuse else {}
    starts = window_starts(passages, window_chars=config.window_chars)
    plain = TermCounts.of(count_passages(passages, analyzer, known, window_chars=config.window_chars))
    titles = title_counts(passages, analyzer) if config.title_weight else []
    counts = with_titles(plain, starts, titles, title_weight=config.title_weight)
    bm25 = BM25.from_counts(counts, analyzer, method=config.method, k1=config.k1, b=config.b)
    return LexicalPart([passage.id for passage in passages], bm25, plain.with_vocabulary(counts.vocabulary), starts)


def read_lexical(folder: Path, meta: Meta, analyzer: Analyzer, *, verified: Iterable[str]) -> LexicalPart:
    """The lexical part of an index, memory-mapped; the files in `verified` are checked. Raises DataError."""
    data = folder / meta.data
    storage.verify(data, meta.crc32 or {}, verified, remedy=REMEDY, stamps=meta.stamps)
    try:
        ids = StoredStrings(data / _IDS)
        starts, *counts = load_arrays(data, (_WINDOW_STARTS, *_COUNTS))
        index = BM25.read(data, analyzer, int(starts[-1]))
    except (OSError, ValueError) as error:
        raise DataError(f"{data}: cannot be read ({error}); {REMEDY}") from None
    return LexicalPart(ids, index, TermCounts(index.vocabulary, *counts), starts)


def _known_counts(folder: Path, analyzer: Analyzer, config: IndexConfig) -> Mapping[str, Sequence[Counts]]:
    """The counts of an earlier index, if its analyzer and windows are the same; else none."""
    wanted = (analyzer.name, analyzer.version, config.window_chars)
    try:
        meta = read_meta(folder)
        if (meta.analyzer, meta.analyzer_version, meta.config.window_chars) != wanted:
            return {}
        part = read_lexical(folder, meta, analyzer, verified=LEXICAL_FILES)
        return CountsById(part.counts, part.window_starts, part.ids)
    except (StaleIndex, DataError) as error:
        logger.info("all passages are indexed anew: %s", error)
        return {}


def lexical_fingerprint(corpus: str, config: IndexConfig, analyzer: Analyzer, titles: Sequence[str]) -> str:
    """32 hexadecimal digits of all that BM25's scores depend on."""
    formula = {"method": config.method, "k1": config.k1, "b": config.b, "rank_bm25": version("rank_bm25")}
    terms: dict[str, Any] = {"analyzer": analyzer.name, "version": analyzer.version}
    if config.title_weight:
        terms |= {"title_weight": config.title_weight, "titles": fingerprint(json.dumps(titles))}
    if config.window_chars:
        terms |= {"window_chars": config.window_chars}
    return fingerprint(json.dumps({"format": FORMAT, "corpus": corpus, **formula, **terms}, sort_keys=True))
