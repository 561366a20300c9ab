"""From texts to windows: token ids joined as question + piece of passage, and who owns which token.

A passage longer than a window is read in windows that share `doc_stride` tokens. Every passage token is *owned* by
exactly one window, the one that shows it the most context on its poorer side, and a span belongs to the window that
owns its start. As half the shared tokens are at least `max_answer_length` (held by `ReadConfig`), each span of the
passage is seen whole in its owner, so summing over windows counts each span once.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mrc.errors import BadCheckpoint

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EXACT_MATCH_KEY: Final = "labeler_exact_match"  # in config.json: token types tell which pieces both texts share
IGNORED_KEY: Final = "labeler_exact_match_ignored"  # ids of pieces too common to count as shared
MATCH: Final = 2  # added to the token type of a shared piece
LEVEL: Final = 4  # added to a passage token's type for each level of nearness to the question
LEVELS: Final = 5  # of nearness: fifths, rounded up, of the question's pieces that stand near
NEAR: Final = 12  # tokens on each side that are near
EXACT_MATCH_TYPES: Final = 2 * MATCH + LEVEL * LEVELS
CACHED_PASSAGES: Final = 20_000
PAD_TO: Final = 8  # batch lengths are multiples of this: fewer shapes, less memory churn


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's tokens without special ones: `ids` (N,), `offsets` (N, 2) code points, end exclusive."""

    ids: Ints
    offsets: Ints


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around a pair of texts, and the token types of its two halves."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    types: tuple[int, int, int, int, int]  # of prefix, question, middle, passage, suffix

    @property
    def size(self) -> int:
        return len(self.prefix) + len(self.middle) + len(self.suffix)


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a passage under its question. Positions count in the window, tokens in the passage.

    Position p of the passage part, `first <= p < first + count`, shows passage token `token + p - first`; the window
    owns the positions `own_start <= p < own_end`. `null` is the position that stands for "no answer".
    """

    ids: Ints  # (T,)
    types: Ints  # (T,)
    null: int
    first: int
    count: int
    token: int
    own_start: int
    own_end: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows padded to one length; all (B, T) but `null` (B,).

    `starts` marks owned passage tokens (a span may start there), `context` all passage tokens (a span may end there).
    """

    ids: Ints
    types: Ints
    attention: Ints
    starts: Bools
    context: Bools
    null: Ints


class Windower:
    """Makes windows with one tokenizer; keeps the tokens of recent passages, so that each is tokenised once."""

    def __init__(self, tokenizer: Any, *, exact_match: bool = False, ignored: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._template = pair_template(tokenizer)
        self._exact_match = exact_match
        self._ignored = np.asarray(sorted(ignored), dtype=np.int64)
        self._cls = tokenizer.cls_token_id
        self._cache: OrderedDict[str, Tokens] = OrderedDict()
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.truncated_questions = 0

    def passages(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, tokenised now or remembered."""
        known = {text: self._cache[text] for text in texts if text in self._cache}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, self._tokenise(new), strict=True))
        for text, tokens in known.items():
            self._cache[text] = tokens
            self._cache.move_to_end(text)
        while len(self._cache) > CACHED_PASSAGES:
            self._cache.popitem(last=False)
        return [known[text] for text in texts]

    def questions(self, texts: Sequence[str], *, max_seq_length: int) -> list[Tokens]:
        """Tokens of each question, cut at its end where it would take more than half a window; cuts are logged."""
        room = max_seq_length // 2 - self._template.size
        tokens = self._tokenise(texts)
        long = sum(len(question.ids) > room for question in tokens)
        if long:
            self.truncated_questions += long
            log.warning("%d of %d questions are longer than half a window: cut to %d tokens", long, len(texts), room)
        return [Tokens(question.ids[:room], question.offsets[:room]) for question in tokens]

    def windows(self, question: Tokens, passage: Tokens, *, max_seq_length: int, doc_stride: int) -> list[Window]:
        """The windows of one passage in order, at least one; a passage without tokens has one that owns nothing."""
        room = max_seq_length - self._template.size - len(question.ids)
        spans = window_spans(len(passage.ids), room=room, shared=doc_stride)
        owned = owned_ranges(spans)
        return [self._window(question.ids, passage.ids, span, own) for span, own in zip(spans, owned, strict=True)]

    def _window(self, question: Ints, passage: Ints, span: tuple[int, int], own: tuple[int, int]) -> Window:
        template, (token, end) = self._template, span
        piece = passage[token:end]
        parts = (template.prefix, question, template.middle, piece, template.suffix)
        ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
        types = np.repeat(np.asarray(template.types, dtype=np.int64), [len(part) for part in parts])
        before = len(template.prefix)
        first = before + len(question) + len(template.middle)
        if self._exact_match:
            types[before : before + len(question)] += MATCH * self._shared(question, piece)
            types[first : first + len(piece)] += MATCH * self._shared(piece, question)
            types[first : first + len(piece)] += LEVEL * self._nearness(piece, question)
        null = int(np.argmax(ids == self._cls)) if self._cls is not None else 0
        shift = first - token
        return Window(ids, types, null, first, len(piece), token, own[0] + shift, own[1] + shift)

    def _shared(self, ids: Ints, others: Ints) -> Bools:
        return np.isin(ids, others) & ~np.isin(ids, self._ignored)

    def _nearness(self, piece: Ints, question: Ints) -> Ints:
        """For each passage token the share of the question's distinct pieces within `NEAR` tokens, as a level 0-5."""
        asked = np.setdiff1d(question, self._ignored)
        if not len(asked) or not len(piece):
            return np.zeros(len(piece), dtype=np.int64)
        counts = np.zeros((len(asked), len(piece) + 1), dtype=np.int64)
        np.cumsum(piece[None, :] == asked[:, None], axis=1, out=counts[:, 1:])
        at = np.arange(len(piece))
        near = counts[:, np.minimum(at + NEAR + 1, len(piece))] > counts[:, np.maximum(at - NEAR, 0)]  # (pieces, T)
        return np.asarray(-(-near.sum(axis=0) * LEVELS // len(asked)), dtype=np.int64)

    def _tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return [
            Tokens(np.asarray(ids, dtype=np.int64), np.asarray(offsets, dtype=np.int64).reshape(-1, 2))
            for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]


def pair_template(tokenizer: Any) -> Template:
    """The special tokens a tokenizer sets around a pair of texts, read off a pair it encodes.

    Raises: BadCheckpoint if it cannot encode a pair of texts.
    """
    encoded = tokenizer("a", "a", return_token_type_ids=True)
    sides = encoded.sequence_ids(0)
    ids = encoded["input_ids"]
    types = encoded["token_type_ids"]
    if 0 not in sides or 1 not in sides:
        raise BadCheckpoint("the tokenizer does not encode a pair of texts; choose a model made for text pairs")
    cuts = (sides.index(0), _past(sides, 0), sides.index(1), _past(sides, 1))
    middle_type = types[cuts[1]] if cuts[2] > cuts[1] else 0
    suffix_type = types[cuts[3]] if cuts[3] < len(ids) else types[cuts[2]]
    return Template(
        prefix=tuple(ids[: cuts[0]]),
        middle=tuple(ids[cuts[1] : cuts[2]]),
        suffix=tuple(ids[cuts[3] :]),
        types=(types[0], types[cuts[0]], middle_type, types[cuts[2]], suffix_type),
    )


def _past(sides: list[int | None], side: int) -> int:
    return len(sides) - sides[::-1].index(side)


def window_spans(count: int, *, room: int, shared: int) -> list[tuple[int, int]]:
    """Half-open token ranges of at most `room` that cover 0..count, neighbours sharing `shared` tokens.

    Raises: ValueError where windows would not move forward.
    """
    if room <= shared:
        raise ValueError(f"windows of {room} passage tokens that share {shared} would not move forward")
    spans = [(0, min(room, count))]
    while spans[-1][1] < count:
        start = spans[-1][1] - shared
        spans.append((start, min(start + room, count)))
    return spans


def owned_ranges(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """For each window its owned tokens, half-open: neighbours part in the middle of what they share.

    A shared token lies nearer the end of the earlier window in the later half of the overlap, so this is the window
    with the most context on the poorer side; the middle itself goes to the later window.
    """
    cuts = [(after[0] + before[1]) // 2 for before, after in pairwise(spans)]
    starts = [spans[0][0], *cuts]
    ends = [*cuts, spans[-1][1]]
    return list(zip(starts, ends, strict=True))


def token_span(tokens: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """First and last token (inclusive) that touch the characters [start, end); None where no token does."""
    touching = np.flatnonzero((tokens.offsets[:, 0] < end) & (tokens.offsets[:, 1] > start))
    if touching.size == 0:
        return None
    return int(touching[0]), int(touching[-1])


def collate(windows: Sequence[Window], *, pad_id: int) -> Batch:
    """The windows padded on the right to one length, a multiple of 8."""
    longest = max(len(window.ids) for window in windows)
    shape = (len(windows), -(-longest // PAD_TO) * PAD_TO)
    ids = np.full(shape, pad_id, dtype=np.int64)
    types, attention = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    starts, context = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    for row, window in enumerate(windows):
        length = len(window.ids)
        ids[row, :length], types[row, :length], attention[row, :length] = window.ids, window.types, 1
        starts[row, window.own_start : window.own_end] = True
        context[row, window.first : window.first + window.count] = True
    return Batch(ids, types, attention, starts, context, np.array([window.null for window in windows], dtype=np.int64))
