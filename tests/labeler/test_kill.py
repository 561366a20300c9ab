"""Killed anywhere and started again, a round ends in the same state: nothing lost, nothing twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labeler.rounds import machine
from tests.state import state
from tests.worlds import at, make_workspace

ROUND = ("round", "--reviewer", "simulated", "--threads", "1", "-w")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with its baseline reader: where round 1 may begin."""
    folder = make_workspace(tmp_path_factory.mktemp("kill") / "baseline")
    with at(folder) as desk:
        machine.train(desk)
    return folder


@pytest.fixture(scope="module")
def undisturbed(baseline: Path) -> dict[str, Any]:
    """The state after a round that nobody disturbed."""
    return after_round(shutil.copytree(baseline, baseline.with_name("undisturbed")))


def after_round(folder: Path) -> dict[str, Any]:
    subprocess.run([sys.executable, "-m", "labeler", *ROUND, str(folder)], check=True, capture_output=True)
    with at(folder) as desk, desk.database.read() as session:
        return state(session)


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
    moment: str, times: int, baseline: Path, undisturbed: dict[str, Any]
) -> None:
    folder = shutil.copytree(baseline, baseline.with_name(f"{moment.replace(' ', '-')}-{times}"))
    killed = subprocess.run(
        [sys.executable, "-m", "tests.killing", moment, str(times), *ROUND, str(folder)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert after_round(folder) == undisturbed
