"""Requests to a server with an OpenAI-compatible API: one chat completion at a time, and what its errors mean.

The key comes from the environment. It is sent to the named host alone, and stands in no message, reply or log.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from labeler.core.errors import AnswerTooLarge, ConfigError, EndpointError
from labeler.labellers.llm.completions import error_in, read_completion, said
from labeler.labellers.llm.prompts import Message
from labeler.labellers.llm.replies import SCHEMA, Reply
from mrc.errors import MissingExtra

if TYPE_CHECKING:
    import openai

    from labeler.core.web.bounded import BoundedClient

log = logging.getLogger("labeler.labellers")

KEY_VARIABLE: Final = "OPENAI_API_KEY"
NO_KEY: Final = "no-key"  # servers without keys ignore it
HIDDEN: Final = "***"
SHORTEST_SECRET: Final = 8  # characters; shorter keys are words for servers without keys, and stand in answers
LONGEST_LINE: Final = 200  # characters of what a server says
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
        http: Any = _http_client(endpoint.url, timeout)  # openai takes clients of httpx and of httpx2, and names one
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
            raise self._connection_error(error) from None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except UnicodeError:  # of the host's name
            raise EndpointError(f"{self._named} is no name that a server can have; correct --endpoint") from None
        except (ValueError, openai.OpenAIError) as error:
            raise EndpointError(f"{self._named} answers with broken JSON ({type(error).__name__})") from None
        return self._read(found)

    def _read(self, found: Any) -> Reply:
        """Raises EndpointError for what is no chat completion."""
        error = error_in(found)
        if error is not None:
            raise Transient(f"{self._named} answers with an error: {self._line(error)}")
        reply = read_completion(found, scrub=self._scrubbed)
        if reply is None:
            raise EndpointError(
                f"{self._named} answers with something else than a chat completion; does the address end in /v1?"
            )
        return reply

    def _connection_error(self, error: openai.APIConnectionError) -> EndpointError:
        import httpx

        cause, reason = error.__cause__, self._line(_cause(error))
        if isinstance(cause, AnswerTooLarge):
            return EndpointError(reason)
        if isinstance(cause, httpx.RemoteProtocolError | httpx.DecodingError):
            return Transient(f"{self._named} gives no whole answer: {reason}")
        return Transient(f"{self._named} cannot be reached: {reason}")

    def _status_error(self, error: openai.APIStatusError) -> EndpointError:
        status = error.status_code
        told = self._line(said(error.message if error.body is None else error.body))
        if 300 <= status < 400:
            host = _host_of(error.response.headers.get("location", ""))
            return EndpointError(
                f"{self._named} redirects to {host}, where the key is not sent; name the right address as --endpoint"
            )
        if status in (400, 422):
            named = {name for name, words in OPTIONAL.items() if any(word in told.lower() for word in words)}
            names = frozenset(named or OPTIONAL.keys() - {"max_tokens"})
            return _Unknown(f"{self._named} refuses the request: {told}", names)
        if status in (401, 403):
            return EndpointError(f"{self._named} does not accept the key in {KEY_VARIABLE} ({status})")
        if status == 404:
            return EndpointError(f"{self._named} knows no such model or path: {told}")
        if status == 429:
            return Transient(f"{self._named} limits the rate: {told}; try a lower --concurrency")
        if status >= 500 or status in (408, 409):
            return Transient(f"{self._named} fails with status {status}: {told}")
        return EndpointError(f"{self._named} answers with status {status}: {told}")

    @property
    def _named(self) -> str:
        return str(urlsplit(self._endpoint.url).netloc)

    def _line(self, text: str) -> str:
        """The beginning of what a server says; scrubbed first, or a part of the key could be left."""
        return self._scrubbed(text)[:LONGEST_LINE]

    def _scrubbed(self, text: str) -> str:
        """The text without the key, whoever put it there."""
        key = self._endpoint.key
        return text if key == NO_KEY or len(key) < SHORTEST_SECRET else text.replace(key, HIDDEN)


class _Unknown(EndpointError):
    """The server refuses a request, it may be for parts that it does not know."""

    def __init__(self, message: str, names: frozenset[str]) -> None:
        super().__init__(message)
        self.names = names


def _http_client(url: str, timeout: float) -> BoundedClient:
    """A client that follows no redirect, so that a key never goes to another host, and bounds answers in size and time.

    What is asked on this machine stays there: proxies of the environment are for other machines. Raises ConfigError.
    """
    from labeler.core.web.bounded import BoundedClient

    here = _is_here(urlsplit(url).hostname or "")
    try:
        return BoundedClient(seconds=timeout, trust_env=not here)
    except (ValueError, ImportError, OSError) as error:  # which may hold the password of a proxy
        raise ConfigError(
            f"the proxies or certificates that the environment names cannot be used ({type(error).__name__}): correct "
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY or SSL_CERT_FILE (for SOCKS: pip install 'httpx[socks]')"
        ) from None


def _host_of(location: str) -> str:
    """The host that a redirect leads to."""
    try:
        return urlsplit(location).hostname or "elsewhere"
    except ValueError:
        return "elsewhere"


def _cause(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())
