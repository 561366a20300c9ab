"""Killed anywhere and started again, a round ends in the same state: nothing lost, nothing twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import after_round

ROUND = ("round", "--reviewer", "simulated", "--threads", "1", "-w")


@pytest.mark.parametrize(
    ("moment", "times"),
    [
        ("predictions stored", 2),
        ("review recorded", 5),
        ("labels recorded", 1),
        ("checkpoint written", 2),
        ("stage written", 6),
    ],
)
def test_a_round_killed_at_a_moment_ends_as_if_nobody_had_disturbed_it(
    moment: str, times: int, baseline: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "killed")
    killed = subprocess.run(
        [sys.executable, "-m", "tests.killing", moment, str(times), *ROUND, str(folder)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert after_round(folder) == undisturbed
