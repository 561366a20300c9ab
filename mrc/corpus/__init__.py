"""A corpus for notebooks: texts that can be searched and asked, in one object that is saved and loaded as a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mrc.analyzers import detect_language
from mrc.analyzers.base import list_of_texts, one_text
from mrc.errors import DataError, StaleIndex, writing
from mrc.files import parse_json
from mrc.retrieve.config import IndexConfig
from mrc.retrieve.dense.config import DenseConfig
from mrc.retrieve.index import Index, corpus_fingerprint
from mrc.retrieve.rerank.config import RerankConfig
from mrc.text import passage_id
from mrc.types import Answer, Hit, Passage

if TYPE_CHECKING:
    from mrc.read.predict.groups import Answerer

_PASSAGES: Final = "passages.jsonl"  # files of a saved corpus
_INDEX: Final = "index"
_SHOWN: Final = 60  # characters of a text in a repr


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """A passage that a search found. Scores as in `mrc.types.Hit`: a score that was not computed is None."""

    passage_id: str
    rank: int  # from 0
    score: float
    bm25: float | None
    dense: float | None
    rerank: float | None
    title: str
    text: str

    def __repr__(self) -> str:
        return f"SearchResult(rank={self.rank}, score={self.score:.2f}, title={self.title!r}, text={_short(self.text)})"


def search_results(hits: Iterable[Hit], passages: Mapping[str, Passage]) -> list[SearchResult]:
    """The hits with the titles and texts of their passages."""
    return [
        SearchResult(
            hit.passage_id,
            hit.rank,
            hit.score,
            hit.bm25,
            hit.dense,
            hit.rerank,
            passages[hit.passage_id].title,
            passages[hit.passage_id].text,
        )
        for hit in hits
    ]


class Corpus:
    """Passages with their index. `corpus[passage_id]` is a passage; iteration gives the passages by id.

    A corpus is also a retriever for `mrc.pipeline.answer`: it has `retrieve` and `fetch`.
    """

    def __init__(self, passages: Iterable[Passage], index: Index) -> None:
        """For passages that are those of the index; `build` and `load` are the usual ways."""
        self.index = index
        self._passages = {passage.id: passage for passage in passages}
        self._language = detect_language(passage.text for passage in self)

    @classmethod
    def build(
        cls,
        texts: Iterable[str | Passage],
        *,
        titles: Sequence[str] | None = None,
        analyzer: str = "auto",
        method: str = "atire",
        k1: float = 1.5,
        b: float = 0.75,
        title_weight: int = 0,
        window_chars: int = 0,
        dense: str | Path | DenseConfig | None = None,
        rerank: str | Path | RerankConfig | None = None,
        device: str = "auto",
    ) -> Corpus:
        """Index texts. Equal texts become one passage, with the first title.

        Args:
            texts: texts, or passages with ids of your own.
            titles: (N,) title of each text.
            analyzer, method, k1, b, title_weight, window_chars: see `mrc.retrieve.index.IndexConfig`.
            dense: the bi-encoder for dense retrieval: folder, hub name or settings; None: BM25 alone.
            rerank: the cross-encoder for re-ranking: folder, hub name or settings; None: no re-ranking.
            device: where these models run: auto, cpu or cuda.

        Raises:
            DataError: there is no text, or none with a term.
            BadCheckpoint: a model cannot be loaded.
            MissingExtra: the analyzer's package is not installed.
            TypeError: `texts` is one string, or holds something else than strings and passages.
            ValueError: unknown analyzer or method, a parameter out of range, or another number of titles than texts.
        """
        passages = {passage.id: passage for passage in reversed(_as_passages(texts, titles))}
        config = IndexConfig(
            analyzer=analyzer, method=method, k1=k1, b=b, title_weight=title_weight, window_chars=window_chars
        )
        index = Index.build(
            list(passages.values()),
            config,
            dense=dense if dense is None or isinstance(dense, DenseConfig) else DenseConfig(model=str(dense)),
            rerank=rerank if rerank is None or isinstance(rerank, RerankConfig) else RerankConfig(model=str(rerank)),
            device=device,
            fetch=lambda wanted: passages,
        )
        return cls(passages.values(), index)

    def search(self, question: str, k: int = 5) -> list[SearchResult]:
        """At most k passages for one question, best first."""
        return self.search_many([one_text(question, "question", many="search_many")], k)[0]

    def search_many(self, questions: Sequence[str], k: int = 5) -> list[list[SearchResult]]:
        """At most k passages for each question, best first. Raises TypeError for a single string."""
        return [search_results(hits, self._passages) for hits in self.retrieve(questions, k)]

    def ask(self, question: str, *, reader: Answerer, k: int = 5, metric: str = "auto") -> list[Answer]:
        """The ranked answers to one question, read from the k best passages; see `ask_many`."""
        return self.ask_many([one_text(question, "question", many="ask_many")], reader=reader, k=k, metric=metric)[0]

    def ask_many(
        self, questions: Sequence[str], *, reader: Answerer, k: int = 5, metric: str = "auto"
    ) -> list[list[Answer]]:
        """The ranked answers to each question, read in batches; no answers where no passage is found.

        Scores are not calibrated. `mrc.pipeline.answer(questions, retriever=corpus, reader=reader)` gives predictions
        one by one, with their hits and the features of their confidence.

        Args:
            reader: a reader, see `mrc.read.model.Reader.load`, or an ensemble of readers.
            k: passages read for each question.
            metric: squad or korquad: its rules decide which texts are one answer; auto: by the language of the corpus.

        Raises: TypeError for a single string, or a reader that is not loaded; ValueError for an unknown metric.
        """
        from mrc import pipeline

        if isinstance(reader, str | Path):
            raise TypeError(f"reader must be a loaded reader: Reader.load({str(reader)!r})")
        from mrc.metrics import resolve_metric  # a search needs no metric

        chosen = resolve_metric(metric, language=self._language)
        asked = list_of_texts(questions, "questions")
        hybrid = self.index.dense is not None
        found = pipeline.answer(asked, retriever=self, reader=reader, k=k, metric=chosen, hybrid=hybrid)
        return [list(prediction.answers) for prediction in found]

    def retrieve(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        """The hits of each question; see `mrc.retrieve.index.Index.retrieve`."""
        return self.index.retrieve(questions, k)

    def fetch(self, ids: Iterable[str]) -> dict[str, Passage]:
        """The passages of these ids. Raises KeyError for an unknown one."""
        return {key: self._passages[key] for key in ids}

    def save(self, folder: str | Path) -> None:
        """Write the passages and the index into a folder, which may hold an earlier corpus."""
        place = Path(folder)
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            partial = place / f"{_PASSAGES}.partial"
            rows = ({"id": each.id, "title": each.title, "text": each.text} for each in self)
            partial.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="ascii")
            partial.replace(place / _PASSAGES)
        self.index.save(place / _INDEX)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Corpus:
        """The corpus saved in a folder. Models are loaded when the first question is asked.

        Raises:
            DataError: there is none, or a file is missing or broken.
            StaleIndex: it was saved by another version of the analyzer.
        """
        path = Path(folder) / _PASSAGES
        try:
            rows = [parse_json(line) for line in path.read_text(encoding="ascii").splitlines()]
            passages = {row["id"]: Passage(row["id"], row["text"], row["title"]) for row in rows}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: no corpus can be read here ({error}); build and save it again") from None
        corpus = corpus_fingerprint(passages)
        try:
            index = Index.load(
                Path(folder) / _INDEX, expect_corpus=corpus, device=device, fetch=lambda wanted: passages
            )
        except (DataError, StaleIndex) as error:
            raise type(error)(str(error).replace("run `labeler index`", "build and save the corpus again")) from None
        return cls(passages.values(), index)

    def __getitem__(self, key: str) -> Passage:
        return self._passages[key]

    def __contains__(self, key: object) -> bool:
        return key in self._passages

    def __iter__(self) -> Iterator[Passage]:
        return (self._passages[key] for key in self.index.ids)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"Corpus({repr(self.index).removeprefix('Index(')}"


def _as_passages(texts: Iterable[str | Passage], titles: Sequence[str] | None) -> list[Passage]:
    if isinstance(texts, str | bytes | Mapping):
        raise TypeError(f"texts must be a list of strings or passages, not {type(texts).__name__}")
    given = list(texts)
    names = list_of_texts(titles, "titles") if titles is not None else [""] * len(given)
    if len(names) != len(given):
        raise ValueError(f"{len(names)} titles for {len(given)} texts: give one title for each text")
    return [
        each if isinstance(each, Passage) else Passage(passage_id(each), each, title)
        for each, title in zip(_checked(given), names, strict=True)
    ]


def _checked(texts: Sequence[str | Passage]) -> Sequence[str | Passage]:
    for place, each in enumerate(texts):
        if not isinstance(each, str | Passage):
            raise TypeError(f"texts must be a list of strings or passages; item {place} is {type(each).__name__}")
    return texts


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _SHOWN else f"{flat[: _SHOWN - 1]}…")
