"""Windows: token ids of the question and a piece of the passage, and which window owns which token.

A passage longer than a window is read in windows that share `doc_stride` tokens. Every passage token is *owned* by
exactly one window, the one with the most context on its shorter side, and a span belongs to the window that owns its
start. As half the shared tokens are at least `max_answer_length` (held by `ReadConfig`), each span of the
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

from mrc.read.data.exact_match import ExactMatch, levels, nearness
from mrc.read.data.tokens import Cuts, TextTokenizer, Tokens, pair_template

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# In config.json:
MATCH_TYPES_KEY: Final = "labeler_exact_match_types"  # token types mark pieces that both texts share
MATCH_IGNORED_KEY: Final = "labeler_exact_match_ignored"  # ids of pieces too common to count as shared
FEATURES_KEY: Final = "labeler_exact_match_features"  # a kind of mrc.read.data.exact_match
WINDOWS_KEY: Final = "labeler_windows"  # max_seq_length and doc_stride that the reader was trained with
MORPHEMES_KEY: Final = "labeler_morphemes"  # what splits words into morphemes: kiwi

MATCH: Final = 2  # added to the token type of a shared piece
LEVEL: Final = 4  # added to a passage token's type for each level of nearness to the question
LEVELS: Final = 5  # of nearness: fifths, rounded up, of the question's pieces that are near
NEAR: Final = 12  # tokens on each side that are near
TOKEN_TYPES: Final = 2 * MATCH + LEVEL * LEVELS
CACHED_TOKENS: Final = 4_000_000
PAD_TO: Final = 8  # batch lengths are multiples of this: fewer shapes, less memory churn


@dataclass(frozen=True, slots=True)
class Window:
    """A question and a piece of a passage. Positions count in the window, tokens in the passage.

    Position p of the passage part, `first <= p < first + count`, shows passage token `token + p - first`; the window
    owns the positions `own_start <= p < own_end`. The question has the half-open `question_range`. `null` is the
    position of "no answer".
    """

    ids: Ints  # (T,)
    types: Ints  # (T,)
    match_levels: Ints  # (T,) levels of mrc.read.data.exact_match
    word_start: Bools  # (T,)
    null: int
    first: int
    count: int
    token: int
    question_range: tuple[int, int]
    own_start: int
    own_end: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows padded to one length; all (B, T) except `null` (B,).

    `starts` marks owned passage tokens (a span may start there), `context` all passage tokens (a span may end there),
    `question` the question's.
    """

    ids: Ints
    types: Ints
    attention: Ints
    match_levels: Ints
    starts: Bools
    context: Bools
    question: Bools
    word_start: Bools
    null: Ints


class Windower:
    """Makes windows with one tokenizer; caches the tokens of recent passages."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        exact_match_types: bool = False,
        ignored: Sequence[int] = (),
        exact_match: ExactMatch | None = None,
        cuts: Cuts | None = None,
    ) -> None:
        """Raises: BadCheckpoint for a tokenizer without pairs, or without WordPiece where `cuts` are given."""
        self._tokenize = TextTokenizer(tokenizer, exact_match=exact_match, cuts=cuts)
        self._template = pair_template(tokenizer)
        self._compares = exact_match is not None
        self._match_types = exact_match_types
        self._ignored = np.asarray(sorted(ignored), dtype=np.int64)
        self._cls = tokenizer.cls_token_id
        self._cache: OrderedDict[str, Tokens] = OrderedDict()
        self._cached = 0  # tokens, each text counting one more
        self.pad_id = int(tokenizer.pad_token_id or 0)
        known = (tokenizer.mask_token_id, tokenizer.unk_token_id, self.pad_id)
        self.mask_id = int(next(index for index in known if index is not None))  # of a masked token
        self.truncated_questions = 0

    @property
    def token_types(self) -> int:
        """The number of token types that windows may have."""
        return TOKEN_TYPES if self._match_types else 1 + max(self._template.types)

    @property
    def tokenizer_key(self) -> str:
        """64 hexadecimal digits, equal for windowers that tokenize every text alike."""
        return self._tokenize.key

    @property
    def windows_key(self) -> tuple[str, bool, tuple[int, ...], str]:
        """Equal for windowers that make the same windows of every question and text, features of tokens included."""
        return self.tokenizer_key, self._match_types, tuple(self._ignored.tolist()), self._tokenize.features

    def passages(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, cached."""
        known = {text: self._cache[text] for text in texts if text in self._cache}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, self._tokenize(new), strict=True))
        for text, tokens in known.items():
            self._cache[text] = tokens
            self._cache.move_to_end(text)
        self._cached += sum(len(known[text].ids) + 1 for text in new)
        while self._cached > CACHED_TOKENS:
            self._cached -= len(self._cache.popitem(last=False)[1].ids) + 1
        return [known[text] for text in texts]

    def questions(self, texts: Sequence[str], *, max_seq_length: int) -> list[Tokens]:
        """Tokens of each question, truncated to half a window; truncation is logged."""
        room = max_seq_length // 2 - self._template.size
        tokens = self._tokenize(texts)
        long = sum(len(question.ids) > room for question in tokens)
        if long:
            self.truncated_questions += long
            log.warning(
                "%d of %d questions are longer than half a window: truncated to %d tokens", long, len(texts), room
            )
        return [question if len(question.ids) <= room else question.first(room) for question in tokens]

    def windows(self, question: Tokens, passage: Tokens, *, max_seq_length: int, doc_stride: int) -> list[Window]:
        """The windows of one passage in order, at least one; a passage without tokens has one that owns nothing."""
        room = max_seq_length - self._template.size - len(question.ids)
        spans = window_spans(len(passage.ids), room=room, shared=doc_stride)
        owned = owned_ranges(spans)
        near = levels(question.terms, passage.terms) if self._compares else None
        return [self._window(question, passage, near, span, own) for span, own in zip(spans, owned, strict=True)]

    def _window(
        self,
        question: Tokens,
        passage: Tokens,
        near: tuple[Ints, Ints] | None,
        span: tuple[int, int],
        own: tuple[int, int],
    ) -> Window:
        template, (token, end) = self._template, span
        piece = passage.ids[token:end]
        segments = (template.prefix, question.ids, template.middle, piece, template.suffix)
        ids = np.concatenate([np.asarray(segment, dtype=np.int64) for segment in segments])
        types = np.repeat(np.asarray(template.types, dtype=np.int64), [len(segment) for segment in segments])
        in_question = slice(len(template.prefix), len(template.prefix) + len(question.ids))
        first = in_question.stop + len(template.middle)
        read = slice(first, first + len(piece))
        match_levels, word_start = np.zeros_like(ids), np.zeros(len(ids), dtype=np.bool_)
        if near:
            match_levels[in_question], match_levels[read] = near[0], near[1][token:end]
        word_start[in_question], word_start[read] = question.word_start, passage.word_start[token:end]
        if self._match_types:
            types[in_question] += MATCH * self._shared(question.ids, piece)
            types[read] += MATCH * self._shared(piece, question.ids)
            wanted = np.setdiff1d(question.ids, self._ignored)
            types[read] += LEVEL * nearness(piece, wanted, reach=NEAR, steps=LEVELS)
        null = int(np.argmax(ids == self._cls)) if self._cls is not None else 0
        shift = first - token
        return Window(
            ids=ids,
            types=types,
            match_levels=match_levels,
            word_start=word_start,
            null=null,
            first=first,
            count=len(piece),
            token=token,
            question_range=(in_question.start, in_question.stop),
            own_start=own[0] + shift,
            own_end=own[1] + shift,
        )

    def _shared(self, ids: Ints, others: Ints) -> Bools:
        return np.isin(ids, others) & ~np.isin(ids, self._ignored)


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
    """For each window its owned tokens, half-open: neighbours divide the tokens that they share in the middle.

    A token in the later half of the shared ones is nearer to the end of the earlier window, so its owner is the window
    with more context on the shorter side; the middle itself goes to the later window.
    """
    cuts = [(after[0] + before[1]) // 2 for before, after in pairwise(spans)]
    starts = [spans[0][0], *cuts]
    ends = [*cuts, spans[-1][1]]
    return list(zip(starts, ends, strict=True))


def collate(windows: Sequence[Window], *, pad_id: int, limit: int | None = None) -> Batch:
    """The windows padded on the right to one length, a multiple of 8 or `limit`, which no window exceeds."""
    longest = -(-max(len(window.ids) for window in windows) // PAD_TO) * PAD_TO
    shape = (len(windows), longest if limit is None else min(longest, limit))
    ids = np.full(shape, pad_id, dtype=np.int64)
    types, attention, match_levels = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    starts, context, question, word_start = (np.zeros(shape, dtype=np.bool_) for _ in range(4))
    for row, window in enumerate(windows):
        length = len(window.ids)
        ids[row, :length], types[row, :length], attention[row, :length] = window.ids, window.types, 1
        match_levels[row, :length], word_start[row, :length] = window.match_levels, window.word_start
        starts[row, window.own_start : window.own_end] = True
        context[row, window.first : window.first + window.count] = True
        question[row, slice(*window.question_range)] = True
    null = np.array([window.null for window in windows], dtype=np.int64)
    return Batch(ids, types, attention, match_levels, starts, context, question, word_start, null)
