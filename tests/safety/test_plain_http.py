"""A key that travels unencrypted to another machine is warned of, once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labeler.review.studio.api import connection
from labeler.review.studio.api.connection import KEY_VARIABLE, URL_VARIABLE, find_connection


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    connection._warn_of_plain_text.cache_clear()
    monkeypatch.setattr("socket.gethostname", lambda: "desk")


def warnings(url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    workspace: Any = SimpleNamespace(folder=Path("/nowhere"))
    for _ in range(3):
        find_connection(workspace, {URL_VARIABLE: url, KEY_VARIABLE: "secret-key"})
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "url",
    [
        "http://studio.example.org",
        "HTTP://Studio.Example.Org:8080/x",
        "http://192.168.1.7",
        "http://10.0.0.1",
        "http://[fe80::1]:8080",
        "http://[2001:db8::1]",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://notlocalhost",
        "http://128.0.0.1",
    ],
)
def test_http_to_another_machine_is_warned_of_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = warnings(url, caplog)
    assert "unencrypted" in line
    assert "https" in line
    assert "secret-key" not in line


@pytest.mark.parametrize(
    "url",
    [
        "https://studio.example.org",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://studio.localhost",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:8080",
        "http://0.0.0.0:8080",
        "http://desk:8080",
    ],
)
def test_http_on_this_machine_and_https_are_not_warned_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(url, caplog) == []
