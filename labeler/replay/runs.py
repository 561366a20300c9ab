"""One run of a replay in a separate process: `python -m labeler.replay.runs RUN.json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import labeler
from labeler.ablation.lock import exclusive, write_json
from labeler.replay import Arm, Design, Run

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def main(path: str) -> None:
    """Finish the run that the file describes."""
    from labeler.core.console import log_to_stderr
    from labeler.core.error_messages import explain
    from labeler.replay.play import play

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    log_to_stderr()
    try:
        run = read_run(Path(path))
        with exclusive(run.folder / ".lock"):
            play(run)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        sys.exit(line)


def launch(run: Run) -> str | None:
    """Finish the run in a separate process. Returns None, or why it failed: the last line of its log."""
    described = _write_run(run)
    home = str(Path(labeler.__file__).parent.parent)  # the child runs the code that runs here, wherever it is started
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | dict.fromkeys(THREAD_VARIABLES, str(run.design.threads)) | {"PYTHONPATH": path}
    output = run.folder / "log.txt"
    with output.open("a", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "labeler.replay.runs", str(described)]
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    if done.returncode == 0:
        return None
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if done.returncode > 0 and lines else f"its process was killed by signal {-done.returncode}"


def _write_run(run: Run) -> Path:
    """Describe the run in a file in its folder; returns the file."""
    run.folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(getattr(run.design, name).resolve()) for name in ("file", "folder")}
    described = asdict(run)
    described["design"] |= paths
    return write_json(run.folder / "run.json", described)


def read_run(path: Path) -> Run:
    """The run that a file describes."""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    design = stored["design"] | {name: Path(stored["design"][name]) for name in ("file", "folder")}
    arms = tuple(_arm(each) for each in design["arms"])
    return Run(
        Design(**design | {"arms": arms, "common": tuple(design["common"])}),
        stored["seed"],
        _arm(stored["arm"]) if stored["arm"] else None,
    )


def _arm(stored: dict[str, Any]) -> Arm:
    return Arm(stored["name"], tuple(stored["settings"]))


if __name__ == "__main__":
    main(sys.argv[1])
