"""Reading a pool on Ray: kill -9 of workers and of the driver, the time to start, and the overhead against one process.

    python benchmarks/ray_kills.py [--questions 2000] [--workers 20] [--drivers 10] [--seed 0]

The demonstration's encyclopaedia, a reader of a few thousand weights without training, a real Ray of two processors on
this machine. One process with two threads reads the same pool for comparison. Every state must equal its state.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import machine
from tests.ray_cluster import kill_worker, running_ray

CHUNK = 50  # questions of a chunk: many chances to be killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=20, help="kills of workers")
    parser.add_argument("--drivers", type=int, default=10, help="kills of the driver")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as home:
        folder = prepared(Path(home) / "base", given.questions)
        one, expected = undisturbed(folder, "--threads", "2")
        began = time.monotonic()
        with running_ray() as cluster:
            started = time.monotonic() - began
            spread = ("--set", "compute.engine=ray", "--set", f"compute.address={cluster.address}", "--threads", "1")
            cold, state = undisturbed(folder, *spread)
            warm, again = undisturbed(folder, *spread)
            print(f"{machine()}: {given.questions:,} questions; Ray starts in {started:.0f} s")
            print(f"one process of two threads {one:.1f} s; two workers {cold:.1f} s, again {warm:.1f} s")
            equal = [state == expected, again == expected]
            killed, state = with_workers_killed(folder, spread, given.workers, rng)
            equal.append(state == expected)
            died, state = with_drivers_killed(folder, spread, given.drivers, rng, longest=warm)
            equal.append(state == expected)
        print(
            f"{killed} kills of workers, {died} of the driver; {sum(equal)} of {len(equal)} states equal one process's"
        )
    sys.exit(not all(equal))


def prepared(folder: Path, questions: int) -> Path:
    """A workspace with an index, an untrained reader and an open round over a pool of so many questions."""
    from labeler.demo.encyclopaedia import make_encyclopaedia
    from labeler.rounds import machine as rounds
    from tests.worlds import at, make_workspace

    squad = make_encyclopaedia("en", seed=5, documents=questions // 2).squad()
    division = f"gold=60,dev=30,test=20,pool={questions}"
    make_workspace(folder, division=division, squad=squad, round__chunk_size=CHUNK, read__top_k=5, calibrate__folds=1)
    with at(folder) as runtime:
        rounds.train(runtime)
        rounds.run(runtime, reviewer="none", until="open")
    return folder


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "labeler", "predict", "--json", "-w", str(folder), *options]


def undisturbed(base: Path, *options: str) -> tuple[float, dict[str, Any]]:
    """The seconds of reading the pool in a copy of the workspace, and its state."""
    with copied(base) as folder:
        done = subprocess.run(command(folder, *options), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["seconds"], state_of(folder)


def with_workers_killed(
    base: Path, spread: tuple[str, ...], wanted: int, rng: random.Random
) -> tuple[int, dict[str, Any]]:
    """How many workers were killed at random moments while the pool was read, and the state at the end."""
    killed, ended = 0, threading.Event()
    with copied(base) as folder:
        process = subprocess.Popen(command(folder, *spread), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
        while killed < wanted and not ended.wait(rng.uniform(0.2, 1.5)):
            killed += kill_worker(rng.randrange(8))
        output, errors = process.communicate()
        if process.returncode:
            sys.exit(f"the driver failed: {errors}")
        assert json.loads(output)["stage"] == "predicted"
        return killed, state_of(folder)


def with_drivers_killed(
    base: Path, spread: tuple[str, ...], wanted: int, rng: random.Random, *, longest: float
) -> tuple[int, dict[str, Any]]:
    """How many drivers were killed at random moments, the last of them left alone, and the state at the end."""
    died = 0
    with copied(base) as folder:
        for _ in range(wanted):
            process = subprocess.Popen(command(folder, *spread), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=rng.uniform(1.0, 5.0 + longest / 3))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                died += 1
        subprocess.run(command(folder, *spread), check=True, stdout=subprocess.DEVNULL)
        return died, state_of(folder)


class copied:  # noqa: N801 - used as a function
    """A copy of a workspace, removed at the end."""

    def __init__(self, base: Path) -> None:
        self._base, self._home = base, tempfile.TemporaryDirectory()

    def __enter__(self) -> Path:
        return Path(shutil.copytree(self._base, Path(self._home.name) / "workspace"))

    def __exit__(self, *_: object) -> None:
        self._home.cleanup()


def state_of(folder: Path) -> dict[str, Any]:
    from tests.state import state
    from tests.worlds import at

    with at(folder) as runtime, runtime.database.read() as session:
        return state(session)


if __name__ == "__main__":
    main()
