"""Retrieve and read: from questions to predictions with the features of their confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mrc.calibration.features import confidence_features
from mrc.metrics import Metric
from mrc.postprocess.rules import Refine
from mrc.ranking import Candidate, Ranked
from mrc.read.config import ReadConfig
from mrc.read.model.reader import normalizer
from mrc.read.predict.adaptive import Masses, StoppingRule, fit_stopping
from mrc.read.predict.forward import Network
from mrc.read.predict.groups import Answerer, Group, batched, read_masses
from mrc.text import passage_id, question_id
from mrc.types import Hit, Passage, Prediction, Question

Fetch = Callable[[Sequence[str]], Mapping[str, Passage]]  # passages by id


@runtime_checkable
class Retriever(Protocol):
    """Ranks passages for questions, as `mrc.retrieve.index.Index` does."""

    def retrieve(self, questions: Sequence[str], k: int) -> Sequence[tuple[Hit, ...]]: ...


class Searcher(Protocol):
    """Ranks the texts of a list by their numbers, as `mrc.retrieve.bm25.BM25` does."""

    def search(self, queries: Sequence[str], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...


Passages: TypeAlias = Fetch | Mapping[str, Passage] | Sequence[str | Passage]


def answer(
    questions: Iterable[Question | str],
    *,
    retriever: Retriever | Searcher,
    reader: Answerer,
    fetch: Passages | None = None,
    k: int = 5,
    config: ReadConfig | None = None,
    metric: Metric = "squad",
    hybrid: bool = False,
    refine: Refine | None = None,
    stopping: StoppingRule | None = None,
    retrieval_weight: float = 0.0,
    read: int | None = None,
) -> Iterator[Prediction]:
    """A prediction for each question, in order, from the k passages retrieved for it.

    Works on `config.chunk_size` questions at a time, so a pool of any size needs the memory of one chunk.

    Args:
        questions: questions, or their texts; a text's id is the hash of the text.
        retriever: an `Index`, or a `BM25` over a list of texts.
        fetch: the passages of the hits: a function or mapping from ids to passages, or for a `BM25` the list of texts
            that it was built from. None: the retriever's own `fetch` method gives them.
        config: default: the reader's own lengths.
        metric: how answer texts are compared when equal ones are merged.
        hybrid: the retriever has a dense part, so every prediction gets the features of both lists.
        refine: moves the ends of spans (`mrc.postprocess`).
        stopping: reads a question's passages only until its answer is settled.
        retrieval_weight: nats that every span gains for each standard deviation of its passage's retrieval score
            (`Hit.standardized`); 0: how well a passage was found plays no part.
        read: how many of the k passages are read, the best-ranked ones; None: all.

    Raises: TypeError for a single string, or where the texts of the hits are not known; ValueError for an unknown
    metric.
    """
    asked = _questions(questions)
    retrieve, normalize, settings = _retrieval(retriever, fetch), normalizer(metric), config or reader.default_config
    return _answered(asked, retrieve, reader, k, settings, normalize, hybrid, refine, stopping, retrieval_weight, read)


def _answered(
    questions: Iterable[Question],
    retrieve: _Retrieval,
    reader: Answerer,
    k: int,
    config: ReadConfig,
    normalize: Callable[[str], str],
    hybrid: bool,
    refine: Refine | None,
    stopping: StoppingRule | None,
    weight: float,
    read: int | None,
) -> Iterator[Prediction]:
    for chunk in batched(questions, config.chunk_size):
        hits, groups = retrieve.groups(chunk, k, weight=weight, read=read)
        found = reader.read(groups, config=config, normalize=normalize, refine=refine, stopping=stopping)
        yield from _predictions(chunk, groups, found, hits, hybrid=hybrid)


def read_candidates(
    questions: Iterable[Question],
    *,
    retriever: Retriever,
    reader: Answerer,
    fetch: Fetch,
    k: int,
    config: ReadConfig,
    metric: Metric = "squad",
    refine: Refine | None = None,
) -> Iterator[tuple[tuple[Candidate, ...], tuple[Hit, ...]]]:
    """The spans of each question, in order, scored by the reader alone, and its hits, for `fit_retrieval_weight`.

    A reader that ranks answers without spans, a hard vote, gives none.
    """
    retrieve, normalize = _Retrieval(retriever, fetch), normalizer(metric)
    for chunk in batched(questions, config.chunk_size):
        hits, groups = retrieve.groups(chunk, k, weight=0.0)
        found = reader.read(groups, config=config, normalize=normalize, refine=refine)
        yield from ((ranked.candidates, own) for ranked, own in zip(found, hits, strict=True))


def held_out_rule(
    questions: Iterable[Question],
    *,
    retriever: Retriever,
    reader: Network,
    fetch: Fetch,
    k: int,
    split_group_of: Mapping[str, str],
    risk: float,
    config: ReadConfig,
    metric: Metric = "squad",
    refine: Refine | None = None,
    retrieval_weight: float = 0.0,
    passages: int | None = None,
    others: Iterable[tuple[Iterable[Question], Network]] = (),
) -> StoppingRule:
    """Fit the rule that stops reading at this risk on held-out questions, each read in all its k passages; questions
    for which nothing is retrieved are left out.

    `others` are further held-out questions, each part with the reader that has not seen it. `split_group_of` maps a
    question's id to the group that was drawn at random when it was held out, such as its paragraph: the risk is that of
    a new group, and groups must not be few. Groups and questions are taken in the order of their ids; their right
    answers are not used.
    """
    retrieve, normalize = _retrieval(retriever, fetch), normalizer(metric)
    found: dict[str, Masses] = {}
    for asked, network in chain([(questions, reader)], others):
        held_out = sorted(asked, key=lambda question: (split_group_of[question.id], question.id))
        for chunk in batched(held_out, config.chunk_size):
            groups = retrieve.groups(chunk, k, weight=retrieval_weight, read=passages)[1]
            read_ones = [question.id for question, group in zip(chunk, groups, strict=True) if group.passages]
            masses = read_masses(network, groups, config=config, normalize=normalize, refine=refine)
            found |= zip(read_ones, masses, strict=True)
    by_group: dict[str, list[Masses]] = {}
    for key in sorted(found, key=lambda key: (split_group_of[key], key)):
        by_group.setdefault(split_group_of[key], []).append(found[key])
    return fit_stopping(list(by_group.values()), risk=risk)


def read(
    questions: Iterable[Question],
    passages_per_question: Iterable[Sequence[Passage]],
    *,
    reader: Answerer,
    config: ReadConfig | None = None,
    metric: Metric = "squad",
    refine: Refine | None = None,
) -> Iterator[Prediction]:
    """A prediction for each question, in order, from the passages given for it; its hits are those, with score 0."""
    settings, normalize = config or reader.default_config, normalizer(metric)
    for pairs in batched(zip(questions, passages_per_question, strict=True), settings.chunk_size):
        groups = [Group(question.text, tuple(passages)) for question, passages in pairs]
        hits = [tuple(Hit(passage.id, rank, 0.0) for rank, passage in enumerate(group.passages)) for group in groups]
        found = reader.read(groups, config=settings, normalize=normalize, refine=refine)
        yield from _predictions([question for question, _ in pairs], groups, found, hits)


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """Hits and passages of questions."""

    retriever: Retriever
    fetch: Fetch

    def __call__(
        self, questions: Sequence[Question], k: int
    ) -> tuple[Sequence[tuple[Hit, ...]], list[tuple[Passage, ...]]]:
        hits = self.retriever.retrieve([question.text for question in questions], k)
        passages = self.fetch(list(dict.fromkeys(hit.passage_id for found in hits for hit in found)))
        return hits, [tuple(passages[hit.passage_id] for hit in found) for found in hits]

    def groups(
        self, questions: Sequence[Question], k: int, *, weight: float, read: int | None = None
    ) -> tuple[Sequence[tuple[Hit, ...]], list[Group]]:
        """The k hits and the first `read` of them to read, with the weight times their standardized score as priors."""
        hits, passages = self(questions, k)
        priors = [tuple(weight * hit.standardized for hit in own[:read]) if weight else () for own in hits]
        return hits, [
            Group(question.text, own[:read], prior)
            for question, own, prior in zip(questions, passages, priors, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _OfTexts:
    """A searcher over a list of passages as a `Retriever`."""

    searcher: Searcher
    passages: Sequence[Passage]

    def retrieve(self, questions: Sequence[str], k: int) -> list[tuple[Hit, ...]]:
        numbers, scores = self.searcher.search(list(questions), k)
        return [
            tuple(
                Hit(self.passages[number].id, rank, score, bm25=score)
                for rank, (number, score) in enumerate(zip(row, row_scores, strict=True))
                if number >= 0
            )
            for row, row_scores in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]


def _retrieval(retriever: Retriever | Searcher, fetch: Passages | None) -> _Retrieval:
    """Raises: TypeError where the texts of the hits are not known."""
    fetch = fetch if fetch is not None else getattr(retriever, "fetch", None)
    if isinstance(retriever, Retriever):
        if isinstance(fetch, Mapping):
            mapping = fetch
            return _Retrieval(retriever, lambda _: mapping)
        if callable(fetch):
            return _Retrieval(retriever, fetch)
        raise TypeError("the retriever holds no texts: give fetch=, a mapping or function from ids to passages")
    if fetch is None or isinstance(fetch, (str, Mapping)) or callable(fetch):
        raise TypeError("the retriever numbers its texts: give fetch=, the list of texts that it was built from")
    passages = [each if isinstance(each, Passage) else Passage(passage_id(each), each) for each in fetch]
    by_id = {passage.id: passage for passage in passages}
    return _Retrieval(_OfTexts(retriever, passages), lambda _: by_id)


def _questions(questions: Iterable[Question | str]) -> Iterator[Question]:
    if isinstance(questions, (str, Question)):
        raise TypeError(f"answer takes a list of questions, not a {type(questions).__name__}: [question]")
    return (each if isinstance(each, Question) else Question(question_id(each, ""), each) for each in questions)


def _predictions(
    questions: Sequence[Question],
    groups: Sequence[Group],
    found: Iterable[Ranked],
    hits: Sequence[tuple[Hit, ...]],
    *,
    hybrid: bool = False,
) -> Iterator[Prediction]:
    for question, group, ranked, own in zip(questions, groups, found, hits, strict=True):
        features: dict[str, float] = {}
        if ranked.answers:
            features = confidence_features(group.question, group.passages, ranked, own, hybrid=hybrid)
        yield Prediction(question.id, ranked.answers, ranked.null_score, own, features)
