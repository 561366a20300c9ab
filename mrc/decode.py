"""From logits to answers: spans scored within windows, then one ranked list over all passages of a question.

All probabilities are shares of one softmax over every span of every passage of the question and over "no answer" of
every window. Passages normalised one by one would not compare.

Source: Clark & Gardner 2018, Simple and Effective Multi-Paragraph Reading Comprehension, section 3.3 ("shared
normalisation"); here over spans, exp(start + end), rather than over starts and ends by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mrc.types import Answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CANDIDATES_PER_ANSWER = 3  # spans looked at for each answer kept, so that equal texts can merge


@dataclass(frozen=True, slots=True)
class WindowSpans:
    """The best spans of B windows and what is needed to normalise over all of them. Logs are natural.

    `start`, `end` (B, N) positions, inclusive; `score` (B, N) = start logit + end logit, falling, -inf where there is
    none. `total` (B,) log of the summed exp(score) of all spans; `null` (B,) score of "no answer";
    `start_entropy`, `end_entropy` (B,) nats, of the window's own span distribution.
    """

    start: Ints
    end: Ints
    score: Floats
    total: Floats
    null: Floats
    start_entropy: Floats
    end_entropy: Floats


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of a passage: code points, end exclusive. `rank` is its passage's, 0 the best; `score` a sum of logits."""

    text: str
    passage_id: str
    rank: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A question's answers, best first, the mass of "no answer", and the number of passages that hold each answer."""

    answers: tuple[Answer, ...]
    null_score: float
    support: tuple[int, ...]
    start_entropy: float
    end_entropy: float


def decode_windows(
    start_logits: NDArray[np.float32],
    end_logits: NDArray[np.float32],
    *,
    starts: Bools,
    context: Bools,
    null: Ints,
    max_answer_length: int,
    n_best_size: int,
) -> WindowSpans:
    """The best spans of each window and the log-sum-exp of all of them; logits and masks (B, T), `null` (B,).

    A span starts where `starts` holds, ends where `context` holds, and has at most `max_answer_length` tokens. Sums
    are banded, in float64: exact unless logits of one window lie more than 700 apart. Equal scores: earlier start,
    then shorter span.
    """
    rows = np.arange(len(null))
    null_scores = (start_logits[rows, null] + end_logits[rows, null]).astype(np.float64)
    start = np.where(starts, start_logits.astype(np.float64), -np.inf)
    end = np.where(context, end_logits.astype(np.float64), -np.inf)
    start_total = start + _band_logsumexp(end, max_answer_length)  # (B, T) all spans that start here
    end_total = end + _band_logsumexp(start[:, ::-1], max_answer_length)[:, ::-1]
    best = _best_spans(start, end, max_answer_length=max_answer_length, n_best_size=n_best_size)
    total = logsumexp(start_total, axis=1)
    return WindowSpans(*best, total, null_scores, _entropy(start_total, total), _entropy(end_total, total))


def _band_logsumexp(values: Floats, width: int) -> Floats:
    """out[b, i] = log of the sum of exp(values[b, i : i + width])."""
    peak = np.max(values, axis=1, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(_bands(np.exp(values - peak), width, fill=0.0).sum(axis=2)) + peak)


def _bands(values: Floats, width: int, *, fill: float) -> Floats:
    """A view (B, T, width) whose [b, i, d] is values[b, i + d], or `fill` past the end."""
    padded = np.pad(values, ((0, 0), (0, width - 1)), constant_values=fill)
    return sliding_window_view(padded, width, axis=1)


def _best_spans(start: Floats, end: Floats, *, max_answer_length: int, n_best_size: int) -> tuple[Ints, Ints, Floats]:
    """(start, end, score), each (B, N): the N best spans lie among the N starts whose best span is best."""
    bands = _bands(end, max_answer_length, fill=-np.inf)
    peaks = start + bands.max(axis=2)
    count = min(n_best_size, peaks.shape[1])
    rows = np.arange(len(start))[:, None]
    picked = np.sort(np.argsort(-peaks, axis=1, kind="stable")[:, :count], axis=1)
    scores = (start[rows, picked][:, :, None] + bands[rows, picked]).reshape(len(start), -1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n_best_size]
    first = picked[rows, order // max_answer_length]
    return first, first + order % max_answer_length, scores[rows, order]


def _entropy(scores: Floats, total: Floats) -> Floats:
    """(B,) entropy in nats of exp(scores - total); 0 where a row has no span."""
    empty = ~np.isfinite(total)
    logs = np.where(np.isfinite(scores), scores, -np.inf) - np.where(empty, 0.0, total)[:, None]
    weights = np.exp(logs)
    return np.asarray(-np.sum(weights * np.where(weights > 0, logs, 0.0), axis=1))


def logsumexp(values: Floats, axis: int = -1) -> Floats:
    """log of the sum of exp along an axis; -inf where there is nothing to sum."""
    peak = np.max(values, axis=axis, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - peak).sum(axis=axis)) + np.squeeze(peak, axis=axis))


def rank_answers(
    candidates: Sequence[Candidate],
    spans: WindowSpans,
    *,
    normalize: Callable[[str], str],
    n_best_size: int,
) -> Ranked:
    """The merged, ranked answers of one question from its candidate spans; `spans` are its windows, all of them.

    Spans whose normalised text is equal become one answer: its score is their mass, its span the likeliest. Ties:
    higher probability, better-ranked passage, earlier start, shorter span.
    """
    total = float(logsumexp(np.concatenate([spans.total, spans.null])))
    kept = sorted(candidates, key=_candidate_order)[: n_best_size * CANDIDATES_PER_ANSWER]
    groups: dict[str, list[Candidate]] = {}
    for candidate in kept:
        groups.setdefault(normalize(candidate.text) or candidate.text, []).append(candidate)
    merged = [(_merge(group, total), len({span.passage_id for span in group}), group[0]) for group in groups.values()]
    merged.sort(key=lambda item: (-item[0].score, -item[0].probability, *_candidate_order(item[2])))
    best = merged[:n_best_size]
    return Ranked(
        answers=tuple(answer for answer, _, _ in best),
        null_score=float(np.exp(spans.null - total).sum()),
        support=tuple(passages for _, passages, _ in best),
        start_entropy=_joint_entropy(spans, spans.start_entropy, total),
        end_entropy=_joint_entropy(spans, spans.end_entropy, total),
    )


def _candidate_order(span: Candidate) -> tuple[float, int, int, int]:
    return (-span.score, span.rank, span.start, span.end - span.start)


def _merge(group: Sequence[Candidate], total: float) -> Answer:
    """One answer of the candidates (best first) of equal normalised text."""
    masses = [float(np.exp(span.score - total)) for span in group]
    best = group[0]
    return Answer(best.text, best.passage_id, best.start, best.end, min(1.0, sum(masses)), masses[0])


def _joint_entropy(spans: WindowSpans, within: Floats, total: float) -> float:
    """Entropy in nats over the positions of all windows and the "no answer" of each, by the chain rule."""
    logs = np.concatenate([spans.total, spans.null]) - total
    weights = np.exp(logs)
    inner = np.concatenate([within, np.zeros_like(spans.null)])
    return float(np.sum(weights * (inner - np.where(weights > 0, logs, 0.0))))
