"""Requests to Label Studio: the only module that imports its SDK and sees its exceptions.

The SDK sends the requests and renews access tokens. It does not read the answers: its models fail at a whole page of
tasks where one field of one task is not as expected. The exceptions of the SDK are not chained to ours: they contain
bodies and headers, and with them the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from labeler.core.errors import AnswerTooLarge, BadKey, ProjectGone, StudioError
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.api.failures import Failures
from labeler.review.studio.untrusted import as_mapping, as_text, load_json

if TYPE_CHECKING:
    import httpx
    from label_studio_sdk import LabelStudio

TIMEOUT = 300.0  # seconds for an answer: an import of 1,000 tasks takes 1-4 s, more while the server is busy
MAX_VALUES = 2_000_000  # in an answer, about: each takes up to 200 bytes of memory
MAX_VERSION = 40  # characters


class Transport:
    """Sends requests with the SDK, which is loaded with the first one (1-6 s). No request is repeated by itself."""

    def __init__(self, connection: Connection, *, timeout: float = TIMEOUT) -> None:
        self.url = connection.url
        self.failures = Failures(connection, timeout)
        self._key = connection.key
        self._timeout = timeout
        self._opened: LabelStudio | None = None

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a GET request is answered with. Raises as `request`."""
        return self.request("GET", path, params=params)

    def request(
        self, method: str, path: str, *, params: Any = None, body: Any = None, project: int | None = None
    ) -> Any:
        """The JSON that a request is answered with; None for an empty answer.

        Args:
            project: the project that the request asks about.

        Raises:
            ProjectGone: the project is not there, and the server is.
            AnswerTooLarge: the answer is larger than is read.
            StudioError: anything else that went wrong.
        """
        failure: StudioError | None = None
        for last in (False, True):
            answer, failure = self._send(method, path, params, body)
            if answer is not None:
                if answer.is_success:
                    return self._decoded(answer)
                failure = self.failures.from_answer(
                    answer.status_code, _reason(answer), answer.headers, project=project
                )
            if last or not isinstance(failure, BadKey) or not self._renewable():
                break
            self._opened = None  # the access token has expired by the server's clock: get a new one
        if isinstance(failure, ProjectGone):
            self.check()  # raises if not only the project is gone, but the whole server
        assert failure is not None, "without an answer there is an error"
        raise failure  # outside of the `except`: the SDK's exception is not chained

    def check(self) -> str:
        """The server's version, after a check that it is a Label Studio that accepts the key."""
        release = as_text(as_mapping(self.get("api/version/")).get("release"))
        if release is None:
            raise self.failures.unexpected()
        self.get("api/current-user/whoami")
        return release[:MAX_VERSION]

    def _send(self, method: str, path: str, params: Any, body: Any) -> tuple[httpx.Response | None, StudioError | None]:
        """The answer, or our error for a request without one."""
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            http = self._sdk()._client_wrapper.httpx_client
            return http.request(path, method=method, params=params, json=body), None
        except AnswerTooLarge as error:
            return None, error
        except ApiError as error:  # of the renewal of an access token
            headers = error.headers or {}
            return None, self.failures.from_answer(error.status_code or 0, error.body, headers, project=None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, self.failures.from_exception(error)
        except _BAD_TOKEN:
            return None, self.failures.unexpected()

    def _decoded(self, answer: httpx.Response) -> Any:
        """The JSON of an answer. Bytes that are no UTF-8 become U+FFFD, so that they spoil one text only."""
        body = answer.content
        if not body.strip():
            return None
        if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise AnswerTooLarge(f"{self.url} sends more than {MAX_VALUES:,} values in one answer")
        try:
            return load_json(body.decode("utf-8", "replace").removeprefix("\ufeff"))
        except ValueError:
            pass
        raise self.failures.unexpected()

    def _sdk(self) -> LabelStudio:
        if self._opened is None:
            from label_studio_sdk import LabelStudio

            from labeler.core.web.bounded import BoundedClient

            http = BoundedClient(seconds=self._timeout, trust_env=not is_loopback(self.url))  # no proxy to this machine
            self._opened = LabelStudio(base_url=f"{self.url}/", api_key=self._key, max_retries=0, httpx_client=http)
        return self._opened

    def _renewable(self) -> bool:
        """Whether the key is a personal access token (three parts), from which access tokens are made."""
        return self._key.count(".") == 2 and self._opened is not None


#: What the SDK raises where a server answers a renewal with something else than an access token.
_BAD_TOKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, RecursionError)


def _reason(answer: httpx.Response) -> Any:
    """The body of a refusal: JSON if it is, else text."""
    text = answer.content[:_MAX_REASON].decode("utf-8", "replace")
    try:
        return load_json(text)
    except ValueError:
        return text


_MAX_REASON = 1 << 16  # bytes


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
