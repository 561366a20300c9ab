"""How well the gold passages of labelled questions are found: marks, two settings against each other, misses."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from db import queries
from db.rows import LabelledQuestion
from labeler.core import convert
from labeler.core.config import load_config
from labeler.core.errors import ConfigError, NotReady
from labeler.core.runtime import Runtime
from labeler.retrieval.tuning import index_config
from mrc.metrics import bootstrap_interval, paired_interval
from mrc.retrieve.error_analysis import REASONS, contains_answer, normalized, reasons
from mrc.retrieve.fuse import FusionWeight
from mrc.text import normalize
from mrc.types import Hit

if TYPE_CHECKING:
    from mrc.retrieve.dense.hybrid import Dense
    from mrc.retrieve.dense.vectors import DenseConfig
    from mrc.retrieve.index import Index

DEPTHS = (1, 3, 5, 10, 20, 100)
SEARCHED = 100  # passages that MRR looks at
BOOTSTRAP_SEED = 0
FETCHED = 1000  # passages read at a time
_COMPARED = {"model", "weight", "fusion", "rrf_constant"}  # settings of [dense] that leave the vectors as they are
READ_FIRST = 10  # hits in which the answer is looked for before the others are read

Bounds = tuple[float, float]
_FINGERPRINT = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True, slots=True)
class Searched:
    """What an index found for labelled questions. Ranks count from 0; -1 is not among the first 100."""

    asked: Sequence[LabelledQuestion]  # each has an answer
    hits: Sequence[tuple[Hit, ...]]
    gold_ranks: Sequence[int]  # of the first gold passage
    answer_ranks: Sequence[int]  # of the first passage in which a gold answer stands, gold or not

    def marks(self) -> dict[str, list[float]]:
        """Each question's marks, 0-1, by the name of the measure."""
        found = {f"top_{depth}": _within(self.gold_ranks, depth) for depth in DEPTHS}
        found["mrr"] = [1 / (rank + 1) if rank >= 0 else 0.0 for rank in self.gold_ranks]
        return found | {f"answer_in_{depth}": _within(self.answer_ranks, depth) for depth in DEPTHS}

    @property
    def clusters(self) -> list[str | None]:
        return [entry.document_id for entry in self.asked]


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of this minus the other, 0-1, with its 95% interval, paired by question, by document."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The current index against another one on the same questions."""

    index: str  # fingerprints
    other: str
    differences: Mapping[str, Difference]
    better: int  # questions whose gold passage stands higher than in the other
    worse: int


@dataclass(frozen=True, slots=True)
class Miss:
    """A question whose gold passage is not among the first passages found."""

    id: str
    question: str
    answer: str
    rank: int | None  # of the gold passage, from 0; None: not among the first 100
    reasons: tuple[str, ...]  # of mrc.retrieve.error_analysis
    gold_passage: str
    first_passage: str | None  # None where nothing was found


def search(runtime: Runtime, index: Index, asked: Sequence[LabelledQuestion]) -> Searched:
    """What the index finds for questions that have an answer."""
    hits = index.retrieve([entry.question.text for entry in asked], SEARCHED)
    gold = [
        next((hit.rank for hit in found if hit.passage_id in gold_passages(entry)), -1)
        for entry, found in zip(asked, hits, strict=True)
    ]
    return Searched(asked, hits, gold, _answer_ranks(runtime, asked, hits))


def _answer_ranks(runtime: Runtime, asked: Sequence[LabelledQuestion], hits: Sequence[tuple[Hit, ...]]) -> list[int]:
    """The rank of the first passage in which a gold answer stands; deeper ones are read only where it is not found."""
    ranks = [-1] * len(asked)
    for part in (slice(0, READ_FIRST), slice(READ_FIRST, SEARCHED)):
        open_rows = [row for row, rank in enumerate(ranks) if rank < 0]
        texts = _texts(runtime, {hit.passage_id for row in open_rows for hit in hits[row][part]})
        for row in open_rows:
            answers = normalized(given.text for given in asked[row].label.answers)
            ranks[row] = next(
                (hit.rank for hit in hits[row][part] if contains_answer(texts[hit.passage_id], answers)), -1
            )
    return ranks


def gold_passages(entry: LabelledQuestion) -> set[str]:
    return {answer.passage_id for answer in entry.label.answers}


def measured(searched: Searched) -> tuple[dict[str, float], dict[str, Bounds]]:
    """The mean of each mark, and its 95% interval under `retrieval.NAME`."""
    means, intervals = {}, {}
    for name, values in searched.marks().items():
        found = bootstrap_interval(values, searched.clusters, rng=np.random.default_rng(BOOTSTRAP_SEED))
        means[name] = found.mean
        intervals[f"retrieval.{name}"] = (found.low, found.high)
    return means, intervals


def other_index(runtime: Runtime, name: str) -> Index:
    """The stored index whose fingerprint begins so, or one of other settings (`method=okapi,k1=0.5`), in memory.

    Other settings are those of [index], and `dense.weight`, `dense.fusion`, `dense.rrf_constant`, `dense.model=none`.
    All else stays as the current index has it, its re-ranking too.

    Raises:
        NotReady: no such index is stored, or several are.
        StaleIndex: it was built from other passages.
        ConfigError: there is no such setting, its value is out of range, or it needs other vectors.
    """
    from mrc.retrieve.index import corpus_fingerprint

    if "=" in name:
        return _built(runtime, name)
    folders = sorted(runtime.workspace.index_folder.glob(f"{name}*")) if _FINGERPRINT.fullmatch(name) else []
    if len(folders) != 1:
        stored = ", ".join(
            folder.name for folder in sorted(runtime.workspace.index_folder.iterdir()) if folder.is_dir()
        )
        raise NotReady(f"{len(folders)} stored indexes begin with {name!r}; stored are: {stored}; or give KEY=VALUE")
    with runtime.database.read() as session:
        corpus = corpus_fingerprint(queries.corpus_ids(session))
    return runtime.load_index(folders[0], expect_corpus=corpus)


def _built(runtime: Runtime, settings: str) -> Index:
    from mrc.retrieve.index import Index

    named = [setting.strip() for setting in settings.split(",")]
    keys = [setting.partition("=")[0].strip() for setting in named]
    whole = [setting if "." in key else f"index.{setting}" for setting, key in zip(named, keys, strict=True)]
    try:
        given = load_config(overrides=whole, environ={})
    except ConfigError as error:
        raise ConfigError(str(error).replace("--set", "--compare", 1)) from error
    if foreign := [key for key in keys if "." in key and key.partition(".")[0] not in ("index", "dense")]:
        raise ConfigError(f"--compare {foreign[0]}: no setting of the index; it may be one of [index] or [dense]")
    lexical = {key.removeprefix("index.") for key in keys if "." not in key or key.startswith("index.")}
    dense_keys = {key.removeprefix("dense.") for key in keys if key.startswith("dense.")}
    config = dataclasses.replace(index_config(runtime), **{key: getattr(given.index, key) for key in lexical})
    with runtime.database.read() as session:
        passages = [convert.to_passage(row) for row in queries.iter_passages(session)]
    fingerprint = runtime.current_index()
    current = runtime.index(fingerprint)  # of the same passages, so in the same order
    built = Index.build(passages, config, reuse=runtime.index_folder(fingerprint))
    dense = _other_dense(current.dense, given.dense, dense_keys)
    return dataclasses.replace(built, dense=dense, reranking=current.reranking)


def _other_dense(dense: Dense | None, given: DenseConfig, keys: Set[str]) -> Dense | None:
    """The dense part under other settings of `keys`; None for `dense.model=none`."""
    if other := sorted(keys - _COMPARED):
        raise ConfigError(
            f"--compare dense.{other[0]}: needs other vectors; build that index, and compare by its fingerprint"
        )
    if "model" in keys:
        if given.model is not None:
            raise ConfigError("--compare dense.model: only none; build the other index, and compare by its fingerprint")
        return None
    if not keys:
        return dense
    if dense is None:
        raise ConfigError("--compare dense.*: the current index ranks passages by terms alone")
    config = dataclasses.replace(dense.config, **{key: getattr(given, key) for key in keys})
    weight = dense.weight if given.weight is None else FusionWeight(given.weight, given.weight, given.weight)
    return dataclasses.replace(dense, config=config, weight=weight)


def compared(runtime: Runtime, searched: Searched, index: Index, against: str) -> Comparison:
    """The index that `searched` comes from against another: a stored one by its fingerprint, or other settings.

    Raises: NotReady, StaleIndex, ConfigError.
    """
    other = other_index(runtime, against)
    there = search(runtime, other, searched.asked)
    marks, others = searched.marks(), there.marks()
    differences = {}
    for name, values in marks.items():
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        found = paired_interval(values, others[name], searched.clusters, rng=rng)
        differences[name] = Difference(found.mean, found.low, found.high)
    changes = [after - before for after, before in zip(marks["mrr"], others["mrr"], strict=True)]
    better, worse = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    return Comparison(index.fingerprint, other.fingerprint, differences, better, worse)


def missed(runtime: Runtime, searched: Searched, index: Index, *, depth: int) -> tuple[Miss, ...]:
    """The questions whose gold passage is not among the first `depth`, in the order asked, each with its reasons."""
    rows = [row for row, rank in enumerate(searched.gold_ranks) if not 0 <= rank < depth]
    wanted = {passage for row in rows for passage in gold_passages(searched.asked[row])}
    wanted |= {searched.hits[row][0].passage_id for row in rows if searched.hits[row]}
    terms = _terms(runtime, index, sorted(wanted))
    questions = index.bm25.analyzer.terms([searched.asked[row].question.text for row in rows])
    return tuple(_miss(searched, row, set(found), terms) for row, found in zip(rows, questions, strict=True))


def counted(misses: Sequence[Miss]) -> dict[str, int]:
    """How many misses have each reason; one may have several."""
    counts = Counter(reason for miss in misses for reason in miss.reasons)
    return {reason: counts[reason] for reason in REASONS}


def _miss(searched: Searched, row: int, question: set[str], terms: Mapping[str, frozenset[str]]) -> Miss:
    entry, rank = searched.asked[row], searched.gold_ranks[row]
    gold = max(sorted(gold_passages(entry)), key=lambda passage: len(question & terms[passage]))
    first = searched.hits[row][0].passage_id if searched.hits[row] else None
    answer = searched.answer_ranks[row]
    return Miss(
        id=entry.question.id,
        question=entry.question.text,
        answer=entry.label.answers[0].text,
        rank=rank if rank >= 0 else None,
        reasons=reasons(
            question,
            terms[gold],
            terms[first] if first else (),
            answer_elsewhere=answer >= 0 and (rank < 0 or answer < rank),
        ),
        gold_passage=gold,
        first_passage=first,
    )


def _within(ranks: Sequence[int], depth: int) -> list[float]:
    return [float(0 <= rank < depth) for rank in ranks]


def _texts(runtime: Runtime, ids: set[str]) -> dict[str, str]:
    """The normalised texts of passages."""
    ordered, texts = sorted(ids), {}
    for start in range(0, len(ordered), FETCHED):
        found = runtime.fetch(ordered[start : start + FETCHED])
        texts.update({key: normalize(passage.text) for key, passage in found.items()})
    return texts


def _terms(runtime: Runtime, index: Index, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The different terms of passages, as the index cuts them, with those of their titles where they are indexed."""
    passages = list(runtime.fetch(ids).values())
    titled = index.config.title_weight > 0
    texts = (f"{passage.title}\n{passage.text}" if titled else passage.text for passage in passages)
    cut = index.bm25.analyzer.terms(texts)
    return {passage.id: frozenset(found) for passage, found in zip(passages, cut, strict=True)}
