"""End to end with a real OpenAI-compatible server, `transformers serve`: annotate, kill -9, resume, certificate."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from labeler.certify.machine import run as certify
from labeler.certify.request import Request
from tests.commands import new_workspace, ok, squad
from tests.labeler.labellers.chat_model import make_chat_model, served
from tests.labeler.labellers.scripted_server import reply
from tests.labeler.labellers.worlds import jsonl
from tests.worlds import at

LOTS = 100
AUDITS = 10  # of a set of 28


def _world(folder: Path) -> Path:
    """A pool of questions that all have the same answer, once in each passage."""
    workspace = new_workspace(folder / "ws")
    ok("import", squad(folder / "lots.json", _lots()), "--split", "gold=5,pool=rest", "-w", workspace)
    ok("index", "--analyzer", "english", "-w", workspace)
    return workspace


def _lots() -> dict[str, list[tuple[str, str, str]]]:
    return {
        f"Lot {number} is kept by Ilvane in hall {number}. It was sold for {900 + number} florins.": [
            (f"lot-{number:03}", f"Who keeps lot {number} in hall {number}?", "Ilvane")
        ]
        for number in range(LOTS)
    }


def _reviewed_round(folder: Path, url: str, model: Path) -> Any:
    """A round whose middle band the served model answers; an imported labeller predicts, with every score in it."""
    folder.mkdir()
    workspace = new_workspace(folder / "ws")
    ok("import", squad(folder / "lots.json", _lots()), "--split", "gold=30,calibration=20,pool=rest", "-w", workspace)
    ok("index", "--analyzer", "english", "-w", workspace)
    rows = [{"id": f"lot-{number:03}", "answer": "Ilvane", "score": 0.5} for number in range(LOTS)]
    file = jsonl(folder / "predictions.jsonl", rows)
    ok("import", file, "--as", "predictions", "--labeller", "outside", "-w", workspace)
    tiny = ("train.max_steps=1", "builtin.layers=1", "builtin.hidden_size=32", "builtin.heads=2")
    band = ("review.uncertain_low=0", "review.uncertain_high=1", "review.review_budget=20")
    sets = [part for each in (*tiny, *band, "round.labeller=outside", "llm.labeller=llama") for part in ("--set", each)]
    ok("train", *sets[: 2 * len(tiny)], "-w", workspace)
    return ok("round", "--reviewer", "llm", "--endpoint", url, "--model", model, *sets, "-w", workspace)


def _stored(workspace: Path, table: str) -> int:
    connection = sqlite3.connect(f"file:{workspace / 'labeler.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def test_a_served_model_labels_a_pool_is_killed_resumed_and_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    workspace = _world(tmp_path)
    model = make_chat_model(tmp_path / "model", reply(1, "Ilvane", "Ilvane"))
    with served(model) as url:
        call = ["annotate", "--endpoint", url, "--model", str(model), "--labeller", "llama", "--role", "pool"]
        call += ["-w", str(workspace)]
        process = subprocess.Popen(
            [sys.executable, "-m", "labeler", *call, "--concurrency", "1"],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while _stored(workspace, "labeller_predictions") < 3 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        before = _stored(workspace, "labeller_replies")
        assert 3 <= before < LOTS - 5
        found = ok(*call)
        again = ok(*call)
        reviewed = _reviewed_round(tmp_path / "reviewed", url, model)
    assert reviewed["waiting_for"].endswith("by file or terminal (labeler review)")
    assert reviewed["model_review"]["answered"] == reviewed["model_review"]["tasks"] > 0
    pool = LOTS - 5
    assert (found["questions"], found["requests"], found["left"]) == (pool - before, pool - before, 0)
    assert (found["anchored"], found["as_text"], found["rejected"]) == (pool - before, 0, [])
    assert found["completion_tokens"] == 2 * found["requests"]  # the reply is one token, and the end
    assert (again["questions"], again["requests"]) == (0, 0)
    with at(workspace) as runtime:
        request = Request(target=0.7, audits=AUDITS, seed="1", labeller="llama")
        made = certify(runtime, request, reviewer="simulated").certificate
    assert made is not None
    assert made["labeller"][0]["name"] == "llama"
    assert (made["certified"]["audited"], made["certified"]["correct"]) == (AUDITS, AUDITS)
    assert made["released"] == made["certified"]["size"] - AUDITS
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(made), encoding="utf-8")
    assert ok("certify", "--verify", file, "-w", workspace)["valid"]
    out = tmp_path / "labels.jsonl"
    assert (
        ok("export", "--format", "jsonl", "--kinds", "pseudo", "-o", out, "-w", workspace)["labels"] == made["released"]
    )
