"""Requests to a server with an OpenAI-compatible API: one chat completion at a time, and what its errors mean.

The key comes from the environment. It is sent to the named host alone, and stands in no message, reply or log.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from labeler.core.errors import ConfigError, EndpointError
from labeler.labellers.llm.prompts import Message
from labeler.labellers.llm.replies import SCHEMA, Reply
from mrc.errors import MissingExtra

if TYPE_CHECKING:
    import openai

log = logging.getLogger("labeler.labellers")

KEY_VARIABLE: Final = "OPENAI_API_KEY"
NO_KEY: Final = "no-key"  # servers without keys ignore it
LONGEST_REPLY: Final = 20_000  # characters that are looked at
HIDDEN: Final = "***"
#: parts of a request that servers may not know, and what an error message calls them
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "response_format": ("response_format", "json_schema", "structured", "guided"),
    "logprobs": ("logprobs",),
    "seed": ("seed",),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens",),
}


class Transient(EndpointError):
    """A request that failed and may succeed later: the server is down, slow, overloaded or limits the rate."""


class Refused(EndpointError):
    """A request that the server takes in no form, such as one that its content filter stops; it may take others."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and the key to it, which is never shown."""

    url: str
    key: str = field(repr=False)


def find_endpoint(url: str, environ: Mapping[str, str]) -> Endpoint:
    """The endpoint of an address, with the key of the environment. Raises ConfigError, which holds no key."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("--endpoint is no URL; write it like http://127.0.0.1:8000/v1") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"--endpoint: leave out user, password, ? and #; the key goes into {KEY_VARIABLE}")
    if parts.scheme not in ("http", "https") or not host or any(map(str.isspace, url)):
        raise ConfigError("--endpoint is no address of a server; write it like http://127.0.0.1:8000/v1")
    key = environ.get(KEY_VARIABLE, "").strip() or NO_KEY
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{KEY_VARIABLE}: not a key (it has characters that no key has); copy it again")
    if parts.scheme == "http" and key != NO_KEY and not _is_here(host):
        log.warning("%s: http sends the key and all texts unencrypted to another machine; use https", host)
    return Endpoint(url.rstrip("/"), key)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Client:
    """A client of an endpoint, for several threads. It leaves out what the server turns out not to know."""

    def __init__(self, endpoint: Endpoint, *, timeout: float, retries: int) -> None:
        if importlib.util.find_spec("openai") is None:
            raise MissingExtra("annotate needs the openai package; install it with: pip install 'labeler[llm]'")
        import openai

        self._endpoint = endpoint
        http = openai.DefaultHttpxClient(follow_redirects=False)  # a key never goes to another host
        self._client = openai.OpenAI(
            base_url=endpoint.url, api_key=endpoint.key, timeout=timeout, max_retries=retries, http_client=http
        )
        self._without: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ask(self, model: str, messages: Sequence[Message], *, temperature: float, seed: int, max_tokens: int) -> Reply:
        """The reply to one request. Raises Transient, Refused, EndpointError."""
        wanted: dict[str, Any] = {
            "temperature": temperature,
            "seed": seed,
            "max_tokens": max_tokens,
            "logprobs": True,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        }
        left_out = self._without
        while True:
            given = {name: value for name, value in wanted.items() if name not in left_out}
            if "max_tokens" in left_out:
                given["max_completion_tokens"] = max_tokens
            try:
                found = self._reply(model, messages, given)
            except _Unknown as unknown:
                if not unknown.names - left_out:
                    raise Refused(str(unknown)) from None
                left_out = left_out | unknown.names
                continue
            with self._lock:  # it answers without these: they are left out from now on
                self._without = self._without | left_out
            return found

    def _reply(self, model: str, messages: Sequence[Message], given: Mapping[str, Any]) -> Reply:
        import openai

        put: Any = list(messages)
        try:
            found = self._client.chat.completions.create(model=model, messages=put, **given)
        except openai.APITimeoutError:
            raise Transient(f"{self._named} did not answer in time; try a longer --timeout") from None
        except openai.APIConnectionError as error:
            raise Transient(f"{self._named} cannot be reached: {self._scrubbed(_cause(error))}") from None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except (ValueError, openai.OpenAIError) as error:
            raise EndpointError(f"{self._named} answers with broken JSON ({type(error).__name__})") from None
        return self._read(found)

    def _read(self, found: Any) -> Reply:
        """Raises EndpointError for what is no chat completion: a page in HTML, another object."""
        choices: Any = getattr(found, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if message is None:
            raise EndpointError(
                f"{self._named} answers with something else than a chat completion; does the address end in /v1?"
            )
        content = getattr(message, "content", None) or getattr(message, "refusal", None) or ""
        text = self._scrubbed(str(content))[:LONGEST_REPLY]
        usage = getattr(found, "usage", None)
        counts = [_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")]
        return Reply(text, answer_probability(text, getattr(choices[0], "logprobs", None)), *counts)

    def _status_error(self, error: openai.APIStatusError) -> EndpointError:
        status, said = error.status_code, self._scrubbed(_said(error))
        if 300 <= status < 400:
            host = urlsplit(error.response.headers.get("location", "")).hostname or "elsewhere"
            return EndpointError(
                f"{self._named} redirects to {host}, where the key is not sent; name the right address as --endpoint"
            )
        if status in (400, 422):
            named = {name for name, words in OPTIONAL.items() if any(word in said.lower() for word in words)}
            names = frozenset(named or OPTIONAL.keys() - {"max_tokens"})
            return _Unknown(f"{self._named} refuses the request: {said}", names)
        if status in (401, 403):
            return EndpointError(f"{self._named} does not accept the key in {KEY_VARIABLE} ({status})")
        if status == 404:
            return EndpointError(f"{self._named} knows no such model or path: {said}")
        if status == 429:
            return Transient(f"{self._named} limits the rate: {said}; try a lower --concurrency")
        if status >= 500 or status in (408, 409):
            return Transient(f"{self._named} fails with status {status}: {said}")
        return EndpointError(f"{self._named} answers with status {status}: {said}")

    @property
    def _named(self) -> str:
        return str(urlsplit(self._endpoint.url).netloc)

    def _scrubbed(self, text: str) -> str:
        """The text without the key, whoever put it there."""
        return text if self._endpoint.key == NO_KEY else text.replace(self._endpoint.key, HIDDEN)


class _Unknown(EndpointError):
    """The server refuses a request, it may be for parts that it does not know."""

    def __init__(self, message: str, names: frozenset[str]) -> None:
        super().__init__(message)
        self.names = names


def _said(error: openai.APIStatusError) -> str:
    """What the server says, in one short line."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return " ".join(str(body if body is not None else error.message).split())[:200]


def _cause(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def answer_probability(content: str, logprobs: Any) -> float | None:
    """The probability of the tokens of the reply's answer, 0-1; None where the server gives no log-probabilities."""
    tokens = getattr(logprobs, "content", None)
    if not tokens:
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
