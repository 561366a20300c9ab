"""The real client with faults at chosen calls: before the request is made, or after it, when the answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from labeler.core.errors import ServerDown
from labeler.review.studio.api.client import Client

LOST = "the test's connection broke off"


def lost() -> ServerDown:
    """No answer came: the request may have been carried out."""
    return ServerDown(LOST, unsure=True)


def refused() -> ServerDown:
    """The request did not reach the server."""
    return ServerDown(LOST, unsure=False)


def scripted(client: Client, **faults: Sequence[str | None]) -> Client:
    """The client, of which the calls of a method meet these faults one after another: "before" (refused), "lost"
    (not carried out, without an answer), "after" (carried out, the answer is lost), "killed" (after it we are gone)."""
    return cast("Client", _Scripted(client, {name: list(each) for name, each in faults.items()}))


class _Scripted:
    def __init__(self, client: Client, faults: Mapping[str, list[str | None]]) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        waiting = self._faults.get(name)
        return _meeting(method, waiting) if waiting else method


def _meeting(method: Callable[..., Any], waiting: list[str | None]) -> Callable[..., Any]:
    def call(*args: Any, **keywords: Any) -> Any:
        fault = waiting.pop(0) if waiting else None
        if fault == "before":
            raise refused()
        if fault == "lost":
            raise lost()
        result = method(*args, **keywords)
        if fault == "after":
            raise lost()
        if fault == "killed":
            raise KeyboardInterrupt
        return result

    return call
