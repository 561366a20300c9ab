"""An HTTP client that reads no answer without a bound on its size and on its whole time."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import httpx

from labeler.core.errors import AnswerTooLarge

MAX_BYTES = 32 << 20  # of an answer, after decompression: 500 tasks with their passages have up to 16 MB
CONNECT_TIMEOUT = 10.0  # seconds until a server that is there takes a connection
_ENCODINGS = ("", "identity", "gzip", "deflate")  # one at most: a bomb in a bomb grows by its square


class BoundedClient(httpx.Client):
    """An HTTP client for one server. A request and its answer together take at most `seconds`."""

    def __init__(self, *, seconds: float, trust_env: bool) -> None:
        super().__init__(
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds)),
            headers={"Accept-Encoding": "gzip, deflate"},
            follow_redirects=False,  # a POST would become a GET, and the key would go to another server
            limits=httpx.Limits(max_keepalive_connections=0),  # a request over a dead connection may have arrived
            trust_env=trust_env,
        )
        self._seconds = seconds

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request and read its answer.

        Raises:
            AnswerTooLarge: the answer has more than `MAX_BYTES`.
            httpx.HTTPError: no answer came in time, or it cannot be decoded.
        """
        with _Watch(request, self._seconds) as watch:
            try:
                response = super().send(request, **(options | {"stream": True}))
                body = _read(response)
            except httpx.TransportError:
                watch.check()
                raise
            watch.check()
        headers = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)


def _read(response: httpx.Response) -> bytes:
    """The body, decompressed while it comes in."""
    try:
        if response.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
            raise httpx.DecodingError("an encoding that was not asked for")
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > MAX_BYTES:
                raise AnswerTooLarge(f"{response.request.url.host} sends more than {MAX_BYTES >> 20} MiB in one answer")
            parts.append(part)
        return b"".join(parts)
    finally:
        response.close()


class _Watch:
    """Breaks a request's connection when its time is over: single reads may go on for ever, one byte each."""

    def __init__(self, request: httpx.Request, seconds: float) -> None:
        self._request = request
        self._seconds = seconds
        self._stream: Any = None
        self._expired = threading.Event()
        self._timer = threading.Timer(seconds, self._break)
        self._timer.daemon = True
        request.extensions = {**request.extensions, "trace": self._trace}

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()

    def check(self) -> None:
        """Raise httpx.ReadTimeout if the time is over: a connection that was broken looks like one that ended."""
        if self._expired.is_set():
            raise httpx.ReadTimeout(f"no whole answer within {self._seconds:g} s", request=self._request)

    def _trace(self, event: str, found: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = found["return_value"]
            if self._expired.is_set():
                self._break()

    def _break(self) -> None:
        self._expired.set()
        if self._stream is not None:
            connection = self._stream.get_extra_info("socket")
            try:
                connection.shutdown(2)
            except OSError:
                return  # it has ended meanwhile
