"""One run of a replay in a separate process: `python -m labeler.replay.runs RUN.json`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labeler.ablation.lock import exclusive, write_json
from labeler.ablation.runs import ENDS_WITH_PARENT, end_with_parent, launch_module
from labeler.replay import Arm, Design, Run

MODULE = "labeler.replay.runs"


def main(path: str, *options: str) -> None:
    """Finish the run that the file describes."""
    from labeler.core.console import log_to_stderr
    from labeler.core.error_messages import explain
    from labeler.replay.play import play

    if ENDS_WITH_PARENT in options:
        end_with_parent()

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
    return launch_module(MODULE, write_run(run), threads=run.design.threads)


def write_run(run: Run) -> Path:
    """Describe the run in a file in its folder; returns the file."""
    run.folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(getattr(run.design, name).resolve()) for name in ("file", "folder")}
    described = asdict(run)
    described["design"] |= paths
    del described["design"]["compute"]  # a run is played in one process
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
    main(*sys.argv[1:])
