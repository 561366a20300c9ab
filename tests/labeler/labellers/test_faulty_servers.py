"""Servers of language models that answer in odd shapes, break off or never end, and proxies that lead elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labeler.core.web import bounded
from labeler.labellers.llm.replies import parse_reply
from tests.commands import Ran, run
from tests.labeler.labellers.scripted_server import JSON, OK, completion, reply, says, serving
from tests.labeler.labellers.test_annotate import command, stored
from tests.labeler.labellers.worlds import make

KEY = "sk-secret-0123456789"
GOOD = reply(1, "founded by Arnen", "Arnen")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of five questions. A labeller of its own for each call: nothing is stored of what fails."""
    return make(tmp_path_factory.mktemp("faulty"), role="pool")


def asked(workspace: Path, url: str, *more: str) -> Ran:
    return run(*command(workspace, url, "--limit", "1", "--concurrency", "1", *more))


@contextmanager
def raw_server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that reads a request and then does with its connection what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                data = connection.recv(1 << 20)
                while not data.endswith(b"}"):
                    data += connection.recv(1 << 20)
                try:
                    answer(connection)
                except OSError:
                    continue  # the client has gone

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.close()


NO_COMPLETION: dict[str, Any] = {
    "message is a text": {"choices": [{"message": "Arnen"}]},
    "message is a list": {"choices": [{"message": ["Arnen"]}]},
    "content is a number": completion(GOOD) | {"choices": [{"message": {"content": 7}}]},
    "content is an object": completion(GOOD) | {"choices": [{"message": {"content": {"text": GOOD}}}]},
    "content is a list of numbers": completion(GOOD) | {"choices": [{"message": {"content": [1, 2]}}]},
    "a list": [completion(GOOD)],
    "null": None,
}


@pytest.mark.parametrize("name", NO_COMPLETION)
def test_what_is_no_completion_is_no_answer_of_the_model(workspace: Path, name: str) -> None:
    with serving(lambda request, seen: (OK, JSON, NO_COMPLETION[name])) as (url, _):
        assert "answers with something else than a chat completion" in asked(workspace, url).fault


def test_an_error_under_the_status_of_a_success_is_told(workspace: Path) -> None:
    body = {"error": {"message": f"overloaded {KEY}", "code": 502}}
    with serving(lambda request, seen: (OK, JSON, body)) as (url, _):
        assert asked(workspace, url).fault.endswith("answers with an error: overloaded ***")


def test_a_key_is_hidden_also_where_a_message_is_cut(workspace: Path) -> None:
    body = {"error": {"message": "x" * 190 + KEY}}
    with serving(lambda request, seen: (500, JSON, body)) as (url, _):
        assert "sk-secret" not in asked(workspace, url).fault


ODD: dict[str, Any] = {
    "parts": completion(GOOD) | {"choices": [{"message": {"content": [{"type": "text", "text": GOOD}]}}]},
    "log-probabilities are a number": completion(GOOD, logprobs={"content": 5}),
    "half a surrogate pair in thoughts": completion(f"<think>\ud83d</think>{GOOD}"),
    "NUL in thoughts": completion(f"<think>\0</think>{GOOD}"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_answer_in_an_odd_shape_is_one(workspace: Path, name: str) -> None:
    with serving(lambda request, seen: (OK, JSON, ODD[name])) as (url, _):
        assert asked(workspace, url, "--labeller", name, "--max-tokens", str(100 + len(name))).code == 0
    assert stored(workspace, name)["q1"].text == "Arnen"


@pytest.mark.parametrize(
    "said",
    [
        f"```JSON\n{GOOD}\n```",
        f"```json {GOOD} ```",
        f"```{GOOD}```",
        f"~~~json\r\n{GOOD}\r\n~~~",
        f"\ufeff{GOOD}",
        f"<think>a</think>\n<think>b {{}}</think>{GOOD}",
        f"By whom? It says so.\n</think>\n\n{GOOD}",
    ],
)
def test_a_code_block_thoughts_and_a_byte_order_mark_may_stand_around_a_reply(said: str) -> None:
    assert parse_reply(said) == (1, "founded by Arnen", "Arnen")


def test_what_looks_like_a_thought_inside_a_quote_stays() -> None:
    quote = "it writes <think>so</think> here"
    assert parse_reply(reply(1, quote, "so")) == (1, quote, "so")


@pytest.mark.parametrize(
    "said", [f"Sure: {GOOD}", f"```json\n{GOOD}", f"```\n{GOOD}\n~~~", f"<think>{GOOD}", f"{GOOD} {GOOD}"]
)
def test_other_text_around_a_reply_makes_it_none(said: str) -> None:
    assert isinstance(parse_reply(said), str)


@pytest.mark.parametrize(
    "payload",
    [
        HEAD + b'content-length: 1000\r\n\r\n{"choi',
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZZ\r\nfoo",
        b"\x00\xff nonsense",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 7\r\n\r\ngarbage",
    ],
    ids=["cut off", "no chunk", "no HTTP", "no gzip"],
)
def test_an_answer_that_breaks_off_is_named_as_such(workspace: Path, payload: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(payload)) as url:
        assert "gives no whole answer" in asked(workspace, url).fault


def test_an_answer_that_comes_byte_by_byte_ends_with_the_timeout(workspace: Path) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"content-length: 100000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    began = time.monotonic()
    with raw_server(trickle) as url:
        assert "did not answer in time" in asked(workspace, url, "--timeout", "0.5").fault
    assert time.monotonic() - began < 8


def test_an_answer_without_end_is_not_kept_in_memory(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_BYTES", 1 << 16)
    with serving(says("x" * (1 << 17))) as (url, seen):
        assert "sends more than" in asked(workspace, url).fault
    assert len(seen.requests) == 1


@pytest.mark.parametrize("location", ["//[bad", "", "http://["])
def test_a_redirect_to_no_address_is_named(workspace: Path, location: str) -> None:
    with serving(lambda request, seen: (302, JSON | {"location": location}, {})) as (url, _):
        assert "redirects to elsewhere, where the key is not sent" in asked(workspace, url).fault


@pytest.mark.parametrize("host", ["a..b", "xn--", "a" * 64])
def test_a_name_that_no_server_can_have_is_named(workspace: Path, host: str) -> None:
    assert f"{host} is no name that a server can have" in asked(workspace, f"http://{host}/v1").fault


def test_a_key_of_a_few_letters_is_a_word_and_stays_in_answers(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "Arnen")
    with serving(says(GOOD)) as (url, _):
        assert asked(workspace, url, "--labeller", "short key", "--max-tokens", "301").code == 0
    assert stored(workspace, "short key")["q1"].text == "Arnen"


def test_a_timeout_beyond_a_day_and_a_key_in_the_address_are_refused(workspace: Path) -> None:
    assert "86400" in asked(workspace, "http://127.0.0.1:9/v1", "--timeout", "1e300").err
    assert "the key goes into OPENAI_API_KEY" in asked(workspace, "http://127.0.0.1:9/v1?key=x").fault


PROXIES = {
    "another server": "http://127.0.0.1:9",
    "no address": "foo bar://x",
    "SOCKS": "socks5://user:hidden@127.0.0.1:9",
}


@pytest.mark.parametrize("name", PROXIES)
def test_what_is_asked_on_this_machine_goes_to_no_proxy(
    workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, PROXIES[name])
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with serving(says(GOOD)) as (url, seen):
        assert asked(workspace, url, "--labeller", name, "--max-tokens", str(200 + len(name))).code == 0
    assert len(seen.requests) == 1


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, "foo://user:hidden@proxy.example:1")
    fault = asked(workspace, "https://model.example/v1").fault
    assert "correct HTTPS_PROXY, HTTP_PROXY, ALL_PROXY" in fault
    assert "hidden" not in fault
