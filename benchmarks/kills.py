"""kill -9 at random moments of a round: is the final state that of an undisturbed run?

    python benchmarks/kills.py [--kills 20] [--seed 0]

Each trial copies a workspace that stands before round 1, kills `labeler round` after a random share of the time that
an undisturbed round takes, runs it again, and compares labels, tasks, reviews, predictions and model hashes.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import LABELER, machine
from labeler.rounds import machine as rounds
from tests.state import state
from tests.worlds import at, make_workspace

ROUND = (*LABELER, "round", "--reviewer", "simulated", "--threads", "1", "-w")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="labeler-kills-"))
    baseline = make_workspace(folder / "baseline")
    with at(baseline) as desk:
        rounds.train(desk)
    began = time.monotonic()
    expected = _finished(shutil.copytree(baseline, folder / "undisturbed"))
    seconds = time.monotonic() - began
    equal = 0
    for trial in range(options.kills):
        copy = shutil.copytree(baseline, folder / f"trial-{trial}")
        moment = rng.uniform(0.05, 0.98) * seconds
        stage = _kill_after(copy, moment)
        same = _finished(copy) == expected
        equal += same
        print(f"trial {trial}: killed after {moment:.1f} s at stage {stage}: {'equal' if same else 'DIFFERENT'}")
        shutil.rmtree(copy)
    print(f"{machine()}: {equal} of {options.kills} equal to the undisturbed round ({seconds:.1f} s)")
    sys.exit(equal != options.kills)


def _kill_after(folder: Path, seconds: float) -> str:
    """The stage at which the round stood when it was killed."""
    process = subprocess.Popen([*ROUND, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with at(folder) as desk:
        row = rounds.current(desk)
    return "none open" if row is None else row.stage


def _finished(folder: Path) -> dict[str, Any]:
    """The state once the round is closed; round 1 may be over already, then nothing is run."""
    with at(folder) as desk, desk.database.read() as session:
        found = state(session)
    if len(found["rounds"]) < 2 or found["rounds"][1][2] != "closed":
        subprocess.run([*ROUND, str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with at(folder) as desk, desk.database.read() as session:
            found = state(session)
    return found


if __name__ == "__main__":
    main()
