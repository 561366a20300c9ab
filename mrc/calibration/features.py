"""Features of a prediction from which its confidence is estimated. NumPy only; none of them needs the right answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from mrc.calibration.selective import Floats
from mrc.errors import DataError
from mrc.ranking import Ranked
from mrc.types import Answer, Hit, Passage

#: feature -> its meaning and unit
FEATURES: Final[Mapping[str, str]] = {
    "mass": "probability mass of all spans of all passages read whose text is the best answer (Answer.score), 0-1",
    "max_probability": "of its best single span (Answer.probability), 0-1",
    "margin": "mass minus that of the best answer of another text that does not overlap it; mass if none, 0-1",
    "entropy": "of the n-best masses divided by their sum, nats",
    "start_entropy": "of the start distribution over all passages read, nats",
    "end_entropy": "of the end distribution over all passages read, nats",
    "null_score": "mass of 'not in these passages', 0-1",
    "retrieval_score": "of the answer's passage, as retrieved; 0 if the passage was given",
    "retrieval_gap": "retrieval_score minus the score of the passage ranked next; 0 if there is none",
    "passage_rank": "of the answer's passage, from 0",
    "support": "number of passages read that have the answer's text among their candidate spans, from 1",
    "answer_length": "code points",
    "question_length": "code points",
    "question_overlap": "share of the question's words that occur within 50 code points of the span, 0-1",
}
#: further features where passages were also found by a dense retriever
HYBRID_FEATURES: Final[Mapping[str, str]] = {
    "bm25_score": "BM25 score of the answer's passage; 0 where the lexical list does not contain it",
    "bm25_lead": "bm25_score minus the best one of the other passages read; 0 where there is none",
    "dense_score": "cosine of the question and the answer's passage; 0 where the dense list does not contain it",
    "dense_lead": "dense_score minus the best one of the other passages read; 0 where there is none",
    "lists_agree": "1 where one passage is first in the lexical and in the dense list, else 0",
}
ALL_FEATURES: Final = (*FEATURES, *HYBRID_FEATURES)
COLUMN: Final = {name: number for number, name in enumerate(ALL_FEATURES)}

OVERLAP_WINDOW: Final = 50  # code points on each side of an answer in which question words count
_WORD: Final = re.compile(r"\w+")


class Predicted(Protocol):
    """A prediction, fresh or stored."""

    @property
    def question_id(self) -> str: ...
    @property
    def features(self) -> Mapping[str, float]: ...


def known_features(predictions: Sequence[Predicted]) -> tuple[str, ...]:
    """ALL_FEATURES where every prediction has those of both lists of a hybrid index, else FEATURES."""
    hybrid = bool(predictions) and all(HYBRID_FEATURES.keys() <= each.features.keys() for each in predictions)
    return ALL_FEATURES if hybrid else tuple(FEATURES)


def feature_rows(predictions: Sequence[Predicted], features: Sequence[str] = tuple(FEATURES)) -> Floats:
    """Features in the order given `(N, F)`; leave out predictions without answers, which have none.

    Raises: DataError naming the question whose feature is missing or not finite.
    """
    rows = np.zeros((len(predictions), len(features)))
    for row, prediction in zip(rows, predictions, strict=True):
        for column, name in enumerate(features):
            value = prediction.features.get(name, math.nan)
            if not math.isfinite(value):
                state = "is not finite" if name in prediction.features else "is missing"
                raise DataError(f"prediction for {prediction.question_id}: feature {name} {state}; predict again")
            row[column] = value
    return rows


def confidence_features(
    question: str, passages: Sequence[Passage], ranked: Ranked, hits: Sequence[Hit], *, hybrid: bool = False
) -> dict[str, float]:
    """The FEATURES of the best answer, and "passages_read", which no calibrator uses; `ranked` has an answer.

    The HYBRID_FEATURES are among them where a hit has a dense score, or with `hybrid`: the index has a dense part.
    """
    best = ranked.answers[0]
    rank = next(index for index, hit in enumerate(hits) if hit.passage_id == best.passage_id)
    following = hits[rank + 1].score if rank + 1 < len(hits) else hits[rank].score
    hybrid = hybrid or any(hit.dense is not None for hit in hits)
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
        "question_length": float(len(question)),
        "question_overlap": question_overlap(question, passages[rank].text, best.start, best.end),
        "passages_read": float(ranked.read),
        **(_hybrid_features(hits, rank) if hybrid else {}),
    }


def _hybrid_features(hits: Sequence[Hit], rank: int) -> dict[str, float]:
    """HYBRID_FEATURES of the passage at `rank`."""
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
    """Share of the question's words that occur within 50 code points of the span, 0-1.

    A word may occur inside a longer one, because Korean words take endings: "강" is found in "강을".
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
