"""From spans to answers: one ranked list over all passages of a question.

All probabilities come from one softmax over every span of every passage of the question and the "no answer" of every
window; probabilities normalised per passage would not be comparable.

Source: Clark & Gardner 2018, Simple and Effective Multi-Paragraph Reading Comprehension, section 3.3 ("shared
normalisation"); here over spans, exp(start + end), instead of over starts and ends separately.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mrc.decode import Floats, WindowSpans, logsumexp
from mrc.types import Answer


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of a passage: code points, end exclusive. `rank` is its passage's, from 0; `score` a sum of logits."""

    text: str
    passage_id: str
    rank: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """The answers to a question, best first; the mass of "no answer"; the number of passages that contain each answer;
    the entropies of start and end in nats; the number of passages read; the spans before merging, if known."""

    answers: tuple[Answer, ...]
    null_score: float
    support: tuple[int, ...]
    start_entropy: float
    end_entropy: float
    read: int
    candidates: tuple[Candidate, ...] = ()


def rank_answers(
    candidates: Sequence[Candidate],
    spans: WindowSpans,
    *,
    normalize: Callable[[str], str],
    n_best_size: int,
    read: int,
) -> Ranked:
    """The merged, ranked answers of one question from its candidate spans; `spans` are those of all its windows.

    Spans of equal normalised text become one answer: its score is their mass, its span the most probable one. Ties:
    higher probability, better-ranked passage, earlier start, shorter span.
    """
    total = float(logsumexp(np.concatenate([spans.total, spans.null])))
    ordered = sorted(candidates, key=_candidate_order)
    best = _merged(ordered, total, normalize)[:n_best_size]
    return Ranked(
        answers=tuple(answer for answer, _ in best),
        null_score=float(np.exp(spans.null - total).sum()),
        support=tuple(support for _, support in best),
        start_entropy=_total_entropy(spans, spans.start_entropy, total),
        end_entropy=_total_entropy(spans, spans.end_entropy, total),
        read=read,
        candidates=tuple(ordered),
    )


def rank_candidates(
    candidates: Sequence[Candidate], *, priors: Sequence[float], normalize: Callable[[str], str], n_best_size: int
) -> tuple[Answer, ...]:
    """The merged, ranked answers of one question from candidates of its first passages, with the prior of each passage.

    Spans of passages without a prior are left out. Masses are shares of these candidates, not of all spans.
    """
    raised = [replace(span, score=span.score + priors[span.rank]) for span in candidates if span.rank < len(priors)]
    if not raised:
        return ()
    total = float(logsumexp(np.array([span.score for span in raised])))
    merged = _merged(sorted(raised, key=_candidate_order), total, normalize)
    return tuple(answer for answer, _ in merged[:n_best_size])


def _merged(ordered: Sequence[Candidate], total: float, normalize: Callable[[str], str]) -> list[tuple[Answer, int]]:
    """The answers of equal normalised text, best first, and the number of passages that support each."""
    masses = np.exp(np.array([span.score for span in ordered]) - total).tolist()
    groups: dict[str, list[int]] = {}
    for number, span in enumerate(ordered):
        groups.setdefault(normalize(span.text) or span.text, []).append(number)
    merged = [(min(1.0, sum(masses[number] for number in members)), members) for members in groups.values()]
    merged.sort(key=lambda item: (-item[0], item[1][0]))
    return [
        (
            _answer(ordered[members[0]], mass, masses[members[0]]),
            len({ordered[number].passage_id for number in members}),
        )
        for mass, members in merged
    ]


def _candidate_order(span: Candidate) -> tuple[float, int, int, int]:
    return (-span.score, span.rank, span.start, span.end - span.start)


def _answer(span: Candidate, mass: float, probability: float) -> Answer:
    return Answer(span.text, span.passage_id, span.start, span.end, mass, probability)


def _total_entropy(spans: WindowSpans, within: Floats, total: float) -> float:
    """Entropy in nats over the positions of all windows and the "no answer" of each, by the chain rule."""
    logs = np.concatenate([spans.total, spans.null]) - total
    weights = np.exp(logs)
    inner = np.concatenate([within, np.zeros_like(spans.null)])
    return float(np.sum(weights * (inner - np.where(weights > 0, logs, 0.0))))
