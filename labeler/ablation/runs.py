"""One run: a training and its scoring, in a separate process (`python -m labeler.ablation.runs RUN.json`).

A separate process measures its own peak memory and can be killed alone; finished work is never repeated. Two processes
that are given the same run take turns, and the second finds the work done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import labeler
from labeler.ablation import Run, RunResult, TrainingCost
from labeler.ablation.lock import exclusive, write_json
from labeler.core.config import Config
from labeler.evaluation.scoring import QuestionScore

TRAINED = "trained.json"
ENDS_WITH_PARENT = "--ends-with-parent"
MODULE = "labeler.ablation.runs"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def main(path: str, *options: str) -> None:
    """Finish the run that the file describes."""
    from labeler.core.console import log_to_stderr
    from labeler.core.error_messages import explain

    if ENDS_WITH_PARENT in options:
        end_with_parent()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    log_to_stderr()
    try:
        finish(read_run(Path(path)))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        sys.exit(line)


def write_run(run: Run) -> Path:
    """Describe the run in a file in its folder; returns the file."""
    run.folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(getattr(run, name).resolve()) for name in ("folder", "data", "starts")}
    plain = {name: getattr(run, name) for name in ("arm", "seed", "start", "metric", "top_k", "parts")}
    return write_json(run.folder / "run.json", {**plain, **paths, "config": run.config.resolved()})


def read_run(path: Path) -> Run:
    """The run that a file describes."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    paths = {name: Path(fields[name]) for name in ("folder", "data", "starts")}
    rest = {"config": Config.from_resolved(fields["config"]), "parts": tuple(fields["parts"])}
    return Run(**fields | paths | rest)


def launch(run: Run, *, threads: int) -> str | None:
    """Finish the run in a separate process. Returns None, or why it failed: the last line of its log."""
    return launch_module(MODULE, write_run(run), threads=threads)


def launch_module(module: str, described: Path, *, threads: int, ends_with_parent: bool = False) -> str | None:
    """Run `python -m module described`, with its log beside the file. Returns None, or why it failed.

    `ends_with_parent`: the process ends when this one is killed.
    """
    home = str(Path(labeler.__file__).parent.parent)  # the child runs the code that runs here, wherever it is started
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": path}
    output = described.with_name("log.txt")
    with output.open("a", encoding="utf-8") as file, _input(open_while_alive=ends_with_parent) as stdin:
        command = [sys.executable, "-P", "-m", module, str(described)] + [ENDS_WITH_PARENT] * ends_with_parent
        done = subprocess.run(command, env=env, stdin=stdin, stdout=file, stderr=file, check=False)
    if done.returncode == 0:
        return None
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if done.returncode > 0 and lines else f"its process was killed by signal {-done.returncode}"


@contextmanager
def _input(*, open_while_alive: bool) -> Iterator[int]:
    """The standard input of a process that reads nothing: empty, or a pipe that stays open until this process ends."""
    if not open_while_alive:
        yield subprocess.DEVNULL
        return
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def end_with_parent() -> None:
    """End this process once its standard input ends, which its parent holds open while it lives."""

    standard_input = sys.stdin.fileno()

    def wait() -> None:
        while os.read(standard_input, 1):  # not by sys.stdin, whose lock Python needs at its end
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def finish(run: Run) -> None:
    """Train the run's reader and score its parts, as far as that is not done."""
    from labeler.ablation.scoring import score_parts
    from labeler.ablation.training import train_run

    with exclusive(run.folder / ".lock"):
        cost = run.folder / TRAINED
        if not cost.is_file():
            write_json(cost, asdict(train_run(run)))
        missing = [part for part in run.parts if not _scores_file(run, part).is_file()]
        for part, scores in score_parts(run, missing) if missing else ():
            rows = {how: [astuple(each) for each in found] for how, found in scores.items()}
            write_json(_scores_file(run, part), rows)


def is_done(run: Run) -> bool:
    """Whether the run is trained and all its parts are scored."""
    return (run.folder / TRAINED).is_file() and all(_scores_file(run, part).is_file() for part in run.parts)


def result(run: Run) -> RunResult:
    """The result of a run that is done."""
    cost = TrainingCost(**json.loads((run.folder / TRAINED).read_text(encoding="utf-8")))
    scores: dict[tuple[str, str], tuple[QuestionScore, ...]] = {}
    for part in run.parts:
        for how, rows in json.loads(_scores_file(run, part).read_text(encoding="utf-8")).items():
            scores[part, how] = tuple(QuestionScore(*row) for row in rows)
    return RunResult(run.seed, cost, scores)


def _scores_file(run: Run, part: str) -> Path:
    return run.folder / f"{part}.json"


if __name__ == "__main__":
    main(*sys.argv[1:])
