"""A few kills with -9 at random steps of commands that load no model; `benchmarks/kills.py` does many, over all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from labeler.cli import COMMANDS as ALL
from tests.safety.kills import COMMANDS

ROOT = Path(__file__).parent.parent.parent

#: commands that write nothing into a workspace, need a person or a server, or make a workspace themselves
OTHERS = {
    *("search", "passages", "questions", "ask", "status", "doctor", "history", "answer", "leaks", "plan", "compare"),
    *("review", "reviewers", "push", "pull", "studio", "serve"),
    *("init", "demo", "ablate", "simulate"),
    "labels",  # `label` is short for it
    "annotate",  # killed with its server in tests/labeler/labellers/test_annotate.py
}


def test_commands_killed_at_random_steps_end_as_undisturbed_runs() -> None:
    command = [sys.executable, "-m", "tests.safety.kills", "--kills", "10", "--seed", "7", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 kills" in done.stdout


def test_every_command_that_writes_is_killed() -> None:
    assert {command.arguments[0] for command in COMMANDS} == set(ALL) - OTHERS
