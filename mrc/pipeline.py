"""From questions to predictions: retrieve, read, and gather what tells a right answer from a wrong one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from mrc.metrics import Metric
from mrc.postprocess.rules import Refine
from mrc.ranking import Ranked
from mrc.read.config import ReadConfig
from mrc.read.model.reader import normalizer
from mrc.read.predict.adaptive import Masses, StoppingRule, fit_stopping
from mrc.read.predict.forward import Network
from mrc.read.predict.groups import Answerer, Group, batched, read_masses
from mrc.types import Answer, Hit, Passage, Prediction, Question

OVERLAP_WINDOW: Final = 50  # code points on each side of an answer in which question words count
Fetch = Callable[[Sequence[str]], Mapping[str, Passage]]  # passages by id
_WORD = re.compile(r"\w+")


class Retriever(Protocol):
    """Anything that ranks passages for questions."""

    def retrieve(self, questions: Sequence[str], k: int) -> Sequence[tuple[Hit, ...]]: ...


def answer(
    questions: Iterable[Question],
    *,
    retriever: Retriever,
    reader: Answerer,
    fetch: Fetch,
    k: int,
    config: ReadConfig,
    metric: Metric = "squad",
    by_meaning: bool = False,
    refine: Refine | None = None,
    stopping: StoppingRule | None = None,
) -> Iterator[Prediction]:
    """A prediction for each question, in order, from the k passages retrieved for it; `fetch` gives passages by id.

    `by_meaning`: the retriever has a list by meaning too, so that every prediction holds the features of two lists.
    `refine` moves the ends of spans; under `stopping` a question's passages are read until its answer stands.

    Works on `config.chunk_size` questions at a time, so a pool of any size needs the memory of one chunk.
    """
    for chunk in batched(questions, config.chunk_size):
        hits, chosen = _retrieve(chunk, retriever, fetch, k)
        groups = [Group(question.text, passages) for question, passages in zip(chunk, chosen, strict=True)]
        found = reader.read(groups, config=config, normalize=normalizer(metric), refine=refine, stopping=stopping)
        yield from _predictions(chunk, groups, found, hits, by_meaning=by_meaning)


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
) -> StoppingRule:
    """The rule that stops reading at this risk, fitted on questions that trained nothing, each
    read in all its k passages; those for which nothing is found are left out.

    `unit_of` names by a question's id what was drawn at random when it was held out, its paragraph say: the risk is
    that of a new unit, and it is units that must not be few. Units and questions are taken in the order of their names;
    no answer of theirs is looked at.
    """
    held_out = sorted(questions, key=lambda question: (split_group_of[question.id], question.id))
    units: dict[str, list[Masses]] = {}
    for chunk in batched(held_out, config.chunk_size):
        _, chosen = _retrieve(chunk, retriever, fetch, k)
        found = [(question, passages) for question, passages in zip(chunk, chosen, strict=True) if passages]
        groups = [Group(question.text, passages) for question, passages in found]
        weighed = read_masses(reader, groups, config=config, normalize=normalizer(metric), refine=refine)
        for (question, _), own in zip(found, weighed, strict=True):
            units.setdefault(split_group_of[question.id], []).append(own)
    return fit_stopping(list(units.values()), risk=risk)


def read(
    questions: Iterable[Question],
    passages_per_question: Iterable[Sequence[Passage]],
    *,
    reader: Answerer,
    config: ReadConfig,
    metric: Metric = "squad",
    refine: Refine | None = None,
) -> Iterator[Prediction]:
    """A prediction for each question, in order, from the passages given for it; its hits are those, score 0."""
    for pairs in batched(zip(questions, passages_per_question, strict=True), config.chunk_size):
        groups = [Group(question.text, tuple(passages)) for question, passages in pairs]
        hits = [tuple(Hit(passage.id, rank, 0.0) for rank, passage in enumerate(group.passages)) for group in groups]
        found = reader.read(groups, config=config, normalize=normalizer(metric), refine=refine)
        yield from _predictions([question for question, _ in pairs], groups, found, hits)


def _retrieve(
    questions: Sequence[Question], retriever: Retriever, fetch: Fetch, k: int
) -> tuple[Sequence[tuple[Hit, ...]], list[tuple[Passage, ...]]]:
    """The hits of each question, and their passages."""
    hits = retriever.retrieve([question.text for question in questions], k)
    passages = fetch(list(dict.fromkeys(hit.passage_id for found in hits for hit in found)))
    return hits, [tuple(passages[hit.passage_id] for hit in found) for found in hits]


def _predictions(
    questions: Sequence[Question],
    groups: Sequence[Group],
    found: Iterable[Ranked],
    hits: Sequence[tuple[Hit, ...]],
    *,
    by_meaning: bool = False,
) -> Iterator[Prediction]:
    for question, group, ranked, own in zip(questions, groups, found, hits, strict=True):
        features = confidence_features(group, ranked, own, by_meaning=by_meaning) if ranked.answers else {}
        yield Prediction(question.id, ranked.answers, ranked.null_score, own, features)


def confidence_features(
    group: Group, ranked: Ranked, hits: Sequence[Hit], *, by_meaning: bool = False
) -> dict[str, float]:
    """What the calibrator looks at, as `mrc.calibration.calibrate.FEATURES` names and defines it, and "passages_read", which it
    does not; `ranked` has an answer.

    With its `HYBRID_FEATURES` where one of the hits was found by meaning, or could have been.
    """
    best = ranked.answers[0]
    rank = next(index for index, hit in enumerate(hits) if hit.passage_id == best.passage_id)
    following = hits[rank + 1].score if rank + 1 < len(hits) else hits[rank].score
    by_meaning = by_meaning or any(hit.dense is not None for hit in hits)
    return {
        "mass": best.score,
        "max_probability": best.probability,
        "margin": best.score - _rival_mass(ranked.answers),
        "entropy": _entropy([found.score for found in ranked.answers]),
        "start_entropy": ranked.start_entropy,
        "end_entropy": ranked.end_entropy,
        "null_score": ranked.null_score,
        "retrieval_score": hits[rank].score,
        "retrieval_gap": hits[rank].score - following,
        "passage_rank": float(rank),
        "support": float(ranked.support[0]),
        "answer_length": float(len(best.text)),
        "question_length": float(len(group.question)),
        "question_overlap": question_overlap(group.question, group.passages[rank].text, best.start, best.end),
        "passages_read": float(ranked.read),
        **(_hybrid_features(hits, rank) if by_meaning else {}),
    }


def _hybrid_features(hits: Sequence[Hit], rank: int) -> dict[str, float]:
    """`mrc.calibration.calibrate.HYBRID_FEATURES` of the answer's passage, which stands at `rank`."""
    found: dict[str, float] = {}
    leaders = []
    for name, scores in (("bm25", [hit.bm25 or 0.0 for hit in hits]), ("dense", [hit.dense or 0.0 for hit in hits])):
        others = scores[:rank] + scores[rank + 1 :]
        found[f"{name}_score"] = scores[rank]
        found[f"{name}_lead"] = scores[rank] - max(others) if others else 0.0
        leaders.append(scores.index(max(scores)))
    both = any(hit.bm25 is not None for hit in hits) and any(hit.dense is not None for hit in hits)
    return found | {"lists_agree": float(both and leaders[0] == leaders[1])}


def question_overlap(question: str, passage: str, start: int, end: int) -> float:
    """Share of the question's words that stand within 50 code points of the span, 0-1.

    A word counts wherever its letters stand, for Korean words take endings: "강" is found in "강을".
    """
    words = {word.casefold() for word in _WORD.findall(question)}
    near = passage[max(0, start - OVERLAP_WINDOW) : end + OVERLAP_WINDOW].casefold()
    return sum(word in near for word in words) / len(words) if words else 0.0


def _rival_mass(answers: Sequence[Answer]) -> float:
    """Mass of the best other answer that does not overlap the first; 0 if there is none."""
    best = answers[0]
    for rival in answers[1:]:
        elsewhere = rival.passage_id != best.passage_id
        if elsewhere or rival.end <= best.start or best.end <= rival.start:
            return rival.score
    return 0.0


def _entropy(masses: Sequence[float]) -> float:
    """Entropy in nats of the masses divided by their sum."""
    total = sum(masses)
    shares = [mass / total for mass in masses if mass > 0] if total > 0 else []
    return -sum(share * math.log(share) for share in shares)
