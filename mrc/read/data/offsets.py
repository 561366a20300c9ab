"""Offsets of tokens, proved instead of trusted.

When a tokenizer is loaded, the letters of its tokens are compared with the texts at their offsets. On each text the
offsets are put in order, widened to whole graphemes, and completed where the tokenizer dropped characters.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mrc.errors import BadCheckpoint
from mrc.text.graphemes import blank, code_points, grapheme_edges, joining, outward, white_space

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Encoded = tuple[Ints, Ints]  # ids (N,) and offsets (N, 2) of a text

PROBES: Final = (  # Latin letters among characters of other scripts, marks and widths: all of them may shift offsets
    'The harbour (Velmora) was founded by Oda Brin in 1213; "rebuilt" in 1377, the mayor-elect said: it\'s 3.5 km.',
    "한빛 학당(Hanbit)은 1921년에 문을 열었다. 가람 선생이 Seoul에서 세웠다.",
    "\u1112\u1161\u11ab\u1107\u1175\u11be \u1112\u1161\u11a8\u1103\u1161\u11bc Hanbit",
    "Cafe\u0301 Mu\u0308nchen, Çelik İzmir ﬁrst Straße",
    "東京タワー Tokyo は333ｍです。ﾃﾚﾋﾞ Ｔｖ 上海 Shanghai",
    "Москва Moscow القاهرة Cairo दिल्ली Delhi กรุงเทพ Bangkok",
    "😀 Brin 👩\u200d🚀 and 🇰🇷 Oda\r\nTarn\u200b mill\u00a0stone\tend",
)
MARKERS: Final = ("Ġ", "▁")  # tokens of a space that stands before a word, or that a tokenizer adds there
_LETTERS: Final = re.compile("[a-z]+")
_BYTE: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_REPLACEMENT: Final = 0xFFFD  # tokenizers drop it together with controls; lone surrogates are read as this character
_SURROGATES: Final = 0xD800 >> 11


def proven_tokenizer(tokenizer: Any, encode: Callable[[Any, Sequence[str]], Any]) -> Any:
    """The tokenizer, or one with equal tokens and right offsets.

    A tokenizer that adds a space before each word and then trims spaces off the offsets cuts a letter of each word:
    its offsets are taken without trimming.

    Raises: BadCheckpoint where the offsets of the probes are wrong and this does not help.
    """
    fault = _fault(tokenizer, encode(tokenizer, PROBES))
    if not fault:
        return tokenizer
    untrimmed = _untrimmed(tokenizer)
    if untrimmed is not None and not _fault(untrimmed, encode(untrimmed, PROBES)):
        return untrimmed
    raise BadCheckpoint(
        f"the tokenizer gives wrong offsets, so answers would be cut wrongly ({fault}); choose another checkpoint"
    )


def _fault(tokenizer: Any, encoded: Any) -> str:
    """What is wrong with the offsets of the probes; empty if nothing is."""
    special = set(tokenizer.all_special_ids)
    for text, ids, places in zip(PROBES, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        before = 0
        for token, id_, (start, end) in zip(tokenizer.convert_ids_to_tokens(ids), ids, places, strict=True):
            if not before <= start <= end <= len(text):
                return f"the token {token} is said to be at {start}-{end} of {len(text)} characters, behind {before}"
            before = start
            if id_ not in special and not _is_at(token, text[start:end]):
                return f"the token {token} is said to be {text[start:end]!r}"
    return ""


def _is_at(token: str, text: str) -> bool:
    """Whether the Latin letters of a token are those of the text at its offsets; True for a token without any.

    Of a text such as ﬁ a token may be a part.
    """
    token = token.lstrip("".join(MARKERS)).removesuffix("</w>")
    if not token.isascii() or _BYTE.fullmatch(token):
        return True
    own, given = _letters(token), _letters(text)
    return own == given if text.isascii() and token else own in given


def _letters(text: str) -> str:
    """The ASCII letters of a text without accents, lower case."""
    return "".join(_LETTERS.findall(unicodedata.normalize("NFKD", text).casefold()))


def _untrimmed(tokenizer: Any) -> Any | None:
    """The tokenizer with offsets that include spaces; None if they do already."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    processor = json.dumps(state["post_processor"])
    if '"trim_offsets": true' not in processor:
        return None
    state["post_processor"] = json.loads(processor.replace('"trim_offsets": true', '"trim_offsets": false'))
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        **{name: getattr(tokenizer, name) for name in ("unk_token", "pad_token") if getattr(tokenizer, name)},
    )


class Mender:
    """Mends the offsets of texts for one tokenizer; `stretch`: invisible characters may join the token beside them."""

    def __init__(self, tokenizer: Any, *, stretch: bool = True) -> None:
        self._stretch = stretch
        known = (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id)
        self._unknown = next((index for index in known if index is not None), None)
        markers = [tokenizer.convert_tokens_to_ids(marker) for marker in MARKERS]
        self._markers = np.array([key for key in markers if key not in (None, self._unknown)], dtype=np.int64)

    def __call__(self, texts: Sequence[str], encoded: Sequence[Encoded]) -> list[Encoded]:
        """The ids and offsets of each text, in order and without holes.

        No token starts or ends inside a grapheme; of tokens that share a grapheme all have it, but one that goes on
        behind it starts there. A token of unknown text is inserted where the tokenizer dropped characters that can be
        seen; dropped ones that cannot, such as U+200B, belong to the token that they follow.

        Raises: BadCheckpoint for offsets outside of a text.
        """
        for text, (_, offsets) in zip(texts, encoded, strict=True):
            if len(offsets) and not 0 <= offsets.min() <= offsets.max() <= len(text):
                raise BadCheckpoint(f"the tokenizer gives offsets outside of {text[:40]!r}; choose another checkpoint")
        found = list(encoded)
        for row in _doubtful(texts, encoded):
            found[row] = self._mended(texts[row], *encoded[row])
        return found

    def _mended(self, text: str, ids: Ints, offsets: Ints) -> Encoded:
        codes, edges = code_points(text), grapheme_edges(text)
        empty = blank(codes) | (codes == _REPLACEMENT) | (codes >> 11 == _SURROGATES)
        starts, ends = offsets[:, 0], offsets[:, 1]
        if edges is not None:
            starts, ends = outward(edges, starts, ends)
        if np.any(starts[1:] < ends[:-1]):
            starts, ends = self._in_order(ids, starts, ends, empty)
        open_ = _uncovered(starts, ends, len(text))
        if np.any(open_ & ~empty):
            ids, starts, ends = self._filled(text, ids, starts, ends, open_ & ~empty)
            open_ = _uncovered(starts, ends, len(text))
        if self._stretch and np.any(open_ & empty):
            starts, ends = _stretched(text, starts, ends, open_)
        return ids, np.stack([starts, ends], axis=1)

    def _in_order(self, ids: Ints, starts: Ints, ends: Ints, empty: Bools) -> tuple[Ints, Ints]:
        """Offsets of which neither side falls and that share nothing but whole graphemes."""
        if len(self._markers):  # a space that was added before a word has the place of its first character
            at = np.minimum(starts, len(empty) - 1)
            ends = np.where(np.isin(ids, self._markers) & ~empty[at], starts, ends)
        reached = np.maximum.accumulate(np.append(0, ends[:-1]))
        starts = np.where(ends > reached, np.maximum(starts, reached), starts)
        starts = np.maximum.accumulate(starts)
        return starts, np.maximum(starts, ends)

    def _filled(self, text: str, ids: Ints, starts: Ints, ends: Ints, open_: Bools) -> tuple[Ints, Ints, Ints]:
        """Tokens with one of unknown text for each run of open characters, or stretched over it without such a one."""
        runs = np.array(_runs(open_), dtype=np.int64).reshape(-1, 2)
        if self._unknown is None:
            return ids, *_stretched(text, starts, ends, open_)
        at = np.searchsorted(starts, runs[:, 0])
        inserted = (
            np.insert(own, at, new) for own, new in ((ids, self._unknown), (starts, runs[:, 0]), (ends, runs[:, 1]))
        )
        ids, starts, ends = inserted
        return ids, starts, ends


def _doubtful(texts: Sequence[str], encoded: Sequence[Encoded]) -> list[int]:
    """The numbers of the texts whose offsets need a look: they have graphemes of several characters, or tokens that
    share characters but not all, or leave some out. All texts are checked together, as one."""
    sizes = np.array([len(text) + 1 for text in texts])
    first = np.cumsum(sizes) - sizes
    codes = code_points("\n".join([*texts, ""]))
    tokens = [len(ids) for ids, _ in encoded]
    offsets = np.concatenate([offsets for _, offsets in encoded]) + np.repeat(first, tokens)[:, None]
    shared = offsets[1:, 0] < offsets[:-1, 1]
    shared &= np.any(offsets[1:] != offsets[:-1], axis=1)
    faults = [
        np.flatnonzero(joining(codes)),
        offsets[1:, 0][shared],
        np.flatnonzero(_uncovered(offsets[:, 0], offsets[:, 1], len(codes)) & ~white_space(codes)),
    ]
    rows = np.searchsorted(first, np.concatenate(faults), side="right") - 1
    return [int(row) for row in np.unique(rows)]


def _uncovered(starts: Ints, ends: Ints, length: int) -> Bools:
    """(N,) which characters of a text no token has."""
    change = np.bincount(starts, minlength=length + 1) - np.bincount(ends, minlength=length + 1)
    return np.asarray(np.cumsum(change)[:length] <= 0)


def _runs(marked: Bools) -> list[tuple[int, int]]:
    """The half-open ranges of marked characters."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _stretched(text: str, starts: Ints, ends: Ints, open_: Bools) -> tuple[Ints, Ints]:
    """Offsets stretched over open characters, other than white space, behind a token, or before the text's first."""
    starts, ends = starts.copy(), ends.copy()
    solid = np.array([not character.isspace() for character in text])
    for first, last in _runs(open_ & solid):
        if first and not open_[first - 1]:
            ends[(ends == first) & (starts < first)] = last
        elif not first and last < len(text) and not open_[last]:
            starts[starts == last] = first
    return starts, np.maximum(starts, ends)
