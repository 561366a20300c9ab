"""The HTTP server of the backend: bounded in bytes, connections and time, and silent about what is sent."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import socket
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from labeler.core.errors import StudioError
from labeler.review.studio.server.processes import holder_of
from labeler.serving.access import Access
from labeler.serving.backend import Backend, Reply

MAX_BYTES = 64 << 20  # of a body: 500 tasks with their passages and predictions have up to 16 MB
MAX_CONNECTIONS = 64
IDLE_SECONDS = 30.0  # that a connection may send nothing
REQUEST_SECONDS = 100.0  # for a whole request, however small its pieces; the server waits as long for an answer
WEBHOOK = "/webhook"

log = logging.getLogger("labeler")


class Server(ThreadingHTTPServer):
    """Listens at one address. `serve_forever` runs it, `shutdown` from another thread ends it."""

    daemon_threads = True  # an idle connection does not hold up the end
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, host: str, port: int, backend: Backend, access: Access) -> None:
        self.backend, self.access = backend, access
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise StudioError(_refused(host, port, error)) from None

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or close it where too many are open."""
        if not self._free.acquire(blocking=False):
            log.warning("more than %d connections at once: one was closed", MAX_CONNECTIONS)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away, or that sent what is no HTTP, is no matter of ours."""
        log.debug("a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "labeler"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: Server
    error_content_type = "application/json"
    error_message_format = '{"error": "%(code)d"}'

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._input = _Input(self.connection, self.timeout)
        self.rfile = io.BufferedReader(self._input)

    def handle_one_request(self) -> None:
        self._input.until = time.monotonic() + REQUEST_SECONDS
        super().handle_one_request()

    def _serve(self) -> None:
        headers = self.headers
        refused = self.server.access.refusal(headers.get("Host") or "", headers.get("Authorization") or "")
        if refused is not None:
            self._refuse(refused, "this caller is not allowed")
            return
        path = _path_of(self.path)
        if path is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "the address cannot be read")
            return
        body, fault = self._body()
        if fault is not None and path.rstrip("/") != WEBHOOK:  # which is a hint, however it was sent
            self._refuse(fault, f"the body cannot be read: {fault.phrase}")
            return
        self.close_connection = self.close_connection or fault is not None
        method = "GET" if self.command == "HEAD" else self.command
        self._send(self.server.backend.answer(method, path, body))

    def _body(self) -> tuple[bytes, HTTPStatus | None]:
        """The body, and why it was not read as a whole."""
        length = self.headers.get("Content-Length") or "0"
        if self.headers.get("Transfer-Encoding"):
            return b"", HTTPStatus.LENGTH_REQUIRED
        if not (length.isascii() and length.isdigit()):
            return b"", HTTPStatus.BAD_REQUEST
        if len(length) > len(str(MAX_BYTES)) or int(length) > MAX_BYTES:
            return b"", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = self.rfile.read(int(length))
        return body, HTTPStatus.BAD_REQUEST if len(body) < int(length) else None

    def _refuse(self, status: HTTPStatus, line: str) -> None:
        """Refuse a request of which the rest is not read."""
        self.close_connection = True
        self._send(Reply(status, {"error": line}))

    def _send(self, reply: Reply) -> None:
        self.connection.settimeout(self.timeout)
        content = json.dumps(reply.body, ensure_ascii=False, allow_nan=False).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _more_headers(reply.status).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses and bodies may hold keys."""


class _Input(io.RawIOBase):
    """What a connection sends: the wait for each piece is bounded, and the moment `until` which they may come."""

    def __init__(self, connection: socket.socket, idle: float) -> None:
        self._connection, self._idle = connection, idle
        self.until = math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError."""
        left = min(self._idle, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _path_of(address: str) -> str | None:
    try:
        return urlsplit(address).path
    except ValueError:  # such as http://[
        return None


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):  # the backend says which it takes
    setattr(_Handler, f"do_{_method}", _Handler._serve)


def _more_headers(status: HTTPStatus) -> Mapping[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Basic realm="labeler"'}
    return {"Allow": "GET, POST"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by {holder_of(port)}; stop that, or choose another: --port N"
    return f"cannot listen at {host} port {port}: {error.strerror or error}; check --host and --port"
