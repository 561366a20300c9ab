"""Replies of a language model as answers: parsed strictly, anchored in the passages shown, counted as votes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from db.rows import LabellerAnswer, NewLabellerPrediction
from labeler.core.files import text_fault
from labeler.labellers.llm.quotes import place_answer
from mrc.metrics import Metric, normalize_answer
from mrc.text.anchoring import short
from mrc.types import Passage, Span

KEPT: Final = 500  # characters of a reply that is no answer, kept for people to see
_SPACE: Final = " \t\r\n\ufeff"  # around a reply, with a byte order mark
_THOUGHT_END: Final = "</think>"  # its beginning may stand in the prompt
_BLOCK: Final = re.compile(r"(```|~~~)[ \t]*(?:json)?\s*(.*?)\s*\1", re.DOTALL | re.IGNORECASE)

#: JSON schema of a reply, for servers that hold to one
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "passage": {"type": "integer"},
        "quote": {"type": "string"},
        "answer": {"type": "string"},
    },
    "required": ["passage", "quote", "answer"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model replied to one request."""

    content: str
    probability: float | None = None  # of the answer's tokens, where the server gives it
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class _Vote:
    """A reply as a vote: a span, an abstention (no text), or a text with the reason why it is no answer."""

    span: Span | None = None
    text: str = ""
    fault: str | None = None
    probability: float | None = None


def prediction_of(
    question_id: str, replies: Sequence[Reply], passages: Sequence[Passage], *, metric: Metric
) -> NewLabellerPrediction:
    """The answers that a model's replies to one question give, by votes; of one reply with its own probability.

    The score of an answer is the share of all replies that give it; equal answers after normalisation are one. A reply
    that is no answer votes for nothing. Most votes come first, then the earlier reply.
    """
    if not replies:  # no passage was found, so nothing was asked
        return NewLabellerPrediction(question_id, (), abstains=True)
    votes = [_vote(each, passages) for each in replies]
    groups: dict[str, list[_Vote]] = {}
    for vote in votes:
        if vote.fault is None:
            groups.setdefault(_key(vote, metric), []).append(vote)
    ranked = sorted(groups.values(), key=lambda members: -len(members))
    answers = [_answer(members, len(votes)) for members in ranked if members[0].span is not None]
    null = next((members for members in ranked if members[0].span is None), None)
    if not groups:
        faulty = votes[0]
        return NewLabellerPrediction(question_id, (LabellerAnswer(faulty.text or "(no text)", fault=faulty.fault),))
    abstains = ranked[0][0].span is None
    return NewLabellerPrediction(question_id, tuple(answers), abstains, _share(null, len(votes)) if null else None)


def _key(vote: _Vote, metric: Metric) -> str:
    if vote.span is None:
        return ""
    return normalize_answer(vote.span.text, metric) or vote.span.text


def _answer(members: Sequence[_Vote], count: int) -> LabellerAnswer:
    span = members[0].span
    assert span is not None, "an abstention is no answer"
    return LabellerAnswer(span.text, span.passage_id, span.start, span.end, _share(members, count))


def _share(members: Sequence[_Vote], count: int) -> float | None:
    """The share of the votes; of a single reply its own probability, None where the server gives none."""
    return len(members) / count if count > 1 else members[0].probability


def _vote(reply: Reply, passages: Sequence[Passage]) -> _Vote:
    found = parse_reply(reply.content)
    if isinstance(found, str):
        return _Vote(text=_storable(reply.content), fault=found)
    number, quote, answer = found
    if number == 0 and not answer.strip():
        return _Vote(probability=reply.probability)
    if not 0 <= number <= len(passages):
        return _Vote(text=_storable(answer), fault=f"it names passage {number}, and {len(passages)} were shown")
    place = place_answer(answer, quote, number, passages)
    if isinstance(place, str):
        return _Vote(text=_storable(answer), fault=place)
    return _Vote(place, place.text, probability=reply.probability)


def parse_reply(content: str) -> tuple[int, str, str] | str:
    """Passage number, quote and answer of a reply, or why it is none: one JSON object with these fields and no more.

    Thoughts before it and a code block around it are allowed, other text is not.
    """
    bare = _without_thoughts(content)
    block = _BLOCK.fullmatch(bare)
    try:
        value = json.loads(block[2] if block else bare)
    except (ValueError, RecursionError):
        return f"the reply is no JSON object: {short(' '.join(bare.split()))}"
    if not isinstance(value, dict):
        return f"the reply is no JSON object: {short(' '.join(bare.split()))}"
    number, quote, answer = (value.get(name) for name in ("passage", "quote", "answer"))
    if isinstance(number, bool) or not isinstance(number, int):
        return "the reply names no passage by its number"
    if not isinstance(quote, str) or not isinstance(answer, str):
        return "the reply lacks a quote or an answer that is text"
    return number, quote, answer


def _without_thoughts(content: str) -> str:
    """The reply behind the thoughts with which it may begin; thoughts within JSON or a code block are text."""
    bare = content.strip(_SPACE)
    while not bare.startswith(("{", "```", "~~~")) and _THOUGHT_END in bare:
        bare = bare.partition(_THOUGHT_END)[2].strip(_SPACE)
    return bare


def _storable(text: str) -> str:
    """The text as it can be stored: short, and without characters that no database takes."""
    cut = text.strip()[:KEPT]
    return cut if text_fault(cut) is None else cut.encode("utf-8", "replace").decode().replace("\x00", "")
