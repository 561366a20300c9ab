"""The backend over HTTP: who may call it, what it refuses, and that a webhook is always thanked for at once."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from labeler.core.errors import ConfigError, StudioError
from labeler.core.runtime import Runtime
from labeler.serving import server as server_module
from labeler.serving.access import Access, basic, find_access, find_secret
from labeler.serving.backend import Backend
from labeler.serving.server import Server
from labeler.serving.suggestions import Suggester
from tests.labeler.serving.world import on_server, predict_body, tasks_of

SECRET = "s3cret-of-the-test"


@contextmanager
def listening(runtime: Runtime, secret: str | None = None) -> Iterator[tuple[Server, list[float]]]:
    """A server in a thread, and the moments of the hints that it was given."""
    hints: list[float] = []
    suggester = Suggester(runtime)
    backend = Backend(runtime, suggester, lambda: hints.append(time.monotonic()))
    server = Server("127.0.0.1", 0, backend, Access(secret))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server, hints
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        suggester.close()


def call(
    server: Server, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Status and JSON of one request."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def raw(server: Server, request: bytes) -> bytes:
    """All that comes back for the bytes of a request."""
    with socket.create_connection(server.server_address[:2], timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_calls_are_answered_also_over_one_kept_connection(runtime: Runtime) -> None:
    task = next(each for each in tasks_of(runtime) if not each.blind)
    sent = on_server(runtime, [task])
    with listening(runtime) as (server, _):
        connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
        for _turn in range(2):
            connection.request("POST", "/predict/", body=predict_body(sent))
            answer = connection.getresponse()
            assert json.loads(answer.read())["results"] == sent[0]["predictions"]
            connection.request("GET", "/health?x=1")
            assert json.loads(connection.getresponse().read())["status"] == "UP"
        connection.request("HEAD", "/health")
        assert connection.getresponse().read() == b""
        connection.close()


def test_health_and_setup_are_answered_in_time_while_tasks_are_read(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(Suggester, "answers", lambda *given, **more: release.wait(30) and {})
    with listening(runtime) as (server, _):
        reading = threading.Thread(target=call, args=(server, "POST", "/predict", predict_body([{}])))
        reading.start()
        for method, path in (("GET", "/health"), ("POST", "/setup"), ("GET", "/versions"), ("POST", "/webhook")):
            began = time.monotonic()
            assert call(server, method, path, b"{}" if method == "POST" else None)[0] == 200
            assert time.monotonic() - began < 1
        release.set()
        reading.join()


@pytest.mark.parametrize(
    "request_text",
    [
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n\xff\x00{[\n",
        b"POST /webhook/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: -3\r\n\r\n{}",
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{}",
        b"POST /webhook HTTP/1.0\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["whole", "no JSON", "empty", "chunked", "too long", "negative", "cut off", "HTTP 1.0"],
)
def test_a_webhook_is_always_answered_with_success_and_is_a_hint(runtime: Runtime, request_text: bytes) -> None:
    with listening(runtime) as (server, hints):
        answer = raw(server, request_text)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert len(hints) == 1


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n{}", 400),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"DELETE /predict HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"BREW /predict HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_what_is_no_call_of_the_protocol_is_refused(runtime: Runtime, request_text: bytes, status: int) -> None:
    with listening(runtime) as (server, hints):
        assert raw(server, request_text).startswith(b"HTTP/1.1 %d " % status)
        assert call(server, "GET", "/health")[0] == 200
        assert hints == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "", "127.0.0.1.evil.example", "[::2]"])
def test_without_a_secret_only_names_of_this_machine_are_answered(runtime: Runtime, host: str) -> None:
    with listening(runtime) as (server, hints):
        assert call(server, "POST", "/webhook", b"{}", {"Host": host})[0] == 403
        assert hints == []
        for allowed in ("localhost", "localhost:9", "127.0.0.1", "[::1]:9090", "LOCALHOST"):
            assert call(server, "GET", "/health", headers={"Host": allowed})[0] == 200


def test_with_a_secret_every_call_must_know_it(runtime: Runtime) -> None:
    with listening(runtime, SECRET) as (server, hints):
        wrong = ("", "Basic", "Basic !!", basic("wrong"), f"Bearer {SECRET}x", f"Digest {SECRET}", SECRET, basic(""))
        for header in wrong:
            for method, path in (("GET", "/health"), ("POST", "/predict"), ("POST", "/webhook")):
                assert call(server, method, path, headers={"Authorization": header})[0] == 401
        assert call(server, "GET", "/health")[0] == 401
        assert hints == []
        for header in (basic(SECRET), f"Bearer {SECRET}", f"bearer  {SECRET}"):
            headers = {"Authorization": header, "Host": "labeler.example"}
            assert call(server, "GET", "/health", headers=headers)[0] == 200


def test_the_secret_is_never_shown() -> None:
    assert SECRET not in repr(Access(SECRET))
    with pytest.raises(ConfigError) as refused:
        find_secret({"LABELER_SERVE_SECRET": f"{SECRET} \u00e9"})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "labeler.example", ""])
def test_other_addresses_are_refused_without_a_secret(host: str) -> None:
    with pytest.raises(ConfigError, match="LABELER_SERVE_SECRET"):
        find_access(host, {})
    assert find_access(host, {"LABELER_SERVE_SECRET": SECRET}).secret == SECRET
    for own in ("127.0.0.1", "127.8.9.1", "::1", "localhost"):
        assert find_access(own, {}).secret is None


def test_a_taken_port_is_named_with_its_remedy(runtime: Runtime) -> None:
    with listening(runtime) as (server, _):
        port = server.server_address[1]
        with pytest.raises(StudioError, match=f"port {port} is taken by .*--port"):
            Server("127.0.0.1", port, server.backend, Access(None))


def test_connections_above_the_limit_are_closed_and_later_ones_answered(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    with listening(runtime) as (server, _):
        held = [socket.create_connection(server.server_address[:2]) for _ in range(6)]
        time.sleep(0.5)
        ended = 0
        for each in held[3:]:
            each.settimeout(5)
            try:
                ended += each.recv(1) == b""
            except ConnectionError:
                ended += 1
        assert ended == 3
        for each in held:
            each.close()
        until = time.monotonic() + 10
        while True:
            try:
                assert call(server, "GET", "/health")[0] == 200
                break
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < until
                time.sleep(0.1)


def test_a_silent_connection_is_given_up(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 0.2)
    with listening(runtime) as (server, _), socket.create_connection(server.server_address[:2]) as silent:
        silent.settimeout(10)
        silent.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert silent.recv(100) == b""


def test_a_request_that_comes_byte_by_byte_is_given_up(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.5)
    with listening(runtime) as (server, _), socket.create_connection(server.server_address[:2]) as slow:
        slow.settimeout(0.1)
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        until = time.monotonic() + 10
        while True:
            assert time.monotonic() < until, "it is read for ever"
            try:
                slow.sendall(b" ")
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert call(server, "GET", "/health")[0] == 200
