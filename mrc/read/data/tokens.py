"""Tokens of texts with their offsets, and the special tokens around a pair of texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from mrc.encoder.loading import NO_SURROGATES
from mrc.errors import BadCheckpoint
from mrc.read.data.exact_match import ExactMatch
from mrc.read.data.morphemes import check_wordpiece
from mrc.read.data.offsets import Mender, proven_tokenizer

LONGEST_TEMPLATE: Final = 64  # tokens of a pair of texts of one letter each
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Cuts = Callable[[Sequence[str]], list[Ints]]  # for each text the sorted offsets that no token crosses


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text without special tokens: `ids` (N,), `offsets` (N, 2) code points, end exclusive.

    `word_start` (N,) marks tokens that do not continue the word before them; `terms` (N,) are those of
    mrc.read.data.exact_match, zeros without exact-match features.
    """

    ids: Ints
    offsets: Ints
    word_start: Bools
    terms: Ints

    def first(self, count: int) -> Self:
        """The first tokens."""
        return type(self)(*(getattr(self, field.name)[:count] for field in fields(self)))


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


class TextTokenizer:
    """A checkpoint's tokenizer, with proven offsets, cuts that no token crosses and terms for exact-match features."""

    def __init__(self, tokenizer: Any, *, exact_match: ExactMatch | None = None, cuts: Cuts | None = None) -> None:
        """Raises: BadCheckpoint for a tokenizer with wrong offsets, or one that cannot split words where `cuts` are
        given."""
        if cuts is not None:
            check_wordpiece(tokenizer)
        self._tokenizer = proven_tokenizer(tokenizer, _encode)
        self._mend = Mender(self._tokenizer, stretch=cuts is None)  # a stretched token might cross a cut
        self._exact_match, self._cuts = exact_match, cuts

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text; a lone surrogate, which UTF-8 cannot encode, is read as U+FFFD."""
        if not texts:
            return []
        given, texts = texts, [text if text.isascii() else text.translate(NO_SURROGATES) for text in texts]
        encoded = self._between(texts, self._cuts(texts)) if self._cuts else self._whole(texts)
        encoded = self._mend(given, encoded)
        offsets = [places for _, places in encoded]
        terms = (
            self._exact_match.terms(texts, offsets) if self._exact_match else [np.zeros_like(ids) for ids, _ in encoded]
        )
        return [
            Tokens(ids, places, word_starts(text, places), numbers)
            for text, (ids, places), numbers in zip(texts, encoded, terms, strict=True)
        ]

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits, equal for tokenizers that give the same tokens for every text."""
        state = json.loads(self._tokenizer.backend_tokenizer.to_str())
        kept = {name: value for name, value in state.items() if name not in ("truncation", "padding")}
        return hashlib.sha256(json.dumps([kept, self._cuts is not None], sort_keys=True).encode()).hexdigest()

    @property
    def features(self) -> str:
        """The kind of exact-match features, or "none"."""
        return self._exact_match.kind if self._exact_match else "none"

    def _whole(self, texts: Sequence[str]) -> list[tuple[Ints, Ints]]:
        encoded = _encode(self._tokenizer, texts)
        return [
            (_array(ids), _array(offsets).reshape(-1, 2))
            for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]

    def _between(self, texts: Sequence[str], cuts: Sequence[Ints]) -> list[tuple[Ints, Ints]]:
        """Ids and offsets; each piece of a text between two cuts is tokenized separately."""
        edges = [[0, *places.tolist(), len(text)] for text, places in zip(texts, cuts, strict=True)]
        pieces = [[text[start:end] for start, end in pairwise(at)] for text, at in zip(texts, edges, strict=True)]
        encoded = _encode(self._tokenizer, pieces, is_split_into_words=True)
        found = []
        for row, at in enumerate(edges):
            piece = _array(encoded.word_ids(row))  # of each token the number of its piece
            offsets = _array(encoded["offset_mapping"][row]).reshape(-1, 2)
            found.append((_array(encoded["input_ids"][row]), offsets + _array(at)[piece][:, None]))
        return found


def _encode(tokenizer: Any, texts: Sequence[Any], **options: Any) -> Any:
    return tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False, **options
    )


def _array(values: Sequence[Any]) -> Ints:
    return np.asarray(values, dtype=np.int64)


def word_starts(text: str, offsets: Ints) -> Bools:
    """(N,) whether a token starts a word: a gap or a character other than a letter or digit separates it."""
    starts = np.ones(len(offsets), dtype=np.bool_)
    ends_before = offsets[:-1, 1].tolist()
    for number, (before, start) in enumerate(zip(ends_before, offsets[1:, 0].tolist(), strict=True), start=1):
        starts[number] = before != start or not (text[start : start + 1] + text[before - 1 : before]).isalnum()
    return starts


def token_span(tokens: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """First and last token (inclusive) that touch the characters [start, end); None where no token does."""
    touching = np.flatnonzero((tokens.offsets[:, 0] < end) & (tokens.offsets[:, 1] > start))
    if touching.size == 0:
        return None
    return int(touching[0]), int(touching[-1])


def answer_span(text: str, tokens: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """The `token_span` of an answer without white space at its ends: a token may begin with the space before a word."""
    answer = text[start:end]
    return token_span(tokens, end - len(answer.lstrip()), start + len(answer.rstrip()))


def pair_template(tokenizer: Any) -> Template:
    """The special tokens that a tokenizer puts around a pair of texts, taken from an encoded pair.

    Raises: BadCheckpoint if it cannot encode a pair of texts.
    """
    encoded = tokenizer("a", "a", return_token_type_ids=True, verbose=False)
    sides = encoded.sequence_ids(0)
    ids = encoded["input_ids"]
    types = encoded["token_type_ids"]
    if 0 not in sides or 1 not in sides:
        raise BadCheckpoint("the tokenizer does not encode a pair of texts; choose a model made for text pairs")
    if len(ids) > LONGEST_TEMPLATE:
        raise BadCheckpoint(
            f"the tokenizer puts {len(ids):,} tokens around two texts of one letter; choose another model"
        )
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
