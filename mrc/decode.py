"""From logits to spans: the best spans of windows and of passages, and the mass of all spans.

The score of a span is S(i, j) = start_i + end_j, with a biaffine head + pair(i, j). The search is exact: the K best
spans of a window start at the K starts whose best spans are best (for any other start, K spans are better than its
best one, or equal and earlier), and those of a passage are among the K best of its windows, because every span belongs
to exactly one window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mrc.text.graphemes import blank, code_points

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SLAB = 16  # windows whose span scores (T, L) are held at once


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """Logits of B windows, float32: `start` and `end` (B, T); of a biaffine head also `pair` (B, T, L), the term of the
    span of tokens i to i + d besides its start and end, -inf past the end of the window."""

    start: NDArray[np.float32]
    end: NDArray[np.float32]
    pair: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WindowSpans:
    """The best spans of B windows and the terms for normalising over all of them. Logs are natural.

    `start`, `end` (B, N) positions, inclusive; `score` (B, N) descending, -inf where there is none. `total` (B,) log of
    the summed exp(score) of all spans; `null` (B,) score of "no answer"; `start_entropy`, `end_entropy` (B,) nats, of
    the distribution over the window's spans.
    """

    start: Ints
    end: Ints
    score: Floats
    total: Floats
    null: Floats
    start_entropy: Floats
    end_entropy: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """The best spans of passages as flat arrays (M,), by question, passage, then best first. `start` and `end` are
    code points, end exclusive; `group` is the question's number, `rank` the passage's."""

    group: Ints
    rank: Ints
    start: Ints
    end: Ints
    score: Floats


def decode_windows(
    logits: Logits, *, starts: Bools, context: Bools, null: Ints, max_answer_length: int, keep: int
) -> WindowSpans:
    """The `keep` best spans of each window and the log-sum-exp of all of them; masks (B, T), `null` (B,).

    A span starts where `starts` holds, ends where `context` holds, and has at most `max_answer_length` tokens. Sums
    are in float64: exact unless logits of one window lie more than 700 apart. Equal scores: earlier start, then
    shorter span.
    """
    rows = np.arange(len(null))
    null_scores = (logits.start[rows, null] + logits.end[rows, null]).astype(np.float64)
    start, end = masked(logits, starts=starts, context=context)
    best = _best_spans(start, end, logits.pair, width=max_answer_length, keep=keep)
    start_total, end_total = side_totals(start, end, logits.pair, width=max_answer_length)
    total = logsumexp(start_total, axis=1)
    return WindowSpans(*best, total, null_scores, entropy(start_total, total), entropy(end_total, total))


def masked(logits: Logits, *, starts: Bools, context: Bools) -> tuple[Floats, Floats]:
    """Start and end logits (B, T) in float64, -inf where no span starts or ends."""
    start = np.where(starts, logits.start.astype(np.float64), -np.inf)
    end = np.where(context, logits.end.astype(np.float64), -np.inf)
    return start, end


def side_totals(start: Floats, end: Floats, pair: NDArray[np.float32] | None, *, width: int) -> tuple[Floats, Floats]:
    """For each position the log mass of all spans that start there, and of all that end there, (B, T) each."""
    if pair is None:
        return (
            start + _band_logsumexp(end, width),
            end + _band_logsumexp(start[:, ::-1], width)[:, ::-1],
        )
    starts, ends = np.empty_like(start), np.empty_like(end)
    for rows, spans in _slabs(start, end, pair, width):
        starts[rows] = logsumexp(spans, axis=2)
        by_end = np.full_like(spans, -np.inf)
        for length in range(min(width, spans.shape[1])):
            by_end[:, length:, length] = spans[:, : spans.shape[1] - length, length]
        ends[rows] = logsumexp(by_end, axis=2)
    return starts, ends


def _slabs(
    start: Floats, end: Floats, pair: NDArray[np.float32], width: int
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """All span scores (b, T, width) of up to `SLAB` windows at a time, and their rows."""
    bands = _bands(end, width, fill=-np.inf)
    for at in range(0, len(start), SLAB):
        rows = slice(at, at + SLAB)
        yield rows, start[rows, :, None] + bands[rows] + pair[rows]


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


def _best_spans(
    start: Floats, end: Floats, pair: NDArray[np.float32] | None, *, width: int, keep: int
) -> tuple[Ints, Ints, Floats]:
    """(start, end, score), each (B, N), of the N best spans."""
    if pair is None:
        bands = _bands(end, width, fill=-np.inf)
        return search(start + bands.max(axis=2), lambda rows, at: start[rows, at][:, :, None] + bands[rows, at], keep)
    parts = [
        search(spans.max(axis=2), lambda rows, at, spans=spans: spans[rows, at], keep)  # type: ignore[misc]
        for _, spans in _slabs(start, end, pair, width)
    ]
    first, last, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return first, last, score


def search(peaks: Floats, spans_of: Callable[[Ints, Ints], Floats], keep: int) -> tuple[Ints, Ints, Floats]:
    """The `keep` best spans (start, end, score) from the best score `peaks` (B, T) of each start; `spans_of` gives the
    scores (B, N, width) of all spans of the chosen starts."""
    count = min(keep, peaks.shape[1])
    rows = np.arange(len(peaks))[:, None]
    picked = np.sort(np.argsort(-peaks, axis=1, kind="stable")[:, :count], axis=1)
    spans = spans_of(rows, picked)
    scores, width = spans.reshape(len(peaks), -1), spans.shape[2]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
    first = picked[rows, order // width]
    return first, first + order % width, scores[rows, order]


def entropy(scores: Floats, total: Floats) -> Floats:
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


def trimmed(text: str, offsets: Ints) -> Ints:
    """Token offsets (N, 2) without white space and invisible characters at their ends: a start moves to the next other
    character, an end behind the previous one. A token without any other gets an end before its start."""
    codes = code_points(text)
    solid = ~blank(codes)
    places = np.arange(len(codes))
    following = np.append(np.where(solid, places, len(codes)), len(codes))
    following = np.minimum.accumulate(following[::-1])[::-1]
    before = np.maximum.accumulate(np.append(0, np.where(solid, places + 1, 0)))
    return np.stack([following[offsets[:, 0]], before[offsets[:, 1]]], axis=1).astype(np.int64)


def best_of_passages(
    found: WindowSpans, *, group: Ints, rank: Ints, char_start: Ints, char_end: Ints, keep: int
) -> Picked:
    """The `keep` best spans of every passage of every question, over all its windows.

    `group` and `rank` (W,) are each window's question and passage; `char_start` and `char_end` (W, N) its spans in code
    points; spans of white space alone are dropped. Equal scores: earlier start, then shorter span.
    """
    rows, columns = np.nonzero(np.isfinite(found.score) & (char_start < char_end))
    groups, ranks, scores = group[rows], rank[rows], found.score[rows, columns]
    starts, ends = char_start[rows, columns], char_end[rows, columns]
    order = np.lexsort((ends - starts, starts, -scores, ranks, groups))
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (np.diff(groups[order]) != 0) | (np.diff(ranks[order]) != 0)
    place = np.arange(len(order)) - np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    order = order[place < keep]
    return Picked(groups[order], ranks[order], starts[order], ends[order], scores[order])
