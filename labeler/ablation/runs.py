"""One run: a training and its readings, in a process of its own (`python -m labeler.ablation.runs RUN.json`).

A process of its own gives a run its own peak memory and lets it be killed alone; what it has finished is never done
again. Two processes that are given the same run take turns, and the second finds the work done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import labeler
from labeler.ablation import Cost, Mark, Run, Trained
from labeler.ablation.lock import held, write_json
from labeler.core.config import Config

TRAINED = "trained.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def main(path: str) -> None:
    """Does what is left of the run that the file describes."""
    from labeler.core.console import log_to_stderr
    from labeler.core.error_messages import explain

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    log_to_stderr()
    try:
        do(read_run(Path(path)))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        sys.exit(line)


def write_run(run: Run) -> Path:
    """The file that describes the run, in its folder."""
    run.folder.mkdir(parents=True, exist_ok=True)
    places = {name: str(getattr(run, name).resolve()) for name in ("folder", "data", "starts")}
    plain = {name: getattr(run, name) for name in ("arm", "seed", "start", "metric", "top_k", "parts")}
    return write_json(run.folder / "run.json", {**plain, **places, "config": run.config.resolved()})


def read_run(path: Path) -> Run:
    """The run that a file describes."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    places = {name: Path(fields[name]) for name in ("folder", "data", "starts")}
    made = {"config": Config.from_resolved(fields["config"]), "parts": tuple(fields["parts"])}
    return Run(**fields | places | made)


def launch(run: Run, *, threads: int) -> str | None:
    """Does what is left of the run in a process of its own. None if it is done, else why not: its last words."""
    described = write_run(run)
    home = str(Path(labeler.__file__).parent.parent)  # the child runs the code that runs here, wherever it is started
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": path}
    output = run.folder / "log.txt"
    with output.open("a", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "labeler.ablation.runs", str(described)]
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    if done.returncode == 0:
        return None
    words = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return words[-1] if done.returncode > 0 and words else f"its process was killed by signal {-done.returncode}"


def do(run: Run) -> None:
    """Trains the run's reader and reads its parts, as far as that is not done."""
    from labeler.ablation.scoring import read_parts
    from labeler.ablation.training import train_run

    with held(run.folder):
        cost = run.folder / TRAINED
        if not cost.is_file():
            write_json(cost, asdict(train_run(run)))
        missing = [part for part in run.parts if not _marks_file(run, part).is_file()]
        for part, marks in read_parts(run, missing) if missing else ():
            write_json(_marks_file(run, part), marks)


def is_done(run: Run) -> bool:
    """Whether nothing is left to do of the run."""
    return (run.folder / TRAINED).is_file() and all(_marks_file(run, part).is_file() for part in run.parts)


def result(run: Run) -> Trained:
    """What a run that is done says."""
    cost = Cost(**json.loads((run.folder / TRAINED).read_text(encoding="utf-8")))
    marks: dict[tuple[str, str], tuple[Mark, ...]] = {}
    for part in run.parts:
        for how, rows in json.loads(_marks_file(run, part).read_text(encoding="utf-8")).items():
            marks[part, how] = tuple(Mark(*row) for row in rows)
    return Trained(run.seed, cost, marks)


def _marks_file(run: Run, part: str) -> Path:
    return run.folder / f"{part}.json"


if __name__ == "__main__":
    main(sys.argv[1])
