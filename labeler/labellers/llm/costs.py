"""What requests take: tokens estimated before they are sent, counted as the server counts them, and a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from labeler.labellers.llm.options import Prices
from labeler.labellers.llm.prompts import Message
from labeler.labellers.llm.replies import Reply

ASCII_PER_TOKEN: Final = 4  # characters of English text
PER_MESSAGE: Final = 8  # tokens that a chat template adds
MARGIN: Final = 1.2  # on the measured tokens per byte, for what is reserved of the budget
MEASURED: Final = 5  # replies from which the measured ratio is used


def estimated_tokens(messages: Sequence[Message]) -> int:
    """The likely number of tokens: four characters of ASCII make one, every other character is one."""
    text = "".join(each["content"] for each in messages)
    plain = sum(character < "\x80" for character in text)
    return math.ceil(plain / ASCII_PER_TOKEN) + len(text) - plain + PER_MESSAGE * len(messages)


def _bytes(messages: Sequence[Message]) -> int:
    """No tokenizer makes more tokens of a prompt than it has bytes."""
    return sum(len(each["content"].encode("utf-8", "replace")) for each in messages) + PER_MESSAGE * len(messages)


class Budget:
    """What was spent, what requests that are under way may still cost, and whether another one fits.

    Nothing is sent that could lead over the limit: a request reserves its answer at full length, and its prompt at one
    token a byte, or once some replies were counted at the measured tokens a byte with a margin.
    """

    def __init__(self, prices: Prices, limit: float | None, *, max_tokens: int) -> None:
        self._prices, self._limit, self._max_tokens = prices, limit, max_tokens
        self.spent = 0.0
        self._reserved = 0.0
        self._seen = self._tokens = self._size = 0

    def reserve(self, messages: Sequence[Message], requests: int) -> float | None:
        """The amount reserved for so many requests; None where they do not fit."""
        wanted = (self._prices.cost(self._prompt_bound(messages), self._max_tokens) or 0.0) * requests
        if self._limit is not None and self.spent + self._reserved + wanted > self._limit:
            return None
        self._reserved += wanted
        return wanted

    def settle(self, reserved: float, messages: Sequence[Message], replies: Sequence[Reply]) -> None:
        """Replace what was reserved by what the replies cost."""
        self._reserved = max(0.0, self._reserved - reserved)
        for reply in replies:
            self.spent += self.cost(messages, reply) or 0.0
            if reply.prompt_tokens is not None:
                self._seen += 1
                self._tokens += reply.prompt_tokens
                self._size += _bytes(messages)

    def cost(self, messages: Sequence[Message], reply: Reply) -> float | None:
        """The price of a reply; tokens that the server did not count are estimated."""
        prompt = reply.prompt_tokens if reply.prompt_tokens is not None else estimated_tokens(messages)
        said = [{"role": "assistant", "content": reply.content}]
        completion = reply.completion_tokens if reply.completion_tokens is not None else estimated_tokens(said)
        return self._prices.cost(prompt, completion)

    def _prompt_bound(self, messages: Sequence[Message]) -> int:
        size = _bytes(messages)
        if self._seen < MEASURED:
            return size
        return min(size, math.ceil(MARGIN * size * self._tokens / self._size))
