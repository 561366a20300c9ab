"""A chat completion as a reply, read without trust in its shape."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from labeler.labellers.llm.replies import Reply
from mrc.text import valid_text

LONGEST_REPLY: Final = 20_000  # characters that are looked at


def read_completion(found: Any, *, scrub: Callable[[str], str]) -> Reply | None:
    """The reply of a chat completion as the client gives it; None for what is none: a page in HTML, another object.

    `scrub`: takes out of a text what nobody may see.
    """
    choices: Any = getattr(found, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    content = _content(getattr(first, "message", None))
    if content is None:
        return None
    text = valid_text(scrub(content)[:LONGEST_REPLY]).replace("\0", "\ufffd")  # as every database takes it
    usage = getattr(found, "usage", None)
    counts = [_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")]
    return Reply(text, answer_probability(text, getattr(first, "logprobs", None)), *counts)


def error_in(found: Any) -> str | None:
    """The error that a server reports under the status of a success, in one line; None where it reports none."""
    error = getattr(found, "error", None)
    return said(error) if error and getattr(found, "choices", None) is None else None


def said(body: Any) -> str:
    """What the body of an error says, in one line."""
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return " ".join(str(body).split()) or "(it gives no reason)"


def _content(message: Any) -> str | None:
    """The text of a message, empty where the model says nothing; None for what is no message."""
    if not hasattr(message, "content"):
        return None
    content = message.content or getattr(message, "refusal", None) or ""
    if isinstance(content, list):  # parts, of which some servers make a text
        parts = [each.get("text") if isinstance(each, Mapping) else None for each in content]
        return "".join(part for part in parts if isinstance(part, str)) if any(parts) else None
    return content if isinstance(content, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def answer_probability(content: str, logprobs: Any) -> float | None:
    """The probability of the tokens of the reply's answer, 0-1; None where the server gives no log-probabilities."""
    tokens = getattr(logprobs, "content", None)
    if not tokens or not isinstance(tokens, list):
        return None
    first, last = _place_of_answer(content)
    total, at = 0.0, 0
    for each in tokens:
        token, value = str(getattr(each, "token", "")), getattr(each, "logprob", None)
        if not isinstance(value, int | float) or math.isnan(value):
            return None
        if at < last and at + len(token) > first:
            total += float(value)
        at += len(token)
    return min(1.0, math.exp(min(0.0, total)))


def _place_of_answer(content: str) -> tuple[int, int]:
    """Where the value of "answer" stands in a reply; the whole reply where it is not found."""
    at = content.rfind('"answer"')
    start = content.find('"', content.find(":", at) + 1) if at >= 0 else -1
    if start < 0:
        return 0, len(content)
    try:
        value, length = json.JSONDecoder().raw_decode(content[start:])
    except ValueError:
        return 0, len(content)
    return (start, start + length) if isinstance(value, str) else (0, len(content))
