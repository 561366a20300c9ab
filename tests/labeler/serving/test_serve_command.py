"""`labeler serve` as a process: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from labeler.core.runtime import Runtime
from labeler.serving.access import Access
from labeler.serving.backend import Backend
from labeler.serving.run import _until_interrupted
from labeler.serving.server import Server
from labeler.serving.suggestions import Suggester
from tests.commands import new_workspace, run

ROOT = Path(__file__).parent.parent.parent.parent


def start(folder: Path, *more: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "labeler", "serve", "-w", str(folder), "--port", "0", *more]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serve_says_where_it_listens_and_ctrl_c_ends_it_cleanly(folder: Path) -> None:
    with start(folder, "--json") as process:
        assert process.stdout is not None
        ready: Any = json.loads(process.stdout.readline())
        with urllib.request.urlopen(f"{ready['url']}/health", timeout=30) as answer:
            assert json.load(answer)["reader"] == ready["reader"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (ready["round"], ready["secret"], out) == (0, False, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "stopped after 0 calls for 0 suggestions"
    assert not (folder / ".lock.json").exists()


def test_sigterm_ends_it_like_ctrl_c(runtime: Runtime) -> None:
    suggester = Suggester(runtime)
    server = Server("127.0.0.1", 0, Backend(runtime, suggester, lambda: None), Access(None))
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    _until_interrupted(server)
    server.server_close()
    suggester.close()
    assert signal.getsignal(signal.SIGTERM) == before


def test_serve_refuses_other_machines_without_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABELER_SERVE_SECRET", raising=False)
    assert "LABELER_SERVE_SECRET" in run("serve", "-w", folder, "--host", "0.0.0.0").fault


def test_serve_without_a_reader_says_what_to_do(tmp_path: Path) -> None:
    assert "labeler train" in run("serve", "-w", new_workspace(tmp_path / "ws"), "--port", "0").fault


def test_the_secret_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELER_SERVE_SECRET", "anything-at-all")
    assert run("status", "-w", new_workspace(tmp_path / "ws")).code == 0
