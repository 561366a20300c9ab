"""Gold answers that a reader cannot give, because they have more tokens than its settings allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mrc.read.config import ReadConfig, longest_answer
from mrc.read.data.tokens import answer_span
from mrc.read.data.windows import Windower
from mrc.read.predict.groups import batched

CHUNK = 512  # passages tokenized together


@dataclass(frozen=True, slots=True)
class GoldSpans:
    """A question's gold spans in one passage: code points, end exclusive."""

    question_id: str
    passage: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """Questions none of whose golds a reader can give, by id.

    `max_answer_length` is the setting that reaches all those of `ids`; the golds of `beyond` are longer than any window
    of the model allows, which is `longest` tokens.
    """

    questions: int
    max_answer_length: int
    ids: tuple[str, ...]
    beyond: tuple[str, ...]
    longest: int


def out_of_reach(
    golds: Iterable[GoldSpans], windower: Windower, config: ReadConfig, *, positions: int
) -> OutOfReach | None:
    """The questions whose shortest gold is longer than `max_answer_length` tokens; None where there are none.

    A window that owns the start of a span of at most that length always shows its end, so nothing else is out of reach.
    """
    limit, longest = config.max_answer_length, longest_answer(positions)
    needed: dict[str, int] = {}
    for chunk in batched((each for each in golds if _may_be_long(each, limit)), CHUNK):
        for gold, length in zip(chunk, _lengths(chunk, windower), strict=True):
            if length > limit:
                needed[gold.question_id] = length
    if not needed:
        return None
    within = [length for length in needed.values() if length <= longest]
    return OutOfReach(
        questions=len(needed),
        max_answer_length=max(within, default=limit),
        ids=tuple(key for key, length in needed.items() if length <= longest),
        beyond=tuple(key for key, length in needed.items() if length > longest),
        longest=longest,
    )


def _may_be_long(gold: GoldSpans, limit: int) -> bool:
    """Whether the golds have more bytes than tokens are allowed: hardly a token has less than a byte."""
    return (
        bool(gold.spans)
        and min(len(gold.passage[start:end].encode("utf-8", "replace")) for start, end in gold.spans) > limit
    )


def _lengths(chunk: Sequence[GoldSpans], windower: Windower) -> list[int]:
    """The tokens of the shortest gold of each question; 0 where no token touches any."""
    found = []
    for gold, tokens in zip(chunk, windower.passages([gold.passage for gold in chunk]), strict=True):
        spans = (answer_span(gold.passage, tokens, start, end) for start, end in gold.spans)
        found.append(min((last - first + 1 for first, last in filter(None, spans)), default=0))
    return found
