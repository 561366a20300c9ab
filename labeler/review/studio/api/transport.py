"""Requests to Label Studio: the only module that imports its SDK and sees its exceptions.

The SDK's exceptions are not chained to ours: they contain bodies and headers, and with them the key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from labeler.core.errors import BadKey, ProjectGone, StudioError
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.api.failures import Failures

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

TIMEOUT = 300.0  # seconds for an answer: an import of 1,000 tasks takes 1-4 s, more while the server is busy
CONNECT_TIMEOUT = 10.0  # seconds until a server that is there takes a connection

T = TypeVar("T")


class Transport:
    """Calls the SDK, which is loaded with the first request (1-6 s). No request is repeated by itself."""

    def __init__(self, connection: Connection, *, timeout: float = TIMEOUT) -> None:
        self.url = connection.url
        self.failures = Failures(connection, timeout)
        self._key = connection.key
        self._timeout = timeout
        self._opened: LabelStudio | None = None

    def call(self, request: Callable[[LabelStudio], T], *, project: int | None = None) -> T:
        """The result of a request. `project`: the project that it asks about.

        Raises:
            ProjectGone: the project is not there, and the server is.
            StudioError: anything else that went wrong.
        """
        for last in (False, True):
            try:
                return request(self._sdk())
            except _sdk_exceptions() as error:
                failure = self._failure(error, project)
            if last or not isinstance(failure, BadKey) or not self._renewable():
                break
            self._opened = None  # the access token has expired by the server's clock: get a new one
        if isinstance(failure, ProjectGone):
            self.check()  # raises if not only the project is gone, but the whole server
        raise failure  # outside of the `except`: the SDK's exception is not chained

    def check(self) -> str:
        """The server's version, after a check that it is a Label Studio that accepts the key."""
        release = self.call(lambda sdk: sdk.versions.get()).release
        if not isinstance(release, str):
            raise self.failures.unexpected()
        self.call(lambda sdk: sdk.users.whoami())
        return release

    def _sdk(self) -> LabelStudio:
        if self._opened is None:
            import httpx
            from label_studio_sdk import LabelStudio

            http = httpx.Client(
                timeout=httpx.Timeout(self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout)),
                follow_redirects=False,  # a POST would become a GET, and the key would go to another server
                limits=httpx.Limits(max_keepalive_connections=0),  # a request over a dead connection may have arrived
                trust_env=not _is_loopback(self.url),  # no proxy to this machine
            )
            self._opened = LabelStudio(base_url=f"{self.url}/", api_key=self._key, max_retries=0, httpx_client=http)
        return self._opened

    def _renewable(self) -> bool:
        """Whether the key is a personal access token (three parts), from which access tokens are made."""
        return self._key.count(".") == 2 and self._opened is not None

    def _failure(self, error: Exception, project: int | None) -> StudioError:
        """Our error for one of `_sdk_exceptions`."""
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        if isinstance(error, ApiError):
            return self.failures.from_answer(error.status_code or 0, error.body, error.headers or {}, project=project)
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            return self.failures.from_exception(error)
        return self.failures.unexpected()  # the answer is no JSON, or not what was asked for


def _sdk_exceptions() -> tuple[type[Exception], ...]:
    """The exceptions of the SDK that are no mistakes of the caller."""
    import httpx
    import pydantic
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    return ApiError, ParsingError, httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, pydantic.ValidationError


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
