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
from tests.worlds import after_round, at

ROUND = ("round", "--reviewer", "simulated", "--threads", "1", "-w")


@pytest.mark.parametrize(
    ("moment", "times"),
    [
        ("predictions stored", 2),
        ("review recorded", 5),
        ("labels recorded", 1),
        ("checkpoint written", 2),
        ("stage written", 5),  # the student is trained
    ],
)
def test_a_round_killed_at_any_moment_ends_in_the_same_state(
    moment: str, times: int, baseline: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(baseline, tmp_path / "killed")
    kill(folder, moment, times)
    assert after_round(folder) == undisturbed


def kill(folder: Path, moment: str, times: int) -> None:
    """Runs a round of the workspace until the moment has come so often, and kills it there."""
    killed = subprocess.run(
        [sys.executable, "-m", "tests.killing", moment, str(times), *ROUND, str(folder)], check=False
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("moment", "times"),
    [
        ("retriever checkpoint written", 2),  # in the middle of its training; the reader's is finished
        ("index written", 1),  # the candidate is whole, the round is not closed
        ("stage written", 6),  # inside the closing transaction: neither index nor model is changed
    ],
)
def test_a_round_that_trains_a_retriever_ends_the_same_when_killed(
    moment: str, times: int, hybrid: Path, hybrid_undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(hybrid, tmp_path / "killed")
    with at(folder) as runtime:
        before = runtime.current_index()
    kill(folder, moment, times)
    with at(folder) as runtime:
        assert runtime.current_index() == before
        row = machine.current(runtime)
    assert row is not None
    assert row.stage == ("labelled" if moment == "retriever checkpoint written" else "trained")
    assert after_round(folder) == hybrid_undisturbed
    assert hybrid_undisturbed["index"] != before


def test_a_round_that_went_on_with_few_reviews_may_be_told_so_again(baseline: Path, tmp_path: Path) -> None:
    """`--accept-partial`, killed after it had taken effect, refused to be run again."""
    folder = shutil.copytree(baseline, tmp_path / "partial")
    with at(folder) as runtime:
        machine.run(runtime, reviewer="people")
        assert machine.run(runtime, accept_partial=True, until="labelled").round.stage == "labelled"
        assert machine.run(runtime, accept_partial=True, until="labelled").round.stage == "labelled"
