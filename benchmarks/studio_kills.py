"""Label Studio, then our process, killed at 7 moments each of a push and a pull of 2,000 tasks.

    python benchmarks/studio_kills.py [--tasks 2000] [--answered-every 20]

Each trial has its own workspace on one server: tasks on the server, reviews and labels must equal those of an
undisturbed run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import machine
from benchmarks.studio_push_pull import CACHE
from tests.labeler.studio.kills import OUR_KILLS, SERVER_KILLS, Trial
from tests.labeler.studio.runtimes import Shape
from tests.studio import running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--answered-every", type=int, default=20)
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="labeler-studio-kills-"))
    (folder / "server").mkdir()
    shape = Shape(tasks=options.tasks, characters=600, batch=options.tasks // 10)
    kills = (*SERVER_KILLS, *OUR_KILLS)
    equal = 0
    with running(folder / "server", CACHE) as server:
        trial = Trial(server, shape, answered_every=options.answered_every)
        began = time.monotonic()
        expected = trial.play(folder / "undisturbed")
        print(f"undisturbed: {time.monotonic() - began:.0f} s, {len(expected['reviews'])} reviews", flush=True)
        for number, kill in enumerate(kills):
            began = time.monotonic()
            same = trial.play(folder / f"trial-{number}", kill) == expected
            equal += same
            print(f"{kill}: {'equal' if same else 'DIFFERENT'} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{machine()}: {equal} of {len(kills)} equal to the undisturbed run of {options.tasks} tasks")
    sys.exit(equal != len(kills))


if __name__ == "__main__":
    main()
