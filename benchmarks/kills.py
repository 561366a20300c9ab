"""kill -9 at random moments of a round: the final state must equal that of an undisturbed run.

    python benchmarks/kills.py [--kills 20] [--seed 0]

Each trial copies a workspace before round 1, kills `labeler round`, runs it again, and compares labels, tasks, reviews,
predictions and model hashes. Every other trial is killed after a random share of the time of an undisturbed round; the
others at a random event: a chunk of predictions, a review, the labels, a training checkpoint, a stage being written.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import LABELER, machine
from labeler.rounds import machine as rounds
from tests.state import state
from tests.worlds import at, make_workspace

ROOT = Path(__file__).parent.parent
#: events at which a round may be killed, and how often each occurs in a round of this workspace
EVENTS = {
    "predictions stored": 14,
    "review recorded": 30,
    "labels recorded": 1,
    "checkpoint written": 29,
    "stage written": 7,
}
ROUND = (*LABELER, "round", "--reviewer", "simulated", "--threads", "1", "-w")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="labeler-kills-"))
    baseline = make_workspace(folder / "baseline", train__max_steps=60, round__chunk_size=5, review__review_budget=30)
    with at(baseline) as runtime:
        rounds.train(runtime)
    undisturbed = shutil.copytree(baseline, folder / "undisturbed")
    process = _start(undisturbed)
    began = time.monotonic()
    process.wait()
    seconds = time.monotonic() - began
    expected = _finished(undisturbed)
    equal = 0
    for trial in range(options.kills):
        copy = shutil.copytree(baseline, folder / f"trial-{trial}")
        moment = _kill_at_event(copy, rng) if trial % 2 else _kill_after(copy, rng.uniform(0, 0.95) * seconds)
        stage = _stage(copy)
        same = _finished(copy) == expected
        equal += same
        print(f"trial {trial}: killed {moment}, stage {stage}: {'equal' if same else 'DIFFERENT'}", flush=True)
        shutil.rmtree(copy)
    print(f"{machine()}: {equal} of {options.kills} equal to the undisturbed round ({seconds:.1f} s)")
    sys.exit(equal != options.kills)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """Start `labeler round`; returns its process once the round is open."""
    process = subprocess.Popen([*ROUND, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _stage(folder) == "not open":
        time.sleep(0.01)
    return process


def _kill_after(folder: Path, seconds: float) -> str:
    process = _start(folder)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return f"{seconds:.1f} s after the round was opened"


def _kill_at_event(folder: Path, rng: random.Random) -> str:
    event = rng.choice(list(EVENTS))
    count = rng.randint(1, EVENTS[event])
    command = (sys.executable, "-m", "tests.killing", event, str(count), *ROUND[len(LABELER) :], str(folder))
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    return f"at event {count} of {event!r}"


def _stage(folder: Path) -> str:
    """The stage of round 1, read without disturbing the process that works on it."""
    with closing(sqlite3.connect(f"{(folder / 'labeler.db').as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT stage FROM rounds WHERE number = 1").fetchone()
    return str(found[0]) if found else "not open"


def _finished(folder: Path) -> dict[str, Any]:
    """Close round 1 unless it is closed; returns the state."""
    with at(folder) as runtime, runtime.database.read() as session:
        found = state(session)
    if len(found["rounds"]) < 2 or found["rounds"][1][2] != "closed":
        subprocess.run([*ROUND, str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with at(folder) as runtime, runtime.database.read() as session:
            found = state(session)
    return found


if __name__ == "__main__":
    main()
